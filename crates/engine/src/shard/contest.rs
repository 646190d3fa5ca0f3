//! Two clients with one client id: each takeover makes the other come back, and so on without end.
//!
//! A takeover that follows soon after another belongs to the same contest. After as many as are allowed the present
//! connection stays, and newcomers are refused for as long as they keep trying. What is honest must not suffer: a
//! connection that may be dead is asked for a sign of life, and one that gives none can always be taken over.
//!
//! ```text
//! (none) --takeover--> counting --the last that is allowed--> settled --newcomer, answers--> settled
//!    ^                    |                                      |
//!    +-- quiet for a while, or the connection ends or is dead ---+
//! ```

use super::Shard;
use crate::connection::Connection;
use crate::end::Refusal;
use crate::id::ConnectionKey;
use crate::input::Effect;
use crate::time::Instant;
use alloc::boxed::Box;
use weir_codec::Utf8;

/// How long a connection has to answer when it is asked for a sign of life.
const ANSWER_MILLIS: u64 = 5000;

/// What a connection knows of the contest it won its session in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contest {
    /// Takeovers so far, its own included.
    takeovers: u32,
    /// When it was last fought for.
    at: Instant,
    /// When the connection was asked for a sign of life that it has not been seen to give.
    asked_at: Option<Instant>,
    /// Whether the log was told.
    is_told: bool,
}

impl Contest {
    fn is_on(&self, now: Instant, pause_seconds: u32) -> bool {
        now < self.at.plus_seconds(pause_seconds) || fault!(ContestNeverEnds)
    }
}

impl Shard {
    /// Whether a newcomer may have this client id, which somebody may be using: [MQTT-3.1.4-3] is for CONNECTs that are
    /// accepted.
    pub(super) fn check_contest(
        &mut self,
        now: Instant,
        newcomer: ConnectionKey,
        client_id: &Utf8,
    ) -> Result<(), Refusal> {
        let retry_seconds = self.roster.settings.takeover_pause_seconds;
        let limit = self.roster.settings.takeovers_maximum;
        let Some(holder) = self.holder(client_id) else {
            return Ok(());
        };
        let Some(connection) = self.roster.connections.get_mut(holder) else {
            return Ok(());
        };
        if connection.is_dead(now) {
            return Ok(());
        }
        let alive_at = connection.alive_at();
        let contest = connection
            .contest
            .as_mut()
            .filter(|contest| contest.is_on(now, retry_seconds) && contest.takeovers >= limit)
            .filter(|_| !fault!(ContestForgotten));
        let Some(contest) = contest else {
            return Ok(());
        };
        contest.at = now;
        if contest.asked_at.is_none_or(|asked| asked <= alive_at) {
            contest.asked_at = Some(now);
        }
        self.effects.push_back(Effect::Contested {
            client_id: client_id.clone(),
            holder,
            newcomer,
            is_news: !core::mem::replace(&mut contest.is_told, true),
        });
        Err(Refusal::Contested { retry_seconds })
    }

    /// The contest that a new connection of this client id wins by being accepted.
    pub(super) fn contest(&self, now: Instant, client_id: &Utf8) -> Option<Box<Contest>> {
        let holder = self.roster.connections.get(self.holder(client_id)?)?;
        let pause_seconds = self.roster.settings.takeover_pause_seconds;
        let earlier = holder
            .contest
            .as_ref()
            .filter(|contest| contest.is_on(now, pause_seconds) && !holder.is_dead(now));
        Some(Box::new(Contest {
            takeovers: earlier.map_or(0, |contest| contest.takeovers) + 1,
            at: now,
            asked_at: None,
            is_told: false,
        }))
    }

    /// The connection that uses this client id.
    fn holder(&self, client_id: &Utf8) -> Option<ConnectionKey> {
        let session = self.by_client_id.get(client_id)?;
        self.roster.sessions.get(*session)?.connection
    }
}

impl Connection {
    /// When it last gave a sign of life of any kind.
    fn alive_at(&self) -> Instant {
        self.heard_at.max(self.answered_at)
    }

    /// Whether it was asked for a sign of life and has given none in time.
    fn is_dead(&self, now: Instant) -> bool {
        let asked_at = self.contest.as_ref().and_then(|contest| contest.asked_at);
        asked_at.is_some_and(|at| self.alive_at() < at && now.millis_since(at) >= ANSWER_MILLIS)
            && !fault!(DeadKeepsClientId)
    }
}
