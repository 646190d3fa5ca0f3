//! SUBSCRIBE and UNSUBSCRIBE.
//!
//! Every filter of a packet is judged on its own and has its own code in the answer, in the order of the packet
//! [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.9.3-1]. The SUBACK may have to wait; see answers.rs.

use super::Shard;
use crate::id::{ConnectionKey, SessionKey};
use crate::input::Report;
use crate::permission::{Asked, Coverage};
use crate::retained::Replay;
use crate::slow_reader::{SlowReader, WISH};
use crate::subscription::{Subscription, wants_retained};
use crate::time::Instant;
use alloc::format;
use alloc::vec::Vec;
use weir_codec::{
    Packet, Properties, Property, Qos, ReasonCode, SubAck, Subscribe, SubscriptionOptions,
    TopicFilter, UnsubAck, Unsubscribe,
};

/// What all filters of a SUBSCRIBE share.
#[derive(Clone, Copy)]
struct Wishes {
    slow_reader: Option<SlowReader>,
    identifier: Option<u32>,
}

/// A wish for something that does not exist.
struct UnknownWish;

impl Shard {
    pub(super) fn receive_subscribe(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        subscribe: &Subscribe,
    ) {
        let Ok(slow_reader) = wish(&subscribe.properties) else {
            return self.refuse_wish(now, key, subscribe);
        };
        let wishes = Wishes {
            slow_reader,
            identifier: subscribe.properties.subscription_identifiers().next(),
        };
        let mut reasons = Vec::with_capacity(subscribe.filters.len());
        let mut replays = Vec::new();
        for (filter, options) in subscribe.filters.iter() {
            // A filter that is not one, such as `a/#/b`, is refused alone; the others count.
            let reason = match filter {
                Ok(filter) => {
                    self.subscribe_one((key, session), &filter, options, wishes, &mut replays)
                }
                Err(_) => ReasonCode::TopicFilterInvalid,
            };
            reasons.push(reason);
        }
        let suback = SubAck {
            // [MQTT-2.2.1-6], [MQTT-3.8.4-2]
            packet_id: subscribe.packet_id,
            reasons,
            properties: Properties::default(),
        };
        self.answer_subscriber(now, key, Packet::SubAck(suback), replays);
    }

    fn subscribe_one(
        &mut self,
        (connection, key): (ConnectionKey, SessionKey),
        filter: &TopicFilter,
        options: SubscriptionOptions,
        wishes: Wishes,
        replays: &mut Vec<(TopicFilter, Replay)>,
    ) -> ReasonCode {
        if let Some(refusal) = self.refuse_subscription(connection, key, filter) {
            return refusal;
        }
        let filter = filter.detached();
        let subscription = Subscription::new(options, wishes.slow_reader, wishes.identifier);
        let is_new = self.subscribe(key, &filter, subscription);
        self.record_subscription(key, &filter, subscription);
        // [MQTT-3.8.4-4]: also when it replaces another. A shared subscription is given no retained messages when it
        // is made.
        let wants =
            wants_retained(options.retain_handling, is_new) || fault!(RetainHandlingIgnored);
        if filter.share_name().is_none() && wants {
            replays.push((filter, self.retained.replay(subscription)));
        }
        // [MQTT-3.8.4-7]: what is granted is what was asked for.
        match options.qos {
            Qos::AtMostOnce => ReasonCode::Success,
            Qos::AtLeastOnce => ReasonCode::GrantedQos1,
            Qos::ExactlyOnce => ReasonCode::GrantedQos2,
        }
    }

    /// A wish that does not exist is refused for all filters, and the client is told what does.
    fn refuse_wish(&mut self, now: Instant, key: ConnectionKey, subscribe: &Subscribe) {
        let reasons = subscribe.filters.iter();
        let reasons = reasons.map(|_| ReasonCode::ImplementationSpecificError);
        let plain = SubAck {
            packet_id: subscribe.packet_id,
            reasons: reasons.collect(),
            properties: Properties::default(),
        };
        let names = SlowReader::ALL.map(SlowReader::name).join(", ");
        let text = format!("{WISH} is none of {names}");
        let explained = Packet::SubAck(SubAck {
            properties: [Property::ReasonString(&text)].into_iter().collect(),
            ..plain.clone()
        });
        // [MQTT-3.1.2-29], [MQTT-3.9.2-1]
        let connection = self.roster.connections.get(key);
        let answer = match connection {
            Some(it) if it.problem_information && it.takes(&explained) => explained,
            _ => Packet::SubAck(plain),
        };
        self.answer_subscriber(now, key, answer, Vec::new());
    }

    fn refuse_subscription(
        &mut self,
        connection: ConnectionKey,
        key: SessionKey,
        filter: &TopicFilter,
    ) -> Option<ReasonCode> {
        let session = self.roster.sessions.get_mut(key)?;
        let settings = &self.roster.settings;
        if filter.levels().count() > settings.max_topic_levels {
            return Some(ReasonCode::TopicFilterInvalid);
        }
        match session.permissions.may_subscribe(filter) {
            Coverage::Nothing if !fault!(SubscribePermissionForgotten) => {
                self.report_denial(connection, key, |permissions| {
                    let rule = permissions.rule(Asked::Subscribe(filter));
                    Report::SubscribeDenied(filter.detached(), rule)
                });
                return Some(ReasonCode::NotAuthorized);
            }
            Coverage::Part => session.checks_deliveries = true,
            Coverage::Whole | Coverage::Nothing => {}
        }
        let full = session.subscriptions.len() >= settings.max_subscriptions_per_session;
        let full = full && self.subscriptions.get(filter, key).is_none();
        self.roster.stats.subscriptions_refused += u64::from(full);
        let can_last = session.number.is_none() || !self.roster.journal.is_full;
        (full || !can_last).then_some(ReasonCode::QuotaExceeded)
    }

    pub(super) fn receive_unsubscribe(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        unsubscribe: &Unsubscribe,
    ) {
        // [MQTT-3.10.4-6], [MQTT-3.11.3-1]: one by one, in the order of the packet.
        let reasons = unsubscribe.filters.iter().map(|filter| match filter {
            Ok(filter) => self.unsubscribe_one(session, &filter),
            Err(_) => ReasonCode::TopicFilterInvalid,
        });
        // [MQTT-3.10.4-4], [MQTT-3.10.4-5]: answered with UNSUBACK even if nothing matched; behind the SUBACKs that
        // wait, so that the client hears of what it did in that order.
        let unsuback = UnsubAck {
            // [MQTT-2.2.1-6], [MQTT-3.10.4-5]
            packet_id: unsubscribe.packet_id,
            reasons: reasons.collect(),
            properties: Properties::default(),
        };
        self.answer_subscriber(now, key, Packet::UnsubAck(unsuback), Vec::new());
    }

    fn unsubscribe_one(&mut self, key: SessionKey, filter: &TopicFilter) -> ReasonCode {
        if fault!(UnsubscribeInName) {
            return ReasonCode::Success;
        }
        // [MQTT-3.10.4-2], [MQTT-3.10.4-3]: what waits or is in flight already is still delivered.
        if self.take_back(key, filter) {
            ReasonCode::Success
        } else {
            ReasonCode::NoSubscriptionExisted
        }
    }

    /// Ends a subscription, if there is one.
    pub(super) fn take_back(&mut self, key: SessionKey, filter: &TopicFilter) -> bool {
        if self.subscriptions.get(filter, key).is_none() {
            return false;
        }
        if let Some(session) = self.roster.sessions.get_mut(key) {
            session.subscriptions.remove(filter, &self.subscriptions);
            session.replays.remove(filter);
        }
        let is_online = self.roster.is_online(key);
        self.unsubscribe(key, filter, is_online);
        self.forget_subscription(key, filter);
        true
    }
}

/// How the client wants to be treated when it is slow.
fn wish(properties: &Properties) -> Result<Option<SlowReader>, UnknownWish> {
    let wish = properties.user_properties().find(|(name, _)| *name == WISH);
    match wish {
        None => Ok(None),
        Some((_, value)) => match SlowReader::named(value) {
            None if fault!(WishUnknown) => Ok(None),
            named => named.map(Some).ok_or(UnknownWish),
        },
    }
}
