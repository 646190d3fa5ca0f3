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
