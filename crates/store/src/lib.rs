//! Durability: what the broker promised to keep, kept over a crash.
//!
//! Two layers. A [`Log`] takes batches of bytes, says up to which [`Position`] they are durable, gives them back in order
//! and forgets what is no longer needed; it never looks inside. [`Files`] is the one on disk, [`Memory`] the one
//! that ends with the process. A [`Store`] keeps the records of the durable state in a log: it stages changes, commits them in
//! groups, gives space back bit by bit, reads single messages, and finds everything again when it is opened.
//!
//! What always holds: a batch is there as a whole or not at all; what [`Store::commit`] has synced survives a crash; what
//! is damaged is reported and never served; and nothing here starts a thread or reads a clock, so that a simulation can
//! drive all of it.
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

/// Whether this fault is planted; see the engine's.
#[cfg(feature = "faults")]
macro_rules! fault {
    ($name:ident) => {
        weir_engine::is_planted(weir_engine::Fault::$name)
    };
}

#[cfg(not(feature = "faults"))]
macro_rules! fault {
    ($name:ident) => {
        false
    };
}

mod alive;
mod batches;
mod cleaner;
mod clock;
mod encoding;
mod error;
#[cfg(any(test, feature = "faulty"))]
mod faulty;
mod files;
mod group;
mod index;
mod load;
mod log;
mod memory;
mod recovery;
mod store;
mod together;

pub use clock::WallClock;
pub use error::{Damage, Doing, IoFault, StoreError};
#[cfg(any(test, feature = "faulty"))]
pub use faulty::Faulty;
pub use files::{Files, backup};
pub use load::{DamagedMessage, Loaded};
pub use log::{Log, Position};
pub use memory::Memory;
pub use recovery::{Lost, Recovered};
pub use store::{Census, Committed, Durability, Limits, Store};
pub use together::{Part, Together};
