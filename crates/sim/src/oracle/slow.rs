//! Slow readers in the model: which messages of QoS 0 may be lost, and what the client is told of it.
//!
//! The model does not see what is in an output and what in the queue, so it excuses what may have been lost; what was lost for
//! certain, since something newer of the same stream was given, must have been told, and never more than can be missing.

use super::Oracle;
use super::paying::is_in_order;
use super::sessions::{Cause, Debt, Session};
use super::wire::Wire;
use crate::message::Identity;
use weir_codec::{Properties, Property, Publish, Qos};
use weir_engine::{Report, Settings, SlowReader};

/// The user property of a SUBSCRIBE that chooses.
pub(crate) const WISH: &str = "weir-slow-reader";

/// The user property of a PUBLISH that tells how many were missed.
const MISSED: &str = "weir-missed";

/// How the client wants to be treated; an error: in a way that there is not.
pub(super) fn wish(properties: &Properties) -> Result<Option<SlowReader>, ()> {
    let mut wishes = properties.user_properties().filter(|it| it.0 == WISH);
    match wishes.next().map(|it| it.1) {
        None => Ok(None),
        Some("latest-per-topic") => Ok(Some(SlowReader::LatestPerTopic)),
        Some("drop-oldest") => Ok(Some(SlowReader::DropOldest)),
        Some("drop-newest") => Ok(Some(SlowReader::DropNewest)),
        Some("disconnect") => Ok(Some(SlowReader::Disconnect)),
        Some(_) => Err(()),
    }
}

/// Whether a property is ours, not the publisher's.
pub(super) fn is_told(property: &Property<'_>) -> bool {
    matches!(property, Property::UserProperty(MISSED, _))
}

/// Whether others of its kind make room for it.
pub(super) fn is_lossy(debt: &Debt) -> bool {
    matches!(
        debt.policy,
        Some(SlowReader::LatestPerTopic | SlowReader::DropOldest)
    )
}

/// A message of QoS 0 comes: others may make room for it, and it has to be given unless those that don't leave none.
pub(super) fn make_room(debts: &mut [Debt], debt: &mut Debt, settings: &Settings) {
    if !is_lossy(debt) {
        return;
    }
    let cost = |debt: &Debt| debt.instance.message.cost_bytes() + 8;
    let sum = |of: &dyn Fn(&&Debt) -> bool| debts.iter().filter(of).map(cost).sum::<usize>();
    let lossy_bytes = sum(&|other| is_lossy(other)) + cost(debt);
    let other_bytes = sum(&|other| !is_lossy(other)) + cost(debt);
    let others = debts.iter().filter(|other| !is_lossy(other)).count();
    debt.must &= others < settings.queue_messages && other_bytes <= settings.queue_bytes;
    let is_full = debt.is_squeezed || lossy_bytes > settings.slow_reader_bytes;
    let is_latest = debt.policy == Some(SlowReader::LatestPerTopic);
    for other in debts.iter_mut().filter(|other| is_lossy(other)) {
        let is_replaced = is_latest && other.instance.message.topic == debt.instance.message.topic;
        other.must &= !is_full && !is_replaced;
    }
}

/// A message of QoS 0 was given: nothing older of its stream can come any more, and it says how many were missed.
pub(super) fn check_told(
    session: &mut Session,
    wire: &mut Wire,
    given: &Debt,
    publish: &Publish,
    now: u64,
) -> Result<(), String> {
    if given.qos != Qos::AtMostOnce || wire.missed.is_vague {
        return Ok(());
    }
    let told = publish.properties.user_properties();
    let told = told.filter(|it| it.0 == MISSED).map(|it| it.1.parse());
    let told = told.last().unwrap_or(Ok(0)).unwrap_or(u64::MAX >> 1);
    wire.missed.told += told;
    wire.missed.given += u64::from(given.policy.is_some());
    let missing = wire.missed.owed - wire.missed.given;
    if wire.missed.told > missing {
        return Err(format!("told that it missed {told}, of {missing} at most"));
    }
    let limit = wire.max_packet_bytes();
    let is_named = matches!(given.instance.message.identity(), Identity::Numbered(_));
    let lost = match given.cause {
        Cause::Live if is_named => take_lost(session, given),
        _ => Vec::new(),
    };
    let overtaken = session.debts.iter().filter(|it| is_overtaken(it, given));
    let mut overtaken = lost.iter().chain(overtaken);
    if let Some(debt) = overtaken.find(|debt| debt.must && !debt.is_expired(now)) {
        let identity = debt.instance.message.identity();
        return Err(format!("{identity:?} had to be given before it"));
    }
    let lost = lost.iter().filter(|debt| is_told_of(debt, given, now));
    // What is too large with it is said with the next one.
    if (wire.is_v5() && limit == u32::MAX) && lost.count() as u64 > told {
        return Err(format!("told that it missed {told}, which are not all"));
    }
    if told > 0 {
        let alike = session.debts.iter_mut();
        let alike = alike.filter(|debt| is_counted_alike(debt, given));
        alike.for_each(|debt| debt.is_told = true);
    }
    Ok(())
}

/// What can't come any more, since something newer of its stream was given.
fn take_lost(session: &mut Session, given: &Debt) -> Vec<Debt> {
    let mut debts = std::mem::take(&mut session.debts);
    let is_lost = |debt: &mut Debt| {
        debt.qos == Qos::AtMostOnce
            && debt.cause == Cause::Live
            && debt.instance.number < given.instance.number
            && !is_in_order(session, debt)
    };
    let lost = debts.extract_if(.., is_lost).collect();
    session.debts = debts;
    lost
}

/// Whether it waited before this in the same queue.
fn is_overtaken(debt: &Debt, given: &Debt) -> bool {
    let waits = |debt: &Debt| {
        debt.qos == Qos::AtMostOnce
            && debt.cause == Cause::Live
            && debt.policy != Some(SlowReader::LatestPerTopic)
    };
    waits(debt) && waits(given) && debt.step < given.step
}

/// Whether one may have been told of with the other: of several identifiers, messages are counted under one.
fn is_counted_alike(debt: &Debt, given: &Debt) -> bool {
    let mut identifiers = debt.identifiers.iter();
    debt.identifiers == given.identifiers || identifiers.any(|it| given.identifiers.contains(it))
}

/// Whether the client has to be told that it missed this, if that is so.
fn is_told_of(lost: &Debt, given: &Debt, now: u64) -> bool {
    lost.policy
        .is_some_and(|policy| policy != SlowReader::Disconnect)
        && !lost.is_told
        && lost.identifiers.len() <= 1
        && lost.identifiers == given.identifiers
        && lost.denied_at.is_none()
        && !lost.is_expired(now)
}

impl Oracle {
    /// The log is told something of a session.
    pub(super) fn reported(&mut self, client_id: &str, report: &Report) {
        let mut ended = self.step.ended.iter().rev().copied();
        let ended = ended.find(|link| self.wires[*link].client_id == client_id);
        if report.to_string().is_empty()
            || ended.is_none() && !self.sessions.contains_key(client_id)
        {
            return self.fail(format!("{report:?} of {client_id}, who is not there"));
        }
        if let Report::Missed(count) = report {
            let missed = ended
                .map(|link| self.wires[link].missed)
                .unwrap_or_default();
            let is_possible =
                missed.is_vague || (missed.told..=missed.owed - missed.given).contains(count);
            if !is_possible {
                self.fail(format!(
                    "{client_id} missed {count} messages, of {missed:?}"
                ));
            }
        }
    }
}
