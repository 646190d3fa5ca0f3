//! One connection as the oracle sees it: what it was promised, what it was sent, what it still has to be answered.
//!
//! It keeps its number when it moves to another shard. Answers of one kind are owed in the order of what they answer.

use super::contest::Contest;
use super::durable::Needs;
use crate::client::LinkId;
use crate::rules::Granted;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use weir_codec::{Connect, Decoder, Packet, ReasonCode, TopicName, Version};
use weir_engine::Settings;

/// Where a connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Waiting,
    Moving,
    Deciding,
    Connected,
    Ended,
}

/// Whose turn it is in an enhanced authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nobody's: it is done, or there is none.
    Nobody,
    Judge,
    Client,
}

/// Messages that a slow reader may miss, on one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Missed {
    pub(crate) owed: u64,
    pub(crate) given: u64,
    pub(crate) told: u64,
    /// Whether nobody can tell.
    pub(crate) is_vague: bool,
}

#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) shard: usize,
    pub(crate) phase: Phase,
    pub(crate) deadline: u64,
    pub(crate) heard_at: u64,
    /// When the engine was last asked for what there is to send.
    pub(crate) transmitted_at: u64,
    /// When it was last sent a PUBLISH.
    pub(crate) published_at: u64,
    pub(crate) version: Version,
    pub(crate) connect: Option<Connect>,
    pub(crate) client_id: String,
    /// What it is called while it is being decided on; assigned if it did not say.
    pub(crate) named: String,
    pub(crate) keep_alive_seconds: u16,
    pub(crate) granted: Granted,
    pub(crate) misbehaves: bool,
    /// What the CONNACK must say of the session.
    pub(crate) session_present: bool,
    pub(crate) connack_seen: bool,
    /// Whether the engine has let the client in for good.
    pub(crate) is_welcomed: bool,
    /// What CONNACK waits for.
    pub(crate) welcome_needs: Rc<Needs>,
    /// Whether it was sent, at some moment, everything there was for it: before that, a full queue does not end it.
    pub(crate) is_caught_up: bool,
    pub(crate) last: Option<Packet>,
    pub(crate) decoder: Option<Decoder>,
    /// Where its enhanced authentication stands.
    pub(crate) turn: Turn,
    /// What it takes to take its client id away.
    pub(crate) contest: Contest,
    /// When it last gave a sign of life.
    pub(crate) alive_at: u64,
    /// How many messages it was told that it missed, and how many of those that may be missed it was owed and given.
    pub(crate) missed: Missed,
    /// Aliases the client has set, and those it was given.
    pub(crate) aliases_in: BTreeMap<u16, TopicName>,
    pub(crate) aliases_out: BTreeMap<u16, String>,
    /// Packet ids published on this connection and not acknowledged.
    pub(crate) outstanding: BTreeSet<u16>,
    /// Up to which message in flight was sent again, of each QoS.
    pub(crate) resent: [u64; 3],
    pub(crate) owed: Owed,
}

/// The answers that are still to come, in order.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    pub(crate) pubacks: VecDeque<AckOwed>,
    pub(crate) pubrecs: VecDeque<AckOwed>,
    pub(crate) pubrels: VecDeque<AckOwed>,
    pub(crate) pubcomps: VecDeque<AckOwed>,
    pub(crate) subacks: VecDeque<SubAckOwed>,
    /// AUTH packets, with the subscriptions that they say have ended; `None`: a question.
    pub(crate) auths: VecDeque<Option<Vec<String>>>,
    pub(crate) pings: u32,
}

/// An acknowledgement to come.
#[derive(Debug)]
pub(crate) struct AckOwed {
    pub(crate) packet_id: u16,
    pub(crate) reasons: Vec<ReasonCode>,
    pub(crate) needs: Rc<Needs>,
}

/// A SUBACK or UNSUBACK to come; they come in the order of what they answer.
#[derive(Debug)]
pub(crate) struct SubAckOwed {
    pub(crate) packet_id: u16,
    pub(crate) reasons: Vec<ReasonCode>,
    /// The subscriptions it confirms, each with its number; `None`: an UNSUBACK.
    pub(crate) confirms: Option<Vec<(String, u64)>>,
    pub(crate) needs: Rc<Needs>,
}

impl Wire {
    pub(crate) fn new(shard: usize, deadline: u64, now: u64) -> Self {
        Self {
            shard,
            phase: Phase::Waiting,
            deadline,
            heard_at: now,
            transmitted_at: now,
            published_at: now,
            version: Version::V3_1_1,
            connect: None,
            client_id: String::new(),
            named: String::new(),
            keep_alive_seconds: 0,
            granted: Granted::default(),
            misbehaves: false,
            session_present: false,
            connack_seen: false,
            is_welcomed: false,
            welcome_needs: Rc::default(),
            is_caught_up: false,
            last: None,
            decoder: None,
            turn: Turn::Nobody,
            contest: Contest::default(),
            alive_at: now,
            missed: Missed::default(),
            aliases_in: BTreeMap::new(),
            aliases_out: BTreeMap::new(),
            outstanding: BTreeSet::new(),
            resent: [0; 3],
            owed: Owed::default(),
        }
    }

    pub(crate) fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    /// Whether it authenticates in steps.
    pub(crate) fn has_method(&self) -> bool {
        let connect = self.connect.as_ref();
        connect.is_some_and(|connect| connect.properties.authentication_method().is_some())
    }

    pub(crate) fn max_packet_bytes(&self) -> u32 {
        let connect = self.connect.as_ref();
        connect
            .and_then(|connect| connect.properties.maximum_packet_size())
            .unwrap_or(u32::MAX)
    }

    pub(crate) fn receive_maximum(&self) -> usize {
        let connect = self.connect.as_ref();
        connect
            .and_then(|connect| connect.properties.receive_maximum())
            .unwrap_or(u16::MAX)
            .into()
    }

    /// The topic aliases we may use towards the client.
    pub(crate) fn alias_maximum(&self, settings: &Settings) -> u16 {
        let connect = self.connect.as_ref();
        let allowed = connect
            .and_then(|connect| connect.properties.topic_alias_maximum())
            .unwrap_or(0);
        allowed.min(settings.outgoing_alias_maximum)
    }

    /// The Keep Alive in force, in seconds.
    pub(crate) fn keep_alive_of(&self, settings: &Settings) -> u16 {
        let wished = self
            .connect
            .as_ref()
            .map_or(0, |connect| connect.keep_alive_seconds);
        match (self.version, settings.server_keep_alive_seconds) {
            // The server's own, where it is shorter.
            (Version::V5, longest @ 1..) if wished == 0 || wished > longest => longest,
            _ => wished,
        }
    }

    /// When it is to be ended if nothing is heard.
    pub(crate) fn due_at(&self, _: &Settings) -> Option<u64> {
        match self.phase {
            Phase::Waiting | Phase::Deciding => Some(self.deadline.max(self.heard_at)),
            Phase::Connected => {
                let ends = [self.silent_until(), self.granted.expires_at];
                ends.into_iter().flatten().min()
            }
            _ => None,
        }
    }

    /// When the Keep Alive of a connected client is over.
    pub(crate) fn silent_until(&self) -> Option<u64> {
        let millis = u64::from(self.keep_alive_seconds) * 1500;
        (millis > 0).then(|| self.heard_at + millis)
    }
}

impl Owed {
    pub(crate) fn is_empty(&self) -> bool {
        // A ping may have come this very moment.
        self.has_no_acks() && self.subacks.is_empty() && self.auths.is_empty() && self.pings <= 1
    }

    fn acks(&self) -> [&VecDeque<AckOwed>; 4] {
        [&self.pubacks, &self.pubrecs, &self.pubrels, &self.pubcomps]
    }

    pub(crate) fn has_no_acks(&self) -> bool {
        self.acks().iter().all(|list| list.is_empty())
    }

    /// An acknowledgement that nothing speaks against.
    pub(crate) fn prompt(&self) -> Option<u16> {
        let mut fronts = self.acks().into_iter().filter_map(VecDeque::front);
        let prompt = fronts.find(|owed| owed.needs.is_prompt.get());
        prompt.map(|owed| owed.packet_id)
    }
}

/// A link and its session, for messages.
pub(crate) fn name(link: LinkId, client_id: &str) -> String {
    format!("{client_id} (link {link})")
}
