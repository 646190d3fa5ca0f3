//! Which messages were acknowledged, and which have arrived.
//!
//! A message that was not acknowledged may have arrived or not. Order is that of one publisher's messages to one session.

use super::Load;
use crate::flow::histogram;
use crate::ledger::Stamp;
use crate::report::Report;
use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long is waited for a message that does not come.
const PATIENCE: Duration = Duration::from_secs(5);

/// The account of one load.
pub(crate) struct Account {
    publishers: Vec<RefCell<Numbers>>,
    /// The number after the highest that came, by publisher and session.
    next: RefCell<Vec<u32>>,
    load: Load,
    /// By session: acknowledged, and not arrived.
    missing: RefCell<Vec<u32>>,
    acknowledged: Cell<u64>,
    arrived: Cell<u64>,
    /// Both acknowledged and arrived.
    delivered: Cell<u64>,
    duplicates: Cell<u64>,
    misordered: Cell<u64>,
    nanos: RefCell<Histogram<u64>>,
    moved: Notify,
}

/// What is known of one publisher's messages, by number.
#[derive(Default)]
struct Numbers {
    acknowledged: Bits,
    arrived: Bits,
}

#[derive(Default)]
struct Bits(Vec<u64>);

impl Account {
    pub(crate) fn new(load: &Load) -> Self {
        Self {
            publishers: (0..load.publishers).map(|_| RefCell::default()).collect(),
            next: RefCell::new(vec![0; load.publishers * load.sessions]),
            load: *load,
            missing: RefCell::new(vec![0; load.sessions]),
            acknowledged: Cell::new(0),
            arrived: Cell::new(0),
            delivered: Cell::new(0),
            duplicates: Cell::new(0),
            misordered: Cell::new(0),
            nanos: RefCell::new(histogram()),
            moved: Notify::new(),
        }
    }

    /// The broker has taken a message, and said so after `nanos`.
    pub(super) fn acknowledge(&self, publisher: usize, number: u32, nanos: u64) {
        let mut numbers = self.publishers[publisher].borrow_mut();
        if numbers.acknowledged.set(number) {
            add(&self.acknowledged, 1);
            match numbers.arrived.has(number) {
                true => add(&self.delivered, 1),
                false => self.missing.borrow_mut()[self.load.session(publisher, number)] += 1,
            }
            self.nanos.borrow_mut().saturating_record(nanos);
            self.moved.notify_one();
        }
    }

    /// A message has come to a session.
    pub(super) fn arrive(&self, session: usize, payload: &[u8]) {
        let Some(stamp) = Stamp::decode(payload) else {
            return;
        };
        let publisher = usize::from(stamp.publisher);
        let Some(numbers) = self.publishers.get(publisher) else {
            return;
        };
        let mut numbers = numbers.borrow_mut();
        self.moved.notify_one();
        add(&self.arrived, 1);
        if !numbers.arrived.set(stamp.number) {
            return add(&self.duplicates, 1);
        }
        if numbers.acknowledged.has(stamp.number) {
            add(&self.delivered, 1);
            self.missing.borrow_mut()[self.load.session(publisher, stamp.number)] -= 1;
        }
        let next = &mut self.next.borrow_mut()[publisher * self.load.sessions + session];
        if stamp.number < *next {
            add(&self.misordered, 1);
        }
        *next = (*next).max(stamp.number + 1);
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.get()
    }

    /// How many of those that were acknowledged have arrived.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.get()
    }

    pub(super) fn sessions(&self) -> usize {
        self.load.sessions
    }

    /// Whether everything that was acknowledged for this session has come.
    pub(super) fn is_complete(&self, session: usize) -> bool {
        self.missing.borrow()[session] == 0
    }

    pub(super) fn latency_nanos(&self) -> std::cell::Ref<'_, Histogram<u64>> {
        self.nanos.borrow()
    }

    /// Waits until all that was acknowledged has arrived, or nothing moves any more.
    pub(super) async fn settled(&self) {
        let mut last = (self.arrived.get(), Instant::now());
        while self.delivered() < self.acknowledged() && last.1.elapsed() < PATIENCE {
            let _ = timeout(PATIENCE, self.moved.notified()).await;
            if self.arrived.get() != last.0 {
                last = (self.arrived.get(), Instant::now());
            }
        }
    }

    /// Enters what was lost, doubled or out of order.
    pub(super) fn judge(&self, mut report: Report) -> Report {
        report.lost = self.acknowledged() - self.delivered();
        report.duplicates = self.duplicates.get();
        report.misordered = self.misordered.get();
        report
    }
}

impl Bits {
    fn has(&self, number: u32) -> bool {
        let word = self.0.get(number as usize / 64).copied().unwrap_or(0);
        word & bit(number) != 0
    }

    /// Returns whether it was not set.
    fn set(&mut self, number: u32) -> bool {
        let index = number as usize / 64;
        if index >= self.0.len() {
            self.0.resize(index + 1, 0);
        }
        let was = self.0[index];
        self.0[index] |= bit(number);
        was & bit(number) == 0
    }
}

fn bit(number: u32) -> u64 {
    1 << (number % 64)
}

fn add(cell: &Cell<u64>, count: u64) {
    cell.set(cell.get() + count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_and_did_not_come_is_lost() {
        let load = Load::small();
        let account = Account::new(&load);
        let payload = |number| {
            Stamp {
                publisher: 1,
                number,
                due_nanos: 0,
            }
            .encode()
        };
        for number in 0..5 {
            account.acknowledge(1, number, 1);
        }
        for number in [0, 2, 1, 2, 7] {
            account.arrive(0, &payload(number));
        }
        assert_eq!((account.acknowledged(), account.delivered()), (5, 3));
        assert_eq!((account.duplicates.get(), account.misordered.get()), (1, 1));
        account.acknowledge(1, 7, 1);
        assert_eq!((account.acknowledged(), account.delivered()), (6, 4));
    }
}
