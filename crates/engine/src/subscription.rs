//! One session's subscription to one filter, as the router holds it.
//!
//! Small and `Copy`: there may be millions. The filter itself is the router's, the list of a session's filters the
//! session's.

use crate::slow_reader::SlowReader;
use weir_codec::{Qos, RetainHandling, SubscriptionOptions};

/// What a session asked for with one topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) qos: Qos,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// How it wants a slow reader to be treated; `None`: as its connection is.
    pub(crate) slow_reader: Option<SlowReader>,
    /// The Subscription Identifier; 0 means none (the specification forbids 0 as a value).
    pub(crate) identifier: u32,
}

impl Subscription {
    pub(crate) fn new(
        options: SubscriptionOptions,
        slow_reader: Option<SlowReader>,
        identifier: Option<u32>,
    ) -> Self {
        Self {
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            slow_reader,
            identifier: identifier.unwrap_or(0),
        }
    }

    /// Its Subscription Identifier as a list, empty or of one.
    pub(crate) fn identifiers(&self) -> &[u32] {
        match self.identifier {
            0 => &[],
            _ => core::slice::from_ref(&self.identifier),
        }
    }

    /// Adds another matching subscription of the same session, so that one copy serves both: the highest QoS
    /// [MQTT-3.3.4-2], RETAIN kept if either wants it, the wish for a slow reader that loses less.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.qos = match fault!(LowestQosWins) {
            true => self.qos.min(other.qos),
            false => self.qos.max(other.qos),
        };
        self.retain_as_published |= other.retain_as_published;
        self.slow_reader = self.slow_reader.max(other.slow_reader);
    }
}

/// Whether retained messages go to a subscription that was just made [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11].
pub(crate) fn wants_retained(handling: RetainHandling, is_new: bool) -> bool {
    match handling {
        RetainHandling::SendAtSubscribe => true,
        RetainHandling::SendIfNew => is_new,
        RetainHandling::DoNotSend => false,
    }
}
