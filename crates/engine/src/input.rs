//! What a shard is told, and what it asks of the world.
//!
//! These two enums are the whole border of the engine, together with the bytes that `Shard::transmit` hands out. A driver
//! and a simulation differ only in where inputs come from and what becomes of effects.

use crate::end::{End, Lost, Refusal};
use crate::id::{ConnectionKey, MessageNumber, SessionKey, ShardId, StoreTicket};
use crate::message::Message;
use crate::permission::Permissions;
use crate::record::{Change, Links};
use crate::remote::Remote;
use crate::slow_reader::SlowReader;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use weir_codec::{Connect, DecodeError, Packet, TopicFilter, TopicName, Utf8, Version};

/// What a shard is told. Connections are opened with [`crate::Shard::open`], since that has an answer.
#[derive(Debug)]
pub enum Input {
    /// A packet came.
    Packet {
        /// From whom.
        connection: ConnectionKey,
        /// What.
        packet: Packet,
    },
    /// Bytes came that are no packet.
    Malformed {
        /// From whom.
        connection: ConnectionKey,
        /// What is wrong with them.
        error: DecodeError,
        /// The version they are in, if they said so before they went wrong.
        version: Option<Version>,
    },
    /// The transport is gone.
    Closed {
        /// Whose.
        connection: ConnectionKey,
        /// How.
        lost: Lost,
    },
    /// The client sends more than it may, for so long that it is not read from more slowly any more.
    RateExceeded {
        /// Who.
        connection: ConnectionKey,
    },
    /// The last answer to [`Effect::Authenticate`].
    Authenticated {
        /// Whose.
        connection: ConnectionKey,
        /// Yes or no.
        answer: Authentication,
    },
    /// An answer to [`Effect::Authenticate`] or [`Effect::Respond`] that is not the last: the client is to be asked for
    /// more.
    Challenged {
        /// Who.
        connection: ConnectionKey,
        /// What to ask it: the Authentication Data of the AUTH.
        data: Bytes,
    },
    /// What clients may do may have changed: every session's permissions are to be asked about.
    PermissionsChanged,
    /// Everything up to this ticket is kept: the answer to [`Effect::Store`].
    Stored {
        /// The highest ticket.
        ticket: StoreTicket,
    },
    /// The store has no room, or has room again.
    StoreFull(bool),
    /// The answer to [`Effect::Load`].
    Loaded {
        /// Whose queue.
        session: SessionKey,
        /// What was asked for, in that order; `None`: it is damaged, and lost.
        messages: Vec<(MessageNumber, Option<Arc<Message>>)>,
    },
    /// A message from another shard.
    Remote {
        /// Which shard.
        from: ShardId,
        /// What it says.
        remote: Remote,
    },
    /// The moment named by [`crate::Shard::next_timeout`] has come.
    Timeout,
    /// Every connection is to be ended: the server stops.
    Shutdown,
}

/// The answer of an authentication provider.
pub type Authentication = Result<Grant, Refusal>;

/// What an authenticated client was granted.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What it may publish and subscribe to.
    pub permissions: Arc<dyn Permissions>,
    /// Who it was found to be; `None` for the anonymous.
    pub user: Option<Utf8>,
    /// When its credentials expire, and with them the connection; `None`: never.
    pub expires_at: Option<Instant>,
    /// The Authentication Data that ends an enhanced authentication.
    pub data: Option<Bytes>,
}

impl Grant {
    /// These permissions, for ever, to nobody in particular.
    #[must_use]
    pub fn new(permissions: Arc<dyn Permissions>) -> Self {
        Self {
            permissions,
            user: None,
            expires_at: None,
            data: None,
        }
    }
}

/// What a client says of who it is. `Debug` shows no secret.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The Client Identifier.
    pub client_id: Utf8,
    /// The User Name.
    pub username: Option<Utf8>,
    /// The Password: any bytes.
    pub password: Option<Bytes>,
    /// The Authentication Method of an enhanced authentication.
    pub method: Option<Utf8>,
    /// The Authentication Data.
    pub data: Option<Bytes>,
    /// Whether the client is connected already and authenticates again.
    pub is_renewal: bool,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("method", &self.method)
            .field("is_renewal", &self.is_renewal)
            .finish_non_exhaustive()
    }
}

/// What a shard asks of the world.
#[derive(Debug)]
pub enum Effect {
    /// Find out who this is and answer with [`Input::Authenticated`].
    Authenticate {
        /// Which connection waits.
        connection: ConnectionKey,
        /// What it says of itself.
        credentials: Box<Credentials>,
    },
    /// The client answered [`Input::Challenged`]; go on with its authentication.
    Respond {
        /// Which connection waits.
        connection: ConnectionKey,
        /// Its answer: the Authentication Data of its AUTH.
        data: Bytes,
    },
    /// Something of a session that the log is to tell.
    Report {
        /// Whose.
        client_id: Utf8,
        /// What.
        report: Box<Report>,
    },
    /// A newcomer is refused since its client id is fought for: ask the connection that has it for a sign of life, to be
    /// told with [`crate::Shard::alive`]. A transport that can't be asked is taken for alive.
    Contested {
        /// What both use.
        client_id: Utf8,
        /// The connection that keeps it.
        holder: ConnectionKey,
        /// The connection that is refused.
        newcomer: ConnectionKey,
        /// Whether it is the first that this holder is fought for, and the log is to say so.
        is_news: bool,
    },
    /// Move the transport to the home shard of its client id: open it there and hand it this CONNECT. Here it is
    /// forgotten.
    Move {
        /// The transport.
        connection: ConnectionKey,
        /// Where it belongs.
        to: ShardId,
        /// Its CONNECT packet.
        connect: Box<Connect>,
        /// The deadline it was opened with.
        deadline: Instant,
    },
    /// CONNECT was accepted: larger packets may come now, and the log is to say so.
    Accepted {
        /// Whose.
        connection: ConnectionKey,
        /// What there is to say of it.
        welcome: Box<Welcome>,
    },
    /// Hand this to another shard, after all that was handed to it before.
    Forward {
        /// Which shard.
        to: ShardId,
        /// What to say.
        remote: Remote,
    },
    /// Keep this, all or nothing, and say so with [`Input::Stored`]. Batches of all shards are kept in the order in which they
    /// were asked for; this one goes before what is asked for after it.
    Store {
        /// What to name in the answer.
        ticket: StoreTicket,
        /// What changes; nothing, if it is only there to complete another shard's.
        changes: Vec<Change>,
        /// What other shards keep of the same thing.
        links: Links,
    },
    /// Read these messages, which are kept, and answer with [`Input::Loaded`]. A session asks for more when it was answered.
    Load {
        /// Whose queue they wait in.
        session: SessionKey,
        /// Which, in the order in which they are needed.
        messages: Vec<MessageNumber>,
    },
    /// Send what is still to transmit, then close the transport with the reason's close code and text.
    Close {
        /// Which connection; the key finds nothing here any more once its last bytes are transmitted.
        connection: ConnectionKey,
        /// Why.
        end: End,
    },
}

/// Something about a session for the log: who did what is known, this says what came of it and by which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A publish was denied.
    PublishDenied(TopicName, String),
    /// A subscription was denied.
    SubscribeDenied(TopicFilter, String),
    /// A subscription was ended since it is not allowed any more.
    SubscriptionEnded(TopicFilter, String),
    /// The will was deleted since it may not be published any more.
    WillDeleted(TopicName, String),
    /// The client authenticated again.
    Reauthenticated,
    /// There are more denials than are told one by one.
    Muted,
    /// The client reads more slowly than messages of QoS 0 come, and has begun to miss some.
    Slow(SlowReader),
    /// How many messages of QoS 0 a slow client missed in all, at the end of its connection.
    Missed(u64),
}

impl fmt::Display for Report {
    /// Topics are quoted: they come from a client and must not forge a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublishDenied(topic, rule) => write!(f, "publish to {topic:?} denied: {rule}"),
            Self::SubscribeDenied(filter, rule) => {
                write!(f, "subscribe to {filter:?} denied: {rule}")
            }
            Self::SubscriptionEnded(filter, rule) => {
                write!(f, "subscription to {filter:?} ended: {rule}")
            }
            Self::WillDeleted(topic, rule) => write!(f, "will to {topic:?} deleted: {rule}"),
            Self::Reauthenticated => f.write_str("authenticated again"),
            Self::Slow(policy) => write!(f, "reads slowly and misses messages ({})", policy.name()),
            Self::Missed(count) => write!(f, "read slowly and missed {count} messages"),
            Self::Muted => f.write_str("further denials of this connection are not logged"),
        }
    }
}

/// What there is to say of an accepted connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The Client Identifier, assigned by us or its own.
    pub client_id: Utf8,
    /// Who it was found to be; `None` for the anonymous.
    pub user: Option<Utf8>,
    /// The version of MQTT.
    pub version: Version,
    /// Whether an earlier session was resumed.
    pub session_present: bool,
    /// The Keep Alive in force, in seconds; 0: none.
    pub keep_alive_seconds: u16,
}
