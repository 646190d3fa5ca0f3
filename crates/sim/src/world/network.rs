//! The network: pieces of any size, each with its delay, in order in each direction; stalls, resets, half-open ends.
//!
//! A socket takes a bounded number of bytes that the other side has not read; after that the server's end is blocked,
//! and the engine is not asked for more until the client has read.

use super::{Event, World};
use crate::client::LinkId;
use crate::random::Random;
use bytes::Bytes;
use std::collections::VecDeque;
use weir_codec::Decoder;
use weir_engine::{ConnectionKey, Lost};

const LINK: u64 = 4;

/// The largest packet before CONNECT is accepted.
const UNAUTHENTICATED_BYTES: u32 = 8192;

/// One transport, both ends of it.
pub(crate) struct Link {
    pub(crate) client: usize,
    /// Where the server's end is; `None`: under way to another shard, or ended.
    pub(crate) place: Option<(usize, ConnectionKey)>,
    pub(crate) decoder: Decoder,
    /// Bytes that have arrived and are not decoded.
    pub(crate) inbox: VecDeque<Bytes>,
    /// The transport is gone, as the server will see once it has read what is there.
    pub(crate) lost: Option<Lost>,
    pub(crate) capacity_bytes: usize,
    /// Until when it is not read from, since it sent more than it may.
    pub(super) rests_until: u64,
    /// Bytes sent to the client that it has not read.
    pub(crate) unread_bytes: usize,
    pub(crate) is_blocked: bool,
    /// The client does not read.
    pub(crate) is_stalled: bool,
    /// What reached a client that does not read; `None` stands for the transport's end.
    pub(crate) held: VecDeque<Option<Bytes>>,
    /// Nothing passes any more.
    pub(crate) is_dead: bool,
    pub(crate) up_at: u64,
    pub(crate) down_at: u64,
    pub(crate) ack_at: u64,
    /// Who the client says it is, and how many more questions it is asked about that.
    pub(crate) claim: String,
    pub(crate) questions: u64,
    pub(crate) random: Random,
}

impl Link {
    pub(crate) fn new(client: usize, capacity_bytes: usize, seed: u64, number: u64) -> Self {
        Self {
            client,
            place: None,
            decoder: Decoder::server(UNAUTHENTICATED_BYTES),
            inbox: VecDeque::new(),
            lost: None,
            capacity_bytes,
            rests_until: 0,
            unread_bytes: 0,
            is_blocked: false,
            is_stalled: false,
            held: VecDeque::new(),
            is_dead: false,
            up_at: 0,
            down_at: 0,
            ack_at: 0,
            claim: String::new(),
            questions: 0,
            random: Random::of(seed, LINK, number),
        }
    }

    /// Cuts bytes into pieces as a network would.
    fn cut(&mut self, mut bytes: Bytes) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        while bytes.len() > 1 && self.random.percent(25) {
            let at = self.random.between(1, bytes.len() as u64 - 1);
            pieces.push(bytes.split_to(usize::try_from(at).unwrap_or(1)));
        }
        pieces.push(bytes);
        pieces
    }
}

impl World<'_> {
    /// The client's end sends bytes.
    pub(super) fn send_up(&mut self, id: LinkId, bytes: Bytes) {
        let latency = self.script.latency_millis;
        let now = self.now;
        let link = &mut self.links[id];
        if link.is_dead {
            return;
        }
        for piece in link.cut(bytes) {
            let link = &mut self.links[id];
            link.up_at = link.up_at.max(now + link.random.below(latency + 1));
            let at = link.up_at;
            self.put(
                at,
                Event::ToServer {
                    link: id,
                    bytes: piece,
                },
            );
        }
    }

    /// The server's end sends bytes.
    pub(super) fn send_down(&mut self, id: LinkId, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let latency = self.script.latency_millis;
        let now = self.now;
        let link = &mut self.links[id];
        link.unread_bytes += bytes.len();
        link.is_blocked = link.unread_bytes > link.capacity_bytes;
        if link.is_dead {
            return;
        }
        for piece in link.cut(bytes) {
            let link = &mut self.links[id];
            link.down_at = link.down_at.max(now + link.random.below(latency + 1));
            let at = link.down_at;
            self.put(
                at,
                Event::ToClient {
                    link: id,
                    bytes: piece,
                },
            );
        }
    }

    pub(super) fn reach_server(&mut self, id: LinkId, bytes: Bytes) {
        let link = &mut self.links[id];
        if link.is_dead {
            return;
        }
        link.inbox.push_back(bytes);
        self.read(id);
    }

    pub(super) fn lose_server(&mut self, id: LinkId, lost: Lost, at_once: bool) {
        let link = &mut self.links[id];
        if at_once {
            link.inbox.clear();
            if let Some((shard, connection)) = link.place.take() {
                self.tell_closed(shard, id, connection, lost);
            } else {
                link.lost = Some(lost);
            }
        } else {
            link.lost = Some(lost);
            self.read(id);
        }
    }

    pub(super) fn reach_client(&mut self, id: LinkId, bytes: Bytes) {
        let link = &mut self.links[id];
        if link.is_dead {
            return;
        }
        if link.is_stalled {
            link.held.push_back(Some(bytes));
        } else {
            self.client_reads(id, bytes);
        }
    }

    fn client_reads(&mut self, id: LinkId, bytes: Bytes) {
        let link = &mut self.links[id];
        link.unread_bytes -= bytes.len();
        if link.is_blocked && link.unread_bytes <= link.capacity_bytes {
            link.is_blocked = false;
            self.put(self.now, Event::Unblock { link: id });
        }
        let client = self.links[id].client;
        if self.clients[client].link == Some(id) {
            self.client_takes(id, bytes);
        }
    }

    pub(super) fn lose_client(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        if link.is_stalled {
            link.held.push_back(None);
            return;
        }
        let client = &mut self.clients[link.client];
        if client.link == Some(id) {
            client.lose();
        }
    }

    pub(super) fn resume(&mut self, id: LinkId) {
        self.links[id].is_stalled = false;
        while let Some(next) = self.links[id].held.pop_front() {
            match next {
                Some(bytes) => self.reach_client(id, bytes),
                None => self.lose_client(id),
            }
        }
    }

    pub(super) fn unblock(&mut self, id: LinkId) {
        let link = &self.links[id];
        if let (Some((shard, key)), false) = (link.place, link.is_blocked) {
            self.transmit(shard, id, key);
        }
    }
}
