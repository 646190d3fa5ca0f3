//! Who is let in, and what they may do: a few rules that change.
//!
//! What is denied is a prefix of topics. Of somebody judged by the rules that change, each delivery is asked about where a
//! filter is wider than that; others are only kept from publishing and subscribing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use weir_codec::{TopicFilter, TopicName};
use weir_engine::{Coverage, Permissions, Refreshed, Refusal};

/// How long credentials last at most, in milliseconds.
pub(crate) const TOKEN_MILLIS: u64 = 10_000;

/// What somebody was granted, as the oracle is told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Granted {
    /// Topics that begin so are denied.
    pub(crate) denied: Option<&'static str>,
    /// By which of the rules that change; `None`: by others.
    pub(crate) rules: Option<u8>,
    pub(crate) user: Option<&'static str>,
    pub(crate) expires_at: Option<u64>,
}

/// What the rules of this number deny; an error: everything.
pub(crate) fn denied_by(rules: u8) -> Result<Option<&'static str>, Refusal> {
    match rules {
        0 => Ok(None),
        1 => Ok(Some("long")),
        _ => Err(Refusal::NotAuthorized),
    }
}

/// What this user is granted now.
pub(crate) fn judge(user: &str, now: u64, lasts: u64, rules: u8) -> Result<Granted, Refusal> {
    let granted = Granted::default();
    Ok(match user {
        "refused" => return Err(Refusal::BadCredentials),
        "limited" => Granted {
            denied: Some("private"),
            ..granted
        },
        "token" => Granted {
            expires_at: Some(now + lasts),
            ..granted
        },
        "owner" => Granted {
            user: Some("ann"),
            ..granted
        },
        "file" => Granted {
            denied: denied_by(rules)?,
            rules: Some(rules),
            ..granted
        },
        _ => granted,
    })
}

/// The permissions that go with it.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) granted: Granted,
    /// The rules in force.
    pub(crate) current: Arc<AtomicU8>,
}

impl Rules {
    fn denies(&self, text: &str) -> bool {
        self.granted
            .denied
            .is_some_and(|denied| text.starts_with(denied))
    }
}

impl Permissions for Rules {
    fn may_publish(&self, topic: &TopicName) -> bool {
        !self.denies(topic.as_str())
    }

    fn may_subscribe(&self, filter: &TopicFilter) -> Coverage {
        let is_wide = filter.filter().starts_with(['#', '+']);
        match (self.denies(filter.filter()), self.granted.rules) {
            (true, _) => Coverage::Nothing,
            (false, Some(1)) if is_wide => Coverage::Part,
            _ => Coverage::Whole,
        }
    }

    fn may_receive(&self, topic: &TopicName) -> bool {
        self.granted.rules.is_none() || !self.denies(topic.as_str())
    }

    fn refreshed(&self) -> Refreshed {
        let current = self.current.load(Ordering::Relaxed);
        match self.granted.rules {
            Some(rules) if rules != current => match denied_by(current) {
                Ok(denied) => Refreshed::Changed(Arc::new(Self {
                    granted: Granted {
                        denied,
                        rules: Some(current),
                        ..self.granted
                    },
                    current: Arc::clone(&self.current),
                })),
                Err(_) => Refreshed::Withdrawn,
            },
            _ => Refreshed::Unchanged,
        }
    }
}
