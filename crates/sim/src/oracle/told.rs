//! What the engine is told, as the oracle and the trace see it.
//!
//! Links are named by the world's own numbers: the engine's keys mean nothing outside it, and differ between shards.

use crate::client::LinkId;
use crate::rules::Granted;
use crate::trace::Trace;
use weir_codec::{DecodeError, Packet, Version};
use weir_engine::{Lost, Refusal, Remote};

/// An input of the engine, by the numbers of the world.
#[derive(Debug)]
pub(crate) enum Told<'a> {
    Packet {
        link: LinkId,
        packet: &'a Packet,
    },
    Malformed {
        link: LinkId,
        error: DecodeError,
        version: Option<Version>,
    },
    Closed {
        link: LinkId,
        lost: Lost,
    },
    Authenticated {
        link: LinkId,
        answer: &'a Result<Granted, Refusal>,
    },
    /// Whoever judges a client asks it for more.
    Challenged {
        link: LinkId,
    },
    /// The client has sent more than it may for too long.
    RateExceeded {
        link: LinkId,
    },
    /// The rules of this number are in force.
    PermissionsChanged(u8),
    Shutdown,
    Remote {
        from: usize,
        remote: &'a Remote,
    },
    /// The store has kept what this shard asked for up to a ticket.
    Stored(u64),
    StoreFull(bool),
    /// Messages that a session asked for, so many.
    Loaded(usize),
    Timeout,
    Transmit,
}

impl Told<'_> {
    /// Mixes into the trace what was told, and to whom.
    pub(crate) fn hash(&self, shard: usize, trace: &mut Trace) {
        let (kind, number) = match self {
            Self::Packet { link, packet } => (packet.packet_type() as usize, *link),
            Self::Malformed { link, .. } => (20, *link),
            Self::Closed { link, .. } => (21, *link),
            Self::Authenticated { link, .. } => (22, *link),
            Self::Challenged { link } => (36, *link),
            Self::RateExceeded { link } => (38, *link),
            Self::Remote { from, remote } => (23 + from, remote.cost_bytes()),
            Self::Stored(ticket) => (32, usize::try_from(*ticket).unwrap_or(0)),
            Self::StoreFull(is_full) => (33, usize::from(*is_full)),
            Self::Loaded(messages) => (37, *messages),
            Self::PermissionsChanged(rules) => (34, usize::from(*rules)),
            Self::Shutdown => (35, 0),
            Self::Timeout => (30, 0),
            Self::Transmit => (31, 0),
        };
        trace.number(shard as u64);
        trace.number(kind as u64);
        trace.number(number as u64);
    }
}
