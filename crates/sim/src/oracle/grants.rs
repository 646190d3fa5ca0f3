//! Permissions that change under sessions that are there.
//!
//! What is not allowed any more ends: subscriptions, the will, and what waits. What is in an output already may still leave;
//! what leaves after that, although it is denied, is a broken promise.

use super::Oracle;
use super::sessions::{Cause, Session};
use super::wire::Phase;
use crate::rules::denied_by;
use weir_codec::TopicFilter;
use weir_engine::End;

impl Oracle {
    /// Other rules are in force on a shard. Who loses a subscription there, or may not be there at all, is disconnected.
    pub(super) fn rules_changed(&mut self, shard: usize, rules: u8) {
        let is_judged = |session: &Session| {
            session.shard == shard && session.rules.is_some_and(|of| of != rules)
        };
        let mut judged = Vec::new();
        for session in self.sessions.those_mut(is_judged) {
            let denied = denied_by(rules);
            if let Ok(denied) = denied {
                session.permit(denied, Some(rules));
            }
            judged.push((session.client_id.clone(), session.link, denied.is_err()));
        }
        for (client_id, link, is_withdrawn) in judged {
            let has_lost = is_withdrawn || !self.regrant(&client_id).is_empty();
            if let (true, Some(link)) = (has_lost, link) {
                self.must_end(link, End::PermissionWithdrawn, "it has lost its permission");
            }
        }
    }

    /// What a session was allowed and is not any more ends. Returns the subscriptions that do.
    pub(super) fn regrant(&mut self, client_id: &str) -> Vec<String> {
        let Some(session) = self.sessions.get_mut(client_id) else {
            return Vec::new();
        };
        let is_denied = |filter: &&String| {
            let filter = TopicFilter::try_from(filter.as_str());
            filter.is_ok_and(|filter| session.denies(filter.filter()))
        };
        let ended: Vec<_> = session
            .subscriptions
            .keys()
            .filter(is_denied)
            .cloned()
            .collect();
        let will = session.will.as_ref();
        if will.is_some_and(|will| session.denies(will.message.topic.as_str())) {
            session.will = None;
        }
        let mut debts = std::mem::take(&mut session.debts);
        for debt in &mut debts {
            if session.must_not_receive(debt.instance.message.topic.as_str()) {
                debt.must = false;
                debt.denied_at = debt.denied_at.or(Some(self.now));
                if let Cause::Group(id) = debt.cause {
                    self.groups[id].must = false;
                }
            } else {
                debt.denied_at = None;
            }
        }
        session.debts = debts;
        for filter in &ended {
            self.leave(client_id, filter);
        }
        ended
    }

    /// The server stops: everybody is told so.
    pub(super) fn shut_down(&mut self, shard: usize) {
        for link in 0..self.wires.len() {
            let wire = &self.wires[link];
            let is_here = matches!(
                wire.phase,
                Phase::Waiting | Phase::Deciding | Phase::Connected
            );
            if is_here && wire.shard == shard {
                self.must_end(link, End::Shutdown, "the server stops");
            }
        }
    }
}
