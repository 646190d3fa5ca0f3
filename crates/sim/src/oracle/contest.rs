//! A client id that is fought for: who keeps it, in the model.
//!
//! So many takeovers may follow each other. Then the connection that is there keeps its client id for as long as others keep
//! coming, unless it was asked for a sign of life and has given none.

use super::Oracle;
use super::wire::Wire;
use crate::client::LinkId;
use weir_engine::Refusal;

/// How long a connection has to give a sign of life, in milliseconds.
const ANSWER_MILLIS: u64 = 5000;

/// What a connection's client id has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contest {
    /// How many takeovers followed each other until this connection had it.
    takeovers: u32,
    /// When somebody last came for it.
    at: u64,
    /// Since when a sign of life is awaited.
    asked_at: Option<u64>,
    is_told: bool,
}

impl Oracle {
    /// Whether a newcomer that is admitted is kept out nevertheless.
    pub(super) fn keeps_out(&mut self, client_id: &str) -> Option<Refusal> {
        let holder = self.sessions.get(client_id)?.link?;
        let settings = &self.settings;
        let (wire, pause) = (&self.wires[holder], settings.takeover_pause_seconds);
        let is_kept = wire.is_fought_for(self.now, pause)
            && wire.contest.takeovers >= settings.takeovers_maximum;
        self.step.holder = is_kept.then_some(holder);
        is_kept.then_some(Refusal::Contested {
            retry_seconds: pause,
        })
    }

    /// A newcomer is kept out, and the holder asked for a sign of life.
    pub(super) fn contested(&mut self, newcomer: LinkId, is_news: bool) {
        let now = self.now;
        let Some(holder) = self.step.holder else {
            return self.fail(format!("link {newcomer} is kept from its client id"));
        };
        let Wire {
            contest, alive_at, ..
        } = &mut self.wires[holder];
        contest.at = now;
        if contest.asked_at.is_none_or(|asked| asked <= *alive_at) {
            contest.asked_at = Some(now);
        }
        if std::mem::replace(&mut contest.is_told, true) == is_news {
            self.fail(format!("the log is told of a loop: {is_news}"));
        }
    }

    /// A newcomer takes a client id over from somebody.
    pub(super) fn takes_over(&mut self, newcomer: LinkId, holder: LinkId) {
        let earlier = &self.wires[holder];
        let pause = self.settings.takeover_pause_seconds;
        let before = match earlier.is_fought_for(self.now, pause) {
            true => earlier.contest.takeovers,
            false => 0,
        };
        self.wires[newcomer].contest = Contest {
            takeovers: before + 1,
            at: self.now,
            ..Contest::default()
        };
    }

    /// Bytes came from a client.
    pub(crate) fn heard(&mut self, now: u64, link: LinkId) {
        self.wires[link].heard_at = now;
        self.alive(now, link);
    }

    /// A transport gave a sign of life.
    pub(crate) fn alive(&mut self, now: u64, link: LinkId) {
        self.wires[link].alive_at = now;
    }
}

impl Wire {
    fn is_fought_for(&self, now: u64, pause_seconds: u32) -> bool {
        let contest = &self.contest;
        let silent = |asked: u64| self.alive_at < asked && now >= asked + ANSWER_MILLIS;
        let is_dead = contest.asked_at.is_some_and(silent);
        contest.takeovers > 0 && now < contest.at + u64::from(pause_seconds) * 1000 && !is_dead
    }
}
