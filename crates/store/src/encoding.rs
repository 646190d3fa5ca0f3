//! How a batch of changes is written down: the format, and the only place that knows it.
//!
//! ```text
//! batch   version (1)  serial  highest number  change*
//! change  length  tag  fields                      the key's fields come first
//! message number  crc32c (4)  flags  ..
//! ```
//!
//! Integers are little-endian groups of seven bits unless said otherwise, texts stand behind their length, and the
//! last field of a change runs to its end. Moments are unix milliseconds. A batch carries its own serial, by which the
//! index knows which copy of a record is the live one, and the highest number that was ever given out, so that none is
//! given out twice although the records that had it are long gone. A change can be skipped, and its key read, without
//! looking at the rest: that is all that replay and cleaning need. A message has a checksum of its own, which covers its
//! number, so that one can be read alone.

mod bytes;
mod read;
mod write;

pub(crate) use read::{Batch, RawChange, find_message, message_in, parked, record};
pub(crate) use write::{delete, header, put};

/// The version this code writes. In the first one messages had no checksum; no release wrote it.
pub(crate) const VERSION: u8 = 2;

/// What a change is about. The high bit of the byte says that the record is deleted.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Message = 1,
    Session = 2,
    Subscription = 3,
    Will = 4,
    Received = 5,
    Delivery = 6,
    Retained = 7,
}

const DELETED: u8 = 0x80;

impl Tag {
    fn from_u8(byte: u8) -> Option<Self> {
        [
            Self::Message,
            Self::Session,
            Self::Subscription,
            Self::Will,
            Self::Received,
            Self::Delivery,
            Self::Retained,
        ]
        .into_iter()
        .find(|tag| *tag as u8 == byte)
    }
}

/// What identifies a record or a message, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRef<'a> {
    Message(u64),
    Session(u64),
    Subscription(u64, &'a str),
    Will(u64),
    Received(u64, u16),
    Delivery(u64, u64),
    Retained(&'a str),
}

impl<'a> From<&'a weir_engine::Key> for KeyRef<'a> {
    fn from(key: &'a weir_engine::Key) -> Self {
        use weir_engine::Key;
        match key {
            Key::Session(session) => Self::Session(session.0),
            Key::Subscription(session, filter) => Self::Subscription(session.0, filter.as_str()),
            Key::Will(session) => Self::Will(session.0),
            Key::Received(session, id) => Self::Received(session.0, id.get()),
            Key::Delivery(session, sequence) => Self::Delivery(session.0, *sequence),
            Key::Retained(topic) => Self::Retained(topic.as_str()),
        }
    }
}

impl KeyRef<'_> {
    /// The number in it that is never given out twice; 0 for a retained message.
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Message(number)
            | Self::Session(number)
            | Self::Subscription(number, _)
            | Self::Will(number)
            | Self::Received(number, _)
            | Self::Delivery(number, _) => number,
            Self::Retained(_) => 0,
        }
    }
}

/// The checksum of a message: of its number and of what follows the checksum.
fn message_checksum(number: u64, rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), rest)
}

#[cfg(test)]
mod tests;
