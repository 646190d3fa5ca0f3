//! What the clients do: the steps of the script, and what their habits make of what they receive.
//!
//! A step of a client that is not connected does nothing, so that any part of a script is a script.

use super::network::Link;
use super::{Event, World};
use crate::client::{LinkId, METHOD, auth, connect, name_of};
use crate::message::Message;
use crate::script::{Action, ConnectWish, Cut, Habit, Misdeed, PublishWish, Step};
use bytes::Bytes;
use weir_codec::{
    Ack, Delivery, Disconnect, Packet, PacketId, Properties, Property, Publish, Qos, ReasonCode,
    Subscribe, SubscribeFilters, SubscriptionOptions, TopicName, Unsubscribe, UnsubscribeFilters,
    Version,
};
use weir_engine::Lost;

/// How long a server waits for a CONNECT.
const HANDSHAKE_MILLIS: u64 = 10_000;

/// How long a client waits before it tries again to connect.
const RETRY_MILLIS: u64 = 50;

/// How many messages may be too many.
const TOO_MANY: u64 = 8;

/// Messages of one step are numbered below this.
const MESSAGES_PER_STEP: u64 = 1000;

impl World<'_> {
    pub(super) fn act(&mut self, step: &Step) {
        self.trace.line(self.now, || {
            format!("#{} c{}> {:?}", step.number, step.client, step.action)
        });
        let who = step.client;
        match &step.action {
            Action::Connect(_) if !self.is_open() => {
                // Nobody is at home: the client tries again.
                let again = Event::Step(Box::new(step.clone()));
                return self.put(self.now + RETRY_MILLIS, again);
            }
            Action::Connect(wish) => return self.connect(who, wish, step.number),
            Action::Crash(down_millis) => return self.crash(*down_millis, step.number),
            Action::StoreStalls(millis) => return self.stall_store(*millis),
            Action::StoreFull(millis) => return self.fill_store(*millis),
            Action::StoreFails => return self.fail_store(step.number),
            Action::Rules(rules) => return self.change_rules(*rules),
            Action::Shutdown(down_millis) => return self.shut_down(*down_millis, step.number),
            _ => {}
        }
        let client = &mut self.clients[who];
        if let Action::Habit(habit) = step.action {
            client.habit = habit;
            return;
        }
        let Some(link) = client.link else {
            return;
        };
        match &step.action {
            Action::Stall(millis) => {
                self.links[link].is_stalled = true;
                self.put(self.now + millis, Event::Resume { link });
            }
            Action::Cut(cut) => self.act_cut(who, link, *cut),
            _ if !client.accepted => {}
            Action::Subscribe {
                filters,
                identifier,
                slow_reader,
            } => self.subscribe(who, filters, *identifier, *slow_reader),
            Action::Unsubscribe(filters) => self.unsubscribe(who, filters),
            Action::Publish(wish) => self.publish(who, wish, step.number),
            Action::Disconnect {
                reason,
                expiry_seconds,
            } => self.disconnect(who, link, *reason, *expiry_seconds),
            Action::Ping => self.send(who, &Packet::PingReq),
            // Who was let in without a method must not, and seldom does.
            Action::Reauthenticate(user)
                if client.version == Version::V5
                    && (client.is_in_steps() || step.number.is_multiple_of(16)) =>
            {
                let again = auth(ReasonCode::ReAuthenticate, METHOD, name_of(*user));
                self.send(who, &again);
            }
            Action::Misbehave(misdeed) => self.misbehave(who, link, *misdeed, step.number),
            Action::Connect(_)
            | Action::Habit(_)
            | Action::Crash(_)
            | Action::StoreStalls(_)
            | Action::StoreFull(_)
            | Action::StoreFails
            | Action::Rules(_)
            | Action::Reauthenticate(_)
            | Action::Shutdown(_) => {}
        }
    }

    fn disconnect(
        &mut self,
        who: usize,
        link: LinkId,
        reason: ReasonCode,
        expiry_seconds: Option<u32>,
    ) {
        let version = self.clients[who].version;
        let mut properties = Properties::default();
        if let (Some(seconds), Version::V5) = (expiry_seconds, version) {
            properties.push(Property::SessionExpiryInterval(seconds));
        }
        let reason = match version {
            Version::V5 => reason,
            _ => ReasonCode::Success,
        };
        self.send(who, &Packet::Disconnect(Disconnect { reason, properties }));
        self.act_cut(who, link, Cut::Close);
    }

    pub(super) fn connect(&mut self, who: usize, wish: &ConnectWish, number: u64) {
        let is_v5 = wish.version == Version::V5;
        let will = wish.will.as_ref().map(|will| {
            let message = Message::new(&will.publish, (number + 1) * MESSAGES_PER_STEP - 1, is_v5);
            self.oracle.announce(&message);
            message
        });
        let id = self.dial(who, wish.capacity_bytes, number);
        // An earlier transport of the client goes on without anybody at its end who answers: as a second device would.
        self.clients[who].begin(id, wish);
        if wish.clean_start {
            let name = self.clients[who].name.clone();
            self.oracle.forgets(&name);
        }
        let packet = Packet::Connect(Box::new(connect(
            &self.clients[who].name,
            wish,
            will.as_deref(),
        )));
        self.send(who, &packet);
    }

    /// Opens a transport to any shard.
    fn dial(&mut self, who: usize, capacity_bytes: usize, number: u64) -> LinkId {
        let id = self.links.len();
        let mut link = Link::new(who, capacity_bytes, self.script.seed, number);
        let shard = link.random.below(self.hosts.len() as u64);
        self.links.push(link);
        let deadline = self.instant().plus_millis(HANDSHAKE_MILLIS);
        self.open(usize::try_from(shard).unwrap_or(0), id, deadline);
        id
    }

    pub(super) fn act_cut(&mut self, who: usize, id: LinkId, cut: Cut) {
        self.clients[who].lose();
        let link = &mut self.links[id];
        let soon = self.now + link.random.below(100);
        let up_at = link.up_at.max(self.now);
        let much_later = self.now + link.random.between(30_000, 90_000);
        match cut {
            Cut::Close => {
                self.put(
                    up_at,
                    Event::ServerLost {
                        link: id,
                        lost: Lost::Closed,
                        at_once: false,
                    },
                );
                // Somebody who is not read from is not seen to leave; the sweep finds out.
                self.put(
                    much_later,
                    Event::ServerLost {
                        link: id,
                        lost: Lost::Unresponsive,
                        at_once: true,
                    },
                );
            }
            Cut::Reset => {
                let may_arrive = link.random.percent(50);
                link.is_dead = !may_arrive;
                self.put(
                    soon,
                    Event::ServerLost {
                        link: id,
                        lost: Lost::Reset,
                        at_once: true,
                    },
                );
            }
            Cut::HalfOpen => {
                link.is_dead = true;
                self.put(
                    much_later,
                    Event::ServerLost {
                        link: id,
                        lost: Lost::Unresponsive,
                        at_once: true,
                    },
                );
            }
        }
    }

    pub(super) fn subscribe(
        &mut self,
        who: usize,
        filters: &[(&'static str, SubscriptionOptions)],
        identifier: u32,
        slow_reader: Option<&'static str>,
    ) {
        let is_v5 = self.clients[who].version == Version::V5;
        let options = |options: SubscriptionOptions| match is_v5 {
            true => options,
            false => SubscriptionOptions {
                qos: options.qos,
                ..SubscriptionOptions::default()
            },
        };
        let filters = SubscribeFilters::new(
            filters
                .iter()
                .map(|(filter, wish)| (*filter, options(*wish))),
        )
        .expect("the filters of the list can be written");
        let mut properties = Properties::default();
        if is_v5 && identifier > 0 {
            properties.push(Property::SubscriptionIdentifier(identifier));
        }
        if let (true, Some(wish)) = (is_v5, slow_reader) {
            properties.push(Property::UserProperty("weir-slow-reader", wish));
        }
        let packet_id = self.clients[who].next_id();
        self.send(
            who,
            &Packet::Subscribe(Subscribe {
                packet_id,
                filters,
                properties,
            }),
        );
    }

    fn unsubscribe(&mut self, who: usize, filters: &[&'static str]) {
        let filters =
            UnsubscribeFilters::new(filters).expect("the filters of the list can be written");
        let packet_id = self.clients[who].next_id();
        let properties = Properties::default();
        self.send(
            who,
            &Packet::Unsubscribe(Unsubscribe {
                packet_id,
                filters,
                properties,
            }),
        );
    }

    pub(super) fn publish(&mut self, who: usize, wish: &PublishWish, number: u64) {
        for index in 0..wish.count {
            let client = &mut self.clients[who];
            if wish.qos != Qos::AtMostOnce && !client.has_window() {
                return;
            }
            let message = Message::new(
                wish,
                number * MESSAGES_PER_STEP + index,
                client.version == Version::V5,
            );
            self.oracle.announce(&message);
            let packet = client.publish(&message, wish.aliased);
            self.send(who, &packet);
        }
    }

    fn misbehave(&mut self, who: usize, link: LinkId, misdeed: Misdeed, number: u64) {
        let id = |number| PacketId::new(number).expect("not 0");
        let is_v5 = self.clients[who].version == Version::V5;
        let packet = match misdeed {
            Misdeed::SecondConnect | Misdeed::ServersPacket | Misdeed::Garbage => {
                self.oracle.misbehaves(link);
                let bytes: &[u8] = match misdeed {
                    Misdeed::SecondConnect => b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00",
                    Misdeed::ServersPacket => b"\xd0\x00",
                    _ => b"\x00\x00",
                };
                return self.send_up(link, Bytes::from_static(bytes));
            }
            Misdeed::AliasTooLarge | Misdeed::AliasUnknown if is_v5 => {
                let maximum = self.clients[who].alias_maximum;
                let alias = if misdeed == Misdeed::AliasUnknown {
                    maximum.max(1)
                } else {
                    maximum + 1
                };
                strange_alias(alias)
            }
            Misdeed::WrongAck => match self.clients[who].unacknowledged() {
                Some((id, Qos::ExactlyOnce)) => Packet::PubAck(Ack::success(id)),
                Some((id, _)) => Packet::PubRec(Ack::success(id)),
                None => return,
            },
            Misdeed::StrayAck => Packet::PubAck(Ack::success(id(60_000))),
            Misdeed::StrayRelease => Packet::PubRel(Ack::success(id(60_001))),
            Misdeed::Repeat => match self.clients[who].repeat() {
                Some(packet) => packet,
                None => return,
            },
            Misdeed::Overrun => return self.overrun(who, number),
            Misdeed::Forge => {
                let wish = PublishWish {
                    topic: "$SYS/x",
                    ..PublishWish::plain("t")
                };
                return self.publish(who, &wish, number);
            }
            Misdeed::Hasty => return self.rush(who, number),
            Misdeed::TooMuch => return self.send_too_much(who, link, number),
            Misdeed::EarlyComplete => match self.clients[who].unacknowledged() {
                Some((id, Qos::ExactlyOnce)) => Packet::PubComp(Ack::success(id)),
                _ => return,
            },
            Misdeed::StrayAuth if is_v5 => auth(ReasonCode::ContinueAuthentication, METHOD, "so"),
            Misdeed::OtherMethod if is_v5 => auth(ReasonCode::ReAuthenticate, "guesses", "owner"),
            Misdeed::AliasTooLarge
            | Misdeed::AliasUnknown
            | Misdeed::StrayAuth
            | Misdeed::OtherMethod => return,
        };
        self.send(who, &packet);
    }

    /// Some messages, which are too many.
    fn send_too_much(&mut self, who: usize, link: LinkId, number: u64) {
        let wish = PublishWish {
            qos: Qos::AtLeastOnce,
            count: TOO_MANY,
            ..PublishWish::plain("t")
        };
        self.publish(who, &wish, number);
        let at = self.now
            + self.links[link]
                .random
                .below(self.script.latency_millis + 1);
        self.put(at, Event::TooMuch { link });
    }

    /// On a new transport, something else than CONNECT.
    fn rush(&mut self, who: usize, number: u64) {
        let link = self.dial(who, 1 << 16, number);
        self.clients[who].rush(link);
        self.oracle.misbehaves(link);
        self.send(who, &Packet::PingReq);
    }

    /// More QoS 2 messages at once than the server takes.
    fn overrun(&mut self, who: usize, number: u64) {
        let maximum = self.clients[who].receive_maximum;
        if maximum > 20 {
            return;
        }
        self.clients[who].receive_maximum = u16::MAX;
        let wish = PublishWish {
            qos: Qos::ExactlyOnce,
            count: u64::from(maximum) + 1,
            ..PublishWish::plain("t")
        };
        self.publish(who, &wish, number);
        self.clients[who].receive_maximum = maximum;
    }

    pub(super) fn send(&mut self, who: usize, packet: &Packet) {
        let client = &self.clients[who];
        if let Some(link) = client.link {
            let bytes = client.encode(packet);
            self.trace.line(self.now, || {
                format!("   {} ~> link {link}: {packet:?}", self.clients[who].name)
            });
            self.send_up(link, bytes);
        }
    }

    pub(super) fn client_takes(&mut self, id: LinkId, bytes: Bytes) {
        let who = self.links[id].client;
        let was_accepted = self.clients[who].accepted;
        for answers in self.clients[who].receive(bytes) {
            if answers.is_anew {
                let name = self.clients[who].name.clone();
                self.oracle.forgets(&name);
            }
            if answers.is_challenged {
                self.reply(who, id);
            }
            if let Some(number) = answers.taken {
                self.oracle.taken(id, number);
            }
            for packet in answers.prompt {
                self.send(who, &packet);
            }
            for packet in answers.acks {
                self.acknowledge(who, id, packet);
            }
        }
        let ping_millis = self.clients[who].ping_millis;
        if !was_accepted && self.clients[who].accepted && ping_millis > 0 {
            self.put(self.now + ping_millis, Event::PingDue { link: id });
        }
    }

    fn acknowledge(&mut self, who: usize, id: LinkId, packet: Packet) {
        let delay = match self.clients[who].habit {
            Habit::Never => return,
            Habit::Prompt => 0,
            Habit::Slow(millis) => millis,
        };
        // In order, whatever the habit was before [MQTT-4.6.0-2].
        let link = &mut self.links[id];
        link.ack_at = link.ack_at.max(self.now + delay);
        let at = link.ack_at;
        self.put(
            at,
            Event::Later {
                link: id,
                packet: Box::new(packet),
                is_ack: true,
            },
        );
    }

    pub(super) fn send_later(&mut self, id: LinkId, packet: &Packet, is_ack: bool) {
        let who = self.links[id].client;
        if self.clients[who].link == Some(id) {
            if is_ack {
                self.clients[who].acknowledged(packet);
            }
            self.send(who, packet);
        }
    }

    pub(super) fn ping(&mut self, id: LinkId) {
        let who = self.links[id].client;
        if self.clients[who].link == Some(id) {
            self.send(who, &Packet::PingReq);
            self.put(
                self.now + self.clients[who].ping_millis,
                Event::PingDue { link: id },
            );
        }
    }
}

fn strange_alias(alias: u16) -> Packet {
    let mut properties = Properties::default();
    properties.push(Property::TopicAlias(alias));
    Packet::Publish(Publish {
        dup: false,
        retain: false,
        delivery: Delivery::AtMostOnce,
        topic: None::<TopicName>,
        payload: Bytes::from_static(b"strange"),
        properties,
    })
}
