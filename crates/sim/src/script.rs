//! What the clients of one seed do, and when: a plain list, so that it can be printed and made shorter.
//!
//! Everything a client does of its own accord is a [`Step`]; what it does in answer to the server (acknowledge, resend,
//! ping) follows from its habits. Steps keep their number when others are taken out, and all luck hangs on that number.

use std::fmt;
use weir_codec::{Qos, ReasonCode, SubscriptionOptions, Version};
use weir_engine::{Settings, SlowReader};

/// The whole plan of one seed.
#[derive(Clone, Debug)]
pub struct Script {
    /// What it was made from.
    pub seed: u64,
    /// How many shards there are.
    pub shards: u16,
    /// How many clients there are.
    pub clients: usize,
    /// What each shard is configured with.
    pub settings: Settings,
    /// How the listener treats slow readers.
    pub slow_reader: Option<SlowReader>,
    /// Nobody is read while more than this is under way between shards, in bytes.
    pub crowded_bytes: usize,
    /// The packet id after which clients begin.
    pub last_packet_id: u16,
    /// Whether the first client has a session already, in which the packet ids will soon have gone round their circle.
    pub has_past: bool,
    /// The longest delay between two shards, in milliseconds.
    pub mail_delay_millis: u64,
    /// The longest delay of a network chunk, in milliseconds.
    pub latency_millis: u64,
    /// How quick the store is, if the settings say that there is one.
    pub store: StoreHabit,
    /// What is done, in order of time.
    pub steps: Vec<Step>,
}

/// Something one client does at one moment.
#[derive(Clone, Debug)]
pub struct Step {
    /// The step's own number, which it keeps.
    pub number: u64,
    /// When, in milliseconds.
    pub at: u64,
    /// Who.
    pub client: usize,
    /// What.
    pub action: Action,
}

/// What a client can do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Opens a transport and sends CONNECT.
    Connect(Box<ConnectWish>),
    /// SUBSCRIBE.
    Subscribe {
        /// The filters with their options.
        filters: Vec<(&'static str, SubscriptionOptions)>,
        /// The Subscription Identifier; 0: none.
        identifier: u32,
        /// How the client wants to be treated when it is slow (5.0).
        slow_reader: Option<&'static str>,
    },
    /// UNSUBSCRIBE.
    Unsubscribe(Vec<&'static str>),
    /// One or more PUBLISH packets.
    Publish(PublishWish),
    /// DISCONNECT, then the transport is closed.
    Disconnect {
        /// Its reason (5.0).
        reason: ReasonCode,
        /// A Session Expiry Interval (5.0).
        expiry_seconds: Option<u32>,
    },
    /// The transport ends without a DISCONNECT.
    Cut(Cut),
    /// Nothing is read for so many milliseconds.
    Stall(u64),
    /// How acknowledgements are given from now on.
    Habit(Habit),
    /// PINGREQ.
    Ping,
    /// AUTH: the client authenticates again, as this user (5.0).
    Reauthenticate(User),
    /// Something a client must not do.
    Misbehave(Misdeed),
    /// The broker is gone at once, and is started again after so many milliseconds; whoever the client is.
    Crash(u64),
    /// The store takes nothing for so many milliseconds.
    StoreStalls(u64),
    /// The store has no room for so many milliseconds.
    StoreFull(u64),
    /// Rules change to these: 0 allows everything, 1 all but `long`, 2 nobody.
    Rules(u8),
    /// The broker is stopped in good order, and is started again after so many milliseconds.
    Shutdown(u64),
    /// From now on nothing can be made durable any more: the broker has to end, and is started again.
    StoreFails,
}

/// How quick the store is.
#[derive(Clone, Copy, Debug)]
pub struct StoreHabit {
    /// The longest time for which it gathers batches to commit them together, in milliseconds.
    pub gather_millis: u64,
    /// The longest time a commit takes, in milliseconds.
    pub sync_millis: u64,
    /// So many batches of its log are given back at once.
    pub segment_batches: u64,
    /// A batch of its log that holds this much takes no more changes.
    pub batch_bytes: usize,
    /// So much garbage it leaves alone.
    pub garbage_bytes: u64,
    /// By how much the wall clock may be wrong after a restart, in milliseconds.
    pub jump_millis: i64,
}

/// What a CONNECT says.
#[derive(Clone, Debug)]
pub struct ConnectWish {
    /// The version of MQTT.
    pub version: Version,
    /// Clean Start.
    pub clean_start: bool,
    /// The Session Expiry Interval (5.0).
    pub expiry_seconds: u32,
    /// The Keep Alive.
    pub keep_alive_seconds: u16,
    /// Whether the client keeps its word and pings.
    pub pings: bool,
    /// The Receive Maximum (5.0); 0: not said.
    pub receive_maximum: u16,
    /// The Maximum Packet Size (5.0); 0: not said.
    pub max_packet_bytes: u32,
    /// The Topic Alias Maximum (5.0).
    pub topic_alias_maximum: u16,
    /// The will.
    pub will: Option<WillWish>,
    /// The user name, which decides how authentication goes.
    pub user: User,
    /// Whether it is said in steps: enhanced authentication (5.0).
    pub in_steps: bool,
    /// Whether the Client Identifier is left to the server.
    pub anonymous: bool,
    /// How much the socket holds that the client has not read, in bytes.
    pub capacity_bytes: usize,
}

impl Default for ConnectWish {
    /// A client of 5.0 that takes its session up, wants nothing in particular and takes everything.
    fn default() -> Self {
        Self {
            version: Version::V5,
            clean_start: false,
            expiry_seconds: 300,
            keep_alive_seconds: 0,
            pings: true,
            receive_maximum: 0,
            max_packet_bytes: 0,
            topic_alias_maximum: 0,
            will: None,
            user: User::Plain,
            in_steps: false,
            anonymous: false,
            capacity_bytes: 1 << 20,
        }
    }
}

/// A will.
#[derive(Clone, Debug)]
pub struct WillWish {
    /// What and where.
    pub publish: PublishWish,
    /// The Will Delay Interval (5.0).
    pub delay_seconds: u32,
}

/// What a PUBLISH says.
#[derive(Clone, Debug)]
pub struct PublishWish {
    /// Where to.
    pub topic: &'static str,
    /// With what QoS.
    pub qos: Qos,
    /// Whether to be retained.
    pub retain: bool,
    /// Whether the payload is empty.
    pub empty: bool,
    /// The length of the payload, at least.
    pub payload_bytes: usize,
    /// The Message Expiry Interval (5.0).
    pub life_seconds: Option<u32>,
    /// Whether a topic alias is used (5.0).
    pub aliased: bool,
    /// Whether it carries application properties (5.0).
    pub adorned: bool,
    /// How many of it.
    pub count: u64,
}

impl PublishWish {
    /// One small message that is not retained.
    pub(crate) fn plain(topic: &'static str) -> Self {
        Self {
            topic,
            qos: Qos::AtMostOnce,
            retain: false,
            empty: false,
            payload_bytes: 12,
            life_seconds: None,
            aliased: false,
            adorned: false,
            count: 1,
        }
    }
}

/// How authentication goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// At once.
    Plain,
    /// After a while.
    Slow,
    /// Not at all.
    Never,
    /// With a refusal.
    Refused,
    /// Well, but `private/` is not for this one.
    Limited,
    /// Well, for some seconds.
    Token,
    /// As somebody, who alone may take up the session.
    Owner,
    /// By rules that change.
    File,
}

/// How a transport ends without a DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The client closes it in good order.
    Close,
    /// It is reset.
    Reset,
    /// The client is gone and the server is not told.
    HalfOpen,
}

/// How a client acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// At once.
    Prompt,
    /// After so many milliseconds.
    Slow(u64),
    /// Not at all.
    Never,
}

/// What a client must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdeed {
    /// A second CONNECT.
    SecondConnect,
    /// A packet that only a server sends.
    ServersPacket,
    /// Bytes that are no packet.
    Garbage,
    /// A topic alias above the maximum.
    AliasTooLarge,
    /// A topic alias that was never set.
    AliasUnknown,
    /// An acknowledgement of the wrong kind.
    WrongAck,
    /// An acknowledgement of nothing.
    StrayAck,
    /// A PUBREL for nothing.
    StrayRelease,
    /// A PUBLISH that was sent before, once more.
    Repeat,
    /// More QoS 2 messages than the server's Receive Maximum.
    Overrun,
    /// A PUBLISH to the server's own topics.
    Forge,
    /// Another packet before CONNECT.
    Hasty,
    /// A PUBCOMP for what was not released.
    EarlyComplete,
    /// An AUTH that answers nothing (5.0).
    StrayAuth,
    /// An AUTH with another method than CONNECT's (5.0).
    OtherMethod,
    /// More than it may send in a second: it is not read from for a while, and perhaps disconnected.
    TooMuch,
}

impl Script {
    /// The same with only these steps.
    #[must_use]
    pub fn only(&self, numbers: &[u64]) -> Self {
        let kept = |step: &&Step| numbers.contains(&step.number);
        Self {
            steps: self.steps.iter().filter(kept).cloned().collect(),
            ..self.clone()
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {} shards", self.seed, self.shards)?;
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            at,
            client,
            action,
        } = self;
        write!(f, "{at:>8} ms  #{number:<4} c{client}> {action:?}")
    }
}
