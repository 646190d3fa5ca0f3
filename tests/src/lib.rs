//! What the end-to-end tests share: starting the real binary and speaking to it.
//!
//! A [`Broker`] is a process of its own on a port of its own, so tests never see each other. Three kinds of
//! peer speak to it: a [`Client`] in packets, a [`Wire`] in bytes and frames, and a [`Script`] in whatever
//! its own library speaks. Everything waits at most [`PATIENCE`] and then fails the test with what was
//! expected; a broker that was part of a failed test shows its log.

mod broker;
pub mod certificates;
mod client;
mod folder;
pub mod packets;
mod script;
pub mod transport;
pub mod wire;

pub use broker::{Broker, Endpoint, weir};
pub use client::{Client, Close, Code};
pub use folder::folder;
pub use script::Script;
pub use transport::Transport;
pub use wire::Wire;

use std::time::Duration;

/// How long anything may take before it counts as not having happened.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// How long to listen before saying that nothing comes.
pub const SILENCE: Duration = Duration::from_millis(300);
