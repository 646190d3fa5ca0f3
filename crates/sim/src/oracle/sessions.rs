//! The sessions of the model: who is subscribed to what, and what everybody is owed.
//!
//! A debt is entered when a message reaches the session's shard and struck off when it is sent. It has to be paid (`must`)
//! until something excuses it; what excuses it is always a rule of MQTT or a configured limit, named where it is set.

use super::durable::Needs;
use super::routing::Instance;
use crate::client::LinkId;
use crate::message::{Identity, Message};
use crate::rules::Granted;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::rc::Rc;
use weir_codec::Qos;
use weir_engine::SlowReader;

/// All sessions by their client ids. What is photographed is shared until it changes.
#[derive(Default)]
pub(crate) struct Sessions(BTreeMap<String, Rc<Session>>);

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) client_id: String,
    pub(crate) shard: usize,
    pub(crate) link: Option<LinkId>,
    /// Topics that begin so are not for it.
    denied: Option<&'static str>,
    /// By which of the rules that change.
    pub(crate) rules: Option<u8>,
    /// Whose it is.
    pub(crate) user: Option<&'static str>,
    /// Whether the store has it: it did once ask to outlive its connection.
    pub(crate) is_durable: bool,
    pub(crate) expiry_seconds: u32,
    pub(crate) expires_at: Option<u64>,
    pub(crate) will: Option<Will>,
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
    /// QoS 2 messages it has sent, until PUBREL.
    pub(crate) received: BTreeSet<u16>,
    /// Those of which nobody can tell whether they were taken: a retained message that found room or did not, within the
    /// moment in which another expired.
    pub(crate) doubtful: BTreeSet<u16>,
    pub(crate) flights: BTreeMap<u16, Flight>,
    pub(crate) debts: Vec<Debt>,
    /// The last message of each publisher, topic and QoS that it was given.
    pub(crate) last: BTreeMap<Stream, u64>,
}

/// What keeps its order: publisher, topic and QoS, and the way it takes.
pub(crate) type Stream = (String, &'static str, u8, Way);

/// How a delivery comes to its client: those that come in another way may overtake it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Queue,
    /// QoS 2: when its packet id is kept.
    Store,
    /// In the place of an earlier one of its topic.
    Latest,
}

#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) message: Rc<Message>,
    pub(crate) delay_seconds: u32,
    pub(crate) due_at: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) qos: Qos,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) identifier: u32,
    /// How a slow reader is to be treated.
    pub(crate) slow_reader: Option<SlowReader>,
    /// Tells it from an earlier one to the same filter.
    pub(crate) number: u64,
    /// Whether its SUBACK has left: from then on it is a promise.
    pub(crate) is_promised: bool,
}

/// A message in flight to the client.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) identity: Identity,
    pub(crate) qos: Qos,
    pub(crate) is_released: bool,
    /// What a PUBREL waits for.
    pub(crate) release_needs: Rc<Needs>,
    pub(crate) sent_on: LinkId,
    /// The order in which they were first sent.
    pub(crate) number: u64,
    /// It need not be sent again: too large for the present connection.
    pub(crate) is_optional: bool,
}

/// Why a message is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Live,
    /// As one of several members of a shared subscription.
    Group(usize),
    /// For a new subscription to this filter.
    Replay(String),
}

/// A delivery that a session is owed, or may be given.
#[derive(Clone, Debug)]
pub(crate) struct Debt {
    pub(crate) instance: Rc<Instance>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) identifiers: Vec<u32>,
    pub(crate) cause: Cause,
    /// Whether it has to be given.
    pub(crate) must: bool,
    /// Whether the queue may have been full when it came.
    pub(crate) is_squeezed: bool,
    /// It may have been exchanged for one that looked the same on a connection of 3.x, which shows no identifiers.
    pub(crate) is_vague: bool,
    /// What becomes of it if the client is slow, if it is of QoS 0 and somebody has said so.
    pub(crate) policy: Option<SlowReader>,
    /// Whether the client was told of it, should it have missed it.
    pub(crate) is_told: bool,
    /// Since when it is denied: it may be in the output already.
    pub(crate) denied_at: Option<u64>,
    /// In which step it came, and when.
    pub(crate) step: u64,
    pub(crate) at: u64,
}

/// A message owed to one member of a shared subscription.
#[derive(Clone, Debug)]
pub(crate) struct GroupDebt {
    /// Where somebody may be given it.
    pub(crate) shards: BTreeSet<usize>,
    pub(crate) filter: String,
    pub(crate) instance: Rc<Instance>,
    pub(crate) must: bool,
    pub(crate) is_given: bool,
}

impl Sessions {
    pub(crate) fn get_mut(&mut self, client_id: &str) -> Option<&mut Session> {
        self.0.get_mut(client_id).map(Rc::make_mut)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.0.values_mut().map(Rc::make_mut)
    }

    /// Those of which this is true, to be changed.
    pub(crate) fn those_mut(
        &mut self,
        is_one: impl Fn(&Session) -> bool,
    ) -> impl Iterator<Item = &mut Session> {
        let sessions = self.0.values_mut();
        let chosen = sessions.filter(move |session| is_one(session));
        chosen.map(Rc::make_mut)
    }

    pub(crate) fn find_or_begin(&mut self, client_id: &str, shard: usize) -> &mut Session {
        let session = self.0.entry(client_id.to_string());
        Rc::make_mut(session.or_insert_with(|| Rc::new(Session::new(client_id, shard))))
    }

    pub(crate) fn insert(&mut self, session: Rc<Session>) {
        self.0.insert(session.client_id.clone(), session);
    }

    pub(crate) fn remove(&mut self, client_id: &str) -> Option<Rc<Session>> {
        self.0.remove(client_id)
    }
}

impl Deref for Sessions {
    type Target = BTreeMap<String, Rc<Session>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Flight {
    pub(crate) fn new(identity: Identity, qos: Qos, sent_on: LinkId, number: u64) -> Self {
        Self {
            identity,
            qos,
            is_released: false,
            release_needs: Rc::default(),
            sent_on,
            number,
            is_optional: false,
        }
    }
}

impl Session {
    pub(crate) fn new(client_id: &str, shard: usize) -> Self {
        Self {
            client_id: client_id.to_string(),
            shard,
            link: None,
            denied: None,
            rules: None,
            user: None,
            is_durable: false,
            expiry_seconds: 0,
            expires_at: None,
            will: None,
            subscriptions: BTreeMap::new(),
            received: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            flights: BTreeMap::new(),
            debts: Vec::new(),
            last: BTreeMap::new(),
        }
    }

    pub(crate) fn grant(&mut self, granted: Granted) {
        self.user = granted.user;
        self.permit(granted.denied, granted.rules);
    }

    pub(crate) fn permit(&mut self, denied: Option<&'static str>, rules: Option<u8>) {
        self.denied = denied;
        self.rules = rules;
    }

    /// Whether it may not publish there, or subscribe to it.
    pub(crate) fn denies(&self, topic_or_filter: &str) -> bool {
        self.denied
            .is_some_and(|denied| topic_or_filter.starts_with(denied))
    }

    /// Whether a message to this topic may not be delivered to it.
    pub(crate) fn must_not_receive(&self, topic: &str) -> bool {
        self.rules.is_some() && self.denies(topic)
    }

    /// When something happens to it by itself.
    pub(crate) fn due_at(&self) -> Option<u64> {
        if self.link.is_some() {
            return None;
        }
        let will = self.will.as_ref().and_then(|will| will.due_at);
        [will, self.expires_at].into_iter().flatten().min()
    }

    /// It has had no connection since then: when its will is due and when it ends.
    pub(crate) fn be_absent(&mut self, since: u64) {
        let never = self.expiry_seconds == u32::MAX;
        self.expires_at = (!never).then(|| since + u64::from(self.expiry_seconds) * 1000);
        if let Some(will) = &mut self.will {
            will.due_at = Some(since + u64::from(will.delay_seconds) * 1000);
        }
    }

    /// The most that can be waiting in its queue: what it is owed and has not been sent. Part of it may be in an output
    /// already, which the oracle can't see, so the queue may be less full than this.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let bytes = self
            .debts
            .iter()
            .map(|debt| debt.instance.message.cost_bytes() + 8)
            .sum();
        (self.debts.len(), bytes)
    }
}

impl Debt {
    pub(crate) fn is_expired(&self, now: u64) -> bool {
        self.instance.expires_at.is_some_and(|at| at <= now)
    }
}
