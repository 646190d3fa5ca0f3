//! One newtype per id.
//!
//! Slots of connections and sessions are reused, so their keys carry a generation: a key that outlived its slot finds
//! nothing instead of somebody else.

slotmap::new_key_type! {
    /// A connection on this shard, from its opening to its end.
    pub struct ConnectionKey;
    /// A session on this shard.
    pub struct SessionKey;
}

/// One of the broker's shards, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// One session in the durable state. Never given out twice, over restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNumber(pub u64);

/// One message in the durable state. Never given out twice, over restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageNumber(pub u64);

/// One [`crate::Effect::Store`] of a shard; they grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreTicket(pub u64);

/// Gives out numbers that no other shard gives out.
#[derive(Debug)]
pub(crate) struct Numbers {
    next: u64,
    step: u64,
}

impl Numbers {
    /// From `first` on, for shard `id` of `shards`.
    pub(crate) fn new(first: u64, id: ShardId, shards: u16) -> Self {
        Self {
            next: first + u64::from(id.0),
            step: u64::from(shards),
        }
    }

    pub(crate) fn next(&mut self) -> u64 {
        let number = self.next;
        self.next += self.step;
        number
    }
}
