//! Messages that wait for a session: it has no connection, or its window or its socket is full.
//!
//! Bounded in messages and bytes. When it is full the newcomer is not taken; who called decides what follows.

use crate::inflight::Envelope;
use alloc::collections::VecDeque;
use weir_codec::Qos;

/// One session's waiting messages, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Envelope>,
    bytes: usize,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The bytes its messages are counted with.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds `envelope` unless that would exceed `max_messages` or `max_bytes`; returns whether it was taken.
    #[must_use]
    pub(crate) fn push(
        &mut self,
        envelope: Envelope,
        max_messages: usize,
        max_bytes: usize,
    ) -> bool {
        let cost = envelope.message.cost_bytes();
        let is_full = self.waiting.len() >= max_messages || self.bytes + cost > max_bytes;
        if is_full && !fault!(QueueUnbounded) {
            return false;
        }
        self.bytes += cost;
        self.waiting.push_back(envelope);
        true
    }

    /// What was added last.
    pub(crate) fn back(&self) -> Option<&Envelope> {
        self.waiting.back()
    }

    /// Adds what waited before the broker was started, whatever the limits are now.
    pub(crate) fn restore(&mut self, envelope: Envelope) {
        self.bytes += envelope.message.cost_bytes();
        self.waiting.push_back(envelope);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Envelope> {
        self.waiting.iter()
    }

    pub(crate) fn front(&self) -> Option<&Envelope> {
        self.waiting.front()
    }

    pub(crate) fn pop(&mut self) -> Option<Envelope> {
        let envelope = self.waiting.pop_front()?;
        if !fault!(QueueForgetsRoom) {
            self.bytes -= envelope.message.cost_bytes();
        }
        if self.waiting.is_empty() {
            // A queue that was long once must not hold its memory for ever.
            self.waiting = VecDeque::new();
        }
        Some(envelope)
    }

    /// Forgets QoS 0 messages: they do not outlive the connection.
    pub(crate) fn drop_at_most_once(&mut self) {
        self.retain(|envelope| envelope.qos != Qos::AtMostOnce);
    }

    /// Forgets all messages but these.
    pub(crate) fn retain(&mut self, keeps: impl FnMut(&Envelope) -> bool) {
        self.waiting.retain(keeps);
        self.bytes = self
            .waiting
            .iter()
            .map(|envelope| envelope.message.cost_bytes())
            .sum();
        self.waiting.shrink_to_fit();
    }
}
