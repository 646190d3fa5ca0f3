//! Operations on a whole broker: a script of what clients, networks and clocks do, made out of bytes.
//!
//! One to three shards, a handful of clients that connect, take over, stall, acknowledge or don't, vanish and come back,
//! send nonsense; mail between shards that lingers; answers of authentication that come late; time that passes in leaps.
//! What must hold is checked where it can be seen: in [`peer`] for what one client is sent, in [`world`] for what all of
//! it adds up to. At the end everybody leaves, and the shards hold what they held at the start: nothing.

mod acts;
mod peer;
mod world;

use crate::choices::Choices;
use world::World;

/// Steps of a script, at most: a longer one finds nothing that two shorter ones would not.
const STEPS: usize = 400;

/// Plays the script that `data` stands for.
pub fn operations(data: &[u8]) {
    fingerprint(data);
}

/// Plays the script; gives a number that stands for everything that was sent. The same script gives the same number.
pub fn fingerprint(data: &[u8]) -> u64 {
    let mut choices = Choices::new(data);
    let shards = 1 + choices.below(3);
    let mut world = World::new(u16::try_from(shards).unwrap_or(1));
    for _ in 0..STEPS {
        if choices.is_over() {
            break;
        }
        world.act(&mut choices);
    }
    world.finish()
}
