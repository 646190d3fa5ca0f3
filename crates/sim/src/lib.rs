//! The core of the broker in a deterministic simulation.
//!
//! [`generate`] makes a script from a seed: shards, clients of all three versions, and what they do to each other.
//! [`run`] plays it in virtual time, through a network that chunks, delays, stalls and breaks, while an oracle, a naive
//! model of MQTT, checks every promise at the engine's border. The same seed gives the same run, on every machine and in
//! every profile; a run that fails is [`shrink`]ed to a short script.
//!
//! Nothing here reads a clock, waits, or knows a socket; threads are for runs that have nothing to do with each other.
#![forbid(unsafe_code)]

mod client;
mod cores;
mod generate;
mod message;
mod oracle;
mod random;
mod rules;
mod script;
mod shrink;
mod table;
mod trace;
mod world;

pub use cores::{cores, each_seed};
pub use generate::generate;
pub use script::{
    Action, ConnectWish, Cut, Habit, Misdeed, PublishWish, Script, Step, StoreHabit, User, WillWish,
};
pub use shrink::{check, shrink};
pub use world::{Outcome, run};

#[cfg(feature = "faults")]
pub use weir_engine::{Fault, plant};
