//! What of a queue is in the store alone.
//!
//! ```text
//! first        start          end
//!   | loaded     | parked       | not kept yet, or come since
//! ```
//!
//! A queue is parked from its front on, in the order in which its messages are kept, while nobody takes them. It is loaded
//! from its front on as well, a little ahead of what is taken, so there is only ever one stretch. An answer may come when
//! its session has been away again meanwhile, and then is of no use.

use super::{Content, Queue, Waiting};
use crate::id::MessageNumber;
use crate::inflight::{KeptIdentifiers, Sequence};
use crate::message::{Message, Parked};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use weir_codec::Qos;

/// When fewer places than this are in front of what is parked, more is loaded.
const AHEAD: u64 = 64;

/// The most messages, and bytes, that are loaded at once; one message may be larger.
const LOAD_MESSAGES: usize = 256;
const LOAD_BYTES: usize = 128 << 10;

/// The places of what is parked, and of nothing else.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    start: u64,
    end: u64,
    /// Whether an answer is awaited.
    is_loading: bool,
}

impl Stretch {
    /// What was at place `before` is now at place `now`, or would be.
    pub(super) fn moved(&mut self, before: u64, now: u64) {
        // Places only go down, in order: neither can be met twice.
        if self.start == before {
            self.start = now;
        }
        if self.end == before {
            self.end = now;
        }
    }
}

impl Queue {
    /// Adds what waited before the broker was started, whatever the limits are now.
    pub(crate) fn restore(
        &mut self,
        message: Parked,
        (qos, retain): (Qos, bool),
        identifiers: KeptIdentifiers,
        sequence: Option<Sequence>,
    ) {
        self.add(Waiting {
            content: Content::Parked {
                number: message.number,
                cost_bytes: message.cost_bytes,
            },
            qos,
            retain,
            is_lossy: false,
            identifiers,
            sequence,
        });
        let end = self.end();
        self.parked.get_or_insert_default().end = end;
    }

    /// Parks what is in the store: everything up to this sequence. For a session that has no connection.
    pub(crate) fn park(&mut self, up_to: Sequence) {
        let end = self.end();
        let nothing = || Stretch {
            start: self.first,
            end: self.first,
            is_loading: false,
        };
        let mut stretch = self.parked.take().unwrap_or_else(|| Box::new(nothing()));
        // What was loaded and not taken.
        for place in self.first..stretch.start {
            self.park_at(place);
        }
        stretch.start = self.first;
        while stretch.end < end && self.is_kept(stretch.end, up_to) {
            self.park_at(stretch.end);
            stretch.end += 1;
        }
        self.parked = Some(stretch);
        self.trim_stretch();
    }

    /// What is to be loaded now, in order; nothing, if enough is here, or an answer awaited.
    pub(crate) fn next_to_load(&mut self) -> Vec<MessageNumber> {
        let mut numbers = Vec::new();
        let Some(stretch) = &self.parked else {
            return numbers;
        };
        if stretch.is_loading || stretch.start >= self.first + AHEAD {
            return numbers;
        }
        let mut bytes = 0;
        for place in stretch.start..stretch.end {
            let Some(waiting) = self.at(place) else {
                continue;
            };
            bytes += waiting.cost_bytes();
            if !numbers.is_empty() && (numbers.len() >= LOAD_MESSAGES || bytes > LOAD_BYTES) {
                break;
            }
            numbers.push(waiting.number());
        }
        if let Some(stretch) = &mut self.parked {
            stretch.is_loading = true;
        }
        numbers
    }

    /// The next of what was asked for has come, as far as it is still what is needed; `None`: there is none of it. Returns
    /// the sequence of a message that is gone.
    pub(crate) fn loaded(
        &mut self,
        number: MessageNumber,
        message: Option<Arc<Message>>,
    ) -> Option<Sequence> {
        let place = self.next_parked().filter(|place| {
            let waiting = self.at(*place);
            waiting.is_some_and(|waiting| waiting.number() == number)
        })?;
        if let Some(stretch) = &mut self.parked {
            stretch.start = place + 1;
        }
        let gone = match message {
            Some(message) => {
                self.unpark_at(place, message);
                None
            }
            None => self.take(place)?.sequence,
        };
        self.trim_stretch();
        gone
    }

    /// All of the answer has come.
    pub(crate) fn has_loaded(&mut self) {
        if let Some(stretch) = &mut self.parked {
            stretch.is_loading = fault!(LoadedNotAskedAgain);
        }
        self.trim_stretch();
    }

    pub(super) fn is_parked(&self, place: u64) -> bool {
        let stretch = self.parked.as_ref();
        stretch.is_some_and(|it| it.start <= place && place < it.end)
    }

    /// Nothing is parked before the first place; a stretch of nothing is none.
    pub(super) fn trim_stretch(&mut self) {
        let first = self.first;
        if let Some(stretch) = &mut self.parked {
            stretch.start = stretch.start.max(first);
            stretch.end = stretch.end.max(stretch.start);
            if stretch.start == stretch.end && !stretch.is_loading {
                self.parked = None;
            }
        }
    }

    fn next_parked(&self) -> Option<u64> {
        let stretch = self.parked.as_ref()?;
        (stretch.start..stretch.end).find(|place| self.at(*place).is_some())
    }

    fn is_kept(&self, place: u64, up_to: Sequence) -> bool {
        match self.at(place) {
            Some(waiting) => waiting.sequence.is_some_and(|sequence| sequence <= up_to),
            None => true,
        }
    }

    fn park_at(&mut self, place: u64) {
        if let Some(waiting) = self.at_mut(place)
            && let Content::Here(message) = &waiting.content
            && let Ok(cost_bytes) = u32::try_from(message.cost_bytes())
        {
            waiting.content = Content::Parked {
                number: message.number,
                cost_bytes,
            };
        }
    }

    fn unpark_at(&mut self, place: u64, message: Arc<Message>) {
        let bytes = message.cost_bytes();
        let Some(waiting) = self.at_mut(place) else {
            return;
        };
        let parked_bytes = waiting.cost_bytes();
        waiting.content = Content::Here(message);
        self.bytes = self.bytes + bytes - parked_bytes;
    }
}
