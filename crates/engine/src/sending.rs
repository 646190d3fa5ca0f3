//! Sending: one PUBLISH into one connection's output.
//!
//! Packet id, alias and quota change with the frame, or not at all; what lasts is told to the journal in the same breath.
//! Whether there is room is asked before.

use crate::aliases::Alias;
use crate::cast::{Cast, Variant};
use crate::connection::Connection;
use crate::id::ConnectionKey;
use crate::inflight::{Awaiting, Envelope, Sequence};
use crate::journal::{Journal, Unsent};
use crate::retained::KeptMessage;
use crate::session::Session;
use crate::settings::Settings;
use crate::stats::Stats;
use crate::time::Instant;
use alloc::sync::Arc;
use core::iter;
use weir_codec::{
    Ack, Delivery, Packet, PacketId, Piece, Properties, PublishFrame, Qos, ReasonCode, Segment,
    Stretch, Version,
};

/// Whether something may be added to the connection's output now.
pub(crate) fn has_room(settings: &Settings, connection: &Connection) -> bool {
    connection.is_welcomed && connection.used_bytes() < settings.outbox_bytes
}

/// Whether one more message of this QoS may be in flight [MQTT-3.3.4-9], [MQTT-4.9.0-2].
pub(crate) fn has_window(
    settings: &Settings,
    session: &Session,
    connection: &Connection,
    qos: Qos,
) -> bool {
    qos == Qos::AtMostOnce
        || ((connection.send_quota > 0 || fault!(ReceiveMaximumIgnored))
            && session.inflight.has_free_id()
            && session.inflight.len() < usize::from(settings.inflight_maximum))
}

/// What became of a delivery.
#[derive(Clone, Copy)]
pub(crate) enum Sent {
    Enqueued,
    /// Where the turn's segment has it.
    Shared(Stretch),
    /// Larger than the client takes: as if it had been delivered [MQTT-3.1.2-25].
    TooLarge,
}

pub(crate) fn count(stats: &mut Stats, sent: Sent) {
    match sent {
        Sent::Enqueued | Sent::Shared(_) => stats.messages_sent += 1,
        Sent::TooLarge => stats.dropped.too_large += 1,
    }
}

/// What a connection was given of the turn's segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) connection: ConnectionKey,
    pub(crate) stretch: Stretch,
    /// What is in its output now.
    pub(crate) output_bytes: usize,
    pub(crate) max_packet_bytes: usize,
}

impl Share {
    pub(crate) fn of(sent: Sent, key: ConnectionKey, connection: &Connection) -> Option<Self> {
        let Sent::Shared(stretch) = sent else {
            return None;
        };
        Some(Self {
            connection: key,
            stretch,
            output_bytes: connection.used_bytes(),
            max_packet_bytes: connection.max_packet_bytes as usize,
        })
    }
}

/// What a delivery is, its message and the subscriptions' identifiers aside.
pub(crate) struct Shape {
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) sequence: Option<Sequence>,
    /// How many QoS 0 messages the client missed before it.
    pub(crate) missed: u64,
}

/// Adds one PUBLISH to the connection's output; packet id, alias and quota change with the frame, or not at all.
/// One whose packet id has to be durable first is sent later; it takes no alias, since others may overtake it.
pub(crate) fn publish(
    (journal, segment): (&mut Journal, &mut Segment),
    session: &mut Session,
    (key, connection): (ConnectionKey, &mut Connection),
    shape: &Shape,
    identifiers: &[u32],
    cast: &mut Cast<'_>,
) -> Sent {
    let &Shape {
        qos,
        retain,
        sequence,
        missed,
    } = shape;
    let waits_for_store = waits_for_store(qos, sequence);
    let mut variant = without_alias(connection, qos != Qos::AtMostOnce, identifiers);
    if !waits_for_store {
        variant.alias = alias(connection, &variant, cast);
    }
    if missed == 0
        && let Some(stretch) = cast.stretch(&variant, retain, segment)
    {
        return share(connection, stretch, segment);
    }
    let kept = (qos != Qos::AtMostOnce).then(|| Envelope {
        message: cast.keep(),
        qos,
        retain,
        identifiers: identifiers.into(),
        sequence,
    });
    let telling = tell_missed(session, connection, &variant, missed, cast);
    let frame = match (&telling, cast.frame(&variant)) {
        (Some(telling), _) => telling,
        (None, Ok(frame)) if takes(connection, frame.wire_bytes()) => frame,
        _ => {
            journal.delete_delivery(session.number, sequence);
            return Sent::TooLarge;
        }
    };
    let Some(envelope) = kept else {
        frame.write(false, retain, Delivery::AtMostOnce, &mut connection.output);
        return sent(connection, variant.alias, cast);
    };
    let Some(id) = session.inflight.send(envelope) else {
        journal.delete_delivery(session.number, sequence);
        return Sent::TooLarge;
    };
    if sequence.is_some() {
        put_sent(journal, session, id);
    }
    connection.send_quota = connection.send_quota.saturating_sub(1);
    if waits_for_store {
        session.ids_mark = journal.mark;
        connection.unsent_bytes += frame.wire_bytes() * usize::from(!fault!(UnsentNotCounted));
        journal.send_later(Unsent {
            connection: key,
            packet_id: id,
            bytes: frame.wire_bytes(),
        });
    } else {
        // [MQTT-3.3.1-3], [MQTT-4.3.1-1], [MQTT-4.3.2-2], [MQTT-4.3.3-2]: DUP 0, whatever came in.
        frame.write(false, retain, numbered(qos, id), &mut connection.output);
    }
    sent(connection, variant.alias, cast)
}

fn without_alias<'a>(
    connection: &Connection,
    has_packet_id: bool,
    identifiers: &'a [u32],
) -> Variant<'a> {
    Variant {
        version: connection.version,
        has_packet_id,
        alias: None,
        identifiers,
    }
}

/// The alias to send it with. To set one takes room, so none is set where the packet would be too large only with it.
fn alias(connection: &Connection, plain: &Variant<'_>, cast: &mut Cast<'_>) -> Option<Alias> {
    let alias = connection
        .aliases_out
        .choose(cast.message().topic.as_str())?;
    let variant = Variant {
        alias: Some(alias),
        ..*plain
    };
    let fits = |frame: &PublishFrame| takes(connection, frame.wire_bytes());
    (alias.known || cast.frame(&variant).is_ok_and(fits)).then_some(alias)
}

/// What has just been sent lasts.
fn put_sent(journal: &mut Journal, session: &Session, id: PacketId) {
    if let Some(Awaiting::Publish(envelope)) = session.inflight.awaiting(id) {
        journal.put_delivery(session.number, envelope, Some(id));
    }
}

static NO_PROPERTIES: Properties = Properties::new();

/// Adds a PUBLISH with QoS 0 and RETAIN that nobody else is given now.
pub(crate) fn publish_alone(
    connection: &mut Connection,
    message: &KeptMessage<'_>,
    identifiers: &[u32],
    now: Instant,
) -> Sent {
    let most = match fault!(MaximumPacketSizeIgnored) {
        true => usize::MAX,
        false => connection.max_packet_bytes as usize,
    };
    let topic = message.topic();
    let chosen = connection.aliases_out.choose(topic);
    // To set one takes room: what is too large with it may fit without.
    let without = chosen.filter(|alias| !alias.known).map(|_| None);
    for alias in iter::once(chosen).chain(without) {
        let variant = Variant {
            alias,
            ..without_alias(connection, false, identifiers)
        };
        let (head, payload) = match message {
            KeptMessage::Plain { packet, .. } => (
                variant.head_of(topic, None, &NO_PROPERTIES),
                Piece::Copied(packet.behind_topic()),
            ),
            KeptMessage::Whole(message) => {
                (variant.head(message, now), Piece::Linked(&message.payload))
            }
        };
        // [MQTT3-3.3.1-8]: a retained message sent for a new subscription carries RETAIN 1.
        if let Ok(true) = connection.output.publish(&head, payload, true, most) {
            if let Some(alias) = alias {
                connection.aliases_out.record(topic, alias);
            }
            return Sent::Enqueued;
        }
    }
    Sent::TooLarge
}

/// Gives the connection what many get.
fn share(connection: &mut Connection, stretch: Stretch, segment: &Segment) -> Sent {
    if !takes(connection, stretch.len()) {
        return Sent::TooLarge;
    }
    connection.output.share(segment, stretch);
    Sent::Shared(stretch)
}

/// The frame that also says how many messages were missed; if it can't be said now, it is said with the next one.
fn tell_missed(
    session: &mut Session,
    connection: &Connection,
    variant: &Variant<'_>,
    missed: u64,
    cast: &Cast<'_>,
) -> Option<PublishFrame> {
    if missed == 0 || connection.version != Version::V5 || fault!(MissedUntold) {
        return None;
    }
    let told = if fault!(MissedTwice) {
        2 * missed
    } else {
        missed
    };
    let frame = cast.frame_telling(variant, told).ok();
    let frame = frame.filter(|it| takes(connection, it.wire_bytes()));
    if frame.is_none() {
        session.queue.miss(variant.identifiers, missed);
    }
    frame
}

/// [MQTT-3.1.2-24]: whether it is within the client's Maximum Packet Size.
fn takes(connection: &Connection, packet_bytes: usize) -> bool {
    packet_bytes <= connection.max_packet_bytes as usize || fault!(MaximumPacketSizeIgnored)
}

/// A QoS 2 message that is in the durable state is sent when its packet id is.
fn waits_for_store(qos: Qos, sequence: Option<Sequence>) -> bool {
    qos == Qos::ExactlyOnce && sequence.is_some() && !fault!(PublishedBeforeKept)
}

fn sent(connection: &mut Connection, alias: Option<Alias>, cast: &Cast<'_>) -> Sent {
    if let Some(alias) = alias {
        let topic = cast.message().topic.as_str();
        connection.aliases_out.record(topic, alias);
    }
    Sent::Enqueued
}

/// Sends what has waited until its packet id is kept, as it is now: it has grown older.
pub(crate) fn send_unsent(
    connection: &mut Connection,
    id: PacketId,
    envelope: &Envelope,
    now: Instant,
) {
    let mut cast = Cast::kept(Arc::clone(&envelope.message), now);
    let variant = without_alias(connection, true, envelope.identifiers.list());
    // It could be encoded before, and has the same length.
    if let Ok(frame) = cast.frame(&variant) {
        let delivery = numbered(envelope.qos, id);
        frame.write(false, envelope.retain, delivery, &mut connection.output);
    }
}

/// Sends again what was in flight when the last connection ended [MQTT-4.4.0-1], to this session and no other
/// [MQTT-4.8.2-4], [MQTT-4.8.2-5], expired or not [MQTT-4.3.3-7]; returns false if the window is full.
pub(crate) fn resend(
    journal: &mut Journal,
    session: &mut Session,
    connection: &mut Connection,
    id: PacketId,
    now: Instant,
) -> bool {
    let envelope = match session.inflight.awaiting(id) {
        None => return true,
        Some(Awaiting::Release(_)) => {
            connection.send(&Packet::PubRel(Ack {
                packet_id: id,
                reason: ReasonCode::Success,
                properties: Properties::default(),
            }));
            return true;
        }
        Some(Awaiting::Publish(envelope)) => envelope,
    };
    if connection.send_quota == 0 {
        return false;
    }
    let mut cast = Cast::kept(Arc::clone(&envelope.message), now);
    let variant = without_alias(connection, true, envelope.identifiers.list());
    match cast.frame(&variant) {
        Ok(frame) if frame.wire_bytes() <= connection.max_packet_bytes as usize => {
            // [MQTT-3.3.1-1]: a PUBLISH that is sent again carries DUP 1.
            frame.write(
                !fault!(ResentWithoutDup),
                envelope.retain,
                numbered(envelope.qos, id),
                &mut connection.output,
            );
            connection.send_quota -= 1;
            session.inflight.count(id);
        }
        // Larger than this connection takes: as if it had been delivered [MQTT-3.1.2-25].
        _ => {
            let finished = session.inflight.finish(id);
            journal.delete_delivery(session.number, finished.sequence);
        }
    }
    true
}

fn numbered(qos: Qos, id: PacketId) -> Delivery {
    match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => Delivery::AtLeastOnce(id),
        Qos::ExactlyOnce => Delivery::ExactlyOnce(id),
    }
}
