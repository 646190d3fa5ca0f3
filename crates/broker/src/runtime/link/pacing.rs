//! What a link is measured by: its seat among its user's connections, and its pace.
//!
//! A link that sent more than it may rests: its task does not read until the rest is over, and meanwhile the client is
//! taken for heard of, since it may well have said something.

use super::{Admission, Link, Worker};
use crate::config::Limits;
use crate::runtime::crowd::Seat;
use crate::runtime::pace::{Meters, Pace, Rest};
use crate::runtime::tally::add;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use weir_codec::Utf8;
use weir_engine::{Input, Instant};

impl Link {
    /// What it sends is measured from now on, if anything is limited.
    pub(super) fn measure(&self, limits: &Limits) {
        let admission = self.admission.borrow();
        let of_address = admission.as_ref().and_then(Admission::meters);
        let of_client = Meters::of(&limits.of_client).map(Arc::new);
        let meters = of_client.into_iter().chain(of_address);
        *self.pace.borrow_mut() = Pace::of(meters, limits.overrun_seconds);
    }

    /// Whether it is counted among the connections of its user already.
    pub(crate) fn has_seat(&self) -> bool {
        self.seat.borrow().is_some()
    }

    /// It is one of its user's connections until it ends.
    pub(crate) fn take_seat(&self, seat: Seat<Utf8>, limits: &Limits) {
        if let Some(meters) = seat.meters() {
            let mut pace = self.pace.borrow_mut();
            match &mut *pace {
                Some(pace) => pace.join(meters),
                None => *pace = Pace::of([meters], limits.overrun_seconds),
            }
        }
        *self.seat.borrow_mut() = Some(seat);
    }

    /// What was read counts for what may be read next.
    pub(super) fn book(&self, worker: &Worker, now: Instant, publishes: u64, bytes: u64) {
        if let Some(pace) = &mut *self.pace.borrow_mut()
            && pace.book(now, publishes, bytes)
        {
            add(&worker.counted.rests, 1);
            worker.heard(now, self.key());
        }
    }

    /// Whether each packet counts.
    pub(super) fn is_measured(&self) -> bool {
        self.pace.borrow().is_some()
    }

    pub(super) fn is_resting(&self) -> bool {
        self.pace
            .borrow()
            .as_ref()
            .is_some_and(|it| it.is_resting())
    }

    pub(super) fn is_quiet(&self) {
        if let Some(pace) = &mut *self.pace.borrow_mut() {
            pace.is_quiet();
        }
    }

    /// Whether it is not read from now since it sent more than it may. It is not silent, then: it is not listened to.
    #[inline]
    pub(super) fn rests(&self, worker: &Worker, now: Instant, cx: &mut Context<'_>) -> bool {
        self.is_measured() && self.rests_as_measured(worker, now, cx)
    }

    fn rests_as_measured(&self, worker: &Worker, now: Instant, cx: &mut Context<'_>) -> bool {
        let rest = match &mut *self.pace.borrow_mut() {
            Some(pace) => pace.poll_rest(now, cx),
            None => Rest::Done,
        };
        if rest == Rest::GoesOn {
            self.heard_at.set(now);
            worker.heard(now, self.key());
        }
        rest != Rest::Done
    }

    pub(super) fn end_overrun(&self, worker: &Rc<Worker>, now: Instant) {
        let is_over = self.pace.borrow().as_ref().is_some_and(|it| it.is_over());
        if is_over && !self.is_over() {
            let connection = self.key();
            worker.handle(now, Input::RateExceeded { connection });
        }
    }
}
