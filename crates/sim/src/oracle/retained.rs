//! Retained messages in the model: every value that was ever set for a topic, and which of them can be the one.
//!
//! Two shards may set one topic at the same moment, and either value may win, on all shards alike. A value that was set
//! where another was already known beats it. What can be the value of a topic on a shard is therefore any value that is
//! known there and not beaten by another that is.

use super::routing::Instance;
use super::sessions::{Cause, Debt, Session};
use super::{LATE_MILLIS, Oracle, matches};
use crate::message::{Identity, Message};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use weir_codec::TopicName;

/// All values, and for each topic those that were set for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retained {
    values: Vec<Value>,
    topics: BTreeMap<String, Vec<usize>>,
    /// Until when timers are late, the broker having been started just now.
    pub(super) late_until: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Value {
    /// `None`: a deletion.
    pub(crate) message: Option<Rc<Message>>,
    pub(crate) expires_at: Option<u64>,
    /// Where it is known, and since which step.
    known: BTreeMap<usize, u64>,
    beats: BTreeSet<usize>,
    step: u64,
    /// It may have found no room.
    pub(crate) is_doubtful: bool,
    pub(crate) instance: Option<Rc<Instance>>,
}

/// Whether a message finds room to be retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Yes,
    No,
    /// It hangs on which of several values a topic has, or on whether one has expired.
    Maybe,
}

impl Retained {
    /// The values that this topic can have on a shard.
    pub(crate) fn candidates(&self, shard: usize, topic: &str) -> Vec<usize> {
        self.candidates_at(shard, topic, u64::MAX)
    }

    /// Those that it could have after a step.
    fn candidates_at(&self, shard: usize, topic: &str, step: u64) -> Vec<usize> {
        let Some(all) = self.topics.get(topic) else {
            return Vec::new();
        };
        let known: Vec<usize> = all
            .iter()
            .copied()
            .filter(|value| {
                let since = self.values[*value].known.get(&shard);
                since.is_some_and(|since| *since <= step)
            })
            .collect();
        let is_beaten = |value: &usize| {
            known
                .iter()
                .any(|other| self.values[*other].beats.contains(value))
        };
        known
            .iter()
            .copied()
            .filter(|value| !is_beaten(value))
            .collect()
    }

    pub(crate) fn value(&self, id: usize) -> &Value {
        &self.values[id]
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &String> {
        self.topics.keys()
    }

    /// Whether the topic has a message on this shard: surely, possibly.
    fn holds(&self, shard: usize, topic: &str, now: u64) -> (bool, bool) {
        let candidates = self.candidates(shard, topic);
        // One that has expired is tidied away by a timer, which may be late.
        let is_message = |id: &usize| {
            let value = &self.values[*id];
            let may_last = |at: u64| at + LATE_MILLIS > now || now <= self.late_until;
            value.message.is_some() && value.expires_at.is_none_or(may_last)
        };
        let lasts = |id: &usize| {
            self.values[*id].expires_at.is_none_or(|at| at > now) && !self.values[*id].is_doubtful
        };
        let surely =
            !candidates.is_empty() && candidates.iter().all(|id| is_message(id) && lasts(id));
        (surely, candidates.iter().any(is_message))
    }

    /// The broker was started again: every shard has what the keeper of each topic had when it was cut off, in which step
    /// stands in `cuts`. Where nobody has kept anything it may be what any had.
    pub(super) fn restart(
        &mut self,
        cuts: &[u64],
        keepers: &BTreeMap<TopicName, usize>,
        shards: usize,
        step: u64,
    ) {
        let keepers: BTreeMap<&str, usize> = keepers
            .iter()
            .map(|(topic, shard)| (topic.as_str(), *shard))
            .collect();
        let topics: Vec<String> = self.topics.keys().cloned().collect();
        for topic in topics {
            let keeper = keepers.get(topic.as_str());
            let shards_asked = keeper.map_or(0..cuts.len(), |keeper| *keeper..keeper + 1);
            let of_shard = |shard: usize| self.candidates_at(shard, &topic, cuts[shard]);
            let each: Vec<Vec<usize>> = shards_asked.map(of_shard).collect();
            let may_be_nothing = each.iter().any(Vec::is_empty);
            let possible: BTreeSet<usize> = each.into_iter().flatten().collect();
            for id in self.topics.get(&topic).into_iter().flatten() {
                let value = &mut self.values[*id];
                value.known.clear();
                if possible.contains(id) {
                    value.known.extend((0..shards).map(|shard| (shard, step)));
                    value.beats.retain(|other| !possible.contains(other));
                    value.is_doubtful |= may_be_nothing;
                }
            }
        }
    }

    /// Everything expires so much later.
    pub(super) fn shift(
        &mut self,
        now: u64,
        later: impl Fn(u64) -> u64,
        shifted: impl Fn(&Rc<Instance>) -> Rc<Instance>,
        is_kept: impl Fn(&TopicName) -> bool,
    ) {
        for value in &mut self.values {
            let has_expired = value.expires_at.is_some_and(|at| at <= now);
            let message = value.message.as_ref();
            if has_expired && message.is_none_or(|message| !is_kept(&message.topic)) {
                continue;
            }
            value.expires_at = value.expires_at.map(&later);
            value.instance = value.instance.as_ref().map(&shifted);
        }
    }

    /// `crowd`: how many others may come before it, of which the model does not know whether they do.
    fn room(
        &self,
        shard: usize,
        message: &Message,
        now: u64,
        (limit, crowd): (usize, usize),
    ) -> Room {
        let topic = message.topic.as_str();
        let (surely_here, possibly_here) = self.holds(shard, topic, now);
        if message.payload.is_empty() || surely_here {
            return Room::Yes;
        }
        let others = || self.topics.keys().filter(|other| *other != topic);
        let possibly = others()
            .filter(|other| self.holds(shard, other, now).1)
            .count();
        let surely = others()
            .filter(|other| self.holds(shard, other, now).0)
            .count();
        match (
            possibly + crowd < limit,
            surely >= limit + crowd && !possibly_here,
        ) {
            (true, _) => Room::Yes,
            (_, true) => Room::No,
            _ => Room::Maybe,
        }
    }
}

impl Oracle {
    /// A message is published on a shard: if it is to be retained, it becomes a value.
    pub(super) fn retain(
        &mut self,
        shard: usize,
        message: &Rc<Message>,
        expires_at: Option<u64>,
    ) -> (Room, Option<usize>) {
        if !message.retain {
            return (Room::Yes, None);
        }
        let limit = self.settings.max_retained_messages;
        let room = match self.is_full(shard) && !message.payload.is_empty() {
            true => Room::No,
            false => {
                let limits = (limit, self.step.crowd);
                self.retained.room(shard, message, self.now, limits)
            }
        };
        if room == Room::No {
            return (room, None);
        }
        let topic = message.topic.as_str();
        let is_doubtful = room == Room::Maybe;
        let mut beats = BTreeSet::new();
        if !is_doubtful {
            let known = self
                .retained
                .topics
                .get(topic)
                .into_iter()
                .flatten()
                .copied();
            for other in
                known.filter(|other| self.retained.values[*other].known.contains_key(&shard))
            {
                // Timers of one moment: the model does not know their order, so neither is the later one.
                if !(self.step.is_timeout && self.retained.values[other].step == self.step.number) {
                    beats.insert(other);
                    beats.extend(&self.retained.values[other].beats);
                }
            }
        }
        let id = self.retained.values.len();
        let instance = Rc::new(Instance {
            number: 0,
            message: Rc::clone(message),
            publisher: String::new(),
            expires_at,
            value: Some(id),
            needs: Rc::default(),
        });
        self.retained.values.push(Value {
            message: (!message.payload.is_empty()).then(|| Rc::clone(message)),
            expires_at,
            known: BTreeMap::new(),
            beats,
            step: self.step.number,
            is_doubtful,
            instance: Some(instance),
        });
        self.retained
            .topics
            .entry(topic.to_string())
            .or_default()
            .push(id);
        self.value_arrived(shard, id);
        (room, Some(id))
    }

    /// Whether a doubtful value was stored.
    pub(super) fn decide(&mut self, shard: usize, id: usize, is_stored: bool) {
        let topic = self.retained.values[id]
            .instance
            .as_ref()
            .map(|instance| instance.message.topic.clone());
        let Some(all) = topic.and_then(|topic| self.retained.topics.get_mut(topic.as_str())) else {
            return;
        };
        if !is_stored {
            all.retain(|other| *other != id);
            return;
        }
        let earlier: Vec<usize> = all.iter().copied().filter(|other| *other < id).collect();
        for other in earlier {
            let is_known = self.retained.values[other].known.contains_key(&shard);
            if is_known && self.retained.values[other].step != self.retained.values[id].step {
                let mut beaten = self.retained.values[other].beats.clone();
                beaten.insert(other);
                self.retained.values[id].beats.extend(beaten);
            }
        }
        self.retained.values[id].is_doubtful = false;
    }

    /// A value is known on one more shard. Replays of what it replaces need no longer come; they may be under way.
    pub(super) fn value_arrived(&mut self, shard: usize, id: usize) {
        let step = self.step.number;
        self.retained.values[id].known.insert(shard, step);
        let topic = self.retained.values[id]
            .instance
            .as_ref()
            .map(|instance| instance.message.topic.clone());
        let Some(topic) = topic else { return };
        let is_it = |debt: &Debt| {
            matches!(debt.cause, Cause::Replay(_)) && debt.instance.message.topic == topic
        };
        let owes = |session: &Session| session.shard == shard && session.debts.iter().any(is_it);
        for session in self.sessions.those_mut(owes) {
            for debt in session.debts.iter_mut().filter(|debt| is_it(debt)) {
                debt.must = false;
            }
        }
    }

    /// A subscription that wants retained messages is owed one of each topic that matches.
    pub(super) fn owe_replays(&mut self, client_id: &str, filter: &str) {
        let Some(session) = self.sessions.get_mut(client_id) else {
            return;
        };
        // An earlier replay for the same filter begins anew.
        let same = Cause::Replay(filter.to_string());
        session
            .debts
            .iter_mut()
            .filter(|debt| debt.cause == same)
            .for_each(|debt| debt.must = false);
        let (shard, link) = (session.shard, session.link);
        let Some(subscription) = session.subscriptions.get(filter).cloned() else {
            return;
        };
        let limit = link.map_or(usize::MAX, |link| {
            self.wires[link].max_packet_bytes() as usize
        });
        let topics: Vec<String> = self
            .retained
            .topics()
            .filter(|topic| matches(filter, topic))
            .cloned()
            .collect();
        for topic in topics {
            // It is looked up when SUBACK leaves: by then it may be allowed again.
            let session = self.sessions.get(client_id);
            let is_denied = session.is_some_and(|session| session.must_not_receive(&topic));
            let candidates = self.retained.candidates(shard, &topic);
            for id in &candidates {
                let value = self.retained.value(*id);
                let Some(instance) = value.instance.clone().filter(|_| value.message.is_some())
                else {
                    continue;
                };
                // Of several candidates the model does not know which one it is.
                let must = candidates.len() == 1
                    && !is_denied
                    && !value.is_doubtful
                    && instance.message.wire_bytes_at_most() <= limit;
                let debt = Debt {
                    denied_at: is_denied.then_some(self.now),
                    ..self.replay_debt(&instance, &subscription, filter, must)
                };
                if let (Identity::Numbered(number), true) =
                    (debt.instance.message.identity(), self.durable.is_on)
                {
                    self.count_entered(client_id, number);
                }
                if let Some(session) = self.sessions.get_mut(client_id) {
                    session.debts.push(debt);
                }
            }
        }
    }
}
