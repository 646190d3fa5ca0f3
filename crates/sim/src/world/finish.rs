//! The end of a run: everybody calms down, everything owed must be given, and then everything must be gone.
//!
//! First, clients read and acknowledge, and what is half-open is found out. Second, each session is taken up once more by a
//! client that takes everything. Third, a new subscriber on each shard asks for all retained messages. Last, retained
//! messages are deleted and sessions ended, and after the last timer each shard must be as empty as it was at the beginning.

use super::{Event, World};
use crate::client::Client;
use crate::generate::TOPICS;
use crate::script::{ConnectWish, Cut, Habit, PublishWish};
use std::collections::BTreeMap;
use weir_codec::{Qos, RetainHandling, SubscriptionOptions};
use weir_engine::{Lost, Stats};

/// Steps of the end are numbered from here.
const END_STEPS: u64 = 1_000_000;

/// How often everybody is asked to take what waits.
const ROUNDS: u64 = 3;

/// How often everybody is given more time, while there is something to take.
const PATIENCE: u64 = 50;

/// How many seconds the broker may take to come back.
const WAITS: usize = 120;

/// Names that are tried until every shard has a guest.
const GUESTS: usize = 64;

impl World<'_> {
    pub(super) fn wind_down(&mut self) {
        if !self.is_over() {
            self.calm_down();
        }
        if !self.is_over() {
            self.take_everything();
        }
        if !self.is_over() {
            let guests = self.ask_for_retained();
            self.clear(&guests);
        }
        if let Some(failure) = self.oracle.failure.clone() {
            self.trace.line(self.now, || format!("BROKEN: {failure}"));
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.run_until(self.now + seconds * 1000);
    }

    fn calm_down(&mut self) {
        for _ in 0..WAITS {
            if self.is_open() && !self.is_store_stuck() || self.is_over() {
                break;
            }
            self.pass(1);
        }
        for who in 0..self.clients.len() {
            self.clients[who].habit = Habit::Prompt;
        }
        // Transports that nobody answers on are found out.
        for link in 0..self.links.len() {
            self.resume(link);
            let is_orphan = self.clients[self.links[link].client].link != Some(link);
            if is_orphan && self.links[link].place.is_some() {
                self.put(
                    self.now,
                    Event::ServerLost {
                        link,
                        lost: Lost::Reset,
                        at_once: true,
                    },
                );
            }
        }
        self.pass(20);
        if !self.is_over() {
            self.oracle.check_flow(self.now);
        }
    }

    fn take_everything(&mut self) {
        // More than once: wills of the connections taken over may be more than a small queue holds, which ends the next.
        for round in 0..ROUNDS {
            for (index, name) in self.oracle.session_names().into_iter().enumerate() {
                let who = self.client_called(&name);
                if self.is_over() || round > 0 && self.clients[who].accepted {
                    continue;
                }
                self.clients[who].habit = Habit::Prompt;
                // What it would send again might break a rule once more.
                self.clients[who].forget_sent();
                let number = END_STEPS + round * 1000 + index as u64;
                self.connect(
                    who,
                    &ConnectWish {
                        clean_start: false,
                        user: self.oracle.owner(&name),
                        ..guest()
                    },
                    number,
                );
            }
            // Longer than any client id is fought for.
            self.pass(35);
        }
        // A window of one, far away, takes its time.
        for _ in 0..PATIENCE {
            if self.is_over() || !self.oracle.is_flowing(self.now) {
                break;
            }
            self.pass(20);
        }
        if !self.is_over() {
            self.oracle.check_settled(self.now);
        }
    }

    fn client_called(&mut self, name: &str) -> usize {
        let known = self.clients.iter().position(|client| client.name == name);
        known.unwrap_or_else(|| {
            self.oracle.forgets(name);
            self.clients.push(Client::new(name.to_string(), 0));
            self.clients.len() - 1
        })
    }

    /// One guest on each shard subscribes to everything and shows what it was given.
    fn ask_for_retained(&mut self) -> Vec<usize> {
        let mut guests: BTreeMap<usize, usize> = BTreeMap::new();
        for index in 0..GUESTS {
            if guests.len() == self.hosts.len() || self.is_over() {
                break;
            }
            let name = format!("guest{index}");
            let who = self.client_called(&name);
            self.connect(who, &guest(), 2 * END_STEPS + index as u64);
            self.pass(2);
            match (self.oracle.home(&name), self.clients[who].accepted) {
                (Some(home), true) => {
                    guests.entry(home).or_insert(who);
                }
                // The shard is full: the sessions that are left go first.
                _ => return guests.into_values().collect(),
            }
        }
        let options = SubscriptionOptions {
            qos: Qos::AtLeastOnce,
            retain_handling: RetainHandling::SendAtSubscribe,
            ..SubscriptionOptions::default()
        };
        let asked_at = self.now;
        for who in guests.values().copied().collect::<Vec<_>>() {
            self.clients[who].collected.clear();
            for filter in ["#", "$app/#"] {
                self.subscribe(who, &[(filter, options)], 0, None);
            }
        }
        self.pass(10);
        let found: Vec<_> = guests
            .iter()
            .map(|(home, who)| (*home, self.clients[*who].collected.clone()))
            .collect();
        let is_possible = self.script.settings.max_topic_levels >= 2
            && self.script.settings.max_subscriptions_per_session >= 2;
        if !self.is_over() && guests.len() == self.hosts.len() && is_possible {
            self.oracle.check_retained(asked_at, &found);
            self.oracle.check_settled(self.now);
        }
        guests.into_values().collect()
    }

    fn clear(&mut self, guests: &[usize]) {
        if self.is_over() {
            return;
        }
        // Whoever is connected deletes what is retained.
        let deleter = guests
            .first()
            .copied()
            .or_else(|| self.clients.iter().position(|client| client.accepted));
        let is_clear = deleter.is_some();
        if let Some(who) = deleter {
            for (index, topic) in TOPICS.into_iter().enumerate() {
                let wish = PublishWish {
                    topic,
                    retain: true,
                    empty: true,
                    ..PublishWish::plain("t")
                };
                let is_shallow = topic.split('/').count() <= self.script.settings.max_topic_levels;
                if is_shallow {
                    self.publish(who, &wish, 3 * END_STEPS + index as u64);
                }
            }
        }
        self.pass(5);
        for (index, name) in self.oracle.session_names().into_iter().enumerate() {
            let who = self.client_called(&name);
            self.connect(
                who,
                &ConnectWish {
                    expiry_seconds: 0,
                    user: self.oracle.owner(&name),
                    ..guest()
                },
                4 * END_STEPS + index as u64,
            );
            self.pass(2);
            if let Some(link) = self.clients[who].link {
                self.cut_now(who, link);
            }
        }
        // Longer than any timer that is left: a Message Expiry Interval, a deletion that is remembered.
        self.pass(300);
        if self.is_over() || !is_clear {
            return;
        }
        let mut stats = Stats::default();
        for index in 0..self.hosts.len() {
            let host = &self.hosts[index];
            stats += host.shard.stats();
            self.oracle.check_footprint(index, &host.shard, host.empty);
        }
        self.trace.number(stats.messages_sent);
        self.oracle.check_store_empty();
    }

    fn cut_now(&mut self, who: usize, link: usize) {
        let connected = self.oracle.is_connected(link);
        self.act_cut(who, link, Cut::Close);
        debug_assert!(connected || self.is_over(), "the last clients are let in");
    }
}

/// A client that begins anew and takes everything.
fn guest() -> ConnectWish {
    ConnectWish {
        clean_start: true,
        ..ConnectWish::default()
    }
}
