//! The world around the shards: it carries out effects, delivers mail, moves bytes and time.
//!
//! Between shards only the order of each pair holds; everything else is the script's to choose. When all is delivered and
//! taken, every request of a reading client has its answer.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use weir_codec::{Output, Packet};
use weir_engine::{
    AllowAll, ConnectionKey, Effect, Grant, Input, Instant, Lost, Refusal, Remote, Settings, Shard,
    ShardId,
};

use super::peer::{Memory, Peer};

/// Client ids of the script; further memories are those of clients whose id the broker assigned.
pub(super) const CLIENTS: usize = 5;
const OUTBOX_BYTES: usize = 4096;
const MAX_PACKET_BYTES: u32 = 2048;
/// What one flush may hold: twice the outbox before a client isn't read from, the packets that one input causes.
const FLUSH_BYTES: usize = 2 * OUTBOX_BYTES + 4 * MAX_PACKET_BYTES as usize;
/// Longer than any session, will or tombstone is kept.
const LONG_SECONDS: u32 = 10_000;
/// Rounds in which a settling world moves, at most: it settles.
const ROUNDS: usize = 10_000;

pub(super) struct World {
    pub(super) shards: Vec<Shard>,
    pub(super) peers: Vec<Peer>,
    pub(super) memories: Vec<Memory>,
    pub(super) now: Instant,
    mail: BTreeMap<(usize, usize), VecDeque<Remote>>,
    undecided: VecDeque<(usize, ConnectionKey)>,
    sent: DefaultHasher,
    peers_so_far: u16,
}

impl World {
    pub(super) fn new(shards: u16) -> Self {
        let settings = Settings {
            max_packet_bytes: MAX_PACKET_BYTES,
            receive_maximum: 4,
            topic_alias_maximum: 3,
            outgoing_alias_maximum: 3,
            inflight_maximum: 4,
            outbox_bytes: OUTBOX_BYTES,
            queue_messages: 16,
            queue_bytes: 4096,
            max_subscriptions_per_session: 6,
            max_topic_levels: 5,
            max_sessions: 4,
            max_retained_messages: 6,
            max_retained_bytes: 4096,
            session_expiry_max_seconds: 1000,
            ..Settings::default()
        };
        let shard = |id| Shard::new(ShardId(id), shards, settings.clone(), 7);
        Self {
            shards: (0..shards).map(shard).collect(),
            peers: Vec::new(),
            memories: (0..CLIENTS).map(|_| Memory::default()).collect(),
            now: Instant::from_millis(1000),
            mail: BTreeMap::new(),
            undecided: VecDeque::new(),
            sent: DefaultHasher::new(),
            peers_so_far: 0,
        }
    }

    /// A number for a new peer.
    pub(super) fn serial(&mut self) -> u16 {
        self.peers_so_far = self.peers_so_far.wrapping_add(1);
        self.peers_so_far
    }

    /// Tells a shard something and carries out what it asks for at once.
    pub(super) fn tell(&mut self, shard: usize, input: Input) {
        self.shards[shard].handle(self.now, input);
        self.carry_out_all(shard);
    }

    fn carry_out_all(&mut self, shard: usize) {
        while let Some(effect) = self.shards[shard].poll_effect() {
            self.carry_out(shard, effect);
        }
    }

    fn carry_out(&mut self, shard: usize, effect: Effect) {
        match effect {
            Effect::Report { .. } | Effect::Contested { .. } => {}
            Effect::Authenticate { connection, .. } | Effect::Respond { connection, .. } => {
                self.undecided.push_back((shard, connection));
            }
            Effect::Move {
                connection,
                to,
                connect,
                deadline,
            } => {
                let to = usize::from(to.0);
                let key = self.shards[to].open(self.now, deadline);
                if let Some(peer) = self.peer_at(shard, connection) {
                    self.peers[peer].place = (to, key);
                }
                let packet = Packet::Connect(connect);
                self.tell(
                    to,
                    Input::Packet {
                        connection: key,
                        packet,
                    },
                );
            }
            // There is no store here, so nothing is to be kept.
            Effect::Accepted { .. } | Effect::Store { .. } | Effect::Load { .. } => {}
            Effect::Forward { to, remote } => {
                let pair = (shard, usize::from(to.0));
                self.mail.entry(pair).or_default().push_back(remote);
            }
            Effect::Close { connection, .. } => {
                if let Some(peer) = self.peer_at(shard, connection) {
                    // The transport takes the last bytes, whether or not the client ever will.
                    self.peers[peer].reads = true;
                    self.transmit(peer);
                    self.peers[peer].ended = true;
                }
            }
        }
    }

    /// Hands a peer what the broker has for it; whether that was anything.
    pub(super) fn transmit(&mut self, peer: usize) -> bool {
        let (shard, key) = self.peers[peer].place;
        if !self.peers[peer].reads {
            return false;
        }
        let mut out = Output::new();
        self.shards[shard].transmit(self.now, key, &mut out);
        assert!(out.len() <= FLUSH_BYTES, "{} bytes at once", out.len());
        let bytes: Vec<u8> = out
            .parts(self.shards[shard].segment())
            .flatten()
            .copied()
            .collect();
        self.sent.write(&bytes);
        let peer = &mut self.peers[peer];
        peer.take(&bytes, &mut self.memories[peer.client]);
        self.carry_out_all(shard);
        !bytes.is_empty()
    }

    /// The transport of a peer is gone.
    pub(super) fn lose(&mut self, peer: usize) {
        let Peer {
            place: (shard, connection),
            ..
        } = self.peers.remove(peer);
        let lost = Lost::Reset;
        self.tell(shard, Input::Closed { connection, lost });
    }

    /// Answers who has waited longest to know whether it may connect.
    pub(super) fn decide(&mut self, yes: bool) -> bool {
        let Some((shard, connection)) = self.undecided.pop_front() else {
            return false;
        };
        let grant = Grant::new(Arc::new(AllowAll));
        let answer = if yes {
            Ok(grant)
        } else {
            Err(Refusal::NotAuthorized)
        };
        self.tell(shard, Input::Authenticated { connection, answer });
        true
    }

    /// Delivers one piece of mail of the `n`th pair of shards.
    pub(super) fn deliver(&mut self, n: usize) -> bool {
        self.mail.retain(|_, waiting| !waiting.is_empty());
        let count = self.mail.len().max(1);
        let Some((pair, waiting)) = self.mail.iter_mut().nth(n % count) else {
            return false;
        };
        let (from, to) = *pair;
        let Some(remote) = waiting.pop_front() else {
            return false;
        };
        let from = ShardId(u16::try_from(from).unwrap_or(u16::MAX));
        self.tell(to, Input::Remote { from, remote });
        true
    }

    /// Everything that is under way arrives, and everybody who reads has read.
    pub(super) fn settle(&mut self) {
        for _ in 0..ROUNDS {
            let mut moved = self.deliver(0);
            moved |= self.decide(true);
            for shard in 0..self.shards.len() {
                // Everybody is asked anyway: who stalled when it was named is not named again.
                while self.shards[shard].poll_dirty().is_some() {}
            }
            for peer in 0..self.peers.len() {
                moved |= self.transmit(peer);
            }
            if !moved {
                return self.check_settled();
            }
        }
        panic!("the world does not come to rest");
    }

    fn check_settled(&mut self) {
        // Who has ended and reads has read why: now its transport goes.
        while let Some(peer) = self.peers.iter().position(|peer| peer.ended) {
            self.lose(peer);
        }
        for peer in self.peers.iter().filter(|peer| peer.reads && peer.accepted) {
            if let Some(unanswered) = peer.unanswered() {
                panic!("{unanswered}");
            }
        }
    }

    /// Time passes, in steps of the timers that are due.
    pub(super) fn pass(&mut self, seconds: u32) {
        let until = self.now.plus_seconds(seconds);
        for _ in 0..ROUNDS {
            let due = |shard: &Shard| shard.next_timeout().filter(|at| *at <= until);
            let next = self
                .shards
                .iter()
                .enumerate()
                .filter_map(|(n, shard)| Some((due(shard)?, n)));
            let Some((at, shard)) = next.min() else {
                self.now = until;
                return;
            };
            self.now = self.now.max(at);
            self.tell(shard, Input::Timeout);
        }
        panic!("a timer does not come to rest");
    }

    /// Everybody leaves, everything expires, every retained message is removed: nothing is left.
    pub(super) fn finish(mut self) -> u64 {
        for peer in &mut self.peers {
            peer.reads = true;
        }
        self.settle();
        while !self.peers.is_empty() {
            self.lose(0);
        }
        self.settle();
        self.pass(LONG_SECONDS);
        self.settle();
        self.remove_retained();
        self.pass(LONG_SECONDS);
        self.settle();
        for (n, shard) in self.shards.iter().enumerate() {
            assert_eq!(shard.footprint(), [0; 8], "shard {n} still holds something");
            assert_eq!(shard.next_timeout(), None);
            let stats = shard.stats();
            assert_eq!(
                (stats.connections, stats.sessions, stats.retained),
                (0, 0, 0)
            );
        }
        self.sent.finish()
    }

    pub(super) fn peer_at(&self, shard: usize, key: ConnectionKey) -> Option<usize> {
        self.peers
            .iter()
            .position(|peer| peer.place == (shard, key))
    }
}
