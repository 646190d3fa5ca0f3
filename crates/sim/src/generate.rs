//! From a seed to a script.
//!
//! What makes bugs is not many clients but many meetings, so there are few topics, few names, small limits, and most of
//! the time somebody is just being taken over, stalled or reset. Limits are drawn small on purpose: a queue that never
//! fills tests nothing.

use crate::random::Random;
use crate::script::{
    Action, ConnectWish, Cut, Habit, Misdeed, PublishWish, Script, Step, StoreHabit, User, WillWish,
};
use weir_codec::{Qos, ReasonCode, RetainHandling, SubscriptionOptions, Version};
use weir_engine::{Settings, SlowReader};

/// Every topic that is published to.
pub(crate) const TOPICS: [&str; 9] = [
    "t",
    "t/a",
    "t/b",
    "t/a/b",
    "long/topic/name",
    "long/topic/other",
    "$app/x",
    "private/x",
    "u/v",
];

const FILTERS: [&str; 14] = [
    "#",
    "t/#",
    "t/+",
    "+/a",
    "t/a",
    "t/a/b",
    "long/#",
    "long/topic/name",
    "$app/#",
    "+/+/+",
    "private/#",
    "u/v",
    "t",
    "a/#/b",
];

const SHARED: [&str; 5] = [
    "$share/g/t/#",
    "$share/g/t/+",
    "$share/h/t/#",
    "$share/h/long/#",
    "$share/g/u/v",
];

/// How clients ask to be treated when they are slow; the last is not known.
const WISHES: [&str; 8] = [
    "latest-per-topic",
    "latest-per-topic",
    "latest-per-topic",
    "drop-oldest",
    "drop-oldest",
    "drop-newest",
    "disconnect",
    "fastest",
];

const PURPOSE: u64 = 1;

/// So many clients publish steadily, less than so many times after each step.
const STEADY: u64 = 4;

/// The script of a seed.
#[must_use]
pub fn generate(seed: u64) -> Script {
    let mut draw = Draw {
        random: Random::of(seed, PURPOSE, 0),
        more: Random::of(seed, PURPOSE, 1),
        steady: Random::of(seed, PURPOSE, 2),
        habits: 0,
        is_durable: false,
        is_narrow: false,
    };
    draw.script(seed)
}

struct Draw {
    random: Random,
    /// For what was thought of later, so that the rest stays as it was.
    more: Random,
    /// For those who publish steadily.
    steady: Random,
    /// Which of the habits below this seed's clients have.
    habits: u64,
    /// Whether there is a store.
    is_durable: bool,
    /// Whether most is about two topics.
    is_narrow: bool,
}

impl Draw {
    fn script(&mut self, seed: u64) -> Script {
        self.habits = self.random.next();
        self.is_durable = self.random.percent(60);
        self.is_narrow = self.more.percent(40);
        let (clients, steps) = match self.more.percent(3) {
            true => (self.more.between(24, 48), self.more.between(150, 400)),
            false => (self.random.between(2, 12), self.random.between(20, 220)),
        };
        let pace_millis = self.random.pick(&[5, 40, 200, 1000]);
        let is_steady = self.steady.percent(40);
        let mut at = 0;
        let mut list = Vec::new();
        for number in 0..steps {
            at += self.random.below(2 * pace_millis);
            let client = self.random.below(clients);
            // Everybody begins with a connection.
            let action = if number < clients {
                Action::Connect(Box::new(self.connect()))
            } else {
                self.action()
            };
            list.push(Step {
                number,
                at,
                client: usize::try_from(if number < clients { number } else { client })
                    .unwrap_or(0),
                action,
            });
            if is_steady && number > clients {
                list.extend(self.steadily(steps + STEADY * number, at, clients));
            }
        }
        Script {
            seed,
            shards: self.random.pick(&[1, 2, 2, 3, 4]),
            clients: usize::try_from(clients).unwrap_or(0),
            settings: self.settings(),
            slow_reader: self.slow_reader(),
            crowded_bytes: self.more.pick(&[usize::MAX, usize::MAX, 1000, 10_000]),
            has_past: self.is_durable && self.more.percent(25),
            last_packet_id: self.more.pick(&[0, 0, 65_520]),
            mail_delay_millis: self.random.pick(&[0, 2, 20, 300]),
            latency_millis: self.random.pick(&[0, 5, 50, 400]),
            store: StoreHabit {
                gather_millis: self.random.pick(&[0, 1, 20, 200]),
                sync_millis: self.random.pick(&[0, 2, 30, 1000]),
                segment_batches: self.random.pick(&[1, 3, 20]),
                batch_bytes: self.more.pick(&[1, 500, 1 << 20]),
                garbage_bytes: self.random.pick(&[0, 1000, 1 << 20]),
                jump_millis: self.random.pick(&[0, 0, 2000, 60_000, -60_000, 3_600_000]),
            },
            steps: list,
        }
    }

    /// Some of the clients go on with a topic of theirs, whatever happens.
    fn steadily(&mut self, number: u64, at: u64, clients: u64) -> Vec<Step> {
        let times = self.steady.below(STEADY);
        let steps = (0..times).map(|more| {
            let client = self.steady.below(clients.min(STEADY));
            let topic = self.steady.pick(&["t/a", "long/topic/name"]);
            let topic = if client == 0 {
                "long/topic/name"
            } else {
                topic
            };
            let publish = PublishWish::plain(topic);
            Step {
                number: number + more,
                at,
                client: usize::try_from(client).unwrap_or(0),
                action: Action::Publish(publish),
            }
        });
        steps.collect()
    }

    fn settings(&mut self) -> Settings {
        let takeovers_maximum = self.more.pick(&[u32::MAX, u32::MAX, 1, 2]);
        let random = &mut self.random;
        Settings {
            takeovers_maximum,
            takeover_pause_seconds: self.more.pick(&[1, 5, 30]),
            slow_reader_bytes: self.more.pick(&[300, 3000, 1 << 20]),
            max_packet_bytes: 1 << 16,
            receive_maximum: random.pick(&[3, 10, 256]),
            topic_alias_maximum: random.pick(&[0, 2, 64]),
            outgoing_alias_maximum: random.pick(&[0, 1, 64]),
            inflight_maximum: random.pick(&[1, 4, 1024]),
            outbox_bytes: random.pick(&[100, 1000, 256 << 10]),
            queue_messages: random.pick(&[4, 20, 8192]),
            queue_bytes: random.pick(&[2000, 20_000, 16 << 20]),
            max_subscriptions_per_session: random.pick(&[2, 100]),
            max_topic_levels: random.pick(&[2, 128]),
            max_sessions: random.pick(&[3, 1000, 1000, 1000]),
            max_retained_messages: random.pick(&[2, 1000, 1000]),
            max_retained_bytes: 1 << 30,
            session_expiry_max_seconds: random.pick(&[20, 7 * 24 * 3600]),
            server_keep_alive_seconds: random.pick(&[0, 0, 0, 7]),
            tolerates_receive_maximum_exceeded: false,
            is_durable: self.is_durable,
            ..Settings::default()
        }
    }

    fn action(&mut self) -> Action {
        if self.is_durable && self.habits & 2 == 0 && self.random.percent(4) {
            return self.accident();
        }
        if self.habits & 4 == 0 && self.random.percent(3) {
            return Action::Rules(self.random.pick(&[0, 1, 1, 2]));
        }
        if self.more.percent(7) {
            return self.later_thought();
        }
        match self.random.below(100) {
            0..14 => Action::Connect(Box::new(self.connect())),
            14..30 => self.subscribe(),
            30..35 => Action::Unsubscribe(vec![self.filter()]),
            35..78 => Action::Publish(self.publish(true)),
            78..82 => self.disconnect(),
            82..88 => Action::Cut(self.random.pick(&[Cut::Close, Cut::Reset, Cut::HalfOpen])),
            88..91 => Action::Stall(self.random.pick(&[100, 2000, 20_000])),
            91..96 => Action::Habit(self.habit()),
            96..97 => Action::Ping,
            _ => Action::Misbehave(self.misdeed()),
        }
    }

    fn accident(&mut self) -> Action {
        match self.random.below(10) {
            0..5 => Action::Crash(self.random.pick(&[0, 100, 3000, 20_000])),
            5 => self
                .random
                .pick(&[Action::StoreFails, Action::Shutdown(500)]),
            6..8 => Action::StoreStalls(self.random.pick(&[50, 1000, 20_000])),
            _ => Action::StoreFull(self.random.pick(&[100, 5000])),
        }
    }

    fn later_thought(&mut self) -> Action {
        match self.more.below(20) {
            0..7 if self.habits & 4 == 0 => Action::Rules(1),
            7..10 => Action::Stall(3000),
            0..18 => Action::Reauthenticate(self.more.pick(&[
                User::Plain,
                User::Plain,
                User::Limited,
                User::Limited,
                User::Limited,
                User::Slow,
                User::Token,
                User::Owner,
                User::File,
                User::Refused,
            ])),
            _ => Action::Misbehave(self.more.pick(&[
                Misdeed::StrayAuth,
                Misdeed::OtherMethod,
                Misdeed::Hasty,
                Misdeed::EarlyComplete,
                Misdeed::TooMuch,
                Misdeed::TooMuch,
            ])),
        }
    }

    /// How a listener treats slow readers, if it says so.
    fn slow_reader(&mut self) -> Option<SlowReader> {
        self.more
            .percent(40)
            .then(|| self.more.pick(&SlowReader::ALL))
    }

    fn connect(&mut self) -> ConnectWish {
        let will = self.random.percent(40).then(|| WillWish {
            publish: PublishWish {
                empty: false,
                count: 1,
                ..self.publish(false)
            },
            delay_seconds: self.random.pick(&[0, 0, 1, 5, 100]),
        });
        let is_judged_by_rules = self.habits & 4 == 0 && self.more.percent(60);
        let random = &mut self.random;
        let wish = ConnectWish {
            version: random.pick(&[
                Version::V5,
                Version::V5,
                Version::V5,
                Version::V3_1_1,
                Version::V3_1,
            ]),
            clean_start: random.percent(30),
            expiry_seconds: random.pick(&[0, 2, 30, 30, 300, u32::MAX]),
            keep_alive_seconds: random.pick(&[0, 0, 3, 20]),
            pings: random.percent(85),
            receive_maximum: random.pick(&[0, 0, 1, 2, 10]),
            max_packet_bytes: random.pick(&[0, 0, 0, 0, 60, 120, 400, 15]),
            topic_alias_maximum: random.pick(&[0, 1, 10]),
            will,
            user: random.pick(&[
                User::Plain,
                User::Plain,
                User::Plain,
                User::Plain,
                User::Plain,
                User::Slow,
                User::Slow,
                User::Limited,
                User::Never,
                User::Refused,
                User::Token,
                User::Owner,
                User::File,
                User::File,
            ]),
            in_steps: self.more.percent(30),
            anonymous: random.percent(3),
            capacity_bytes: random.pick(&[50, 2000, 64 << 10]),
        };
        match is_judged_by_rules {
            true => ConnectWish {
                user: User::File,
                ..wish
            },
            false => wish,
        }
    }

    fn filter(&mut self) -> &'static str {
        if self.is_narrow && self.more.percent(60) {
            self.more.pick(&["#", "t/#", "long/#", "$share/g/t/#"])
        } else if self.random.percent(30) {
            self.random.pick(&SHARED)
        } else {
            self.random.pick(&FILTERS)
        }
    }

    fn subscribe(&mut self) -> Action {
        let mut filters: Vec<(&'static str, SubscriptionOptions)> = Vec::new();
        for _ in 0..self.random.pick(&[1, 1, 1, 2, 3]) {
            let filter = match self.more.below(20) {
                0..8 if self.habits & 4 == 0 => "#",
                18.. => "private/#",
                _ => self.filter(),
            };
            if filters.iter().all(|(other, _)| *other != filter) {
                filters.push((filter, self.options(filter)));
            }
        }
        Action::Subscribe {
            filters,
            identifier: self.random.pick(&[0, 0, 1, 2, 300]),
            slow_reader: self.more.percent(35).then(|| self.more.pick(&WISHES)),
        }
    }

    fn options(&mut self, filter: &str) -> SubscriptionOptions {
        let random = &mut self.random;
        SubscriptionOptions {
            qos: random.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]),
            // [MQTT-3.8.3-4]: never with a shared subscription.
            no_local: !filter.starts_with('$') && random.percent(20),
            retain_as_published: random.percent(50),
            retain_handling: random.pick(&[
                RetainHandling::SendAtSubscribe,
                RetainHandling::SendAtSubscribe,
                RetainHandling::SendIfNew,
                RetainHandling::DoNotSend,
            ]),
        }
    }

    fn publish(&mut self, bursts: bool) -> PublishWish {
        let habits = self.habits;
        let topic = match self.is_narrow {
            true => self.more.pick(&["t/a", "long/topic/name"]),
            false => self.random.pick(&TOPICS),
        };
        let random = &mut self.random;
        PublishWish {
            topic,
            qos: random.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]),
            retain: random.percent(35),
            empty: random.percent(8),
            payload_bytes: usize::try_from(random.pick(&[12, 20, 100, 700, 3000])).unwrap_or(12),
            life_seconds: random
                .percent(15)
                .then_some(())
                .map(|()| random.pick(&[1, 4, 60])),
            aliased: random.percent(30),
            adorned: random.percent(25),
            count: if bursts && habits & 1 == 0 {
                random.pick(&[1, 1, 1, 1, 3, 40])
            } else {
                1
            },
        }
    }

    fn disconnect(&mut self) -> Action {
        Action::Disconnect {
            reason: self.random.pick(&[
                ReasonCode::Success,
                ReasonCode::Success,
                ReasonCode::DisconnectWithWillMessage,
            ]),
            expiry_seconds: self
                .random
                .percent(30)
                .then_some(())
                .map(|()| self.random.pick(&[0, 3, 50])),
        }
    }

    fn habit(&mut self) -> Habit {
        self.random.pick(&[
            Habit::Prompt,
            Habit::Prompt,
            Habit::Slow(30),
            Habit::Slow(3000),
            Habit::Never,
        ])
    }

    fn misdeed(&mut self) -> Misdeed {
        self.random.pick(&[
            Misdeed::SecondConnect,
            Misdeed::ServersPacket,
            Misdeed::Garbage,
            Misdeed::AliasTooLarge,
            Misdeed::AliasUnknown,
            Misdeed::WrongAck,
            Misdeed::StrayAck,
            Misdeed::StrayRelease,
            Misdeed::Repeat,
            Misdeed::Repeat,
            Misdeed::Repeat,
            Misdeed::Overrun,
            Misdeed::Forge,
        ])
    }
}
