//! The parts of the way of a PUBLISH, and the whole of a short visit, each ready to be done again and again: for the
//! benchmark, which times them, and for the tests that count their instructions and allocations.

use bytes::Bytes;
use std::sync::Arc;
use weir_codec::{
    Ack, Connect, Decoder, Delivery, Disconnect, Output, Packet, PacketId, Properties, Publish,
    PublishFrame, PublishHead, Qos, ReasonCode, Segment, Subscribe, SubscribeFilters,
    SubscriptionOptions, TopicFilter, TopicName, Utf8, Version,
};
use weir_engine::{
    AllowAll, ConnectionKey, Effect, Grant, Input, Instant, Lost, Settings, Shard, ShardId,
    SlowReader,
};
use weir_router::{Matched, SubscriptionTree};

/// Does something once; what is counted is one unit of it.
pub(crate) type Part = Box<dyn FnMut()>;

/// A part by its name, how many units doing it once is, and how to make it ready.
pub(crate) type Entry = (&'static str, u64, fn() -> Part);

/// Every part.
pub(crate) const PARTS: [Entry; 20] = [
    ("decode a PUBLISH", BATCH, decode),
    ("route one of 10,000 filters", 1, || route([6759, 6768])),
    ("route the topic of before", 1, || route([6759, 6759])),
    ("encode a PUBLISH", 1, encode),
    ("deliver with QoS 0", SUBSCRIBERS * BATCH, || {
        fan_out(Qos::AtMostOnce)
    }),
    ("deliver with QoS 1", SUBSCRIBERS, || {
        fan_out(Qos::AtLeastOnce)
    }),
    (
        "deliver with QoS 1, acknowledged together",
        SUBSCRIBERS * BATCH,
        || acknowledged_together(),
    ),
    ("deliver what waited", SUBSCRIBERS * WAITING, catch_up),
    ("deliver to one", BATCH, || fan_out_to(1, Qos::AtMostOnce)),
    ("from bytes to one", BATCH, || from_bytes(1, TOPIC)),
    (
        "from bytes beside one who stalls",
        BATCH,
        beside_one_who_stalls,
    ),
    ("from bytes, two topics in turn", BATCH, || {
        alternating(&[0, 1].repeat(BATCH as usize / 2))
    }),
    ("one a read, two topics in turn", BATCH, || {
        one_by_one(&[0, 1].repeat(BATCH as usize / 2))
    }),
    ("one a read, one topic", BATCH, || {
        one_by_one(&[0].repeat(BATCH as usize))
    }),
    ("from bytes to a group", BATCH, || {
        from_bytes(SUBSCRIBERS, "$share/s/bench/0000")
    }),
    ("one a read, in pairs", PUBLISHERS, || {
        from_many(PUBLISHERS, pair)
    }),
    ("one a read, to one", PUBLISHERS, || {
        from_many(1, |_| "bench/#".to_owned())
    }),
    ("one a read, to a group", PUBLISHERS, || {
        from_many(PUBLISHERS, |_| "$share/s/bench/#".to_owned())
    }),
    ("replay a retained message", RETAINED, replay),
    ("connect, subscribe, disconnect", 1, visit),
];

const BATCH: u64 = 16;
const PUBLISHERS: u64 = 50;
const WAITING: u64 = 64;
const SUBSCRIBERS: u64 = 100;
const RETAINED: u64 = 1000;
const TOPIC: &str = "bench/0000";
const NOW: Instant = Instant::from_millis(1000);
const PAYLOAD: [u8; 100] = [b'x'; 100];

fn publish(qos: Qos) -> Publish {
    let id = PacketId::new(1).unwrap();
    Publish {
        dup: false,
        retain: false,
        delivery: match qos {
            Qos::AtMostOnce => Delivery::AtMostOnce,
            Qos::AtLeastOnce => Delivery::AtLeastOnce(id),
            Qos::ExactlyOnce => Delivery::ExactlyOnce(id),
        },
        topic: Some(TopicName::try_from(TOPIC).unwrap()),
        payload: Bytes::from_static(&PAYLOAD),
        properties: Properties::default(),
    }
}

fn connect(client_id: &str) -> Packet {
    Packet::Connect(Box::new(Connect {
        version: Version::V3_1_1,
        clean_start: true,
        keep_alive_seconds: 0,
        client_id: Utf8::try_from(client_id).unwrap(),
        will: None,
        username: None,
        password: None,
        properties: Properties::default(),
    }))
}

/// A turn in which a client's read brings a batch to one topic, as a link takes it.
fn from_bytes(subscribers: u64, filter: &str) -> Part {
    let mut hub = Hub::new(subscribers, Qos::AtMostOnce, filter);
    let mut reader = Reader::new(hub.publisher, TOPIC, BATCH);
    Box::new(move || {
        reader.read(&mut hub.shard);
        assert_eq!(hub.flush(), subscribers.min(BATCH));
    })
}

/// The same to many, while one more takes nothing.
fn beside_one_who_stalls() -> Part {
    let settings = Settings {
        outbox_bytes: 4000,
        queue_messages: 1,
        ..Settings::default()
    };
    let mut hub = Hub::with(settings, SUBSCRIBERS + 1, Qos::AtMostOnce, TOPIC);
    hub.stalled = hub.subscribers.pop();
    if let Some(key) = hub.stalled {
        hub.shard.set_slow_reader(key, SlowReader::DropNewest);
    }
    let mut reader = Reader::new(hub.publisher, TOPIC, BATCH);
    let mut turn = move || {
        reader.read(&mut hub.shard);
        assert_eq!(hub.flush(), SUBSCRIBERS);
    };
    // Until there is no room for it any more.
    (0..10).for_each(|_| turn());
    Box::new(turn)
}

/// A turn in which a client's read brings messages to these topics, each of which somebody else has.
fn alternating(topics: &[u64]) -> Part {
    let (mut hub, key) = of_two();
    let mut reader = Reader::of(key, topics.iter().map(|n| pair(*n)));
    Box::new(move || {
        reader.read(&mut hub.shard);
        assert_eq!(hub.flush(), 2);
    })
}

/// The same with a read and a turn for each.
fn one_by_one(topics: &[u64]) -> Part {
    let (mut hub, key) = of_two();
    let topics = topics.iter();
    let mut readers: Vec<_> = topics
        .map(|n| Reader::of(key, [pair(*n)].into_iter()))
        .collect();
    Box::new(move || {
        for reader in &mut readers {
            reader.read(&mut hub.shard);
            assert_eq!(hub.flush(), 1);
        }
    })
}

/// A publisher and two topics that somebody has.
fn of_two() -> (Hub, ConnectionKey) {
    let mut hub = Hub::new(0, Qos::AtMostOnce, TOPIC);
    for n in 0..2 {
        let key = join(&mut hub.shard, &format!("sub{n}"));
        handle(
            &mut hub.shard,
            key,
            subscribe(&pair(n), SubscriptionOptions::default()),
        );
    }
    hub.flush();
    let key = hub.publisher;
    (hub, key)
}

/// A client that comes, subscribes to something of its own and goes, among others who stay.
fn visit() -> Part {
    let mut hub = Hub::new(SUBSCRIBERS, Qos::AtMostOnce, TOPIC);
    let bytes = encoded(&[
        connect("visitor"),
        subscribe("of/visitor", SubscriptionOptions::default()),
        Packet::Disconnect(Disconnect {
            reason: ReasonCode::Success,
            properties: Properties::default(),
        }),
    ]);
    Box::new(move || {
        let connection = hub.shard.open(NOW, NOW.plus_millis(1000));
        let mut decoder = Decoder::server(1 << 20);
        decoder.push(bytes.clone());
        let mut answers = 0;
        while let Some(packet) = decoder.next_packet().unwrap() {
            let mut input = Some(Input::Packet { connection, packet });
            while let Some(next) = input.take() {
                hub.shard.handle(NOW, next);
                input = reaction(&mut hub.shard);
            }
            answers += hub.flush();
        }
        assert_eq!(answers, 2, "CONNACK and SUBACK");
    })
}

/// What the runtime says to what the shard asks of it.
fn reaction(shard: &mut Shard) -> Option<Input> {
    while let Some(effect) = shard.poll_effect() {
        match effect {
            Effect::Authenticate { connection, .. } => {
                let answer = Ok(Grant::new(Arc::new(AllowAll)));
                return Some(Input::Authenticated { connection, answer });
            }
            Effect::Close { connection, .. } => {
                let lost = Lost::Closed;
                return Some(Input::Closed { connection, lost });
            }
            _ => {}
        }
    }
    None
}

/// A turn in which each of many publishers is read from: one message to a topic of its own.
fn from_many(subscribers: u64, filter: fn(u64) -> String) -> Part {
    let mut hub = Hub::new(0, Qos::AtMostOnce, TOPIC);
    for n in 0..subscribers {
        let key = join(&mut hub.shard, &format!("sub{n}"));
        handle(
            &mut hub.shard,
            key,
            subscribe(&filter(n), SubscriptionOptions::default()),
        );
    }
    hub.flush();
    let mut readers: Vec<_> = (0..PUBLISHERS)
        .map(|n| Reader::new(join(&mut hub.shard, &format!("pub{n}")), &pair(n), 1))
        .collect();
    hub.flush();
    Box::new(move || {
        readers.iter_mut().for_each(|it| it.read(&mut hub.shard));
        assert_eq!(hub.flush(), subscribers);
    })
}

fn pair(n: u64) -> String {
    format!("bench/{n:04}")
}

/// A publisher whose reads all bring the same.
struct Reader {
    key: ConnectionKey,
    decoder: Decoder,
    bytes: Bytes,
}

impl Reader {
    fn new(key: ConnectionKey, topic: &str, messages: u64) -> Self {
        Self::of(key, (0..messages).map(|_| topic.to_owned()))
    }

    fn of(key: ConnectionKey, topics: impl Iterator<Item = String>) -> Self {
        let mut decoder = Decoder::server(1 << 20);
        decoder.push(encoded(&[connect("publisher")]));
        assert!(decoder.next_packet().unwrap().is_some());
        let messages = topics.map(|topic| {
            Packet::Publish(Publish {
                topic: Some(TopicName::try_from(topic.as_str()).unwrap()),
                ..publish(Qos::AtMostOnce)
            })
        });
        let bytes = encoded(&messages.collect::<Vec<_>>());
        Self {
            key,
            decoder,
            bytes,
        }
    }

    fn read(&mut self, shard: &mut Shard) {
        self.decoder.push(self.bytes.clone());
        let key = self.key;
        loop {
            while let Some((topic, most_bytes)) = shard.encore_of(key)
                && let Some(run) = self.decoder.run(topic, most_bytes)
                && let taken @ 1.. = shard.handle_encore(NOW, key, run)
            {
                let taken_bytes = run.first(taken).bytes().len();
                self.decoder.skip(taken_bytes);
            }
            match self.decoder.next_packet().unwrap() {
                Some(packet) => handle(shard, key, packet),
                None => return,
            }
        }
    }
}

fn encoded(packets: &[Packet]) -> Bytes {
    let mut output = Output::new();
    for packet in packets {
        output.encode(packet, Version::V3_1_1).unwrap();
    }
    output.parts(&Segment::new()).flatten().copied().collect()
}

/// A subscription to everything, until all that is retained has been handed out.
fn replay() -> Part {
    let mut hub = Hub::new(1, Qos::AtMostOnce, TOPIC);
    for number in 0..RETAINED {
        let topic = format!("site/{}/device/{number}/state", number % 100);
        let retained = Publish {
            retain: true,
            topic: Some(TopicName::try_from(topic.as_str()).unwrap()),
            ..publish(Qos::AtMostOnce)
        };
        handle(&mut hub.shard, hub.publisher, Packet::Publish(retained));
    }
    Box::new(move || {
        let subscribe = subscribe("#", SubscriptionOptions::default());
        handle(&mut hub.shard, hub.subscribers[0], subscribe);
        let bytes = hub.flush_bytes();
        assert!(bytes > RETAINED as usize * PAYLOAD.len(), "{bytes}");
    })
}

fn subscribe(filter: &str, options: SubscriptionOptions) -> Packet {
    Packet::Subscribe(Subscribe {
        packet_id: PacketId::new(1).unwrap(),
        filters: SubscribeFilters::new([(filter, options)]).unwrap(),
        properties: Properties::default(),
    })
}

fn decode() -> Part {
    let mut decoder = Decoder::server(1 << 20);
    decoder.push(encoded(&[connect("c")]));
    assert!(decoder.next_packet().unwrap().is_some());
    let batch = vec![Packet::Publish(publish(Qos::AtMostOnce)); BATCH as usize];
    let bytes = encoded(&batch);
    Box::new(move || {
        decoder.push(bytes.clone());
        let mut packets = 0;
        while decoder.next_packet().unwrap().is_some() {
            packets += 1;
        }
        assert_eq!(packets, BATCH);
    })
}

/// Looks up the topics of two devices in turn.
fn route(devices: [u32; 2]) -> Part {
    let mut tree = SubscriptionTree::new(7);
    for n in 0..10_000_u32 {
        let filter = match n % 9 {
            0..5 => format!("fleet/region{}/site{}/device{n}/status", n % 50, n % 500),
            5..7 => format!("fleet/region{}/site{}/device{n}/+", n % 50, n % 500),
            _ => format!("fleet/region{}/+/device{n}/#", n % 50),
        };
        tree.insert(&TopicFilter::try_from(filter.as_str()).unwrap(), n, ());
    }
    let mut topics = devices.map(|n| {
        let topic = format!("fleet/region{}/site{}/device{n}/status", n % 50, n % 500);
        TopicName::try_from(topic.as_str()).unwrap()
    });
    Box::new(move || {
        let mut found = 0;
        topics.swap(0, 1);
        tree.matches(std::hint::black_box(&topics[0]), |matched| {
            if let Matched::Each(entries) = matched {
                found += entries.len();
            }
        });
        assert_eq!(found, 1);
    })
}

fn encode() -> Part {
    let (publish, mut output) = (publish(Qos::AtMostOnce), Output::new());
    Box::new(move || {
        let head = PublishHead {
            version: Version::V3_1_1,
            topic: TOPIC,
            topic_alias: None,
            message_expiry_interval: None,
            subscription_identifiers: &[],
            properties: &publish.properties,
        };
        let frame = PublishFrame::new(&head, &publish.payload, false).unwrap();
        frame.write(false, false, Delivery::AtMostOnce, &mut output);
        output.clear();
    })
}

fn fan_out(qos: Qos) -> Part {
    fan_out_to(SUBSCRIBERS, qos)
}

/// A turn: a batch of messages with QoS 0, or one with QoS 1 and all its acknowledgements, then everybody's flush.
fn fan_out_to(subscribers: u64, qos: Qos) -> Part {
    let mut hub = Hub::new(subscribers, qos, TOPIC);
    let batch = if qos == Qos::AtMostOnce && subscribers > 0 {
        BATCH
    } else {
        1
    };
    Box::new(move || hub.turn(batch))
}

/// A turn: a batch of messages with QoS 1, then everybody's flush, and of each all acknowledgements in one read.
fn acknowledged_together() -> Part {
    let mut hub = Hub::new(SUBSCRIBERS, Qos::AtLeastOnce, TOPIC);
    let mut decoder = Decoder::server(1 << 20);
    decoder.push(encoded(&[connect("subscriber")]));
    assert!(decoder.next_packet().unwrap().is_some());
    Box::new(move || {
        for _ in 0..BATCH {
            let packet = Packet::Publish(hub.message.clone());
            handle(&mut hub.shard, hub.publisher, packet);
        }
        assert_eq!(hub.flush(), SUBSCRIBERS + 1);
        let ids: Vec<_> = (0..BATCH)
            .map(|_| Packet::PubAck(Ack::success(hub.take_id())))
            .collect();
        let bytes = encoded(&ids);
        for key in &hub.subscribers {
            decoder.push(bytes.clone());
            let taken = decoder.next_pubacks(|acks| hub.shard.handle_pubacks(NOW, *key, acks));
            assert_eq!(taken as u64, BATCH);
        }
    })
}

/// Turns in which outputs are full, so that messages wait, until they have gone.
fn catch_up() -> Part {
    let settings = Settings {
        outbox_bytes: 1000,
        ..Settings::default()
    };
    let mut hub = Hub::with(settings, SUBSCRIBERS, Qos::AtMostOnce, TOPIC);
    Box::new(move || {
        hub.turn(WAITING);
        let mut turns = 1;
        while hub.flush() > 0 {
            turns += 1;
        }
        assert!(turns > 5);
    })
}

/// A shard with a publisher and subscribers.
struct Hub {
    shard: Shard,
    publisher: ConnectionKey,
    subscribers: Vec<ConnectionKey>,
    /// Who is never flushed.
    stalled: Option<ConnectionKey>,
    qos: Qos,
    message: Publish,
    next_id: u16,
    output: Output,
}

impl Hub {
    fn new(subscribers: u64, qos: Qos, filter: &str) -> Self {
        Self::with(Settings::default(), subscribers, qos, filter)
    }

    fn with(settings: Settings, subscribers: u64, qos: Qos, filter: &str) -> Self {
        let mut shard = Shard::new(ShardId(0), 1, settings, 7);
        let publisher = join(&mut shard, "publisher");
        let keys = (0..subscribers).map(|n| join(&mut shard, &format!("sub{n}")));
        let keys: Vec<_> = keys.collect();
        let options = SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        };
        for key in &keys {
            handle(&mut shard, *key, subscribe(filter, options));
        }
        let mut hub = Self {
            shard,
            publisher,
            subscribers: keys,
            stalled: None,
            qos,
            message: publish(qos),
            next_id: 1,
            output: Output::new(),
        };
        hub.flush();
        hub
    }

    fn turn(&mut self, messages: u64) {
        for _ in 0..messages {
            let packet = Packet::Publish(self.message.clone());
            handle(&mut self.shard, self.publisher, packet);
        }
        let sent = self.flush();
        assert!(sent as usize >= self.subscribers.len());
        if self.qos == Qos::AtLeastOnce {
            self.acknowledge();
        }
    }

    fn acknowledge(&mut self) {
        let packet = Packet::PubAck(Ack::success(self.take_id()));
        for key in &self.subscribers {
            handle(&mut self.shard, *key, packet.clone());
        }
    }

    /// The packet id that everybody is to acknowledge next.
    fn take_id(&mut self) -> PacketId {
        let id = PacketId::new(self.next_id).unwrap();
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        id
    }

    fn flush_bytes(&mut self) -> usize {
        let mut bytes = 0;
        while self.shard.is_dirty() {
            while let Some(key) = self.shard.poll_dirty() {
                self.shard.transmit(NOW, key, &mut self.output);
                bytes += self.output.len();
                self.output.clear();
            }
        }
        bytes
    }

    fn flush(&mut self) -> u64 {
        let mut flushed = 0;
        while let Some(key) = self.shard.poll_dirty() {
            if self.stalled == Some(key) {
                continue;
            }
            self.shard.transmit(NOW, key, &mut self.output);
            flushed += u64::from(!self.output.is_empty());
            self.output.clear();
        }
        flushed
    }
}

fn join(shard: &mut Shard, client_id: &str) -> ConnectionKey {
    let connection = shard.open(NOW, NOW.plus_millis(1000));
    handle(shard, connection, connect(client_id));
    let answer = Ok(Grant::new(Arc::new(AllowAll)));
    shard.handle(NOW, Input::Authenticated { connection, answer });
    while shard.poll_effect().is_some() {}
    connection
}

fn handle(shard: &mut Shard, connection: ConnectionKey, packet: Packet) {
    shard.handle(NOW, Input::Packet { connection, packet });
    while let Some(effect) = shard.poll_effect() {
        assert!(!matches!(effect, Effect::Close { .. }));
    }
}
