//! Who somebody is: one answer, or questions before it; and signs of life.
//!
//! Whoever judges a client asks it up to two questions where it authenticates in steps, and answers at once, late or never,
//! whatever the client has replied: what matters here is whose turn it is.

use super::{Event, World};
use crate::client::{LinkId, METHOD, auth};
use crate::oracle::Told;
use crate::rules::{Granted, Rules, TOKEN_MILLIS, judge};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use weir_codec::{Disconnect, Packet, Properties, ReasonCode};
use weir_engine::{ConnectionKey, Credentials, Grant, Input, Instant};

/// What a client is asked, and told at the end.
pub(crate) const QUESTION: &str = "and?";
pub(crate) const GOOD: &str = "good";

impl World<'_> {
    /// A client is to be judged.
    pub(super) fn ask(
        &mut self,
        shard: usize,
        key: ConnectionKey,
        link: LinkId,
        credentials: &Credentials,
    ) {
        let name = credentials.username.as_ref().map(|name| name.as_str());
        let data = credentials.data.as_deref().map(String::from_utf8_lossy);
        let at = &mut self.links[link];
        (at.claim, at.questions) = match (&credentials.method, data) {
            (Some(_), Some(data)) => (data.into_owned(), at.random.below(3)),
            _ => (name.unwrap_or_default().to_string(), 0),
        };
        self.judge_soon(shard, key, link);
    }

    /// The next question, or the answer.
    pub(super) fn judge_soon(&mut self, shard: usize, key: ConnectionKey, link: LinkId) {
        let at = &mut self.links[link];
        let delay = match at.claim.as_str() {
            "never" => return,
            "slow" => at.random.between(20, 5000),
            _ => at.random.below(3),
        };
        self.put(self.now + delay, Event::Answer { shard, key, link });
    }

    pub(super) fn answer(&mut self, shard: usize, connection: ConnectionKey, link: LinkId) {
        let at = &mut self.links[link];
        if at.questions > 0 {
            at.questions -= 1;
            let data = Bytes::from_static(QUESTION.as_bytes());
            let input = Input::Challenged { connection, data };
            self.tell(shard, &Told::Challenged { link }, input);
            return self.read(link);
        }
        // Some have expired by the time they are judged.
        let lasts = at
            .random
            .below(TOKEN_MILLIS)
            .saturating_sub(TOKEN_MILLIS / 10);
        let rules = self.rules.load(Ordering::Relaxed);
        let granted = judge(&at.claim, self.now, lasts, rules);
        let grant = |granted: Granted| Grant {
            user: granted
                .user
                .and_then(|user| weir_codec::Utf8::try_from(user).ok()),
            expires_at: granted.expires_at.map(Instant::from_millis),
            data: Some(Bytes::from_static(GOOD.as_bytes())),
            ..Grant::new(Arc::new(Rules {
                granted,
                current: Arc::clone(&self.rules),
            }))
        };
        let answer = granted.map(grant);
        let told = Told::Authenticated {
            link,
            answer: &granted,
        };
        self.tell(shard, &told, Input::Authenticated { connection, answer });
        self.read(link);
    }

    /// What a client makes of a question: mostly an answer.
    pub(super) fn reply(&mut self, who: usize, link: LinkId) {
        let packet = match self.links[link].random.below(20) {
            0 => auth(ReasonCode::ContinueAuthentication, "guesses", "so"),
            1 => auth(ReasonCode::ReAuthenticate, METHOD, "owner"),
            2 => Packet::PingReq,
            3 => Packet::Disconnect(Disconnect {
                reason: ReasonCode::Success,
                properties: Properties::default(),
            }),
            _ => auth(ReasonCode::ContinueAuthentication, METHOD, "so"),
        };
        self.send(who, &packet);
    }

    /// The transport that has a session is asked whether anybody is there.
    pub(super) fn ask_for_life(&mut self, shard: usize, holder: ConnectionKey) {
        let Some(link) = self.hosts[shard].links.get(&holder).copied() else {
            return;
        };
        let at = &mut self.links[link];
        let is_there = self.clients[at.client].link == Some(link) || at.random.percent(50);
        if is_there && !at.is_dead && !at.is_stalled {
            let delay = at.random.below(2 * self.script.latency_millis + 1);
            self.put(self.now + delay, Event::Pong { link });
        }
    }

    pub(super) fn pong(&mut self, link: LinkId) {
        if let Some((shard, key)) = self.links[link].place {
            let now = self.instant();
            self.hosts[shard].shard.alive(now, key);
            self.oracle.alive(self.now, link);
        }
    }
}
