//! Who is owed a message: the sessions of the shard it was published on, those of the shards it is forwarded to, and one
//! member of each shared subscription.
//!
//! A message reaches the sessions of another shard when it arrives there; what is subscribed to then is what counts. That
//! it must be forwarded at all is a promise to everyone whose SUBACK has left.

use super::durable::Needs;
use super::retained::Room;
use super::sessions::{Cause, Debt, GroupDebt, Session, Subscription};
use super::{Oracle, matches};
use crate::message::{Identity, Message, messages};
use std::collections::BTreeSet;
use std::rc::Rc;
use weir_codec::{Qos, TopicFilter};
use weir_engine::Remote;

/// One publication of a message: a message that its client sends again is published again.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) number: u64,
    pub(crate) message: Rc<Message>,
    pub(crate) publisher: String,
    pub(crate) expires_at: Option<u64>,
    /// The retained value it set, if it did.
    pub(crate) value: Option<usize>,
    /// What its acknowledgement waits for.
    pub(crate) needs: Rc<Needs>,
}

/// What has to follow from a publication within its step.
#[derive(Debug)]
pub(crate) struct Routed {
    instance: Rc<Instance>,
    /// Where it must be forwarded to.
    must: BTreeSet<usize>,
    forwarded: BTreeSet<usize>,
    groups: Vec<RoutedGroup>,
    room: Room,
    /// Whether another shard was told to retain it.
    is_retained: bool,
    shard: usize,
}

#[derive(Debug)]
struct RoutedGroup {
    filter: String,
    /// Owed to a member here, unless it turns out that another shard was chosen.
    here: Option<usize>,
    /// Whether somebody somewhere has a SUBACK for it.
    is_promised: bool,
    chosen: Option<usize>,
}

impl Routed {
    fn awaits(&self, identity: &Identity, to: usize) -> bool {
        self.instance.message.identity() == *identity && !self.forwarded.contains(&to)
    }
}

/// Whom a publication can have reached.
pub(crate) struct Reach {
    /// Somebody with a SUBACK is owed it.
    pub(crate) somebody: bool,
    pub(crate) room: Room,
}

impl Oracle {
    /// A message is published on a shard.
    pub(super) fn publish(
        &mut self,
        shard: usize,
        publisher: &str,
        message: &Rc<Message>,
    ) -> Reach {
        let number = self.next_number();
        let expires_at = message
            .life_seconds
            .map(|life| self.now + u64::from(life) * 1000);
        let (room, value) = self.retain(shard, message, expires_at);
        let instance = Rc::new(Instance {
            number,
            message: Rc::clone(message),
            publisher: publisher.to_string(),
            expires_at,
            value,
            needs: self.needs(Some(message.identity())),
        });
        self.step.published = Some(Rc::clone(&instance.needs));
        self.fan_out(shard, Some(publisher), &instance);
        let mut must = self.promised_shards(shard, message.topic.as_str());
        let is_retained = message.retain && room == Room::Yes;
        if is_retained {
            must = (0..self.shards).filter(|other| *other != shard).collect();
        }
        let groups = self.route_groups(shard, &instance);
        let somebody =
            !must.is_empty() && !is_retained || groups.iter().any(|group| group.is_promised);
        self.step.routed.push(Routed {
            instance,
            must,
            forwarded: BTreeSet::new(),
            groups,
            room,
            is_retained: false,
            shard,
        });
        Reach { somebody, room }
    }

    /// The other shards where somebody with a SUBACK wants this topic.
    fn promised_shards(&self, from: usize, topic: &str) -> BTreeSet<usize> {
        let wanting = self.sessions.values().filter(|session| {
            session.shard != from
                && session.subscriptions.iter().any(|(filter, subscription)| {
                    subscription.is_promised && share(filter).is_none() && matches(filter, topic)
                })
        });
        wanting.map(|session| session.shard).collect()
    }

    /// Everyone on this shard with a subscription of their own that matches is owed one copy.
    fn fan_out(&mut self, shard: usize, publisher: Option<&str>, instance: &Rc<Instance>) {
        let topic = instance.message.topic.as_str();
        let mut owed = Vec::new();
        for session in self
            .sessions
            .values()
            .filter(|session| session.shard == shard)
        {
            let is_own = publisher == Some(session.client_id.as_str());
            let matching: Vec<_> = session
                .subscriptions
                .iter()
                .filter(|(filter, it)| {
                    share(filter).is_none() && matches(filter, topic) && !(it.no_local && is_own)
                })
                .map(|(_, subscription)| subscription)
                .collect();
            if !matching.is_empty() {
                owed.push((
                    session.client_id.clone(),
                    self.debt(instance, &matching, Cause::Live),
                ));
            }
        }
        for (client_id, debt) in owed {
            self.owe(&client_id, debt);
        }
    }

    /// What several matching subscriptions of one session make of a message [MQTT-3.3.4-2], [MQTT-3.3.4-3].
    fn debt(&self, instance: &Rc<Instance>, matching: &[&Subscription], cause: Cause) -> Debt {
        let message = &instance.message;
        let qos = matching.iter().map(|subscription| subscription.qos).max();
        let mut identifiers: Vec<u32> = matching
            .iter()
            .map(|it| it.identifier)
            .filter(|id| *id > 0)
            .collect();
        identifiers.sort_unstable();
        let as_published = matching
            .iter()
            .any(|subscription| subscription.retain_as_published);
        Debt {
            qos: message.qos.min(qos.unwrap_or_default()),
            retain: match cause {
                Cause::Replay(_) => true,
                _ => message.retain && as_published,
            },
            identifiers,
            cause,
            must: true,
            is_squeezed: false,
            is_vague: false,
            is_told: false,
            policy: matching.iter().map(|it| it.slow_reader).max().flatten(),
            denied_at: None,
            step: self.step.number,
            at: self.now,
            instance: Rc::clone(instance),
        }
    }

    /// A new subscription is owed a retained message.
    pub(super) fn replay_debt(
        &self,
        instance: &Rc<Instance>,
        subscription: &Subscription,
        filter: &str,
        must: bool,
    ) -> Debt {
        let debt = self.debt(instance, &[subscription], Cause::Replay(filter.to_string()));
        // It is given when there is room, and not before.
        Debt {
            must,
            policy: None,
            ..debt
        }
    }

    /// Enters a debt, unless nothing is owed to somebody who is not here. Returns whether it has to be given.
    pub(super) fn owe(&mut self, client_id: &str, mut debt: Debt) -> bool {
        let Some(session) = self.sessions.get_mut(client_id) else {
            return false;
        };
        let qos0 = debt.qos == Qos::AtMostOnce;
        if session.must_not_receive(debt.instance.message.topic.as_str()) {
            return false;
        }
        if session.link.is_none() && qos0 {
            return false;
        }
        let default = self.slow_reader.filter(|_| session.link.is_some());
        debt.policy = debt.policy.or(default).filter(|_| qos0);
        let (messages, bytes) = session.waiting();
        let cost = debt.instance.message.cost_bytes() + 8;
        // The engine counts its queue alone; what is in an output counts here too. So this finds fuller queues than there
        // are, which only excuses more.
        debt.is_squeezed =
            messages >= self.settings.queue_messages || bytes + cost > self.settings.queue_bytes;
        let is_lossy = super::slow::is_lossy(&debt);
        if debt.is_squeezed && (qos0 || session.link.is_none()) && !is_lossy {
            debt.must = false;
        }
        if debt.policy.is_some() {
            let missed = session.link.map(|link| &mut self.wires[link].missed);
            missed.into_iter().for_each(|missed| missed.owed += 1);
            super::slow::make_room(&mut session.debts, &mut debt, &self.settings);
        }
        if let Some(link) = session.link {
            // The engine knows a little earlier than the model that a client has caught up.
            debt.must &= !debt.is_squeezed || self.wires[link].is_caught_up || is_lossy;
            let limit = self.wires[link].max_packet_bytes() as usize;
            // [MQTT-3.1.2-25]: what is too large is not sent.
            debt.must &= debt.instance.message.wire_bytes_at_most() <= limit;
        }
        if !debt.must && debt.is_squeezed {
            // Of several copies for one client any may be the one that found no room.
            for other in session
                .debts
                .iter_mut()
                .filter(|other| other.step == debt.step)
            {
                other.must = false;
                if let Cause::Group(id) = other.cause {
                    self.groups[id].must = false;
                }
            }
        }
        let must = debt.must;
        let number = match debt.instance.message.identity() {
            Identity::Numbered(number) if debt.qos == Qos::ExactlyOnce => Some(number),
            _ => None,
        };
        session.debts.push(debt);
        if let Some(number) = number.filter(|_| self.durable.is_on) {
            self.count_entered(client_id, number);
        }
        must
    }

    fn route_groups(&mut self, shard: usize, instance: &Rc<Instance>) -> Vec<RoutedGroup> {
        let topic = instance.message.topic.as_str();
        let mut filters: BTreeSet<(String, bool)> = BTreeSet::new();
        let mut denied = BTreeSet::new();
        for session in self.sessions.values() {
            for (filter, subscription) in &session.subscriptions {
                if share(filter).is_some_and(|inner| matches(inner, topic)) {
                    // A shard may be chosen where nobody may have it.
                    let is_promised = subscription.is_promised && !session.must_not_receive(topic);
                    filters.insert((filter.clone(), is_promised));
                    if session.must_not_receive(topic) {
                        denied.insert(filter.clone());
                    }
                }
            }
        }
        let names: BTreeSet<String> = filters.iter().map(|(filter, _)| filter.clone()).collect();
        let groups = names.into_iter().map(|filter| RoutedGroup {
            is_promised: filters.contains(&(filter.clone(), true)) && !denied.contains(&filter),
            here: self.owe_group(shard, &filter, instance),
            filter,
            chosen: None,
        });
        groups.collect()
    }

    /// One of the members on this shard is owed the message (section 4.8.2): one that is here, if any is.
    fn owe_group(&mut self, shard: usize, filter: &str, instance: &Rc<Instance>) -> Option<usize> {
        let members: Vec<_> = self
            .sessions
            .values()
            .filter(|session| session.shard == shard)
            .filter(|session| !session.must_not_receive(instance.message.topic.as_str()))
            .filter_map(|session| Some((session, session.subscriptions.get(filter)?)))
            .collect();
        let somebody_is_here = members.iter().any(|(session, _)| session.link.is_some());
        let eligible = members
            .iter()
            .filter(|(session, _)| session.link.is_some() == somebody_is_here);
        let id = self.groups.len();
        let owed: Vec<_> = eligible
            .map(|(session, subscription)| {
                (
                    session.client_id.clone(),
                    self.debt(instance, &[subscription], Cause::Group(id)),
                )
            })
            .collect();
        if owed.is_empty() {
            return None;
        }
        self.groups.push(GroupDebt {
            shards: BTreeSet::from([shard]),
            filter: filter.to_string(),
            instance: Rc::clone(instance),
            must: matches!(instance.message.identity(), Identity::Numbered(_)),
            is_given: false,
        });
        for (client_id, debt) in owed {
            // If any of them may miss it, it may be that one who was chosen.
            let squeezed_before = self
                .sessions
                .get(&client_id)
                .map_or(0, |session| session.debts.len());
            let must = self.owe(&client_id, debt);
            let squeezed = self.sessions.get(&client_id).is_some_and(|session| {
                session.debts.len() > squeezed_before
                    && session
                        .debts
                        .last()
                        .is_some_and(|debt| debt.is_squeezed || super::slow::is_lossy(debt))
            });
            self.groups[id].must &= must && !squeezed;
        }
        Some(id)
    }

    /// A shard hands a message to another.
    pub(super) fn forwarded(
        &mut self,
        from: usize,
        to: usize,
        identity: &Identity,
        groups: &[TopicFilter],
        retains: bool,
    ) {
        // A will that waits goes out when a clean start ends its session, which is before the CONNECT counts as accepted.
        if !self
            .step
            .routed
            .iter()
            .any(|routed| routed.awaits(identity, to))
            && let Some(link) = self.step.must_accept
        {
            self.discard_session(link);
        }
        let routed = self
            .step
            .routed
            .iter_mut()
            .find(|routed| routed.awaits(identity, to));
        let Some(routed) = routed else {
            return self.fail(format!(
                "shard {from} forwarded {identity:?} to {to} for no reason"
            ));
        };
        routed.forwarded.insert(to);
        routed.is_retained |= retains;
        let instance = Rc::clone(&routed.instance);
        if self.durable.is_on && instance.message.qos != Qos::AtMostOnce {
            instance
                .needs
                .unarrived
                .set(instance.needs.unarrived.get() + 1);
        }
        let mut twice = None;
        let mut elsewhere = Vec::new();
        for filter in groups {
            let group = routed
                .groups
                .iter_mut()
                .find(|group| group.filter == filter.as_str());
            // A group that nobody is in any more: the news is still on its way.
            let Some(group) = group else { continue };
            if group.chosen.replace(to).is_some() {
                twice = Some(filter.as_str().to_string());
            }
            elsewhere.extend(group.here.take());
        }
        for id in elsewhere {
            self.drop_group(id);
        }
        if let Some(filter) = twice {
            self.fail(format!("{identity:?} goes to two members of {filter}"));
        }
        self.mail.entry((from, to)).or_default().push_back(instance);
    }

    /// Nobody is owed this one after all.
    pub(super) fn drop_group(&mut self, id: usize) {
        self.groups[id].is_given = true;
        let is_it = |debt: &Debt| debt.cause == Cause::Group(id);
        let owes = |session: &Session| session.debts.iter().any(is_it);
        for session in self.sessions.those_mut(owes) {
            session.debts.retain(|debt| !is_it(debt));
        }
    }

    /// Mail reaches a shard: messages come in the order in which they were forwarded.
    pub(super) fn mail_came(&mut self, from: usize, to: usize, remote: &Remote) {
        for (identity, groups, _) in messages(remote) {
            self.message_came(from, to, &identity, groups);
        }
    }

    fn message_came(
        &mut self,
        from: usize,
        to: usize,
        identity: &Identity,
        groups: &[TopicFilter],
    ) {
        let Some(instance) = self
            .mail
            .get_mut(&(from, to))
            .and_then(|mail| mail.pop_front())
        else {
            return self.fail(format!("{identity:?} came to shard {to} out of nowhere"));
        };
        if instance.message.identity() != *identity {
            return self.fail(format!("mail from {from} to {to} out of order"));
        }
        if self.durable.is_on && instance.message.qos != Qos::AtMostOnce {
            instance
                .needs
                .unarrived
                .set(instance.needs.unarrived.get() - 1);
            self.step.needs.push(Rc::clone(&instance.needs));
        }
        if let Some(value) = instance.value {
            self.value_arrived(to, value);
        }
        self.fan_out(to, None, &instance);
        for filter in groups {
            // If the chosen shard's last member left meanwhile, the message went with it: as if it had been chosen a moment
            // before it left.
            self.owe_group(to, filter.as_str(), &instance);
        }
    }

    /// At the end of a step everything published in it was handed to whom it must be.
    pub(super) fn check_routed(&mut self) {
        let is_timeout = self.step.is_timeout;
        for routed in std::mem::take(&mut self.step.routed) {
            // Another shard was told, or the store was: now it shows.
            let is_shown = self.shards > 1 || self.durable.is_on;
            if let (Room::Maybe, Some(value), true) = (routed.room, routed.instance.value, is_shown)
            {
                let topic = &routed.instance.message.topic;
                let is_retained = routed.is_retained || self.step.retained.contains(topic);
                self.decide(routed.shard, value, is_retained);
                if !is_retained {
                    self.refuse_received(&routed.instance.publisher);
                }
            }
            let identity = routed.instance.message.identity();
            if let Some(missing) = routed.must.difference(&routed.forwarded).next() {
                self.fail(format!(
                    "{identity:?} was not forwarded to shard {missing}, where it is wanted"
                ));
            }
            for group in &routed.groups {
                // Sessions that end at the same moment end in an order that the model does not know: the member that was
                // chosen may be one of them.
                let is_sure = group.is_promised && !is_timeout;
                if is_sure && group.here.is_none() && group.chosen.is_none() {
                    self.fail(format!(
                        "{identity:?} went to no member of {}",
                        group.filter
                    ));
                }
            }
        }
    }
}

/// The filter of a shared subscription, without its prefix; `None`: it is not shared.
pub(super) fn share(filter: &str) -> Option<&str> {
    filter
        .strip_prefix("$share/")?
        .split_once('/')
        .map(|(_, inner)| inner)
}
