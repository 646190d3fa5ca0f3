//! What shards say to each other.
//!
//! Between two shards these arrive in the order they were sent; nothing else is assumed. Every shard holds all retained
//! messages (their bytes are shared), and knows which filters the others have interest in.

use crate::id::StoreTicket;
use crate::message::Message;
use alloc::sync::Arc;
use alloc::vec::Vec;
use weir_codec::{KeptRun, TopicFilter, TopicName};

/// A message from one shard to another.
#[derive(Clone, Debug)]
pub enum Remote {
    /// Deliver to the sessions over there.
    Publish {
        /// What to deliver.
        message: Arc<Message>,
        /// The shared subscriptions (`$share` filters) for which that shard was chosen to pick a member.
        groups: Vec<TopicFilter>,
        /// Whether it is to be retained: it is not where the sender found no room for it.
        retains: bool,
        /// The sender's logical time: of two retained messages for one topic every shard keeps the one with the
        /// higher stamp.
        stamp: u64,
        /// Whether [`Remote::Published`] is to be said when it is done.
        is_awaited: bool,
        /// The batch that what is kept of it has to be kept with.
        kept_with: Option<StoreTicket>,
    },
    /// Deliver these one after the other to the sessions over there: QoS 0, and nobody's turn.
    Run {
        /// What to deliver.
        run: Arc<RemoteRun>,
        /// The sender's logical time.
        stamp: u64,
    },
    /// The first of the [`Remote::Publish`] that await this and did not get it is done, and durable where it lasts.
    Published,
    /// The sender's interest in `filter` is now this.
    Interest {
        /// The filter, with its `$share` prefix if shared.
        filter: TopicFilter,
        /// Who has it over there; nobody: the interest ends.
        members: Members,
    },
    /// The first of the [`Remote::Interest`] that did not get this counts here: each is answered once, in order.
    InterestSeen,
}

/// Messages with QoS 0 of one publisher that go on with a topic.
#[derive(Clone, Debug)]
pub struct RemoteRun {
    /// Where they were published.
    pub topic: TopicName,
    /// The packets.
    pub packets: KeptRun,
}

/// How many sessions of one shard have a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// With a connection.
    pub online: u32,
    /// Without one.
    pub offline: u32,
}

impl Members {
    /// Nobody has the filter.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.online == 0 && self.offline == 0
    }
}

impl Remote {
    /// The bytes this message is counted with while it waits in a mailbox.
    #[must_use]
    pub fn cost_bytes(&self) -> usize {
        match self {
            Self::Publish { message, .. } => message.cost_bytes(),
            Self::Run { run, .. } => {
                let packets = run.packets.run();
                Message::cost_of(run.topic.as_str().len() + packets.bytes().len())
            }
            Self::Interest { filter, .. } => filter.as_str().len() + 64,
            Self::InterestSeen | Self::Published => 16,
        }
    }
}
