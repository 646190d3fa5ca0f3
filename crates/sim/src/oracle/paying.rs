//! Which debt a PUBLISH pays.
//!
//! Exactly one, in the form in which it is owed and in the order of its stream; where several look alike, the oldest.

use super::outgoing::is_transport;
use super::sessions::{Cause, Debt, Session, Stream, Way};
use super::slow::{check_told, is_told};
use super::wire::Wire;
use crate::message::Identity;
use weir_codec::{Publish, Qos};
use weir_engine::SlowReader;

/// Strikes off the debt that a PUBLISH pays.
pub(super) fn settle(
    session: &mut Session,
    wire: &mut Wire,
    publish: &Publish,
    topic: &str,
    identity: &Identity,
    now: u64,
) -> Result<Vec<Cause>, String> {
    let mut owed = None;
    let mut required = None;
    let mut causes = Vec::new();
    let mut alike = Vec::new();
    for (index, debt) in session.debts.iter().enumerate() {
        if debt.instance.message.identity() != *identity || !is_in_form(debt, wire, publish, now) {
            continue;
        }
        let is_free = wire.missed.is_vague && debt.qos == Qos::AtMostOnce;
        if !is_free && !is_in_order(session, debt) {
            continue;
        }
        // Of several that look alike the oldest is paid, and one of them fewer has to be given. What has expired is sent no
        // more, unless it is sent again.
        let is_better = |other: usize| {
            let expired = |debt: &Debt| !publish.dup && debt.is_expired(wire.transmitted_at);
            expired(&session.debts[other]) && !expired(debt)
        };
        if owed.is_none_or(is_better) {
            owed = Some(index);
        }
        let is_own = |debt: &Debt| !matches!(debt.cause, Cause::Group(_));
        if debt.must
            && required.is_none_or(|other: usize| !is_own(&session.debts[other]) && is_own(debt))
        {
            required = Some(index);
        }
        causes.push(debt.cause.clone());
        alike.push(index);
    }
    let Some(index) = owed else {
        let near = lookalikes(session, identity);
        return Err(format!("not owed (on {topic}); owed is {near:?}"));
    };
    confuse(session, wire, &alike);
    if let Some(required) = required {
        session.debts[required].must = false;
    }
    let debt = session.debts.remove(index);
    let message = &debt.instance.message;
    if publish.payload != message.payload || topic != message.topic.as_str() {
        return Err("not the bytes that were published".into());
    }
    if !matches!(debt.cause, Cause::Replay(_)) && matches!(identity, Identity::Numbered(_)) {
        let stream = stream(session, &debt);
        session.last.insert(stream, debt.instance.number);
    }
    check_told(session, wire, &debt, publish, now)?;
    let is_held = debt.qos == Qos::ExactlyOnce && session.is_durable;
    // What was sent before, and lost on the way, is sent again [MQTT-4.4.0-1].
    let is_new = !publish.dup && !is_held;
    if is_new && debt.denied_at.is_some_and(|at| wire.transmitted_at > at) {
        return Err("the client may not have it any more".into());
    }
    // It was put into the output after the engine was last asked for it, if it was not sent before.
    if !publish.dup && debt.is_expired(wire.transmitted_at) && wire.transmitted_at < now {
        return Err("its Message Expiry Interval has passed".into());
    }
    Ok(causes)
}

/// It may be any of these that is paid.
fn confuse(session: &mut Session, wire: &mut Wire, alike: &[usize]) {
    let policy = |index: &usize| session.debts[*index].policy;
    // So may those be that follow: what is missed nobody can tell any more.
    wire.missed.is_vague |= alike.iter().any(|it| policy(it) != policy(&alike[0]));
    if alike.len() > 1 && !wire.is_v5() {
        alike
            .iter()
            .for_each(|other| session.debts[*other].is_vague = true);
    }
}

/// What is owed of this message in whatever form, for the reader of a failure.
fn lookalikes(session: &Session, identity: &Identity) -> Vec<String> {
    session
        .debts
        .iter()
        .filter(|debt| debt.instance.message.identity() == *identity)
        .map(|debt| {
            format!(
                "q{} retain {} ids {:?} {:?} in order {}",
                debt.qos as u8,
                debt.retain,
                debt.identifiers,
                debt.cause,
                is_in_order(session, debt)
            )
        })
        .collect()
}

/// [promise 5]: per publisher, topic and QoS. What is retained is not part of any stream.
pub(super) fn is_in_order(session: &Session, debt: &Debt) -> bool {
    let last = session
        .last
        .get(&stream(session, debt))
        .copied()
        .unwrap_or(0);
    let is_named = matches!(debt.instance.message.identity(), Identity::Numbered(_));
    matches!(debt.cause, Cause::Replay(_)) || !is_named || debt.instance.number >= last
}

fn stream(session: &Session, debt: &Debt) -> Stream {
    let instance = &debt.instance;
    (
        instance.publisher.clone(),
        instance.message.topic_text,
        instance.message.qos as u8,
        match debt.policy {
            _ if session.is_durable && debt.qos == Qos::ExactlyOnce => Way::Store,
            Some(SlowReader::LatestPerTopic) => Way::Latest,
            _ => Way::Queue,
        },
    )
}

/// Whether a PUBLISH looks as this debt wants it.
fn is_in_form(debt: &Debt, wire: &Wire, publish: &Publish, now: u64) -> bool {
    let message = &debt.instance.message;
    let same = debt.qos == publish.delivery.qos() && debt.retain == publish.retain;
    if !same || !wire.is_v5() {
        return same && publish.properties.is_empty();
    }
    let mut identifiers: Vec<u32> = publish.properties.subscription_identifiers().collect();
    identifiers.sort_unstable();
    let properties = publish
        .properties
        .iter()
        .filter(|property| !is_transport(property) && !is_told(property));
    // [MQTT-3.3.2-6]: what is left of the Message Expiry Interval, counted somewhere between the last time the engine was
    // asked for its output and now.
    let left = |at: u64| {
        let until = debt.instance.expires_at?;
        u32::try_from(until.saturating_sub(at).div_ceil(1000)).ok()
    };
    let life = publish.properties.message_expiry_interval();
    let life_is_right = life.is_some() == debt.instance.expires_at.is_some()
        && life >= left(now)
        && life <= left(wire.transmitted_at.min(now));
    (debt.is_vague || identifiers == debt.identifiers)
        && properties.eq(message.properties.iter())
        && life_is_right
}
