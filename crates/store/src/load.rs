//! Messages read back one by one.
//!
//! The index knows batch, offset and length of each, so that what is read is what was asked for, wherever the cleaner moved
//! it: in the order of the log, so that neighbours share a read. A message has a checksum of its own: one that is damaged
//! is named, and never served.

use crate::index::Held;
use crate::{Log, Position, Store, StoreError, encoding};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use weir_codec::TopicName;
use weir_engine::{Message, MessageNumber};

/// What [`Store::load`] found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// As they were asked for; `None`: not there, or damaged.
    pub messages: Vec<Option<Arc<Message>>>,
    /// Those of them that are no longer as they were written, and so LOST.
    pub damaged: Vec<DamagedMessage>,
}

/// A message that can't be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamagedMessage {
    /// Its number.
    pub number: MessageNumber,
    /// The batch it is in.
    pub position: Position,
}

impl fmt::Display for DamagedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "message {} in the batch at {} is damaged and LOST",
            self.number.0, self.position.0
        )
    }
}

/// A message that is to be read.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    held: Held,
    number: MessageNumber,
    /// Which of those asked for it is.
    index: usize,
}

/// What is used for one message after another.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    topics: Topics,
}

impl<L: Log> Store<L> {
    /// Reads messages that records name, staged ones too.
    ///
    /// # Errors
    /// What the log says, but for what is damaged. The process must end.
    pub fn load(&mut self, numbers: &[MessageNumber]) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded {
            messages: vec![None; numbers.len()],
            damaged: vec![],
        };
        let mut scratch = Scratch::default();
        for wanted in self.wanted(numbers) {
            let message = self.load_one(&wanted, &mut scratch, &mut loaded.damaged)?;
            if let Some(slot) = loaded.messages.get_mut(wanted.index) {
                *slot = message.map(|it| scratch.topics.share(it));
            }
        }
        Ok(loaded)
    }

    /// Where they are, in the order of the log.
    fn wanted(&self, numbers: &[MessageNumber]) -> Vec<Wanted> {
        let numbers = numbers.iter().enumerate();
        let found = numbers.filter_map(|(index, &number)| {
            let held = self.index.message(number.0)?;
            Some(Wanted {
                held,
                number,
                index,
            })
        });
        let mut wanted: Vec<_> = found.collect();
        wanted.sort_unstable_by_key(|it| it.held.place);
        wanted
    }

    fn load_one(
        &mut self,
        wanted: &Wanted,
        scratch: &mut Scratch,
        damaged: &mut Vec<DamagedMessage>,
    ) -> Result<Option<Arc<Message>>, StoreError> {
        let (number, place) = (wanted.number, wanted.held.place);
        let mut groups = self.groups.iter();
        if let Some(group) = groups.find(|it| it.serial() == place.serial()) {
            return Ok(group.message(number.0, place, self.clock));
        }
        let position = self.batches.find(place.serial()).unwrap_or_default();
        let read = match place.is_shared() {
            true => self.search(position, number),
            false => self.read(position, wanted, &mut scratch.bytes),
        };
        match read {
            Ok(Some(message)) => return Ok(Some(message)),
            Ok(None) | Err(StoreError::Corrupt(..) | StoreError::Trimmed(_)) => {}
            Err(error) => return Err(error),
        }
        damaged.push(DamagedMessage { number, position });
        Ok(None)
    }

    /// The message where it should be; `None`: it is not there.
    fn read(
        &mut self,
        position: Position,
        wanted: &Wanted,
        bytes: &mut Vec<u8>,
    ) -> Result<Option<Arc<Message>>, StoreError> {
        bytes.resize(usize::try_from(wanted.held.bytes).unwrap_or(usize::MAX), 0);
        self.log.read(position, wanted.held.place.slot(), bytes)?;
        Ok(encoding::message_in(bytes, wanted.number.0, self.clock))
    }

    /// The message wherever it is in its batch, which is larger than an offset can say.
    fn search(
        &mut self,
        position: Position,
        number: MessageNumber,
    ) -> Result<Option<Arc<Message>>, StoreError> {
        let (mut found, clock) = (Ok(None), self.clock);
        self.log.tail(position, &mut |end, batch| {
            if end.0 == position.0 + 1 {
                found = encoding::find_message(end, batch, number.0, clock);
            }
            false
        })?;
        found
    }
}

/// Topics that were met: messages of one share its name.
#[derive(Debug, Default)]
struct Topics(HashSet<TopicName, foldhash::fast::RandomState>);

impl Topics {
    fn share(&mut self, mut message: Arc<Message>) -> Arc<Message> {
        match self.0.get(&message.topic) {
            Some(known) => {
                if let Some(message) = Arc::get_mut(&mut message) {
                    message.topic = known.clone();
                }
            }
            None => {
                self.0.insert(message.topic.clone());
            }
        }
        message
    }
}

#[cfg(test)]
mod tests;
