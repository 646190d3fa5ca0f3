//! The store of the world, and what a crash of the broker makes of everything.
//!
//! As the store's thread in the binary it has batches of all shards wait while it commits, joins those that belong
//! together, stages what is complete, commits it, and tells each shard. It stalls, and is full for a while. When the
//! broker crashes everything that is not committed is gone, with all shards, mailboxes and transports; of a commit under
//! way the disk keeps what it likes. Then the broker is started again with what there is, perhaps with another number of
//! shards, and the clients come back with their sessions.

use super::server::Host;
use super::{Event, World};
use crate::oracle::Told;
use crate::random::Random;
use crate::script::{ConnectWish, Script};
use std::collections::BTreeMap;
use weir_engine::{Input, MessageNumber, Record, SessionKey, Shard, ShardId, StoreTicket};
use weir_store::{
    Durability, Faulty, Limits, Part, Recovered, Store, StoreError, Together, WallClock,
};

const DISK: u64 = 5;

/// The wall clock when the engine's begins.
const UNIX_MILLIS_AT_ZERO: i64 = 1_700_000_000_000;

/// How long a broker that stops lets things come to their end.
const STOP_MILLIS: u64 = 1000;

/// Steps of clients that come back are numbered from here.
const RETURNS: u64 = 100_000_000;

pub(super) struct Disk {
    pub(super) store: Store<Faulty>,
    /// What the engine's moments mean on the wall clock.
    pub(super) clock: WallClock,
    /// What waits for what belongs to it, or for the end of a commit.
    together: Together,
    /// Whether something came since it was last looked at.
    has_more: bool,
    /// The last ticket of each shard that is staged and not answered.
    tickets: BTreeMap<ShardId, StoreTicket>,
    is_commit_due: bool,
    is_committing: bool,
    stalled_until: u64,
    is_full: bool,
    random: Random,
}

impl Disk {
    pub(super) fn new(script: &Script) -> Self {
        let clock = WallClock {
            unix_millis_at_zero: UNIX_MILLIS_AT_ZERO,
        };
        let log = Faulty::new(script.store.segment_batches);
        let (store, _) = open(log, clock, script).expect("an empty log can be opened");
        let random = Random::of(script.seed, DISK, 0);
        Self::with(store, clock, random)
    }

    fn with(store: Store<Faulty>, clock: WallClock, random: Random) -> Self {
        Self {
            store,
            clock,
            together: Together::default(),
            has_more: false,
            tickets: BTreeMap::new(),
            is_commit_due: false,
            is_committing: false,
            stalled_until: 0,
            is_full: false,
            random,
        }
    }

    /// Stages what is complete; returns the tickets of each unit.
    fn stage(&mut self) -> Vec<Vec<(usize, StoreTicket)>> {
        self.has_more = false;
        let mut units = Vec::new();
        for unit in self.together.take() {
            let mut tickets = Vec::new();
            let mut changes = Vec::new();
            for part in unit {
                self.tickets.insert(part.shard, part.ticket);
                tickets.push((usize::from(part.shard.0), part.ticket));
                changes.extend(part.changes);
            }
            self.store.stage(changes);
            units.push(tickets);
        }
        units
    }

    /// Whether nothing is to be committed.
    fn is_idle(&self) -> bool {
        !self.has_more && self.tickets.is_empty() && !self.store.has_staged()
    }
}

fn open(
    log: Faulty,
    clock: WallClock,
    script: &Script,
) -> Result<(Store<Faulty>, Recovered), StoreError> {
    let limits = Limits {
        garbage_bytes: script.store.garbage_bytes,
        batch_bytes: script.store.batch_bytes,
        ..Limits::default()
    };
    // What is committed lasts when it is synced, which the world does later.
    Store::open(log, clock, Durability::Interval, limits)
}

impl World<'_> {
    /// Whether a client that comes now finds somebody.
    pub(super) fn is_open(&self) -> bool {
        !self.oracle.is_down && !self.oracle.is_settling && !self.is_stopping
    }

    /// Whether the store takes nothing just now.
    pub(super) fn is_store_stuck(&self) -> bool {
        self.disk.is_full || self.now < self.disk.stalled_until
    }

    /// A shard hands the store what it has gathered.
    pub(super) fn ask_store(&mut self, parts: Vec<Part>) {
        for part in parts {
            self.trace.number(part.changes.len() as u64);
            self.disk.together.push(part);
        }
        self.disk.has_more = true;
        self.plan_commit();
    }

    fn plan_commit(&mut self) {
        let disk = &mut self.disk;
        if disk.is_commit_due || disk.is_committing || disk.is_idle() {
            return;
        }
        disk.is_commit_due = true;
        let at = self.now + disk.random.below(self.script.store.gather_millis + 1);
        let at = at.max(disk.stalled_until);
        self.put(at, Event::Commit);
    }

    pub(super) fn commit(&mut self) {
        self.disk.is_commit_due = false;
        if self.now < self.disk.stalled_until {
            return self.plan_commit();
        }
        let inventory = self.hosts.iter().flat_map(|host| host.shard.inventory());
        self.oracle.check_records(inventory.collect());
        let units = self.disk.stage();
        units.iter().for_each(|unit| self.oracle.staged(unit));
        let disk = &mut self.disk;
        match disk.store.commit(disk.clock) {
            Ok(_) => {
                disk.is_committing = true;
                let at = self.now + disk.random.below(self.script.store.sync_millis + 1);
                self.put(at, Event::Committed);
            }
            // It is tried again when there is room.
            Err(StoreError::Full) => {}
            Err(_) => self.crash(0, self.life),
        }
    }

    pub(super) fn committed(&mut self) {
        if self.disk.store.sync().is_err() {
            // Whoever can't keep anything any more must not go on.
            return self.crash(0, self.life);
        }
        self.oracle.committed();
        self.disk.is_committing = false;
        for (shard, ticket) in std::mem::take(&mut self.disk.tickets) {
            let shard = usize::from(shard.0);
            self.put(self.now, Event::Stored { shard, ticket });
        }
        self.plan_commit();
    }

    pub(super) fn stored(&mut self, shard: usize, ticket: StoreTicket) {
        self.tell(shard, &Told::Stored(ticket.0), Input::Stored { ticket });
    }

    /// A session wants messages back: in a while, after those it wanted before.
    pub(super) fn ask_to_load(
        &mut self,
        shard: usize,
        session: SessionKey,
        numbers: Vec<MessageNumber>,
    ) {
        self.trace.number(numbers.len() as u64);
        let disk = &mut self.disk;
        // Long enough, now and then, for a client to come and go.
        let longest = disk.random.pick(&[self.script.store.sync_millis, 20, 3000]);
        let at = self.now + disk.random.below(longest + 1);
        let event = Event::Load {
            shard,
            session,
            numbers,
        };
        self.put(at.max(self.disk.stalled_until), event);
    }

    pub(super) fn load(&mut self, shard: usize, session: SessionKey, numbers: &[MessageNumber]) {
        if self.now < self.disk.stalled_until {
            let (at, numbers) = (self.disk.stalled_until, numbers.to_vec());
            let event = Event::Load {
                shard,
                session,
                numbers,
            };
            return self.put(at, event);
        }
        let loaded = match self.disk.store.load(numbers) {
            Ok(loaded) if loaded.damaged.is_empty() => loaded.messages,
            other => return self.oracle.fail(format!("the store reads back {other:?}")),
        };
        let messages = numbers.iter().copied().zip(loaded).collect();
        self.tell(
            shard,
            &Told::Loaded(numbers.len()),
            Input::Loaded { session, messages },
        );
    }

    pub(super) fn stall_store(&mut self, millis: u64) {
        self.disk.stalled_until = self.disk.stalled_until.max(self.now + millis);
    }

    pub(super) fn fill_store(&mut self, millis: u64) {
        if self.oracle.is_down || self.disk.is_full || !self.script.settings.is_durable {
            return;
        }
        self.disk.is_full = true;
        let log = self.disk.store.log_mut();
        log.set_max_bytes(Some(log.len_bytes()));
        self.tell_full(true);
        self.put(self.now + millis, Event::Room);
    }

    pub(super) fn has_room_again(&mut self) {
        self.disk.is_full = false;
        self.disk.store.log_mut().set_max_bytes(None);
        self.tell_full(false);
        self.plan_commit();
    }

    pub(super) fn fail_store(&mut self, number: u64) {
        if self.script.settings.is_durable && !self.oracle.is_down {
            self.disk.store.log_mut().fail_sync();
            // Somebody may have nothing to commit for long.
            if self.disk.is_idle() {
                self.crash(100, number);
            }
        }
    }

    fn tell_full(&mut self, is_full: bool) {
        for shard in 0..self.hosts.len() {
            self.tell(shard, &Told::StoreFull(is_full), Input::StoreFull(is_full));
        }
    }

    /// The broker is told to stop: everybody is told, what is under way comes to its end, and all of it is kept.
    pub(super) fn shut_down(&mut self, down_millis: u64, number: u64) {
        if !self.is_open() || !self.script.settings.is_durable {
            return;
        }
        self.is_stopping = true;
        for shard in 0..self.hosts.len() {
            self.tell(shard, &Told::Shutdown, Input::Shutdown);
        }
        let at = self.now + STOP_MILLIS;
        self.put(
            at,
            Event::Stopped {
                down_millis,
                number,
            },
        );
    }

    pub(super) fn stopped(&mut self, down_millis: u64, number: u64) {
        for shard in 0..self.hosts.len() {
            self.post(shard);
        }
        if !self.is_store_stuck() && !self.disk.is_committing {
            self.commit();
            self.committed();
        }
        self.crash(down_millis, number);
    }

    /// The broker is gone, at once.
    pub(super) fn crash(&mut self, down_millis: u64, number: u64) {
        if self.oracle.is_down || !self.script.settings.is_durable {
            return;
        }
        self.life += 1;
        self.is_stopping = false;
        self.hosts.clear();
        self.mail_bytes = 0;
        let disk = &mut self.disk;
        let unsynced = disk.store.log().unsynced();
        let log = disk.store.log().crash(disk.random.below(unsynced + 1));
        let jump = disk.random.pick(&[0, self.script.store.jump_millis]);
        disk.clock.unix_millis_at_zero += jump;
        let opened = open(log, disk.clock, self.script);
        let (mut store, recovered) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                return self
                    .oracle
                    .fail(format!("the store does not open: {error}"));
            }
        };
        let mut whole = recovered.clone();
        if whole.unpark(&mut store) != Ok(vec![]) {
            self.oracle.fail("messages cannot be read".to_string());
        }
        // What is due, is due by the wall clock.
        self.oracle.recovered(&whole.records, -jump);
        self.oracle.crashed(-jump);
        if recovered.lost.is_loss() {
            let lost = &recovered.lost;
            self.oracle.fail(format!("the store has lost {lost:?}"));
        }
        self.restored = recovered;
        let stalled_until = self.disk.stalled_until;
        self.disk = Disk {
            stalled_until,
            ..Disk::with(store, self.disk.clock, self.disk.random.clone())
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
        let recovered = std::mem::take(&mut self.restored);
        let (records, parked) = (recovered.records, recovered.parked);
        let now = self.instant();
        let host = |index| {
            let mut host = Host::new(index, shards, self.script, self.life);
            host.shard
                .restore(now, &records, &parked, recovered.next_number);
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
