//! The short way of a PUBLISH that goes on with the topic of the one before it, see [`crate::encore`].
//!
//! There are two entrances: a packet that was decoded as any other, and a run of packets that say nothing new but their
//! payloads. What must hold: whoever gets the message gets what it would have got on the long way.

use super::Shard;
use super::fan_out::{Wanted, choose_member, deliver_to_group};
use crate::cast::Cast;
use crate::id::{ConnectionKey, MessageNumber, SessionKey, ShardId};
use crate::input::Effect;
use crate::message::Message;
use crate::remote::{Remote, RemoteRun};
use crate::roster::Roster;
use crate::sending::has_room;
use crate::subscription::Subscription;
use crate::time::Instant;
use alloc::sync::Arc;
use bytes::Bytes;
use weir_codec::{Delivery, Properties, Publish, Qos, Run, RunPacket, TopicName};

impl Shard {
    /// The topic that this connection has published to last, and the most bytes of a packet, if it may go on with
    /// [`Shard::handle_encore`].
    #[must_use]
    pub fn encore_of(&self, connection: ConnectionKey) -> Option<(&TopicName, usize)> {
        let session = self.roster.connections.get(connection)?.session()?;
        self.roster.encore_of(session)
    }

    /// Takes in the packets at the front of a run [that may go on](Shard::encore_of), as [`Shard::handle`] would one by one, and
    /// returns how many they are. The next one has to go there.
    pub fn handle_encore(
        &mut self,
        now: Instant,
        connection: ConnectionKey,
        run: Run<'_>,
    ) -> usize {
        let Some(publisher) = self.hear(now, connection) else {
            return 0;
        };
        if !self.roster.resumes_of(publisher) {
            return 0;
        }
        let packets = self.go_on(now, Some(publisher), run);
        self.roster.stats.messages_received += packets as u64;
        packets
    }

    /// Delivers a run of another shard's to those who want it here.
    pub(super) fn publish_run(&mut self, now: Instant, remote: &RemoteRun) {
        let topic = &remote.topic;
        let mut left = remote.packets.run();
        while let Some(packet) = left.packets().next() {
            let mut taken = match self.roster.resumes(None, topic) {
                true => self.go_on(now, None, left),
                false => 0,
            };
            if taken == 0 {
                let message = Arc::new(self.message_of(topic, packet));
                self.publish_remote(now, message, &[]);
                taken = 1;
            }
            left = left.after(taken);
        }
    }

    /// Takes as many packets of a run as go the way of the message before, whose encore is on; returns how many that is.
    fn go_on(&mut self, now: Instant, publisher: Option<SessionKey>, run: Run<'_>) -> usize {
        let rest = self.roster.encore.rest();
        if !rest.groups.is_empty() || !self.is_in_vain_for_others(publisher, &run) {
            return self.go_on_with_rest(now, publisher, run);
        }
        let is_for_shards = !rest.shards.is_empty();
        let packets = self.repeat_run(&run);
        self.drop_for_others(packets);
        if is_for_shards && packets > 0 {
            let told = packets - usize::from(fault!(RunForwardedShort));
            self.forward_run(publisher, &run.first(told));
        }
        packets
    }

    /// Whether all packets of a run would only be dropped for those who have to be asked again, if there are any: who stopped
    /// reading costs the others nothing.
    fn is_in_vain_for_others(&self, publisher: Option<SessionKey>, run: &Run<'_>) -> bool {
        let encore = &self.roster.encore;
        let others = &encore.rest().others;
        if others.is_empty() {
            return true;
        }
        let payloads = run.packets().map(|packet| packet.payload.len());
        let (Some(topic), Some(least)) = (encore.topic(publisher), payloads.min()) else {
            return false;
        };
        let cost_bytes = Message::cost_of(topic.as_str().len() + least);
        let mut others = others.iter();
        others.all(|(to, subscription)| {
            let roster = &self.roster;
            roster.is_in_vain(*to, subscription, topic, cost_bytes)
        })
    }

    fn drop_for_others(&mut self, packets: usize) {
        if packets == 0 || self.roster.encore.rest().others.is_empty() {
            return;
        }
        let rest = self.roster.encore.take_rest();
        for (to, subscription) in &rest.others {
            self.roster.drop_in_vain(*to, subscription, packets as u64);
        }
        self.roster.encore.put_back(rest);
    }

    /// Hands a run to the other shards that want it, in one piece.
    fn forward_run(&mut self, publisher: Option<SessionKey>, run: &Run<'_>) {
        let Some(topic) = self.roster.encore.topic(publisher).cloned() else {
            return;
        };
        let packets = run.kept();
        let run = Arc::new(RemoteRun { topic, packets });
        self.clock += 1;
        let wanted = &self.roster.encore.rest().shards;
        for to in (0..self.shards).map(ShardId) {
            if wanted.contains(&to) {
                let (run, stamp) = (Arc::clone(&run), self.clock);
                let remote = Remote::Run { run, stamp };
                self.effects.push_back(Effect::Forward { to, remote });
            }
        }
    }

    /// Delivers as many packets of a run as everybody has room for as the message before; returns how many that is.
    fn repeat_run(&mut self, run: &Run<'_>) -> usize {
        let Roster {
            encore,
            connections,
            dirty,
            settings,
            stats,
            ..
        } = &mut self.roster;
        let run = encore.within(*run, settings.outbox_bytes, &dirty.segment);
        stats.messages_sent += encore.add_run(&run, dirty, connections);
        run.len()
    }

    /// The same where not only choirs and other shards get it: packet by packet, until there is somebody to be ended.
    fn go_on_with_rest(
        &mut self,
        now: Instant,
        publisher: Option<SessionKey>,
        run: Run<'_>,
    ) -> usize {
        let Some(topic) = self.roster.encore.topic(publisher).cloned() else {
            return 0;
        };
        let is_for_groups = self.roster.encore.rest().is_for_groups();
        let mut packets = 0;
        for packet in run.packets() {
            let content = (&topic, packet.payload, &Properties::new());
            if !self.roster.doomed.is_empty() || !self.repeat(publisher, content) {
                break;
            }
            packets += 1;
            match is_for_groups {
                true => self.hand_to_groups(now, &topic, packet, run.is_v5()),
                false => self.repeat_packet(now, publisher, &topic, packet),
            }
        }
        self.end_doomed(now);
        self.end_step();
        packets
    }

    fn repeat_packet(
        &mut self,
        now: Instant,
        publisher: Option<SessionKey>,
        topic: &TopicName,
        packet: RunPacket<'_>,
    ) {
        let message = self.message_of(topic, packet);
        let mut cast = match self.roster.encore.is_kept() {
            true => Cast::kept(Arc::new(message), now),
            false => Cast::fresh(&message, now),
        };
        self.repeat_elsewhere(publisher, &mut cast);
    }

    /// A member of each group gets the packet, as it came if nothing speaks against it.
    fn hand_to_groups(
        &mut self,
        now: Instant,
        topic: &TopicName,
        packet: RunPacket<'_>,
        is_v5: bool,
    ) {
        let rest = self.roster.encore.take_rest();
        for id in &rest.groups {
            let group = self.subscriptions.group(*id);
            let chosen = group.and_then(|group| choose_member(&self.roster, group, topic));
            let Some((session, subscription)) = chosen.copied() else {
                continue;
            };
            let alike = (packet.bytes, is_v5);
            if !hand_on(&mut self.roster, session, &subscription, topic, alike) {
                let message = self.message_of(topic, packet);
                let (identifiers, cast) =
                    (subscription.identifiers(), &mut Cast::fresh(&message, now));
                self.roster
                    .deliver(session, &subscription, identifiers, false, cast);
            }
        }
        self.roster.encore.put_back(rest);
    }

    fn message_of(&mut self, topic: &TopicName, packet: RunPacket<'_>) -> Message {
        Message {
            number: MessageNumber(self.roster.journal.numbers.next()),
            topic: topic.clone(),
            qos: Qos::AtMostOnce,
            retain: false,
            expires_at: None,
            payload: Bytes::copy_from_slice(packet.payload),
            properties: Properties::new(),
        }
    }

    /// Whether the client goes on with what it has just published, so that nothing has to be decided anew.
    pub(super) fn is_repeated_at_once(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        publish: &Publish,
    ) -> bool {
        let Publish {
            payload,
            properties,
            ..
        } = publish;
        if publish.delivery != Delivery::AtMostOnce || publish.retain {
            return false;
        }
        let resolved;
        let topic = match &publish.topic {
            Some(topic) if properties.is_empty() => topic,
            _ if properties.message_expiry_interval().is_some() => return false,
            topic => {
                let maximum = self.roster.settings.topic_alias_maximum;
                let Some(connection) = self.roster.connections.get_mut(key) else {
                    return false;
                };
                let aliases = &mut connection.aliases_in;
                match aliases.resolve(topic.clone(), properties.topic_alias(), maximum) {
                    Ok(topic) => {
                        resolved = topic;
                        &resolved
                    }
                    Err(_) => return false,
                }
            }
        };
        if !self.repeat(Some(session), (topic, payload, properties)) {
            return false;
        }
        if !self.roster.encore.rest().is_empty() {
            let message = self.message(now, publish, topic);
            self.repeat_elsewhere(Some(session), &mut Cast::fresh(&message, now));
        }
        true
    }

    /// Delivers a message as the one before, if it goes the same way; returns whether it does. The others follow with
    /// [`Shard::repeat_elsewhere`].
    pub(super) fn repeat(
        &mut self,
        publisher: Option<SessionKey>,
        (topic, payload, properties): (&TopicName, &[u8], &Properties),
    ) -> bool {
        if !self.roster.resumes(publisher, topic) {
            return false;
        }
        let Roster {
            encore,
            connections,
            dirty,
            settings,
            stats,
            ..
        } = &mut self.roster;
        let content_bytes = topic.as_str().len() + payload.len() + properties.encoded().len();
        if !encore.has_room(content_bytes, settings.outbox_bytes, &dirty.segment) {
            return false;
        }
        stats.messages_sent += encore.add(payload, properties, dirty, connections);
        true
    }

    /// Delivers a message that goes on to those who have to be asked again, a member of each group, and other shards.
    pub(super) fn repeat_elsewhere(&mut self, publisher: Option<SessionKey>, cast: &mut Cast<'_>) {
        if self.roster.encore.rest().is_empty() {
            return;
        }
        let rest = self.roster.encore.take_rest();
        for (session, subscription) in &rest.others {
            let identifiers = subscription.identifiers();
            self.roster
                .deliver(*session, subscription, identifiers, false, cast);
        }
        for group in &rest.groups {
            deliver_to_group(&mut self.roster, &self.subscriptions, *group, cast);
        }
        if !rest.shards.is_empty() {
            let wanted = Wanted {
                shards: rest.shards.clone(),
                ..Wanted::default()
            };
            self.clock += 1;
            self.forward(publisher, cast, &wanted, (self.clock, false));
        }
        self.roster.encore.put_back(rest);
    }
}

/// Hands a QoS 0 packet to a session as it came, if it would be given it at once and so; returns whether it was. Whether
/// it may receive it was asked before.
fn hand_on(
    roster: &mut Roster,
    to: SessionKey,
    subscription: &Subscription,
    topic: &TopicName,
    (packet, is_v5): (&[u8], bool),
) -> bool {
    let Some((session, key)) = roster
        .sessions
        .get(to)
        .and_then(|session| Some((session, session.connection?)))
    else {
        return false;
    };
    let Some(connection) = roster.connections.get_mut(key) else {
        return false;
    };
    let is_alike = connection.version.is_v5() == is_v5
        && subscription.identifier == 0
        && connection.aliases_out.choose(topic.as_str()).is_none()
        && packet.len() <= connection.max_packet_bytes as usize
        || fault!(HandedOnAsItCame);
    if !(is_alike && session.is_next() && has_room(&roster.settings, connection)) {
        return false;
    }
    roster.dirty.mark(key, connection);
    connection.output.put(packet);
    roster.stats.messages_sent += 1;
    true
}
