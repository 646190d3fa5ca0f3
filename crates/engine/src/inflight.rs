//! QoS 1 and 2 messages that were sent to a client and are not acknowledged yet.
//!
//! Packet ids are given out in a circle, so the ids in flight always lie in one window of it: slot `i` of the window
//! holds the id `first + i`. Finding an id is arithmetic, an id in flight can't be given out again, and the slots
//! stand in the order in which the messages were sent, which is the order they are resent in [MQTT-4.6.0-1].
//!
//! ```text
//!              PUBACK                         the slot is freed
//!  Publish --- PUBREC (error, 5.0) ---------> the slot is freed
//!          --- PUBREC --> Release --- PUBCOMP -> the slot is freed
//! ```

use crate::message::Message;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::num::NonZeroU64;
use smallvec::SmallVec;
use weir_codec::{PacketId, Qos};

/// The Subscription Identifiers that go with one delivery.
pub(crate) type Identifiers = SmallVec<[u32; 2]>;

/// The same beside a message that is kept: mostly there are none, and then they take one word.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptIdentifiers(Option<Box<Identifiers>>);

/// The place of a delivery among its session's in the durable state.
pub(crate) type Sequence = NonZeroU64;

/// A message on its way to one session, with what that session's subscriptions make of it.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) message: Arc<Message>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) identifiers: KeptIdentifiers,
    /// Its place among the session's deliveries in the durable state; `None`: it is not there.
    pub(crate) sequence: Option<Sequence>,
}

/// What a slot waits for.
#[derive(Clone, Debug)]
pub(crate) enum Awaiting {
    /// PUBACK or PUBREC.
    Publish(Envelope),
    /// PUBCOMP: the client has the message, PUBREL was sent [MQTT-4.3.3-5], [MQTT-4.3.3-6]. Its sequence stays.
    Release(Option<Sequence>),
}

/// What a message that is done with leaves behind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Finished {
    /// Whether it gives back send quota.
    pub(crate) restores_quota: bool,
    /// Its sequence in the durable state.
    pub(crate) sequence: Option<Sequence>,
}

/// The window of packet ids in flight [MQTT-2.2.1-4]: a slot is taken by a message, QoS 1 until PUBACK [MQTT-4.3.2-3],
/// QoS 2 until PUBREC [MQTT-4.3.3-3] and then PUBCOMP.
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    /// The id of the window's first slot, less one.
    first: u16,
    slots: VecDeque<Option<Slot>>,
    used: usize,
}

impl KeptIdentifiers {
    /// All of them.
    pub(crate) fn list(&self) -> &[u32] {
        self.0.as_deref().map_or(&[], SmallVec::as_slice)
    }
}

impl From<&[u32]> for KeptIdentifiers {
    fn from(identifiers: &[u32]) -> Self {
        let keep = || Box::new(Identifiers::from_slice(identifiers));
        Self((!identifiers.is_empty()).then(keep))
    }
}

impl Awaiting {
    fn sequence(&self) -> Option<Sequence> {
        match self {
            Self::Publish(envelope) => envelope.sequence,
            Self::Release(sequence) => *sequence,
        }
    }
}

#[derive(Debug)]
struct Slot {
    awaiting: Awaiting,
    /// Whether the message took send quota on the present connection, to be given back when it is done with.
    counts: bool,
}

/// Ids run from 1 to 65,535.
const IDS: usize = 65_535;

impl Inflight {
    /// How many messages are in flight.
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// Whether an id is free: the window does not go round the whole circle.
    pub(crate) fn has_free_id(&self) -> bool {
        self.slots.len() < IDS
    }

    /// [MQTT-4.3.2-1], [MQTT-4.3.3-1]: gives out the next packet id for `envelope`; `None` if the whole circle is in use.
    pub(crate) fn send(&mut self, envelope: Envelope) -> Option<PacketId> {
        if !self.has_free_id() {
            return None;
        }
        let mut id = self.id_at(self.slots.len())?;
        if fault!(PacketIdReused) && !self.slots.is_empty() {
            id = self.id_at(self.slots.len() - 1)?;
        }
        self.slots.push_back(Some(Slot {
            awaiting: Awaiting::Publish(envelope),
            counts: true,
        }));
        self.used += 1;
        Some(id)
    }

    /// The slot of `id`, if it is in flight.
    pub(crate) fn awaiting(&self, id: PacketId) -> Option<&Awaiting> {
        Some(&self.slots.get(self.index(id))?.as_ref()?.awaiting)
    }

    /// A new connection begins: nothing has taken quota on it.
    pub(crate) fn uncount(&mut self) {
        self.slots
            .iter_mut()
            .flatten()
            .for_each(|slot| slot.counts = false);
    }

    /// The message of `id` was sent again and takes quota.
    pub(crate) fn count(&mut self, id: PacketId) {
        let index = self.index(id);
        if let Some(Some(slot)) = self.slots.get_mut(index) {
            slot.counts = true;
        }
    }

    /// PUBREC came: from now on the slot waits for PUBCOMP. Returns the message's sequence.
    pub(crate) fn release(&mut self, id: PacketId) -> Option<Sequence> {
        let index = self.index(id);
        if let Some(Some(slot)) = self.slots.get_mut(index)
            && !fault!(ReleaseForgotten)
        {
            let sequence = slot.awaiting.sequence();
            slot.awaiting = Awaiting::Release(sequence);
            return sequence;
        }
        None
    }

    /// PUBACK came: a message with QoS 1 is done with, and nothing if nothing has this id. `None`: the slot waits for another
    /// packet.
    pub(crate) fn acknowledge(&mut self, id: PacketId) -> Option<Finished> {
        match self.awaiting(id) {
            Some(Awaiting::Publish(envelope)) if envelope.qos == Qos::AtLeastOnce => {
                Some(self.finish(id))
            }
            Some(_) => None,
            None => Some(Finished::default()),
        }
    }

    /// The message of `id` is done with.
    pub(crate) fn finish(&mut self, id: PacketId) -> Finished {
        let index = self.index(id);
        let Some(slot) = self.slots.get_mut(index).and_then(Option::take) else {
            return Finished::default();
        };
        self.used -= 1;
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            let next = usize::from(self.first) + 1;
            self.first = u16::try_from(next % circle()).unwrap_or(u16::MAX);
        }
        if self.slots.is_empty() {
            self.slots = VecDeque::new();
        }
        Finished {
            restores_quota: slot.counts,
            sequence: slot.awaiting.sequence(),
        }
    }

    /// Puts back what was in flight with `id` before the broker was started; in the order in which it was sent.
    pub(crate) fn restore(&mut self, id: PacketId, awaiting: Awaiting) {
        if self.slots.is_empty() {
            self.first = id.get() - 1;
        }
        let index = self.index(id);
        while self.slots.len() <= index {
            self.slots.push_back(None);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            self.used += usize::from(slot.is_none());
            *slot = Some(Slot {
                awaiting,
                counts: false,
            });
        }
    }

    /// Everything in flight, in the order it was sent.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PacketId, &Awaiting)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, slot)| Some((self.id_at(index)?, &slot.as_ref()?.awaiting)))
    }

    fn id_at(&self, index: usize) -> Option<PacketId> {
        let zero_based = (usize::from(self.first) + index) % circle();
        PacketId::new(u16::try_from(zero_based + 1).ok()?)
    }

    fn index(&self, id: PacketId) -> usize {
        (usize::from(id.get()) - 1 + IDS - usize::from(self.first)) % IDS
    }
}

/// After how many ids the circle is closed.
fn circle() -> usize {
    if fault!(CircleEnds) { usize::MAX } else { IDS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageNumber;
    use bytes::Bytes;
    use std::vec::Vec;
    use weir_codec::{Properties, TopicName};

    fn envelope() -> Envelope {
        let message = Message {
            number: MessageNumber(1),
            topic: TopicName::try_from("t").unwrap(),
            payload: Bytes::new(),
            properties: Properties::default(),
            qos: Qos::AtLeastOnce,
            retain: false,
            expires_at: None,
        };
        Envelope {
            message: Arc::new(message),
            qos: Qos::AtLeastOnce,
            retain: false,
            identifiers: KeptIdentifiers::default(),
            sequence: None,
        }
    }

    /// [MQTT-2.2.1-4], [MQTT-4.3.2-1], [MQTT-4.3.3-1]
    #[test]
    fn ids_go_round_the_circle_and_skip_what_is_in_flight() {
        let mut inflight = Inflight::default();
        for round in 0..200_000_u32 {
            let id = inflight.send(envelope()).unwrap();
            assert_eq!(u32::from(id.get()), round % 65_535 + 1);
            assert!(inflight.finish(id).restores_quota);
            assert!(!inflight.finish(id).restores_quota);
        }
        let stuck = inflight.send(envelope()).unwrap();
        let others: Vec<_> = core::iter::from_fn(|| inflight.send(envelope())).collect();
        assert_eq!(others.len(), 65_534);
        assert!(!others.contains(&stuck));
        for id in &others {
            assert!(inflight.finish(*id).restores_quota);
        }
        assert_eq!(
            inflight.send(envelope()),
            None,
            "the window still holds the first id"
        );
        assert!(inflight.finish(stuck).restores_quota);
        assert_eq!(inflight.len(), 0);
        assert!(inflight.send(envelope()).is_some());
    }

    #[test]
    fn what_is_in_flight_is_listed_in_the_order_it_was_sent() {
        let mut inflight = Inflight::default();
        let ids: Vec<_> = (0..3).map(|_| inflight.send(envelope()).unwrap()).collect();
        inflight.finish(ids[1]);
        inflight.release(ids[2]);
        let listed: Vec<_> = inflight.iter().map(|(id, _)| id).collect();
        assert_eq!(listed, [ids[0], ids[2]]);
        assert!(matches!(
            inflight.awaiting(ids[2]),
            Some(Awaiting::Release(_))
        ));
        assert!(inflight.awaiting(ids[1]).is_none());
    }

    #[test]
    fn what_was_in_flight_before_a_restart_is_in_flight_again() {
        let id = |id| PacketId::new(id).unwrap();
        let mut inflight = Inflight::default();
        for sent in [65_534, 65_535, 2] {
            inflight.restore(id(sent), Awaiting::Publish(envelope()));
        }
        let listed: Vec<_> = inflight.iter().map(|(id, _)| id.get()).collect();
        assert_eq!(listed, [65_534, 65_535, 2]);
        assert_eq!(inflight.len(), 3);
        assert_eq!(inflight.send(envelope()), Some(id(3)));
        assert!(!inflight.finish(id(65_535)).restores_quota);
        assert!(inflight.finish(id(3)).restores_quota);
    }
}
