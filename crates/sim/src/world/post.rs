//! What shards tell the store and each other: gathered over a turn, the store's first.
//!
//! Mail between two shards has a delay of its own and keeps its order.

use super::{Event, World};
use crate::oracle::Told;
use weir_engine::{Input, Remote};

impl World<'_> {
    /// What was gathered for the store, then one batch to each shard that there is something for.
    pub(super) fn post(&mut self, from: usize) {
        let parts = std::mem::take(&mut self.hosts[from].parts);
        if !parts.is_empty() {
            self.ask_store(parts);
        }
        for to in 0..self.hosts.len() {
            let host = &mut self.hosts[from];
            let batch = std::mem::take(&mut host.outgoing[to]);
            if batch.is_empty() {
                continue;
            }
            let delay = host.random.below(self.script.mail_delay_millis + 1);
            host.mail_at[to] = host.mail_at[to].max(self.now + delay);
            let at = host.mail_at[to];
            self.mail_bytes += batch.iter().map(Remote::cost_bytes).sum::<usize>();
            self.put(at, Event::Mail { from, to, batch });
        }
    }

    pub(super) fn deliver_mail(&mut self, from: usize, to: usize, batch: Vec<Remote>) {
        let sender = self.hosts[from].id;
        self.mail_bytes -= batch.iter().map(Remote::cost_bytes).sum::<usize>();
        for remote in batch {
            let copy = remote.clone();
            let told = Told::Remote {
                from,
                remote: &copy,
            };
            self.tell(
                to,
                &told,
                Input::Remote {
                    from: sender,
                    remote,
                },
            );
        }
    }
}
