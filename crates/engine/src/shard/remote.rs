//! What other shards say, each to its subject.
//!
//! Between two shards messages arrive in the order they were sent. Nothing is assumed about the order between messages of
//! different shards.

use super::Shard;
use crate::id::ShardId;
use crate::remote::Remote;
use crate::time::Instant;
use alloc::sync::Arc;

impl Shard {
    pub(super) fn handle_remote(&mut self, now: Instant, from: ShardId, remote: Remote) {
        match remote {
            Remote::Publish {
                message,
                groups,
                retains,
                stamp,
            } => {
                if !fault!(ClockStandsStill) {
                    self.clock = self.clock.max(stamp);
                }
                if retains {
                    let message = Arc::clone(&message);
                    self.retained
                        .set(message, (stamp, from), now, &mut self.timers);
                }
                self.publish_remote(now, message, &groups);
            }
            Remote::Interest {
                filter,
                members,
                mark,
            } => self.interest_told(from, &filter, members, mark),
            Remote::InterestSeen { mark } => self.interest_seen(now, from, mark),
        }
    }
}
