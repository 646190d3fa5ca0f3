//! Answers that wait until what they promise has happened.
//!
//! The shard works in *steps*: what is asked of others in one step (of the store, to keep something; of the other shards,
//! to take note or to take over a message) carries the step's mark. An answer given in that step waits until the debtors
//! that it hangs on have answered what they were asked up to that mark; then it is released, in the order of marks and,
//! within one, of holding.
//!
//! A debtor answers in the order in which it was asked. What one shard owes another waits for the store alone: if it waited
//! for shards, two that publish to each other would wait for each other for ever.

use crate::id::ShardId;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// Who owes an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Debtor {
    /// The store: that a batch is kept.
    Store,
    /// Another shard: that it knows of an interest.
    Interest(ShardId),
    /// Another shard: that a message is delivered there, and kept.
    Publish(ShardId),
}

/// On whom an answer hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The store has kept it.
    Kept,
    /// Other shards know of every interest.
    Known,
    /// Both: it is kept, and known.
    KeptAndKnown,
    /// It is kept here and wherever it was handed over to.
    Delivered,
}

impl Until {
    const ALL: [Self; 4] = [Self::Kept, Self::Known, Self::KeptAndKnown, Self::Delivered];

    fn hangs_on(self, debtor: usize) -> bool {
        match debtor {
            0 => self != Self::Known,
            interest if interest % 2 == 1 => matches!(self, Self::Known | Self::KeptAndKnown),
            _ => self == Self::Delivered,
        }
    }
}

/// The marks of steps, and what waits for them.
#[derive(Debug)]
pub(crate) struct Promises<T> {
    /// The mark of this step.
    step: u64,
    /// Whether anything was asked in this step.
    has_asked: bool,
    /// The marks that each debtor still owes an answer for, ascending.
    debts: Vec<VecDeque<u64>>,
    waiting: [BTreeMap<u64, VecDeque<T>>; Until::ALL.len()],
}

impl<T> Promises<T> {
    pub(crate) fn new(shards: u16) -> Self {
        let debtors = 1 + 2 * usize::from(shards);
        Self {
            step: 1,
            has_asked: false,
            debts: (0..debtors).map(|_| VecDeque::new()).collect(),
            waiting: Until::ALL.map(|_| BTreeMap::new()),
        }
    }

    /// Something is asked of `debtor` in this step; returns the step's mark.
    pub(crate) fn ask(&mut self, debtor: Debtor) -> u64 {
        self.has_asked = true;
        if let Some(debts) = self.debts.get_mut(index(debtor)) {
            debts.push_back(self.step);
        }
        self.step
    }

    /// The debtor answered the first thing that it had not answered.
    pub(crate) fn answered(&mut self, debtor: Debtor) {
        if let Some(debts) = self.debts.get_mut(index(debtor)) {
            debts.pop_front();
        }
    }

    /// The debtor answered everything up to `mark`.
    pub(crate) fn answered_up_to(&mut self, debtor: Debtor, mark: u64) {
        if let Some(debts) = self.debts.get_mut(index(debtor)) {
            while debts.front().is_some_and(|first| *first <= mark) {
                debts.pop_front();
            }
        }
    }

    /// The mark of this step.
    pub(crate) fn step(&self) -> u64 {
        self.step
    }

    /// Whether anything was asked in this step.
    pub(crate) fn has_asked(&self) -> bool {
        self.has_asked
    }

    /// This step is over.
    pub(crate) fn end_step(&mut self) {
        self.step += u64::from(core::mem::take(&mut self.has_asked));
    }

    /// Returns `item` if nobody it hangs on owes anything up to `mark`, else keeps it until then.
    pub(crate) fn hold(&mut self, mark: u64, until: Until, item: T) -> Option<T> {
        if mark <= self.kept_up_to(until) {
            return Some(item);
        }
        if let Some(waiting) = self.waiting.get_mut(until as usize) {
            waiting.entry(mark).or_default().push_back(item);
        }
        None
    }

    /// The next item that nobody it hangs on owes anything for.
    pub(crate) fn release(&mut self) -> Option<T> {
        Until::ALL.into_iter().find_map(|until| {
            let kept = self.kept_up_to(until);
            let mut first = self.waiting.get_mut(until as usize)?.first_entry()?;
            if *first.key() > kept {
                return None;
            }
            let item = first.get_mut().pop_front();
            if first.get().is_empty() {
                first.remove();
            }
            item
        })
    }

    /// Whether nobody owes anything.
    pub(crate) fn all_kept(&self) -> bool {
        self.debts.iter().all(VecDeque::is_empty)
    }

    /// Whether all other shards know of every interest.
    pub(crate) fn all_known(&self) -> bool {
        let mut debts = self.debts.iter().enumerate();
        debts.all(|(debtor, debts)| debts.is_empty() || !Until::Known.hangs_on(debtor))
    }

    /// The last mark that none of these owes anything for. Not this step's: what it asks of the store is asked when it is
    /// over.
    fn kept_up_to(&self, until: Until) -> u64 {
        let debts = self.debts.iter().enumerate();
        let debts = debts.filter(|(debtor, _)| until.hangs_on(*debtor));
        let owed = debts.filter_map(|(_, debts)| debts.front());
        owed.min().map_or(self.step - 1, |first| first - 1)
    }
}

fn index(debtor: Debtor) -> usize {
    match debtor {
        Debtor::Store => 0,
        Debtor::Interest(shard) => 1 + 2 * usize::from(shard.0),
        Debtor::Publish(shard) => 2 + 2 * usize::from(shard.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{Debtor, Promises, Until};
    use crate::id::ShardId;

    #[test]
    fn what_waits_is_released_in_order_when_nobody_owes_anything() {
        let mut promises = Promises::new(2);
        let other = Debtor::Publish(ShardId(1));
        assert_eq!(
            promises.hold(promises.step() - 1, Until::Delivered, "at once"),
            Some("at once")
        );
        let first = promises.ask(Debtor::Store);
        promises.end_step();
        promises.ask(Debtor::Store);
        let second = promises.ask(other);
        promises.end_step();
        assert_eq!(promises.hold(second, Until::Delivered, "second"), None);
        assert_eq!(promises.hold(first, Until::Delivered, "first"), None);
        assert_eq!(promises.release(), None);
        promises.answered_up_to(Debtor::Store, second);
        assert_eq!(promises.release(), Some("first"));
        assert_eq!(promises.release(), None);
        promises.answered(other);
        assert_eq!(promises.release(), Some("second"));
        assert!(promises.all_kept());
    }

    #[test]
    fn a_step_is_not_kept_before_it_is_over() {
        let mut promises = Promises::new(1);
        assert_eq!(promises.hold(promises.step(), Until::Kept, "waits"), None);
        assert_eq!(promises.release(), None);
        promises.ask(Debtor::Store);
        promises.end_step();
        assert_eq!(promises.release(), None);
        promises.answered(Debtor::Store);
        assert_eq!(promises.release(), Some("waits"));
    }

    #[test]
    fn an_answer_waits_for_nobody_it_does_not_hang_on() {
        let mut promises = Promises::new(2);
        promises.ask(Debtor::Interest(ShardId(1)));
        promises.ask(Debtor::Publish(ShardId(1)));
        let mark = promises.ask(Debtor::Store);
        promises.end_step();
        for until in Until::ALL {
            assert_eq!(promises.hold(mark, until, until), None);
        }
        promises.answered(Debtor::Interest(ShardId(1)));
        assert_eq!(promises.release(), Some(Until::Known));
        assert_eq!(promises.release(), None);
        promises.answered(Debtor::Store);
        assert_eq!(promises.release(), Some(Until::Kept));
        assert_eq!(promises.release(), Some(Until::KeptAndKnown));
        assert_eq!(promises.release(), None);
        promises.answered(Debtor::Publish(ShardId(1)));
        assert_eq!(promises.release(), Some(Until::Delivered));
    }

    #[test]
    fn a_step_in_which_nothing_is_asked_has_nothing_to_wait_for() {
        let mut promises = Promises::<()>::new(1);
        let step = promises.step();
        promises.end_step();
        assert_eq!(promises.step(), step);
    }
}
