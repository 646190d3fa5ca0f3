//! What is kept for a retained topic: bytes in which the topic itself stands.
//!
//! A message as it goes out has its topic in it, so nothing need be kept twice. That the topic is a text is
//! checked when it comes; from then on only bytes are compared and copied.

use core::ops::Range;
use core::str;

/// The bytes that are kept for a topic, the topic among them.
#[derive(Clone, Copy, Debug)]
pub struct Content<'t> {
    bytes: &'t [u8],
    /// Where the topic stands in it.
    topic: Span,
}

impl<'t> Content<'t> {
    /// Bytes in which the topic stands at `topic`; `None` if no text does.
    pub fn new(bytes: &'t [u8], topic: Range<usize>) -> Option<Self> {
        str::from_utf8(bytes.get(topic.clone())?).ok()?;
        let topic = Span::of(topic.start, topic.len());
        Some(Self { bytes, topic })
    }

    /// The topic, and nothing else.
    pub fn of_topic(topic: &'t str) -> Self {
        let (bytes, topic) = (topic.as_bytes(), Span::of(0, topic.len()));
        Self { bytes, topic }
    }

    /// What was new once, and is kept now.
    #[inline]
    pub(super) fn kept(bytes: &'t [u8], topic: Span) -> Self {
        Self { bytes, topic }
    }

    /// All of it.
    #[inline]
    pub fn bytes(&self) -> &'t [u8] {
        self.bytes
    }

    /// The topic.
    #[inline]
    pub fn topic(&self) -> &'t str {
        str::from_utf8(self.topic_bytes()).unwrap_or_default()
    }

    #[inline]
    pub(super) fn topic_bytes(&self) -> &'t [u8] {
        self.bytes().get(self.topic.range()).unwrap_or_default()
    }

    /// What stands behind the topic.
    #[inline]
    pub fn behind_topic(&self) -> &'t [u8] {
        self.bytes()
            .get(self.topic.range().end..)
            .unwrap_or_default()
    }

    pub(super) fn topic_span(&self) -> Span {
        self.topic
    }
}

/// Where something lies. Nothing that MQTT carries has more than 2^28 bytes, and what is kept with one so large has hardly
/// more, so 32 bits suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "nothing has 2^32 bytes or more"
    )]
    pub(super) fn of(start: usize, len: usize) -> Self {
        Self {
            start: start as u32,
            len: len as u32,
        }
    }

    #[inline]
    pub(super) fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }

    /// Moves it: what was `from` bytes long before it is `to` bytes long now.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "nothing has 2^32 bytes or more"
    )]
    pub(super) fn move_by(&mut self, from: usize, to: usize) {
        self.start = self.start + to as u32 - from as u32;
    }
}
