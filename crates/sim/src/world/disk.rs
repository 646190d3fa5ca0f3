//! The store of the world, and what a crash of the broker makes of everything.
//!
//! Batches of all shards go to one store, in the order in which they are asked for. It gathers some, commits them together,
//! and tells each shard; it stalls, and is full for a while. When the broker crashes everything that is not committed is
//! gone, with all shards, mailboxes and transports; a commit under way is kept or not. Then the broker is started again
//! with what there is, perhaps with another number of shards, and the clients come back with their sessions.

use super::server::Host;
use super::{Event, World};
use crate::oracle::Told;
use crate::random::Random;
use crate::script::{ConnectWish, Script};
use std::collections::{BTreeMap, VecDeque};
use weir_engine::{Change, Input, Record, Shard, StoreTicket};

const DISK: u64 = 5;

/// Steps of clients that come back are numbered from here.
const RETURNS: u64 = 100_000_000;

pub(super) struct Disk {
    /// Who asked, in order.
    asked: VecDeque<(usize, StoreTicket)>,
    /// How many of them are being committed.
    committing: usize,
    is_commit_due: bool,
    stalled_until: u64,
    is_full: bool,
    random: Random,
}

impl Disk {
    pub(super) fn new(script: &Script) -> Self {
        Self {
            asked: VecDeque::new(),
            committing: 0,
            is_commit_due: false,
            stalled_until: 0,
            is_full: false,
            random: Random::of(script.seed, DISK, 0),
        }
    }
}

impl World<'_> {
    /// Whether a client that comes now finds somebody.
    pub(super) fn is_open(&self) -> bool {
        !self.oracle.is_down && !self.oracle.is_settling
    }

    /// Whether the store takes nothing just now.
    pub(super) fn is_store_stuck(&self) -> bool {
        self.disk.is_full || self.now < self.disk.stalled_until
    }

    pub(super) fn ask_store(&mut self, shard: usize, ticket: StoreTicket, changes: &[Change]) {
        self.trace.number(changes.len() as u64);
        self.disk.asked.push_back((shard, ticket));
        self.plan_commit();
    }

    fn plan_commit(&mut self) {
        let disk = &mut self.disk;
        if disk.is_commit_due || disk.committing > 0 || disk.asked.is_empty() || disk.is_full {
            return;
        }
        disk.is_commit_due = true;
        let at = self.now + disk.random.below(self.script.store.gather_millis + 1);
        let at = at.max(disk.stalled_until);
        self.put(at, Event::Commit);
    }

    pub(super) fn commit(&mut self) {
        self.disk.is_commit_due = false;
        if self.now < self.disk.stalled_until || self.disk.is_full {
            return self.plan_commit();
        }
        let inventory = self.hosts.iter().flat_map(|host| host.shard.inventory());
        self.oracle.commit_begins(inventory.collect());
        self.disk.committing = self.disk.asked.len();
        let sync_millis = self.script.store.sync_millis;
        let at = self.now + self.disk.random.below(sync_millis + 1);
        self.put(at, Event::Committed);
    }

    pub(super) fn committed(&mut self) {
        self.oracle.committed();
        let count = std::mem::take(&mut self.disk.committing);
        let tickets: BTreeMap<usize, StoreTicket> = self.disk.asked.drain(..count).collect();
        for (shard, ticket) in tickets {
            self.put(self.now, Event::Stored { shard, ticket });
        }
        self.plan_commit();
    }

    pub(super) fn stored(&mut self, shard: usize, ticket: StoreTicket) {
        self.tell(shard, &Told::Stored(ticket.0), Input::Stored { ticket });
    }

    pub(super) fn stall_store(&mut self, millis: u64) {
        self.disk.stalled_until = self.disk.stalled_until.max(self.now + millis);
    }

    pub(super) fn fill_store(&mut self, millis: u64) {
        if self.oracle.is_down || self.disk.is_full || !self.script.settings.is_durable {
            return;
        }
        self.disk.is_full = true;
        self.tell_full(true);
        self.put(self.now + millis, Event::Room);
    }

    pub(super) fn has_room_again(&mut self) {
        self.disk.is_full = false;
        self.tell_full(false);
        self.plan_commit();
    }

    fn tell_full(&mut self, is_full: bool) {
        for shard in 0..self.hosts.len() {
            self.tell(shard, &Told::StoreFull(is_full), Input::StoreFull(is_full));
        }
    }

    /// The broker is gone, at once.
    pub(super) fn crash(&mut self, down_millis: u64, number: u64) {
        if self.oracle.is_down || !self.script.settings.is_durable {
            return;
        }
        if self.disk.committing > 0 && self.disk.random.percent(50) {
            self.oracle.committed();
        }
        self.oracle.crashed();
        self.life += 1;
        self.hosts.clear();
        let random = self.disk.random.clone();
        self.disk = Disk {
            random,
            stalled_until: self.disk.stalled_until,
            ..Disk::new(self.script)
        };
        let back_at = self.now + down_millis;
        self.put(back_at, Event::Restart);
        for id in 0..self.links.len() {
            let link = &mut self.links[id];
            link.place = None;
            link.is_dead = true;
            link.inbox.clear();
        }
        for who in 0..self.clients.len() {
            let client = &mut self.clients[who];
            if client.link.is_none() {
                continue;
            }
            client.lose();
            let Some(mut wish) = client.wish.clone() else {
                continue;
            };
            wish.clean_start &= self.disk.random.percent(20);
            let at = back_at + self.disk.random.below(2000);
            let number = RETURNS + number * 1000 + who as u64;
            let wish = Box::new(wish);
            self.put(at, Event::Return { who, wish, number });
        }
    }

    pub(super) fn restart(&mut self) {
        let shards = match self.script.shards {
            // Nobody promised that there are as many shards as before.
            shards if self.disk.random.percent(25) => shards % 4 + 1,
            shards => shards,
        };
        let records = self.oracle.kept().list();
        let first_number = self.oracle.kept().first_number();
        let now = self.instant();
        let host = |index| {
            let mut host = Host::new(index, shards, self.script, self.life);
            host.shard.restore(now, &records, first_number);
            host
        };
        self.hosts = (0..shards).map(host).collect();
        self.oracle.is_settling = true;
        self.oracle.restarted(self.now, shards.into(), self.homes());
        for shard in 0..self.hosts.len() {
            self.oracle.told(self.now, shard, &Told::Transmit);
            self.after(shard);
        }
    }

    /// Where the sessions are that last.
    fn homes(&self) -> BTreeMap<String, usize> {
        let sessions = |shard: &Shard| {
            let records = shard.inventory().into_iter();
            records.filter_map(|record| match record {
                Record::Session(session) => Some(session.client_id.as_str().to_string()),
                _ => None,
            })
        };
        let hosts = self.hosts.iter().enumerate();
        hosts
            .flat_map(|(index, host)| sessions(&host.shard).map(move |name| (name, index)))
            .collect()
    }

    pub(super) fn come_back(&mut self, who: usize, wish: Box<ConnectWish>, number: u64) {
        if self.clients[who].link.is_some() {
            return;
        }
        if self.is_open() {
            self.connect(who, &wish, number);
        } else {
            self.put(self.now + 50, Event::Return { who, wish, number });
        }
    }
}
