//! Batches of several shards that have to be kept together.
//!
//! What a publisher's shard keeps of a QoS 2 message (that it came) and what the subscribers' shards keep of it (that it is to
//! be delivered) is right only as a whole: one without the other is a lost message, or one that comes twice. The shards
//! tell the store at different moments, so a batch waits here until all that belongs to it is there; batches of one shard
//! never overtake each other.

use std::collections::VecDeque;
use weir_engine::{Change, Links, ShardId, StoreTicket};

/// What a shard wants kept.
#[derive(Debug)]
pub struct Part {
    /// Whose it is.
    pub shard: ShardId,
    /// What it is called in the answer.
    pub ticket: StoreTicket,
    /// What changes.
    pub changes: Vec<Change>,
    /// What it belongs to.
    pub links: Links,
}

/// Parts that wait for others, a queue a shard.
#[derive(Debug, Default)]
pub struct Together {
    queues: Vec<VecDeque<Part>>,
}

impl Together {
    /// Adds a part.
    pub fn push(&mut self, part: Part) {
        let index = usize::from(part.shard.0);
        while self.queues.len() <= index {
            self.queues.push(VecDeque::new());
        }
        if let Some(queue) = self.queues.get_mut(index) {
            queue.push_back(part);
        }
    }

    /// Takes out the most that is complete, in units: each is to be staged as one, in this order.
    pub fn take(&mut self) -> Vec<Vec<Part>> {
        let parts = self.take_complete();
        let is_joint = parts.iter().any(|part| part.links != Links::default());
        match is_joint && !fault!(JoinedInPieces) {
            true => vec![parts],
            false => parts.into_iter().map(|part| vec![part]).collect(),
        }
    }

    fn take_complete(&mut self) -> Vec<Part> {
        let mut cuts: Vec<usize> = self.queues.iter().map(VecDeque::len).collect();
        while !fault!(JoinedApart)
            && let Some((shard, cut)) = self.incomplete(&cuts)
        {
            if let Some(old) = cuts.get_mut(shard) {
                *old = cut;
            }
        }
        let mut complete = Vec::new();
        for (queue, cut) in self.queues.iter_mut().zip(cuts) {
            complete.extend(queue.drain(..cut));
            if fault!(JoinedOvertaken) {
                complete.extend(queue.pop_back());
            }
        }
        complete
    }

    /// The first part within the cuts that belongs to something beyond them.
    fn incomplete(&self, cuts: &[usize]) -> Option<(usize, usize)> {
        let within = |shard: ShardId| {
            let index = usize::from(shard.0);
            let queue = self.queues.get(index).into_iter().flatten();
            queue.take(cuts.get(index).copied().unwrap_or(0))
        };
        let is_complete = |part: &Part| {
            let own = Some((part.shard, part.ticket));
            let asked = |shard: ShardId| part.links.asked.iter().filter(move |it| **it == shard);
            let answered = |shard| within(shard).filter(|it| it.links.caused_by == own);
            let all_answered =
                (part.links.asked.iter()).all(|it| answered(*it).count() >= asked(*it).count());
            let is_caused = part
                .links
                .caused_by
                .is_none_or(|(shard, ticket)| within(shard).any(|it| it.ticket == ticket));
            all_answered && is_caused
        };
        self.queues
            .iter()
            .zip(cuts)
            .enumerate()
            .find_map(|(shard, (queue, cut))| {
                let first = queue.iter().take(*cut).position(|part| !is_complete(part));
                Some((shard, first?))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(shard: u16, ticket: u64, asked: &[u16], caused_by: Option<(u16, u64)>) -> Part {
        Part {
            shard: ShardId(shard),
            ticket: StoreTicket(ticket),
            changes: vec![],
            links: Links {
                asked: asked.iter().copied().map(ShardId).collect(),
                caused_by: caused_by.map(|(shard, ticket)| (ShardId(shard), StoreTicket(ticket))),
            },
        }
    }

    fn taken(together: &mut Together) -> Vec<(u16, u64)> {
        let units = together.take();
        let parts = units.iter().flatten();
        parts.map(|it| (it.shard.0, it.ticket.0)).collect()
    }

    #[test]
    fn only_what_belongs_together_is_one_unit() {
        let mut together = Together::default();
        together.push(part(0, 1, &[], None));
        together.push(part(1, 1, &[], None));
        assert_eq!(together.take().len(), 2);
        together.push(part(0, 2, &[1], None));
        together.push(part(1, 2, &[], Some((0, 2))));
        assert_eq!(together.take().len(), 1);
    }

    #[test]
    fn what_belongs_to_nothing_is_taken_at_once() {
        let mut together = Together::default();
        together.push(part(1, 5, &[], None));
        together.push(part(0, 3, &[], None));
        assert_eq!(taken(&mut together), [(0, 3), (1, 5)]);
        assert_eq!(taken(&mut together), []);
    }

    #[test]
    fn a_part_waits_for_the_others_and_is_not_overtaken() {
        let mut together = Together::default();
        together.push(part(0, 1, &[], None));
        together.push(part(0, 2, &[1], None));
        together.push(part(0, 3, &[], None));
        together.push(part(1, 7, &[], None));
        assert_eq!(taken(&mut together), [(0, 1), (1, 7)]);
        together.push(part(1, 8, &[], Some((0, 2))));
        assert_eq!(taken(&mut together), [(0, 2), (0, 3), (1, 8)]);
    }

    #[test]
    fn an_answer_waits_for_what_it_answers() {
        let mut together = Together::default();
        together.push(part(1, 8, &[], Some((0, 2))));
        together.push(part(1, 9, &[], None));
        assert_eq!(taken(&mut together), []);
        together.push(part(0, 2, &[1], None));
        assert_eq!(taken(&mut together), [(0, 2), (1, 8), (1, 9)]);
    }

    #[test]
    fn what_hangs_on_something_incomplete_waits_with_it() {
        let mut together = Together::default();
        together.push(part(0, 1, &[1], None));
        together.push(part(1, 1, &[2], None));
        together.push(part(1, 2, &[], Some((0, 1))));
        assert_eq!(taken(&mut together), []);
        together.push(part(2, 1, &[], Some((1, 1))));
        assert_eq!(taken(&mut together), [(0, 1), (1, 1), (1, 2), (2, 1)]);
    }

    #[test]
    fn two_messages_of_one_step_need_two_answers() {
        let mut together = Together::default();
        together.push(part(0, 1, &[1, 1], None));
        together.push(part(1, 1, &[], Some((0, 1))));
        assert_eq!(taken(&mut together), []);
        together.push(part(1, 2, &[], Some((0, 1))));
        assert_eq!(taken(&mut together), [(0, 1), (1, 1), (1, 2)]);
    }
}
