//! The engine's tests are scripts, read by one [`check`].
//!
//! `a> ..` is what client `a` does, `a< ..` is the packet it gets next, in the order in which it gets them;
//! everything that is sent must be expected, and everything expected must be sent. See `world.rs` for the language.

mod conformance;
mod conformance_3;
mod contest;
mod delivery;
mod disk;
mod durable;
mod encore;
mod ends;
mod grant;
mod parking;
mod reauthenticate;
mod renewals;
mod repertoire;
mod retained;
mod sessions;
mod shards;
mod slow_readers;
mod words;
mod world;

use world::World;

/// Runs a script on one shard with the default settings.
fn check(script: &str) {
    World::new(1).run(script);
}

/// Runs a script on `shards` shards that reach each other at once.
fn check_on(shards: u16, script: &str) {
    World::new(shards).run(script);
}
