//! What other shards say, each to its subject.
//!
//! Between two shards messages arrive in the order they were sent. Nothing is assumed about the order between messages of
//! different shards.

use super::Shard;
use crate::id::ShardId;
use crate::promises::Debtor;
use crate::remote::Remote;
use crate::time::Instant;

impl Shard {
    pub(super) fn handle_remote(&mut self, now: Instant, from: ShardId, remote: Remote) {
        match remote {
            Remote::Publish {
                message,
                groups,
                retains,
                stamp,
                is_awaited,
                kept_with,
            } => {
                if !fault!(CauseForgotten) {
                    self.roster.journal.links.caused_by = kept_with.map(|ticket| (from, ticket));
                }
                if !fault!(ClockStandsStill) {
                    self.clock = self.clock.max(stamp);
                }
                if retains {
                    self.set_retained(now, &message, (stamp, from));
                }
                self.publish_remote(now, message, &groups);
                if is_awaited {
                    self.confirm_publish(now, from);
                }
            }
            Remote::Run { run, stamp } => {
                if !fault!(ClockStandsStill) {
                    self.clock = self.clock.max(stamp);
                }
                self.publish_run(now, &run);
            }
            Remote::Published => self.answered(now, Debtor::Publish(from)),
            Remote::Interest { filter, members } => self.interest_told(from, &filter, members),
            Remote::InterestSeen => self.answered(now, Debtor::Interest(from)),
        }
    }
}
