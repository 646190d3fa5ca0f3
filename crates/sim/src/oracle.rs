//! The oracle: a naive model of MQTT that watches the engine's border and knows every promise.
//!
//! It is told each input before the engine is, and sees each effect and every byte that leaves. From the inputs alone it
//! works out, with maps and loops and no cleverness, who is owed what; from the bytes it strikes off what was given. What
//! is given without being owed, owed and never given, given twice, late, early, out of order or too large is a broken
//! promise. It shares no code with the engine but the packets.
//!
//! It is permissive where MQTT is, or where only the engine can know, and each such place says why.

mod authenticate;
mod contest;
mod crash;
mod durable;
mod ends;
mod grants;
mod incoming;
mod outgoing;
mod paying;
mod retained;
mod routing;
mod sessions;
mod settle;
mod slow;
mod told;
mod wire;

pub(crate) use told::Told;

use crate::client::LinkId;
use crate::message::{Identity, Message, messages};
use crate::script::Script;
use durable::{Asked, Durable, Needs};
use retained::Retained;
use routing::{Instance, Routed};
use sessions::{GroupDebt, Sessions};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use weir_codec::{ReasonCode, TopicName};
use weir_engine::{Effect, End, Settings, Shard, SlowReader};
use wire::{Phase, Wire};

/// How late a timer may be: the world's own lateness and a little.
const LATE_MILLIS: u64 = 50;

pub(crate) struct Oracle {
    /// The first broken promise.
    pub(crate) failure: Option<String>,
    settings: Settings,
    shards: usize,
    /// How listeners treat slow readers.
    slow_reader: Option<SlowReader>,
    messages: BTreeMap<Identity, Rc<Message>>,
    wires: Vec<Wire>,
    sessions: Sessions,
    homes: BTreeMap<String, usize>,
    groups: Vec<GroupDebt>,
    retained: Retained,
    durable: Durable,
    /// Whether there is no broker just now.
    pub(crate) is_down: bool,
    /// Whether nobody is let in yet.
    pub(crate) is_settling: bool,
    /// What is under way between two shards, in order.
    mail: BTreeMap<(usize, usize), VecDeque<Rc<Instance>>>,
    step: Step,
    now: u64,
    /// When it last looked at the clock.
    looked_at: u64,
    count: u64,
}

/// What is being done now.
#[derive(Default)]
struct Step {
    number: u64,
    is_timeout: bool,
    /// How many other sessions come to their wills or ends in this step, in an order that the model does not know.
    crowd: usize,
    /// What the store was asked for in this step.
    asked: Vec<Asked>,
    /// The topics of which it was told a retained message.
    retained: Vec<TopicName>,
    /// What the answers to what was told wait for.
    needs: Vec<Rc<Needs>>,
    /// What the acknowledgement of the message published last in this step waits for.
    published: Option<Rc<Needs>>,
    /// What was published in this step.
    routed: Vec<Routed>,
    /// Connections that must be ended in this step, and why.
    must_end: Vec<(LinkId, &'static str)>,
    /// A connection that must be accepted in this step.
    must_accept: Option<LinkId>,
    /// Connections that were ended in this step.
    ended: Vec<LinkId>,
    /// A connection that is to be judged in this step.
    must_judge: Option<LinkId>,
    /// The connection that keeps its client id from the one that is refused in this step.
    holder: Option<LinkId>,
    /// How the connection that was spoken of may end.
    may_end: Vec<(LinkId, End)>,
    /// A publish that may have found no room to be retained.
    may_be_full: Option<LinkId>,
    /// The packet id of a QoS 2 message that may not have been taken.
    in_doubt: Option<u16>,
}

impl Oracle {
    pub(crate) fn new(script: &Script) -> Self {
        Self {
            failure: None,
            settings: script.settings.clone(),
            shards: usize::from(script.shards),
            slow_reader: script.slow_reader,
            messages: BTreeMap::new(),
            wires: Vec::new(),
            sessions: Sessions::default(),
            homes: BTreeMap::new(),
            groups: Vec::new(),
            retained: Retained::default(),
            durable: Durable::new(script),
            is_down: false,
            is_settling: false,
            mail: BTreeMap::new(),
            step: Step::default(),
            now: 0,
            looked_at: 0,
            count: 0,
        }
    }

    /// A client is going to send this message.
    pub(crate) fn announce(&mut self, message: &Rc<Message>) {
        if !message.payload.is_empty() {
            self.messages.insert(message.identity(), Rc::clone(message));
        }
    }

    /// A transport was opened at a shard, or has moved there.
    pub(crate) fn opened(&mut self, now: u64, shard: usize, link: LinkId, deadline: u64) {
        if self.wires.len() <= link {
            self.wires.push(Wire::new(shard, deadline, now));
        }
        let wire = &mut self.wires[link];
        wire.shard = shard;
        wire.phase = Phase::Waiting;
        wire.heard_at = now;
    }

    /// The client behind this link sends what is no packet.
    pub(crate) fn misbehaves(&mut self, link: LinkId) {
        self.wires[link].misbehaves = true;
    }

    /// The engine is about to be told this.
    pub(crate) fn told(&mut self, now: u64, shard: usize, told: &Told<'_>) {
        self.now = now;
        self.step = Step {
            number: self.step.number + 1,
            is_timeout: matches!(told, Told::Timeout),
            ..Step::default()
        };
        match told {
            Told::Packet { link, packet } => self.packet(*link, packet),
            Told::Malformed {
                link,
                error,
                version,
            } => {
                let wire = &mut self.wires[*link];
                wire.version = version.unwrap_or(wire.version);
                if !wire.misbehaves {
                    self.fail(format!(
                        "link {link} sent good bytes that were found malformed: {error}"
                    ));
                }
                self.must_end(*link, End::Malformed(*error), "malformed bytes");
            }
            Told::Closed { link, lost } => {
                if !matches!(self.wires[*link].phase, Phase::Ended) {
                    self.must_end(*link, End::Lost(*lost), "its transport is gone");
                }
            }
            Told::Authenticated { link, answer } => self.decided(*link, answer),
            Told::Challenged { link } => self.questioned(*link),
            Told::RateExceeded { link } => {
                self.must_end(*link, End::RateExceeded, "it sends more than it may");
            }
            Told::PermissionsChanged(rules) => self.rules_changed(shard, *rules),
            Told::Shutdown => self.shut_down(shard),
            Told::Remote { from, remote } => self.mail_came(*from, shard, remote),
            Told::StoreFull(is_full) => self.durable.full[shard] = *is_full,
            Told::Timeout => self.timers(shard),
            Told::Stored(_) | Told::Loaded(_) | Told::Transmit => {}
        }
    }

    /// The engine asks this of the world.
    pub(crate) fn effect(&mut self, now: u64, shard: usize, link: Option<LinkId>, effect: &Effect) {
        self.now = now;
        match (effect, link) {
            (Effect::Forward { to, remote }, _) => {
                let (from, to) = (shard, usize::from(to.0));
                for (identity, groups, retains) in messages(remote) {
                    self.forwarded(from, to, &identity, groups, retains);
                }
            }
            (Effect::Authenticate { credentials, .. }, Some(link)) => {
                self.judged(link, shard, credentials);
            }
            (Effect::Move { to, connect, .. }, Some(link)) => {
                self.wires[link].phase = Phase::Moving;
                self.settles(connect.client_id.as_str(), usize::from(to.0));
            }
            (Effect::Accepted { welcome, .. }, Some(link)) => self.accepted(link, welcome),
            (Effect::Close { end, .. }, Some(link)) => self.judge_end(link, *end),
            (Effect::Report { client_id, report }, _) => self.reported(client_id, report),
            (Effect::Respond { data, .. }, Some(link)) => self.responded(link, data),
            (Effect::Contested { is_news, .. }, Some(link)) => self.contested(link, *is_news),
            (
                Effect::Store {
                    ticket, changes, ..
                },
                _,
            ) => self.asked(shard, *ticket, changes),
            (Effect::Load { messages, .. }, _) => self.loads(messages),
            (effect, None) => {
                self.fail(format!("{effect:?} for a connection that does not exist"));
            }
        }
    }

    /// The engine has done with an input, and all effects are carried out.
    pub(crate) fn stepped(&mut self, now: u64, shard: usize, engine: &Shard) {
        self.now = now;
        if let Some((link, why)) = self.step.must_end.pop() {
            self.fail(format!("link {link} was not ended: {why}"));
        }
        if let Some(link) = self.step.must_accept.take() {
            self.claim(link);
            // It waits for the store, if it has anything to wait for.
            let lasts = self.sessions.get(&self.wires[link].client_id);
            let lasts = lasts.is_some_and(|session| session.is_durable);
            if !lasts && self.step.asked.is_empty() {
                self.fail(format!("link {link} was not accepted"));
            }
        }
        if let Some(link) = self.step.must_judge.take() {
            self.fail(format!("what link {link} says of itself is not judged"));
        }
        self.check_routed();
        self.settle_needs(shard);
        self.compare_tables(shard, engine);
    }

    /// [promise 2] and the start of every leak: the engine's tables have as many entries as the model's.
    fn compare_tables(&mut self, shard: usize, engine: &Shard) {
        let stats = engine.stats();
        let mut model = (0, 0, 0);
        let here = self.sessions.values().filter(|it| it.shard == shard);
        for session in here {
            model.0 += u64::from(session.link.is_some());
            model.1 += 1;
            model.2 += session.subscriptions.len() as u64;
        }
        let found = (stats.connections, stats.sessions, stats.subscriptions);
        if model != found {
            self.fail(format!(
                "shard {shard} has (connections, sessions, subscriptions) {found:?}, it should have {model:?}"
            ));
        }
        let fullest = engine.fullest();
        let settings = &self.settings;
        if fullest.queue_messages > settings.queue_messages
            || fullest.queue_bytes > settings.queue_bytes
            || fullest.inflight > usize::from(settings.inflight_maximum)
            // One read of packets is answered before flow control stops the client; see `Shard::accepts_packets`.
            || fullest.output_bytes > 2 * settings.outbox_bytes + OUTPUT_SLACK_BYTES
        {
            self.fail(format!("shard {shard} holds more than it may: {fullest:?}"));
        }
    }

    /// Nothing that was due is forgotten: not a Keep Alive, not a CONNECT that never came, not a will, not a session's end.
    pub(crate) fn look_at_clock(&mut self, now: u64) {
        if self.is_down || self.is_settling || self.looked_at == now {
            return;
        }
        self.looked_at = now;
        let overdue = |at: Option<u64>| at.is_some_and(|at| at + LATE_MILLIS < now);
        let late = self
            .wires
            .iter()
            .position(|wire| overdue(wire.due_at(&self.settings)));
        if let Some(link) = late {
            self.fail(format!(
                "link {link} should have been ended for its silence"
            ));
        }
        let late = self
            .sessions
            .values()
            .find(|session| overdue(session.due_at()));
        if let Some(session) = late {
            let name = session.client_id.clone();
            self.fail(format!("the session or the will of {name} is overdue"));
        }
    }

    /// A client id stays at home.
    fn settles(&mut self, client_id: &str, shard: usize) {
        let home = *self.homes.entry(client_id.to_string()).or_insert(shard);
        if home != shard {
            self.fail(format!(
                "{client_id} is at home on shard {home} and was taken to {shard}"
            ));
        }
    }

    fn must_end(&mut self, link: LinkId, end: End, why: &'static str) {
        self.step.must_end.push((link, why));
        self.step.may_end.push((link, end));
    }

    pub(crate) fn fail(&mut self, text: String) {
        if self.failure.is_none() {
            self.failure = Some(text);
        }
    }

    fn next_number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

/// What may be in an output beyond its limit: a packet, and the control packets of one read.
const OUTPUT_SLACK_BYTES: usize = 6 << 10;

/// Whether a filter, without its `$share` prefix, matches a topic (section 4.7), the simple way.
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let (filter, topic): (Vec<_>, Vec<_>) =
        (filter.split('/').collect(), topic.split('/').collect());
    for (index, level) in filter.iter().enumerate() {
        match (*level, topic.get(index)) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == *name => {}
            _ => return false,
        }
    }
    filter.len() == topic.len()
}

/// What a 3.x SUBACK can say.
fn spoken(reason: ReasonCode, is_v5: bool) -> ReasonCode {
    if reason.is_error() && !is_v5 {
        ReasonCode::UnspecifiedError
    } else {
        reason
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn filters_match_as_the_specification_says() {
        for (filter, topic, expected) in [
            ("#", "a/b", true),
            ("a/#", "a", true),
            ("a/+", "a", false),
            ("+/b", "a/b", true),
            ("#", "$a", false),
            ("$a/#", "$a/b", true),
            ("a", "a/b", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }
}
