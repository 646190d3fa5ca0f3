//! What the binary does around a shard: reads and decodes, carries out effects, flushes once a turn, moves transports.
//!
//! This follows the real runtime step by step, flow control included, since a simulation of a kinder driver would prove
//! nothing about the real one.

use super::{Event, MAIL, World};
use crate::client::LinkId;
use crate::oracle::Told;
use crate::random::Random;
use crate::script::Script;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use weir_codec::{Ack, Connect, Delivery, Output, Packet, Properties, Publish, RunPacket};
use weir_engine::{ConnectionKey, Effect, End, Input, Instant, Lost, Remote, Shard, ShardId};
use weir_store::Part;

/// How long a Keep-Alive or expiry may be late, as a busy machine is late.
const LATE_MILLIS: u64 = 15;

/// How long a client is not read while too much is under way.
const CROWDED_MILLIS: u64 = 3;

/// One shard and what its thread holds.
pub(crate) struct Host {
    pub(super) id: ShardId,
    pub(crate) shard: Shard,
    pub(crate) links: BTreeMap<ConnectionKey, LinkId>,
    /// The footprint before anything happened.
    pub(crate) empty: [usize; 8],
    /// What the store and the other shards are to be told.
    pub(super) parts: Vec<Part>,
    pub(super) outgoing: Vec<Vec<Remote>>,
    pub(super) mail_at: Vec<u64>,
    flush_due: bool,
    armed: Option<u64>,
    pub(super) random: Random,
}

impl Host {
    pub(crate) fn new(index: u16, count: u16, script: &Script, life: u64) -> Self {
        let shards = usize::from(count);
        // Another seed each time: other homes, other orders.
        let seed = script.seed ^ life.rotate_right(8);
        let shard = Shard::new(ShardId(index), count, script.settings.clone(), seed);
        Self {
            id: ShardId(index),
            empty: shard.footprint(),
            shard,
            links: BTreeMap::new(),
            parts: Vec::new(),
            outgoing: vec![Vec::new(); shards],
            mail_at: vec![0; shards],
            flush_due: false,
            armed: None,
            random: Random::of(script.seed, MAIL, (life << 16) + u64::from(index)),
        }
    }
}

impl World<'_> {
    /// Hands an input to a shard, with everything that follows from it.
    pub(super) fn tell(&mut self, shard: usize, told: &Told<'_>, input: Input) {
        self.log_told(shard, told);
        let now = self.instant();
        self.hosts[shard].shard.handle(now, input);
        self.after(shard);
    }

    fn log_told(&mut self, shard: usize, told: &Told<'_>) {
        let now = self.now;
        self.trace.line(now, || format!("s{shard} <- {told:?}"));
        told.hash(shard, &mut self.trace);
        self.oracle.told(now, shard, told);
    }

    /// After anything was told to a shard: its effects, its flush, its alarm.
    pub(super) fn after(&mut self, shard: usize) {
        while let Some(effect) = self.hosts[shard].shard.poll_effect() {
            self.carry_out(shard, effect);
        }
        self.oracle
            .stepped(self.now, shard, &self.hosts[shard].shard);
        let host = &mut self.hosts[shard];
        let has_mail =
            !host.parts.is_empty() || host.outgoing.iter().any(|batch| !batch.is_empty());
        if (host.shard.is_dirty() || has_mail) && !host.flush_due {
            host.flush_due = true;
            let at = self.now + host.random.pick(&[0, 0, 0, 1, 2]);
            self.put(at, Event::Flush { shard });
        }
        self.arm(shard);
        // Nobody is let in before everybody knows what was restored.
        if self.oracle.is_settling && self.hosts.iter().all(|host| host.shard.is_settled()) {
            self.oracle.settled(self.now);
        }
    }

    fn arm(&mut self, shard: usize) {
        let host = &mut self.hosts[shard];
        let Some(next) = host.shard.next_timeout().map(Instant::as_millis) else {
            return;
        };
        if host.armed.is_none_or(|armed| next < armed) {
            self.arm_at(shard, next);
        }
    }

    fn arm_at(&mut self, shard: usize, at: u64) {
        let host = &mut self.hosts[shard];
        host.armed = Some(at);
        let late = host.random.pick(&[0, 0, 0, LATE_MILLIS]);
        self.put(at + late, Event::Alarm { shard, at });
    }

    pub(super) fn alarm(&mut self, shard: usize, at: u64) {
        if self.hosts[shard].armed != Some(at) {
            return;
        }
        self.hosts[shard].armed = None;
        if self.oracle.is_settling {
            // A will that is due waits until everybody knows who wants it.
            return self.arm_at(shard, self.now + 1);
        }
        let next = self.hosts[shard].shard.next_timeout();
        if next.is_some_and(|next| next.as_millis() <= self.now) {
            self.tell(shard, &Told::Timeout, Input::Timeout);
        }
        self.arm(shard);
    }

    /// A new transport reaches some shard.
    pub(super) fn open(&mut self, shard: usize, id: LinkId, deadline: Instant) -> ConnectionKey {
        let now = self.instant();
        let engine = &mut self.hosts[shard].shard;
        let key = engine.open(now, deadline);
        if let Some(policy) = self.script.slow_reader {
            engine.set_slow_reader(key, policy);
        }
        self.hosts[shard].links.insert(key, id);
        self.links[id].place = Some((shard, key));
        self.oracle
            .opened(self.now, shard, id, deadline.as_millis());
        self.after(shard);
        key
    }

    pub(super) fn adopt(
        &mut self,
        id: LinkId,
        to: usize,
        connect: Box<Connect>,
        deadline: Instant,
    ) {
        let key = self.open(to, id, deadline);
        self.tell_packet(to, id, key, Packet::Connect(connect));
        self.read(id);
        if let (Some(lost), Some((shard, key))) = (self.links[id].lost, self.links[id].place)
            && self.links[id].is_dead
        {
            self.links[id].place = None;
            self.tell_closed(shard, id, key, lost);
        }
    }

    fn tell_packet(
        &mut self,
        shard: usize,
        link: LinkId,
        connection: ConnectionKey,
        packet: Packet,
    ) {
        let copy = packet.clone();
        let told = Told::Packet {
            link,
            packet: &copy,
        };
        self.tell(shard, &told, Input::Packet { connection, packet });
    }

    pub(super) fn tell_closed(
        &mut self,
        shard: usize,
        link: LinkId,
        connection: ConnectionKey,
        lost: Lost,
    ) {
        self.tell(
            shard,
            &Told::Closed { link, lost },
            Input::Closed { connection, lost },
        );
        self.hosts[shard].links.remove(&connection);
    }

    /// What people may do is judged by other rules from now on.
    pub(super) fn change_rules(&mut self, rules: u8) {
        self.rules.store(rules, Ordering::Relaxed);
        for shard in 0..self.hosts.len() {
            let told = Told::PermissionsChanged(rules);
            self.tell(shard, &told, Input::PermissionsChanged);
        }
    }

    /// Reads what has arrived, as far as the engine wants it.
    pub(super) fn read(&mut self, id: LinkId) {
        loop {
            let Some((shard, key)) = self.links[id].place else {
                return;
            };
            let rests = self.now < self.links[id].rests_until;
            if rests || self.is_over() || !self.hosts[shard].shard.accepts_packets(key) {
                return;
            }
            if self.mail_bytes > self.script.crowded_bytes {
                return self.put(self.now + CROWDED_MILLIS, Event::Read { link: id });
            }
            if self.take_encore(id, shard, key) || self.take_pubacks(id, shard, key) {
                continue;
            }
            match self.links[id].decoder.next_packet() {
                Ok(Some(packet)) => self.tell_packet(shard, id, key, packet),
                Ok(None) => {
                    if !self.read_more(id, shard, key) {
                        return;
                    }
                }
                Err(error) => {
                    let version = self.links[id].decoder.version();
                    let told = Told::Malformed {
                        link: id,
                        error,
                        version,
                    };
                    return self.tell(
                        shard,
                        &told,
                        Input::Malformed {
                            connection: key,
                            error,
                            version,
                        },
                    );
                }
            }
        }
    }

    /// Hands over the next packets as ones that only go on with what the last began, if they are.
    fn take_encore(&mut self, id: LinkId, shard: usize, key: ConnectionKey) -> bool {
        let now = self.instant();
        let engine = &mut self.hosts[shard].shard;
        let Some((topic, most_bytes)) = engine.encore_of(key) else {
            return false;
        };
        let topic = topic.clone();
        let decoder = &mut self.links[id].decoder;
        let Some(run) = decoder.run(&topic, most_bytes) else {
            return false;
        };
        let copied = |it: RunPacket<'_>| Bytes::copy_from_slice(it.payload);
        let payloads: Vec<_> = run.packets().map(copied).collect();
        let taken = engine.handle_encore(now, key, run);
        let taken_bytes = run.first(taken).bytes().len();
        decoder.skip(taken_bytes);
        for payload in payloads.into_iter().take(taken) {
            let packet = Packet::Publish(Publish {
                dup: false,
                retain: false,
                delivery: Delivery::AtMostOnce,
                topic: Some(topic.clone()),
                payload,
                properties: Properties::new(),
            });
            let told = Told::Packet {
                link: id,
                packet: &packet,
            };
            self.log_told(shard, &told);
        }
        if taken > 0 {
            self.after(shard);
        }
        taken > 0
    }

    /// Hands over the PUBACKs that come next together.
    fn take_pubacks(&mut self, id: LinkId, shard: usize, key: ConnectionKey) -> bool {
        let now = self.instant();
        let engine = &mut self.hosts[shard].shard;
        let mut ids = Vec::new();
        let taken = self.links[id].decoder.next_pubacks(|acks| {
            ids.extend(acks);
            engine.handle_pubacks(now, key, acks)
        });
        for packet_id in ids.into_iter().take(taken) {
            let packet = Packet::PubAck(Ack::success(packet_id));
            let told = Told::Packet {
                link: id,
                packet: &packet,
            };
            self.log_told(shard, &told);
        }
        if taken > 0 {
            self.after(shard);
        }
        taken > 0
    }

    fn read_more(&mut self, id: LinkId, shard: usize, key: ConnectionKey) -> bool {
        let link = &mut self.links[id];
        if let Some(bytes) = link.inbox.pop_front() {
            link.decoder.push(bytes);
            let now = Instant::from_millis(self.now);
            self.hosts[shard].shard.heard(now, key);
            self.oracle.heard(self.now, id);
            return true;
        }
        if let Some(lost) = link.lost {
            link.place = None;
            self.tell_closed(shard, id, key, lost);
        }
        false
    }

    fn carry_out(&mut self, shard: usize, effect: Effect) {
        let now = self.now;
        self.trace.line(now, || format!("s{shard} -> {effect:?}"));
        let link = link_of(&effect).and_then(|key| self.hosts[shard].links.get(&key).copied());
        self.oracle.effect(now, shard, link, &effect);
        let Some(link) = link else {
            match effect {
                Effect::Forward { to, remote } => {
                    self.hosts[shard].outgoing[usize::from(to.0)].push(remote);
                }
                Effect::Store {
                    ticket,
                    changes,
                    links,
                } => {
                    let host = &mut self.hosts[shard];
                    host.parts.push(Part {
                        shard: host.id,
                        ticket,
                        changes,
                        links,
                    });
                }
                Effect::Load { session, messages } => {
                    self.ask_to_load(shard, session, messages);
                }
                _ => {}
            }
            return;
        };
        match effect {
            Effect::Authenticate {
                connection,
                credentials,
            } => self.ask(shard, connection, link, &credentials),
            Effect::Respond { connection, .. } => self.judge_soon(shard, connection, link),
            Effect::Contested { holder, .. } => self.ask_for_life(shard, holder),
            Effect::Move {
                connection,
                to,
                connect,
                deadline,
            } => {
                self.hosts[shard].links.remove(&connection);
                self.links[link].place = None;
                let at = now + self.links[link].random.below(20);
                let to = usize::from(to.0);
                self.put(
                    at,
                    Event::Adopt {
                        link,
                        to,
                        connect,
                        deadline,
                    },
                );
            }
            Effect::Accepted { .. } => {
                self.links[link]
                    .decoder
                    .set_max_packet_bytes(self.script.settings.max_packet_bytes);
            }
            Effect::Close { connection, end } => self.close(shard, link, connection, end),
            Effect::Forward { .. }
            | Effect::Report { .. }
            | Effect::Store { .. }
            | Effect::Load { .. } => {}
        }
    }

    /// The last bytes leave, then the transport is closed.
    fn close(&mut self, shard: usize, id: LinkId, connection: ConnectionKey, end: End) {
        self.hosts[shard].links.remove(&connection);
        let was_open = self.links[id].place.take().is_some();
        let bytes = self.take_output(shard, connection);
        self.saw_output(id, &bytes, true);
        if was_open {
            self.send_down(id, bytes);
            let at = self.links[id].down_at.max(self.now) + 1;
            self.put(at, Event::ClientLost { link: id });
        }
        self.trace.bytes(end.label().as_bytes());
        self.trace.number(end.close_code().into());
        self.oracle.closed(self.now, id, end);
        let lost = Lost::Closed;
        let now = self.instant();
        self.hosts[shard]
            .shard
            .handle(now, Input::Closed { connection, lost });
    }

    fn take_output(&mut self, shard: usize, key: ConnectionKey) -> Bytes {
        let mut out = Output::new();
        self.hosts[shard]
            .shard
            .transmit(Instant::from_millis(self.now), key, &mut out);
        // Other shards and the store are told before the client is.
        self.post(shard);
        let mut bytes = BytesMut::with_capacity(out.len());
        out.parts(self.hosts[shard].shard.segment())
            .for_each(|part| bytes.extend_from_slice(part));
        bytes.freeze()
    }

    fn saw_output(&mut self, id: LinkId, bytes: &Bytes, is_last: bool) {
        self.trace.number(id as u64);
        self.trace.bytes(bytes);
        let packets = self.oracle.transmitted(self.now, id, bytes, is_last);
        if self.trace.is_readable() {
            for packet in packets {
                self.trace
                    .line(self.now, || format!("   => link {id}: {packet:?}"));
            }
        }
    }

    /// Sends what a link has to send, if its socket takes it.
    pub(super) fn transmit(&mut self, shard: usize, id: LinkId, key: ConnectionKey) {
        if self.links[id].is_blocked {
            return;
        }
        self.oracle.told(self.now, shard, &Told::Transmit);
        let bytes = self.take_output(shard, key);
        self.saw_output(id, &bytes, false);
        if !bytes.is_empty() {
            self.send_down(id, bytes);
            self.put(self.now, Event::Read { link: id });
        }
        self.after(shard);
    }

    pub(super) fn flush(&mut self, shard: usize) {
        self.hosts[shard].flush_due = false;
        loop {
            self.oracle.told(self.now, shard, &Told::Transmit);
            let Some(key) = self.hosts[shard].shard.poll_dirty() else {
                break;
            };
            if let Some(id) = self.hosts[shard].links.get(&key).copied() {
                self.transmit(shard, id, key);
            }
        }
        self.after(shard);
        self.post(shard);
    }
}

fn link_of(effect: &Effect) -> Option<ConnectionKey> {
    match effect {
        Effect::Authenticate { connection, .. }
        | Effect::Move { connection, .. }
        | Effect::Accepted { connection, .. }
        | Effect::Respond { connection, .. }
        | Effect::Contested {
            newcomer: connection,
            ..
        }
        | Effect::Close { connection, .. } => Some(*connection),
        Effect::Forward { .. }
        | Effect::Report { .. }
        | Effect::Store { .. }
        | Effect::Load { .. } => None,
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}
