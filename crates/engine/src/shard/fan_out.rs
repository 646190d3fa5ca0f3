//! From one message to everyone with interest: the sessions of this shard, the other shards, one member of each shared
//! subscription.
//!
//! The usual case, a topic matched by one filter, goes straight through. Where several filters match, a session that has
//! more than one of them gets one copy: the highest QoS, all subscription identifiers [MQTT-3.3.4-2],
//! [MQTT-3.3.4-3], [MQTT-3.3.4-4].

use super::Shard;
use crate::cast::Cast;
use crate::filters::Tree;
use crate::id::{SessionKey, ShardId, StoreTicket};
use crate::inflight::Identifiers;
use crate::input::Effect;
use crate::message::Message;
use crate::promises::Debtor;
use crate::remote::{Members, Remote};
use crate::retained::Stamp;
use crate::roster::Roster;
use crate::subscription::Subscription;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use smallvec::SmallVec;
use weir_codec::{Qos, TopicFilter, TopicName};
use weir_router::{GroupId, Matched, SharedGroup};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Routed {
    ToSome,
    ToNobody,
    /// It was delivered, but the limit on retained messages kept it from being stored.
    RetainedFull,
}

/// Who wants a message beyond this shard's own subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The other shards with subscriptions of their own; one may be named twice.
    pub(crate) shards: SmallVec<[ShardId; 8]>,
    /// The matching shared subscriptions, each with the shard chosen to pick a member.
    pub(crate) groups: SmallVec<[(ShardId, TopicFilter); 2]>,
}

impl Wanted {
    fn groups_of(&self, shard: ShardId) -> impl Iterator<Item = &TopicFilter> {
        self.groups
            .iter()
            .filter(move |(chosen, _)| *chosen == shard)
            .map(|(_, filter)| filter)
    }
}

impl Shard {
    /// Publishes a message of this shard: retains it if that is asked for [MQTT-3.3.1-8], delivers it here, hands it
    /// to the other shards that want it.
    pub(super) fn publish(
        &mut self,
        now: Instant,
        publisher: Option<SessionKey>,
        message: &Message,
    ) -> Routed {
        self.clock += 1;
        let stamp = self.clock;
        let mut cast = Cast::fresh(message, now);
        // What is deleted frees room, also where there is none.
        let store_full = self.roster.journal.is_full && !message.payload.is_empty();
        let retained_full =
            message.retain && (store_full || self.retained.check_room(message).is_err());
        let retains = message.retain && !retained_full;
        if retains {
            self.set_retained(now, &cast.keep(), (stamp, self.id));
        }
        let wanted = self.wanted(message);
        let mut delivered = self.fan_out(publisher, &mut cast);
        if message.may_have_encore() {
            self.note_wanted(&wanted);
        }
        for filter in wanted.groups_of(self.id) {
            if let Some(group) = self.subscriptions.group_id(filter) {
                let (roster, subscriptions) = (&mut self.roster, &self.subscriptions);
                delivered |= deliver_to_group(roster, subscriptions, group, &mut cast);
            }
        }
        delivered |= self.forward(publisher, &mut cast, &wanted, (stamp, retains));
        match (retained_full, delivered) {
            (true, _) => Routed::RetainedFull,
            (false, true) => Routed::ToSome,
            (false, false) => Routed::ToNobody,
        }
    }

    /// Who gets the message beside this shard's own subscriptions gets an encore, too.
    fn note_wanted(&mut self, wanted: &Wanted) {
        let encore = &mut self.roster.encore;
        // With several shards each message has to choose whose member has its turn. And who is in a choir must not be given
        // its turn before what was added for the choir.
        if !wanted.groups.is_empty() && (self.shards > 1 || encore.has_choirs()) {
            return encore.spoil();
        }
        encore.note_shards(&wanted.shards);
        for filter in wanted.groups_of(self.id) {
            if let Some(group) = self.subscriptions.group_id(filter) {
                encore.note_group(group);
            }
        }
    }

    /// Sets or deletes a topic's retained message, unless a later one is there.
    pub(super) fn set_retained(&mut self, now: Instant, message: &Arc<Message>, stamp: Stamp) {
        let timers = &mut self.timers;
        if self.retained.set(message, stamp, now, timers) {
            self.record_retained(message, stamp);
        }
    }

    /// Delivers a message that another shard published.
    pub(super) fn publish_remote(
        &mut self,
        now: Instant,
        message: Arc<Message>,
        groups: &[TopicFilter],
    ) {
        let content = (&message.topic, &message.payload[..], &message.properties);
        let is_plain = message.may_have_encore() && groups.is_empty();
        let is_repeated = is_plain && message.expires_at.is_none() && self.repeat(None, content);
        let mut cast = Cast::kept(message, now);
        if is_repeated {
            return self.repeat_elsewhere(None, &mut cast);
        }
        self.fan_out(None, &mut cast);
        if is_plain {
            self.roster.expect_encore(None, cast.message());
        }
        for filter in groups {
            if let Some(group) = self.subscriptions.group_id(filter) {
                deliver_to_group(&mut self.roster, &self.subscriptions, group, &mut cast);
            }
        }
    }

    /// Delivers to this shard's own subscriptions, shared ones aside; returns whether anybody matched.
    fn fan_out(&mut self, publisher: Option<SessionKey>, cast: &mut Cast<'_>) -> bool {
        let mut matches: SmallVec<[&[(SessionKey, Subscription)]; 8]> = SmallVec::new();
        self.subscriptions
            .matches(&cast.message().topic, |matched| {
                if let Matched::Each(entries) = matched {
                    matches.push(entries);
                }
            });
        cast.expect(matches.iter().map(|entries| entries.len()).sum());
        let published_retain = cast.message().retain;
        let is_repeatable = cast.message().may_have_encore();
        match is_repeatable {
            true => self.roster.begin_encore(publisher, &cast.message().topic),
            false => self.roster.interrupt_encore(),
        }
        let keeps_retain = |subscription: &Subscription| {
            subscription.retain_as_published || fault!(RetainFlagKept)
        };
        match matches.as_slice() {
            [] => return false,
            [entries] => {
                for (session, subscription) in *entries {
                    if !is_own(publisher, *session, subscription) {
                        // [MQTT-3.3.1-12], [MQTT-3.3.1-13]
                        let retain = published_retain && keeps_retain(subscription);
                        let identifiers = subscription.identifiers();
                        let share =
                            self.roster
                                .deliver(*session, subscription, identifiers, retain, cast);
                        if is_repeatable {
                            self.roster
                                .note(*session, subscription, share, cast.message());
                        }
                    }
                }
            }
            several => {
                for (session, (mut subscription, identifiers)) in merge(several, publisher) {
                    let retain = published_retain && keeps_retain(&subscription);
                    let share =
                        self.roster
                            .deliver(session, &subscription, &identifiers, retain, cast);
                    if is_repeatable && share.is_none() && identifiers.len() > 1 {
                        self.roster.encore.spoil();
                    }
                    subscription.identifier = identifiers.first().copied().unwrap_or(0);
                    if is_repeatable {
                        self.roster
                            .note(session, &subscription, share, cast.message());
                    }
                }
            }
        }
        true
    }

    /// Who wants the message beyond this shard's own subscriptions, found in one pass.
    fn wanted(&self, message: &Message) -> Wanted {
        let mut wanted = Wanted::default();
        if self.interest.is_empty() {
            return wanted;
        }
        self.interest
            .matches(&message.topic, |matched| match matched {
                Matched::Each(shards) => {
                    wanted.shards.extend(shards.iter().map(|(shard, _)| *shard));
                }
                Matched::OneOf(group) => {
                    if let Some(shard) = choose_shard(group) {
                        wanted.groups.push((shard, group.filter().clone()));
                    }
                }
            });
        wanted
    }

    /// Whether the session is in the durable state.
    fn lasts(&self, session: Option<SessionKey>) -> bool {
        let session = session.and_then(|key| self.roster.sessions.get(key));
        session.is_some_and(|session| session.number.is_some())
    }

    /// Hands the message to the other shards that want it, and to all of them if it is retained.
    pub(super) fn forward(
        &mut self,
        publisher: Option<SessionKey>,
        cast: &mut Cast<'_>,
        wanted: &Wanted,
        (stamp, retains): (u64, bool),
    ) -> bool {
        let mut delivered = false;
        let qos = cast.message().qos;
        let is_awaited = self.roster.journal.is_open() && qos != Qos::AtMostOnce;
        // After a crash the publisher must not find its packet id known and the message gone, nor may a will be forgotten.
        let is_known = qos == Qos::ExactlyOnce && self.lasts(publisher);
        let is_joint = is_awaited && (is_known || self.roster.journal.forgets_will());
        for to in (0..self.shards)
            .map(ShardId)
            .filter(|shard| *shard != self.id)
        {
            let groups: Vec<_> = wanted.groups_of(to).cloned().collect();
            let interested = wanted.shards.contains(&to) || !groups.is_empty();
            delivered |= interested;
            if fault!(AckedNotForwarded) && cast.message().qos == Qos::AtLeastOnce {
                continue;
            }
            if interested || retains && !fault!(RetainedNotForwarded) {
                // Another shard must not hold on to this shard's read buffer.
                let message = cast.keep();
                let remote = Remote::Publish {
                    message,
                    groups,
                    retains,
                    stamp,
                    is_awaited,
                    kept_with: is_joint.then(|| StoreTicket(self.promises.step())),
                };
                if is_joint && !fault!(LinksForgotten) {
                    self.roster.journal.links.asked.push(to);
                }
                if is_awaited {
                    self.promises.ask(Debtor::Publish(to));
                }
                self.effects.push_back(Effect::Forward { to, remote });
            }
        }
        delivered
    }
}

/// [MQTT-3.8.3-3]: with No Local, what a client publishes does not come back to it.
fn is_own(publisher: Option<SessionKey>, session: SessionKey, subscription: &Subscription) -> bool {
    subscription.no_local && publisher == Some(session) && !fault!(NoLocalIgnored)
}

/// One entry for each session, in the order of their keys.
fn merge(
    matches: &[&[(SessionKey, Subscription)]],
    publisher: Option<SessionKey>,
) -> BTreeMap<SessionKey, (Subscription, Identifiers)> {
    let mut merged: BTreeMap<SessionKey, (Subscription, Identifiers)> = BTreeMap::new();
    for (session, subscription) in matches.iter().copied().flatten() {
        if is_own(publisher, *session, subscription) {
            continue;
        }
        match merged.get_mut(session) {
            None => {
                let identifiers = subscription.identifiers().into();
                merged.insert(*session, (*subscription, identifiers));
            }
            Some((sum, identifiers)) => {
                sum.merge(subscription);
                if !fault!(IdentifiersLost) {
                    identifiers.extend_from_slice(subscription.identifiers());
                }
            }
        }
    }
    merged
}

/// The shard whose turn it is, in proportion to its members that are here; if none is anywhere, to all its members.
fn choose_shard(group: &SharedGroup<ShardId, Members>) -> Option<ShardId> {
    let somebody_is_here = group
        .members()
        .iter()
        .any(|(_, members)| members.online > 0);
    let weight = |members: &Members| if somebody_is_here { members.online } else { members.offline } as usize;
    let total = group
        .members()
        .iter()
        .map(|(_, members)| weight(members))
        .sum();
    let mut turn = group.next_turn_of(total);
    for (shard, members) in group.members() {
        match turn.checked_sub(weight(members)) {
            None => return Some(*shard),
            Some(rest) => turn = rest,
        }
    }
    None
}

/// Delivers to the member whose turn it is.
pub(super) fn deliver_to_group(
    roster: &mut Roster,
    subscriptions: &Tree,
    group: GroupId,
    cast: &mut Cast<'_>,
) -> bool {
    let Some(group) = subscriptions.group(group) else {
        return false;
    };
    let topic = &cast.message().topic;
    let Some((session, subscription)) = choose_member(roster, group, topic) else {
        return false;
    };
    let is_other = |(key, _): &&(SessionKey, Subscription)| key != session;
    if fault!(GroupGivesTwice)
        && let Some((other, subscription)) = group.members().iter().find(is_other)
    {
        let identifiers = subscription.identifiers();
        roster.deliver(*other, subscription, identifiers, false, cast);
    }
    let retain = cast.message().retain && subscription.retain_as_published;
    roster.deliver(
        *session,
        subscription,
        subscription.identifiers(),
        retain,
        cast,
    );
    true
}

/// The member whose turn it is (section 4.8.2), preferring one with a connection.
pub(super) fn choose_member<'g>(
    roster: &Roster,
    group: &'g SharedGroup<SessionKey, Subscription>,
    topic: &TopicName,
) -> Option<&'g (SessionKey, Subscription)> {
    let (before, from) = group.members().split_at_checked(group.next_turn())?;
    let order = || {
        let turns = from.iter().chain(before);
        // A member that may not have it must not lose it for the others.
        turns.filter(|(session, _)| roster.may_receive(*session, topic))
    };
    order()
        .find(|(session, _)| roster.is_online(*session) != fault!(GroupPrefersAbsent))
        .or_else(|| order().next())
}
