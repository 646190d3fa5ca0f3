//! The world of an engine script: shards, clients that speak real bytes, and a clock.
//!
//! ```text
//! a> CONNECT v5 keep=60 expiry=10 dirty will=t/w will-delay=5   (dirty: Clean Start 0; the client id is the name)
//! a> SUBSCRIBE t/# q1 nolocal rap rh=1 sid=7          a> UNSUBSCRIBE t/#
//! a> PUBLISH t/x hello q1 id=3 retain dup alias=2 life=9 user=k:v     (`-` for an empty payload or topic)
//! a> PUBACK id=3   PUBREC   PUBREL   PUBCOMP          a> PINGREQ   a> DISCONNECT 0x04 expiry=5
//! a< PUBLISH t/x hello q1 id=1                        a< CONNACK present     a< nothing
//! a> CONNECT v5 user-name=wrong     is refused by authentication; `lingers`: its transport is slow to close
//! a> CONNECT v5 method=JWT auth=ann!t/#,u@30   is granted as ann, only these filters, for 30 seconds; `all` is everything
//! a> AUTH 0x19 method=JWT auth=no              authenticates again; what begins with `ask` is challenged with `more`
//! permissions t/#,u@30                        is what `user-name=file` was granted, from now on
//! a< nothing          has not been sent anything yet
//! a> BYTES 10ff       bytes as they are, read by a server's decoder
//! a! close            the client's transport goes away
//! a? end text         how the engine ended the connection
//! wait 5              seconds pass
//! turn                every shard has one turn, among lines that arrive together
//! a! stall            its transport takes nothing and answers nothing, until `read`
//! store stalls        the store answers no more; `works`; `full`, `has room`
//! store keeps quiet   what is asked back from the store is not answered; `answers`; `is damaged`
//! crash               the broker is started again with what the store has; everybody's transport is gone
//! ```

use super::disk::Disk;
use super::grant;
use super::words::{Words, bytes_of, connect, parse, text, told_why, version_word};
use crate::end::Lost;
use crate::{ConnectionKey, Effect, Input, Instant, Record, Settings, Shard, ShardId, SlowReader};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{boxed::Box, format};
use bytes::{Bytes, BytesMut};
use weir_codec::*;

pub(super) struct World {
    settings: Settings,
    disk: Disk,
    shards: Vec<Shard>,
    mail: VecDeque<(ShardId, ShardId, crate::Remote)>,
    clients: BTreeMap<String, Client>,
    now: Instant,
    is_settling: bool,
    turns: usize,
    reports: Vec<String>,
    slow_reader: Option<SlowReader>,
}

struct Client {
    shard: usize,
    key: ConnectionKey,
    version: Version,
    decoder: Option<Decoder>,
    received: VecDeque<String>,
    end: Option<String>,
    reads: bool,
    /// Whether the transport stays when the engine has ended the connection.
    lingers: bool,
    told_why: bool,
}

impl World {
    pub(super) fn new(shards: u16) -> Self {
        Self::with(shards, Settings::default())
    }

    pub(super) fn with(shards: u16, settings: Settings) -> Self {
        let shard = |id| Shard::new(ShardId(id), shards, settings.clone(), 7);
        Self {
            disk: Disk::default(),
            shards: (0..shards).map(shard).collect(),
            settings,
            mail: VecDeque::new(),
            clients: BTreeMap::new(),
            now: Instant::from_millis(1_000),
            is_settling: true,
            turns: 0,
            reports: Vec::new(),
            slow_reader: None,
        }
    }

    /// What the listener of everybody who connects from now on says.
    pub(super) fn treats_slow_readers_as(&mut self, policy: SlowReader) {
        self.slow_reader = Some(policy);
    }

    pub(super) fn footprint(&self) -> Vec<[usize; 8]> {
        self.shards.iter().map(Shard::footprint).collect()
    }

    /// Runs a script; panics at the first line that does not hold.
    pub(super) fn run(&mut self, script: &str) {
        for line in script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            self.line(line);
        }
        for (name, client) in &self.clients {
            assert!(
                client.received.is_empty(),
                "{name} was also sent {:?}",
                client.received
            );
        }
    }

    /// Runs one line without asking whether everybody is done.
    pub(super) fn run_step(&mut self, line: &str) {
        self.line(line);
    }

    /// Somebody connects, as CONNECT says it.
    pub(super) fn connect(&mut self, name: &str, how: &str) {
        self.line(&format!("{name}> CONNECT {how}"));
        self.line(&format!("{name}< CONNACK"));
    }

    /// Somebody subscribes with QoS 0, as SUBSCRIBE says it.
    pub(super) fn subscribe(&mut self, name: &str, what: &str) {
        self.line(&format!("{name}> SUBSCRIBE {what}"));
        self.line(&format!("{name}< SUBACK 00"));
    }

    /// Whether the client may go on with what it has published last, and nothing is decided anew.
    pub(super) fn may_go_on(&mut self, name: &str) -> bool {
        self.most_bytes(name).is_some()
    }

    /// The most bytes of a packet with which it may.
    pub(super) fn most_bytes(&mut self, name: &str) -> Option<usize> {
        let (shard, connection) = (self.client(name).shard, self.client(name).key);
        let (_, most_bytes) = self.shards[shard].encore_of(connection)?;
        Some(most_bytes)
    }

    /// Runs lines that arrive together: nothing else happens between them.
    pub(super) fn together(&mut self, lines: &[impl AsRef<str>]) {
        self.is_settling = false;
        lines.iter().for_each(|line| self.line(line.as_ref()));
        self.is_settling = true;
        self.settle();
    }

    /// What the log was told of permissions.
    pub(super) fn take_reports(&mut self) -> Vec<String> {
        core::mem::take(&mut self.reports)
    }

    /// How many turns all shards have had.
    pub(super) fn turns(&self) -> usize {
        self.turns
    }

    /// How many messages found a queue full.
    pub(super) fn dropped(&self) -> u64 {
        let dropped = self.shards.iter().map(|shard| shard.stats().dropped);
        dropped.map(|it| it.queue_full).sum()
    }

    pub(super) fn shutdown(&mut self) {
        for shard in 0..self.shards.len() {
            self.tell(shard, Input::Shutdown);
        }
    }

    /// How many packets a client was sent, which are then forgotten.
    pub(super) fn take_received(&mut self, name: &str) -> usize {
        core::mem::take(&mut self.client(name).received).len()
    }

    /// The same, counting those that contain `text`.
    pub(super) fn take_matching(&mut self, name: &str, text: &str) -> usize {
        let received = core::mem::take(&mut self.client(name).received);
        received
            .iter()
            .filter(|packet| packet.contains(text))
            .count()
    }

    /// Whether any packet to this client had a Reason String, which scripts don't show.
    pub(super) fn was_told_why(&mut self, name: &str) -> bool {
        self.client(name).told_why
    }

    fn line(&mut self, line: &str) {
        let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
        match head.split_at(head.len() - 1) {
            (name, ">") => self.act(name, rest),
            (name, "<") => self.expect(name, rest),
            (name, "?") => {
                let end = self.client(name).end.take();
                assert_eq!(end.as_deref(), Some(rest), "how {name} ended");
            }
            (name, "!") => self.transport(name, rest),
            _ if head == "wait" => self.wait(rest.parse().unwrap()),
            _ if head == "turn" => drop(self.turn()),
            _ if head == "permissions" => {
                grant::change_file(rest);
                for shard in 0..self.shards.len() {
                    self.tell(shard, Input::PermissionsChanged);
                }
            }
            _ if head == "store" => self.store(rest),
            _ if head == "crash" => self.crash(),
            _ => panic!("what is {line:?}?"),
        }
    }

    fn store(&mut self, what: &str) {
        match what {
            "stalls" => self.disk.is_stalled = true,
            "works" => self.disk.is_stalled = false,
            "keeps quiet" => self.disk.is_unread = true,
            "answers" => self.disk.is_unread = false,
            "is damaged" => self.disk.is_damaged = true,
            "full" | "has room" => {
                for shard in 0..self.shards.len() {
                    self.tell(shard, Input::StoreFull(what == "full"));
                }
            }
            _ => panic!("what does the store?"),
        }
        self.settle();
    }

    fn crash(&mut self) {
        let (records, first_number) = self.disk.crash();
        let shards = u16::try_from(self.shards.len()).unwrap();
        self.mail.clear();
        self.clients.clear();
        for id in 0..shards {
            let mut shard = Shard::new(ShardId(id), shards, self.settings.clone(), 8);
            shard.restore(self.now, &records, &[], first_number);
            self.shards[usize::from(id)] = shard;
        }
        self.settle();
        assert!(self.shards.iter().all(Shard::is_settled));
    }

    /// The bytes that wait for the slowest socket.
    pub(super) fn output_bytes(&self) -> usize {
        let fullest = self.shards.iter().map(|shard| shard.fullest().output_bytes);
        fullest.max().unwrap_or(0)
    }

    /// How many messages of sessions that last, and retained ones, are not in the store alone.
    pub(super) fn messages_in_memory(&self) -> usize {
        let records = self.shards.iter().flat_map(Shard::inventory);
        records
            .filter(|record| matches!(record, Record::Message(_)))
            .count()
    }

    /// How many records the store has.
    pub(super) fn records(&self) -> usize {
        self.disk.len()
    }

    /// How many batches the store was asked for by one of another shard.
    pub(super) fn joined(&self) -> usize {
        self.disk.joined
    }

    fn expect(&mut self, name: &str, text: &str) {
        if text == "nothing" {
            let received = &self.client(name).received;
            assert!(received.is_empty(), "{name} was sent {received:?} already");
            return;
        }
        let got = self.client(name).received.pop_front();
        if text == "nothing" {
            return assert_eq!(got, None, "what {name} is sent");
        }
        assert_eq!(got.as_deref(), Some(text), "what {name} is sent");
    }

    fn transport(&mut self, name: &str, what: &str) {
        let (shard, connection) = (self.client(name).shard, self.client(name).key);
        match what {
            "close" => {
                let lost = Lost::Reset;
                self.tell(shard, Input::Closed { connection, lost });
            }
            "stall" => self.client(name).reads = false,
            "read" => {
                self.client(name).reads = true;
                self.transmit(shard, connection);
                self.settle();
            }
            _ => panic!("close, stall or read?"),
        }
    }

    /// Time passes a second at a time, with the timeouts that fall due.
    fn wait(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.now = self.now.plus_seconds(1);
            for shard in 0..self.shards.len() {
                if self.shards[shard]
                    .next_timeout()
                    .is_some_and(|at| at <= self.now)
                {
                    self.tell(shard, Input::Timeout);
                }
            }
        }
    }

    fn act(&mut self, name: &str, text: &str) {
        if let Some(hex) = text.strip_prefix("BYTES ") {
            return self.act_in_bytes(name, &bytes_of(hex));
        }
        let packet = parse(
            name,
            text,
            self.clients.get(name).map(|client| client.version),
        );
        if let Packet::Connect(connect) = &packet {
            // As the world would have it: connections are dealt out without regard to homes.
            let shard = name.len() % self.shards.len();
            let deadline = self.now.plus_seconds(10);
            let key = self.shards[shard].open(self.now, deadline);
            if let Some(policy) = self.slow_reader {
                self.shards[shard].set_slow_reader(key, policy);
            }
            let limit = connect.properties.maximum_packet_size();
            let limit = limit.unwrap_or(u32::MAX);
            let client = Client {
                shard,
                key,
                version: connect.version,
                // No script gets by with a packet larger than its client takes.
                decoder: Some(Decoder::client(connect.version, limit)),
                received: VecDeque::new(),
                end: None,
                reads: true,
                lingers: text.contains(" lingers"),
                told_why: false,
            };
            // An earlier connection of the same name can still be asked for, as `name'`.
            if let Some(earlier) = self.clients.insert(name.to_string(), client) {
                self.clients.insert(format!("{name}'"), earlier);
            }
        }
        let (shard, connection) = (self.client(name).shard, self.client(name).key);
        let mut bytes = BytesMut::new();
        packet
            .encode(self.client(name).version, &mut bytes)
            .unwrap();
        if !self.goes_short_way(name, &packet, &bytes) {
            self.tell(shard, Input::Packet { connection, packet });
        } else if self.is_settling {
            self.settle();
        }
    }

    /// A packet that only goes on with what the last began takes the short way if its payload is even.
    fn goes_short_way(&mut self, name: &str, packet: &Packet, bytes: &[u8]) -> bool {
        let Client {
            shard,
            key,
            version,
            ..
        } = *self.client(name);
        let engine = &mut self.shards[shard];
        let (Packet::Publish(publish), Some((topic, most_bytes))) = (packet, engine.encore_of(key))
        else {
            return false;
        };
        let is_even = publish.payload.last().is_some_and(|last| last % 2 == 0);
        let run = Run::of(bytes, topic, version, most_bytes);
        is_even && engine.handle_encore(self.now, key, run) == 1
    }

    /// Packets that lie in one piece, taken as a link takes them; nothing else happens between them.
    pub(super) fn in_one_read(&mut self, name: &str, lines: &[impl AsRef<str>]) {
        let (shard, connection) = (self.client(name).shard, self.client(name).key);
        let version = self.client(name).version;
        let mut bytes = BytesMut::new();
        for line in lines {
            let packet = parse(name, line.as_ref(), Some(version));
            packet.encode(version, &mut bytes).unwrap();
        }
        let mut decoder = decoder_of(name, version);
        decoder.push(bytes.freeze());
        self.is_settling = false;
        loop {
            let (now, engine) = (self.now, &mut self.shards[shard]);
            while let Some((topic, most_bytes)) = engine.encore_of(connection)
                && let Some(run) = decoder.run(topic, most_bytes)
                && let taken @ 1.. = engine.handle_encore(now, connection, run)
            {
                let taken_bytes = run.first(taken).bytes().len();
                decoder.skip(taken_bytes);
            }
            decoder.next_pubacks(|acks| engine.handle_pubacks(now, connection, acks));
            match decoder.next_packet().unwrap() {
                Some(packet) => self.tell(shard, Input::Packet { connection, packet }),
                None => break,
            }
        }
        self.is_settling = true;
        self.settle();
    }

    /// What a decoder makes of the bytes, after the client's CONNECT if it is connected.
    fn act_in_bytes(&mut self, name: &str, bytes: &[u8]) {
        let mut decoder = match self.clients.get(name) {
            Some(client) => decoder_of(name, client.version),
            None => {
                self.open(name);
                Decoder::server(1 << 20)
            }
        };
        decoder.push(Bytes::copy_from_slice(bytes));
        let (shard, connection) = (self.client(name).shard, self.client(name).key);
        let decoded = decoder.next_packet();
        let version = decoder.version();
        if let Some(version) = version {
            let client = self.client(name);
            client.version = version;
            client.decoder = Some(Decoder::client(version, u32::MAX));
        }
        let input = match decoded {
            Ok(packet) => Input::Packet {
                connection,
                packet: packet.expect("a whole packet"),
            },
            Err(error) => Input::Malformed {
                connection,
                error,
                version,
            },
        };
        self.tell(shard, input);
    }

    /// A client that has not said anything yet, and is taken for one of 3.1.1.
    fn open(&mut self, name: &str) {
        let deadline = self.now.plus_seconds(10);
        let client = Client {
            shard: 0,
            key: self.shards[0].open(self.now, deadline),
            version: Version::V3_1_1,
            decoder: Some(Decoder::client(Version::V3_1_1, u32::MAX)),
            received: VecDeque::new(),
            end: None,
            reads: true,
            lingers: false,
            told_why: false,
        };
        self.clients.insert(name.to_string(), client);
    }

    fn tell(&mut self, shard: usize, input: Input) {
        self.shards[shard].handle(self.now, input);
        if self.is_settling {
            self.settle();
        }
    }

    /// Effects are carried out, mail delivered, and everything transmitted, until nothing moves any more.
    fn settle(&mut self) {
        loop {
            let mut moved = self.turn();
            if let Some((from, to, remote)) = self.mail.pop_front() {
                moved = true;
                self.shards[usize::from(to.0)].handle(self.now, Input::Remote { from, remote });
            }
            if let Some((shard, ticket)) = self.disk.take() {
                moved = true;
                let shard = &mut self.shards[usize::from(shard.0)];
                shard.handle(self.now, Input::Stored { ticket });
            }
            if let Some((shard, loaded)) = self.disk.read() {
                moved = true;
                self.shards[shard].handle(self.now, loaded);
            }
            if !moved {
                assert!(self.disk.is_complete(), "a part of something is not kept");
                return;
            }
        }
    }

    /// A turn of every shard; returns whether anything came of it.
    fn turn(&mut self) -> bool {
        let mut moved = false;
        for shard in 0..self.shards.len() {
            while let Some(effect) = self.shards[shard].poll_effect() {
                moved = true;
                self.carry_out(shard, effect);
            }
            if self.shards[shard].is_dirty() {
                while let Some(key) = self.shards[shard].poll_dirty() {
                    moved |= self.transmit(shard, key);
                }
            }
            self.turns += 1;
            moved |= self.shards[shard].is_dirty();
        }
        moved
    }

    fn carry_out(&mut self, shard: usize, effect: Effect) {
        match effect {
            Effect::Authenticate {
                connection,
                credentials,
            } => {
                let input = grant::judge(self.now, connection, &credentials);
                self.shards[shard].handle(self.now, input);
            }
            Effect::Respond { connection, data } => {
                let input = grant::judge_data(self.now, connection, &data);
                self.shards[shard].handle(self.now, input);
            }
            Effect::Report { client_id, report } => {
                self.reports
                    .push(format!("{}: {report}", client_id.as_str()));
            }
            Effect::Move {
                connection,
                to,
                connect,
                deadline,
            } => {
                let to = usize::from(to.0);
                let key = self.shards[to].open(self.now, deadline);
                let client = self.by_key(shard, connection).unwrap();
                client.shard = to;
                client.key = key;
                let packet = Packet::Connect(connect);
                self.shards[to].handle(
                    self.now,
                    Input::Packet {
                        connection: key,
                        packet,
                    },
                );
            }
            Effect::Accepted { .. } => {}
            Effect::Contested {
                client_id,
                holder,
                is_news,
                ..
            } => self.contested(shard, client_id.as_str(), holder, is_news),
            Effect::Store {
                ticket,
                changes,
                links,
            } => {
                let from = ShardId(u16::try_from(shard).unwrap());
                self.disk.push(from, ticket, changes, &links);
            }
            Effect::Load { session, messages } => self.disk.ask(shard, session, messages),
            Effect::Forward { to, remote } => {
                let from = ShardId(u16::try_from(shard).unwrap());
                self.mail.push_back((from, to, remote));
            }
            Effect::Close { connection, end } => {
                self.transmit(shard, connection);
                if let Some(client) = self.by_key(shard, connection) {
                    client.end = Some(end.to_string());
                    if client.lingers {
                        return;
                    }
                }
                let lost = Lost::Closed;
                self.shards[shard].handle(self.now, Input::Closed { connection, lost });
            }
        }
    }

    /// Who has the client id is asked for a sign of life, which whoever reads gives.
    fn contested(&mut self, shard: usize, client_id: &str, holder: ConnectionKey, is_news: bool) {
        if is_news {
            self.reports.push(format!("{client_id}: contested"));
        }
        if self
            .by_key(shard, holder)
            .is_some_and(|client| client.reads)
        {
            self.shards[shard].alive(self.now, holder);
        }
    }

    fn transmit(&mut self, shard: usize, key: ConnectionKey) -> bool {
        let now = self.now;
        if self.by_key(shard, key).is_none_or(|client| !client.reads) {
            return false;
        }
        let mut out = Output::new();
        self.shards[shard].transmit(now, key, &mut out);
        let parts: Vec<_> = out
            .parts(self.shards[shard].segment())
            .map(Bytes::copy_from_slice)
            .collect();
        let client = self.by_key(shard, key).unwrap();
        for part in parts {
            client.decoder.as_mut().unwrap().push(part);
        }
        while let Some(packet) = client.decoder.as_mut().unwrap().next_packet().unwrap() {
            client.told_why |= told_why(&packet);
            client.received.push_back(text(&packet));
        }
        true
    }

    fn by_key(&mut self, shard: usize, key: ConnectionKey) -> Option<&mut Client> {
        self.clients
            .values_mut()
            .find(|client| client.shard == shard && client.key == key)
    }

    fn client(&mut self, name: &str) -> &mut Client {
        self.clients
            .get_mut(name)
            .unwrap_or_else(|| panic!("who is {name}?"))
    }
}

/// A server's decoder after the client's CONNECT.
fn decoder_of(name: &str, version: Version) -> Decoder {
    let mut decoder = Decoder::server(1 << 20);
    let connect = connect(name, &Words::of(version_word(version)));
    let mut bytes = BytesMut::new();
    Packet::Connect(Box::new(connect))
        .encode(version, &mut bytes)
        .unwrap();
    decoder.push(bytes.freeze());
    decoder.next_packet().unwrap();
    decoder
}
