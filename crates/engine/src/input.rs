//! What a shard is told, and what it asks of the world.
//!
//! These two enums are the whole border of the engine, together with the bytes that `Shard::transmit` hands out. A driver
//! and a simulation differ only in where inputs come from and what becomes of effects.

use crate::end::{End, Lost, Refusal};
use crate::id::{ConnectionKey, ShardId};
use crate::permission::Permissions;
use crate::remote::Remote;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;
use bytes::Bytes;
use weir_codec::{Connect, DecodeError, Packet, Utf8, Version};

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
    /// The answer to [`Effect::Authenticate`].
    Authenticated {
        /// Whose.
        connection: ConnectionKey,
        /// Yes or no.
        answer: Authentication,
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
}

/// What a client says of who it is.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The Client Identifier.
    pub client_id: Utf8,
    /// The User Name.
    pub username: Option<Utf8>,
    /// The Password: any bytes.
    pub password: Option<Bytes>,
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
    /// Send what is still to transmit, then close the transport with the reason's close code and text.
    Close {
        /// Which connection; the key finds nothing here any more once its last bytes are transmitted.
        connection: ConnectionKey,
        /// Why.
        end: End,
    },
}

/// What there is to say of an accepted connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The Client Identifier, assigned by us or its own.
    pub client_id: Utf8,
    /// The User Name.
    pub username: Option<Utf8>,
    /// The version of MQTT.
    pub version: Version,
    /// Whether an earlier session was resumed.
    pub session_present: bool,
    /// The Keep Alive in force, in seconds; 0: none.
    pub keep_alive_seconds: u16,
}
