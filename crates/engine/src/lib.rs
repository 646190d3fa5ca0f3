//! The broker as a value.
//!
//! A [`Shard`] is told the time and handed an [`Input`]; it answers with [`Effect`]s and with bytes for its connections.
//! It knows no clock, socket, thread, lock or file (`no_std` lets the compiler refuse them), so the same inputs give the
//! same effects, byte for byte, in production, in a test and in a simulation.
//!
//! What always holds:
//! 1. Acknowledged means done: an acknowledgement leaves only after what it promises has happened.
//! 2. One client id has one owner: its *home shard*, which a hash of the client id names, so that a takeover never
//!    crosses shards.
//! 3. A packet id in flight is never reused.
//! 4. Every queue has a limit in bytes and says what it does when full. Control packets are never dropped.
//! 5. Order holds per publisher, topic and QoS.
//! 6. State follows the frame: alias, packet id and quota change only when the frame is enqueued.
//! 7. The engine never waits.
//! 8. The same inputs give the same effects.
//! 9. No peer can make it panic, loop, or allocate without a bound it was configured with.
//! 10. No connection ends without an [`End`]: the reason the client sees and the reason the log names are one value.
//! 11. A SUBACK is a promise to everyone: a message accepted by any shard after it is delivered.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[macro_use]
mod faults;

mod aliases;
mod cast;
mod connection;
mod dirty;
mod encore;
mod end;
mod filters;
mod id;
mod inflight;
mod input;
mod journal;
mod label;
mod message;
mod parking;
mod permission;
mod promises;
mod queue;
mod record;
mod remote;
mod repertoire;
mod replays;
mod retained;
mod roster;
mod sending;
mod session;
mod settings;
mod shard;
mod slow_reader;
mod stats;
mod subscription;
mod time;
mod timers;
mod trail;

pub use end::{End, Lost, Refusal, Violation};
#[cfg(feature = "faults")]
pub use faults::{Fault, is_planted, plant};
pub use id::{ConnectionKey, MessageNumber, SessionKey, SessionNumber, ShardId, StoreTicket};
pub use input::{Authentication, Credentials, Effect, Grant, Input, Report, Welcome};
pub use message::{Message, Parked};
pub use permission::{AllowAll, Asked, Coverage, Permissions, Refreshed};
pub use record::{
    Change, DeliveryRecord, Key, Links, Record, RetainedRecord, SessionRecord, Stage,
    SubscriptionRecord, WillRecord,
};
pub use remote::{Members, Remote, RemoteRun};
pub use settings::Settings;
pub use shard::Shard;
pub use slow_reader::SlowReader;
pub use stats::{Dropped, Fullest, Stats};
pub use time::Instant;
/// What the types above are made of, for rooms that need nothing else of the codec.
pub use weir_codec::{TopicError, TopicFilter, TopicName, Utf8};
