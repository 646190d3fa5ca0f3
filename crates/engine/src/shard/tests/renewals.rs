//! A day of tokens that end and are renewed, for ten thousand sessions on one shard: nobody is ever disconnected, and what
//! is published while a renewal is being judged arrives before its answer.

use crate::{AllowAll, ConnectionKey, Effect, Grant, Input, Instant, Settings, Shard, ShardId};
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use weir_codec::*;

const SESSIONS: usize = 10_000;
const DAY_SECONDS: u32 = 24 * 3600;
const LIFE_SECONDS: u32 = 4 * 3600;
/// A client renews when less than this is left of its token.
const EARLY_SECONDS: u32 = 300;
const STEP_SECONDS: u32 = 60;

struct Day {
    shard: Shard,
    now: Instant,
    /// Each session's connection and the end of its token.
    sessions: Vec<(ConnectionKey, Instant)>,
    publisher: ConnectionKey,
    renewals: usize,
}

impl Day {
    fn begin() -> Self {
        let mut day = Self {
            shard: Shard::new(ShardId(0), 1, Settings::default(), 7),
            now: Instant::from_millis(0),
            sessions: Vec::with_capacity(SESSIONS),
            publisher: ConnectionKey::default(),
            renewals: 0,
        };
        day.publisher = day.connect("publisher", None);
        for number in 0..SESSIONS {
            // As if they had come one after another over the time a token lives.
            let left = EARLY_SECONDS
                + 60
                + u32::try_from(number).unwrap() % (LIFE_SECONDS - EARLY_SECONDS);
            let end = day.now.plus_seconds(left);
            let connection = day.connect(&format!("c{number}"), Some(end));
            let filters = [(&*format!("t/{number}"), SubscriptionOptions::default())];
            day.tell(
                connection,
                Packet::Subscribe(Subscribe {
                    packet_id: PacketId::new(1).unwrap(),
                    filters: SubscribeFilters::new(filters).unwrap(),
                    properties: Properties::default(),
                }),
            );
            day.sessions.push((connection, end));
        }
        for (connection, _) in day.sessions.clone() {
            day.take(connection);
        }
        day
    }

    fn connect(&mut self, client_id: &str, expires_at: Option<Instant>) -> ConnectionKey {
        let deadline = self.now.plus_seconds(10);
        let connection = self.shard.open(self.now, deadline);
        self.tell(
            connection,
            Packet::Connect(Box::new(Connect {
                version: Version::V5,
                clean_start: true,
                keep_alive_seconds: 0,
                client_id: Utf8::try_from(client_id).unwrap(),
                will: None,
                username: None,
                password: None,
                properties: [Property::AuthenticationMethod("JWT")]
                    .into_iter()
                    .collect(),
            })),
        );
        self.answer(connection, expires_at);
        connection
    }

    fn tell(&mut self, connection: ConnectionKey, packet: Packet) {
        self.shard
            .handle(self.now, Input::Packet { connection, packet });
    }

    /// Whoever judges says yes, until then.
    fn answer(&mut self, connection: ConnectionKey, expires_at: Option<Instant>) {
        let answer = Ok(Grant {
            expires_at,
            ..Grant::new(Arc::new(AllowAll))
        });
        self.shard
            .handle(self.now, Input::Authenticated { connection, answer });
        while let Some(effect) = self.shard.poll_effect() {
            let is_end = matches!(effect, Effect::Close { .. });
            assert!(!is_end, "at {:?}: {effect:?}", self.now);
        }
    }

    /// What a client was sent, as packet names.
    fn take(&mut self, connection: ConnectionKey) -> Vec<&'static str> {
        while self.shard.poll_dirty().is_some() {}
        let mut out = Output::new();
        self.shard.transmit(self.now, connection, &mut out);
        let mut decoder = Decoder::client(Version::V5, u32::MAX);
        for part in out.parts(self.shard.segment()) {
            decoder.push(Bytes::copy_from_slice(part));
        }
        core::iter::from_fn(|| decoder.next_packet().unwrap().map(|packet| packet.name())).collect()
    }

    fn renew(&mut self, number: usize) {
        let (connection, _) = self.sessions[number];
        self.tell(
            connection,
            Packet::Auth(Auth {
                reason: ReasonCode::ReAuthenticate,
                properties: [Property::AuthenticationMethod("JWT")]
                    .into_iter()
                    .collect(),
            }),
        );
        self.tell(
            self.publisher,
            Packet::Publish(Publish {
                dup: false,
                retain: false,
                delivery: Delivery::AtMostOnce,
                topic: Some(TopicName::try_from(&*format!("t/{number}")).unwrap()),
                payload: Bytes::from_static(b"x"),
                properties: Properties::default(),
            }),
        );
        let end = self.now.plus_seconds(LIFE_SECONDS);
        self.answer(connection, Some(end));
        assert_eq!(
            self.take(connection),
            ["PUBLISH", "AUTH"],
            "session {number} at {:?}",
            self.now
        );
        self.sessions[number].1 = end;
        self.renewals += 1;
    }

    fn step(&mut self) {
        self.now = self.now.plus_seconds(STEP_SECONDS);
        if self.shard.next_timeout().is_some_and(|at| at <= self.now) {
            self.shard.handle(self.now, Input::Timeout);
        }
        assert!(
            self.shard.poll_effect().is_none(),
            "somebody was ended at {:?}",
            self.now
        );
        let soon = self.now.plus_seconds(EARLY_SECONDS);
        for number in 0..SESSIONS {
            if self.sessions[number].1 <= soon {
                self.renew(number);
            }
        }
    }
}

#[test]
fn ten_thousand_sessions_renew_their_tokens_for_a_day_without_a_gap() {
    let mut day = Day::begin();
    for _ in 0..DAY_SECONDS / STEP_SECONDS {
        day.step();
    }
    assert_eq!(day.shard.stats().connections, SESSIONS as u64 + 1);
    let least = SESSIONS * (DAY_SECONDS / LIFE_SECONDS) as usize;
    assert!(day.renewals >= least, "{} renewals", day.renewals);
    // It was the renewals: without them everybody is ended.
    day.now = day.now.plus_seconds(LIFE_SECONDS);
    day.shard.handle(day.now, Input::Timeout);
    assert_eq!(day.shard.stats().connections, 1);
}
