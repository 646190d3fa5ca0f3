//! One session: what outlives the connection if the client asked for it.
//!
//! A session is *present* from its first CONNECT until it is replaced by a clean start or expires; while it has no
//! connection it only gathers QoS 1 and 2 messages and waits for its timer.

use crate::filters::Filters;
use crate::id::{ConnectionKey, SessionNumber};
use crate::inflight::{Inflight, Sequence};
use crate::message::Message;
use crate::permission::Permissions;
use crate::queue::Queue;
use crate::replays::Replays;
use crate::time::Instant;
use crate::timers::TimerToken;
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use weir_codec::{PacketId, Qos, TopicName, Utf8};

/// The state of one client id.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its number in the durable state; `None`: it is not there.
    pub(crate) number: Option<SessionNumber>,
    /// The sequence of its last delivery in the durable state.
    pub(crate) last_sequence: u64,
    /// The mark of the last change of a packet id that the client must not see before it is kept.
    pub(crate) ids_mark: u64,
    pub(crate) client_id: Utf8,
    pub(crate) connection: Option<ConnectionKey>,
    pub(crate) permissions: Arc<dyn Permissions>,
    /// Who it belongs to; `None`: whoever has its client id.
    pub(crate) user: Option<Utf8>,
    /// Whether a subscription matches more than may be received.
    pub(crate) checks_deliveries: bool,
    /// Whether CONNECT asked for a Session Expiry Interval above 0.
    pub(crate) has_expiry: bool,
    /// The Session Expiry Interval in force; `u32::MAX`: never.
    pub(crate) expiry_seconds: u32,
    /// Without a connection: when the session ends; `None`: never.
    pub(crate) expires_at: Option<Instant>,
    /// On the heap: it is large, and most have none.
    pub(crate) will: Option<Box<Will>>,
    /// Without a connection: the next of will and expiry.
    pub(crate) timer: Option<TimerToken>,
    pub(crate) subscriptions: Filters,
    /// Packet ids of QoS 2 messages received and not released by PUBREL [MQTT-4.3.3-10].
    pub(crate) received: BTreeSet<PacketId>,
    pub(crate) inflight: Inflight,
    /// What was in flight when the connection began and is still to be sent again, in order.
    pub(crate) resend: VecDeque<PacketId>,
    pub(crate) queue: Queue,
    /// The new subscriptions that are still to be given retained messages.
    pub(crate) replays: Replays,
}

/// A Will Message and when it is due.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) message: Message,
    pub(crate) delay_seconds: u32,
    /// Its Message Expiry Interval, which starts when it is published.
    pub(crate) expiry_seconds: Option<u32>,
    /// Once the connection is gone: when it is published.
    pub(crate) due_at: Option<Instant>,
}

impl Session {
    pub(crate) fn new(client_id: Utf8, permissions: Arc<dyn Permissions>) -> Self {
        Self {
            number: None,
            last_sequence: 0,
            ids_mark: 0,
            client_id,
            connection: None,
            permissions,
            user: None,
            checks_deliveries: false,
            has_expiry: false,
            expiry_seconds: 0,
            expires_at: None,
            will: None,
            timer: None,
            subscriptions: Filters::default(),
            received: BTreeSet::new(),
            inflight: Inflight::default(),
            resend: VecDeque::new(),
            queue: Queue::default(),
            replays: Replays::default(),
        }
    }

    /// Whether a message of this topic may be delivered to it.
    pub(crate) fn may_receive(&self, topic: &TopicName) -> bool {
        !self.checks_deliveries || self.permissions.may_receive(topic) || fault!(DeniedDelivered)
    }

    /// The sequence of a new delivery with this QoS; `None`: it will not be in the durable state.
    pub(crate) fn next_sequence(&mut self, qos: Qos) -> Option<Sequence> {
        if self.number.is_none() || qos == Qos::AtMostOnce {
            return None;
        }
        self.last_sequence += 1;
        Sequence::new(self.last_sequence)
    }

    /// Whether a message that comes now is the next, with nothing to be told before.
    #[inline]
    pub(crate) fn is_next(&self) -> bool {
        self.resend.is_empty() && self.queue.has_nothing_to_say()
    }

    /// Whether there is nothing that could not be sent at once.
    pub(crate) fn has_nothing_waiting(&self) -> bool {
        self.resend.is_empty() && self.queue.is_empty() && self.replays.is_empty()
    }
}
