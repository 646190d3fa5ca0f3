//! The messages of a whole home, replayed by one client and received by three of other kinds.
//!
//! The stream is synthetic, since no public recording could be had: tests/python/home.py makes it from a fixed seed,
//! in the shapes and sizes that Home Assistant, Zigbee2MQTT, Tasmota, Shelly, Frigate and others publish.
//! Every message has to arrive at every receiver, unchanged, and in the order of its QoS.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use weir_codec::{Packet, Publish, Qos, Version};
use weir_tests::packets::{connect, delivery, publish};
use weir_tests::{Broker, Client, Script};

/// As many publications as are in flight at once.
const WINDOW: usize = 20;

#[tokio::test]
async fn a_home_is_replayed_and_received_whole_and_in_order_by_three_kinds_of_clients() {
    let (file, messages) = stream();
    let broker = Broker::start();
    let arguments = [&broker.url(), file.to_str().expect("a text path")];
    let mut receivers = [
        Script::node("receive.mjs", &arguments),
        Script::python("receive.py", &arguments),
    ];
    for receiver in &mut receivers {
        receiver.wait_for("ready");
    }
    let rust = super::rumqttc::receiver(&broker).await;
    replay(&broker, &messages).await;
    super::rumqttc::receive(rust, &messages).await;
    for receiver in receivers {
        assert_eq!(receiver.succeed(), 1);
    }
    retained_are_the_last_of_each_topic(&broker, &messages).await;
}

/// Writes the stream to a file and reads it back.
fn stream() -> (PathBuf, Vec<Publish>) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home.jsonl");
    Script::python("home.py", &[file.to_str().expect("a text path")]).succeed();
    let text = std::fs::read_to_string(&file).expect("the stream");
    let messages: Vec<_> = text.lines().map(parse).collect();
    assert_eq!(messages.len(), 4000);
    (file, messages)
}

fn parse(line: &str) -> Publish {
    let message: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let field = |name: &str| message[name].as_str().expect("a string").to_owned();
    let qos = message["qos"]
        .as_u64()
        .and_then(|qos| u8::try_from(qos).ok());
    let qos = Qos::try_from(qos.expect("a number")).expect("a QoS");
    let retain = message["retain"].as_bool().expect("a flag");
    Publish {
        retain,
        ..publish(&field("topic"), base64(&field("payload")), qos, 1)
    }
}

/// Publishes all, never more than a window's worth unacknowledged.
async fn replay(broker: &Broker, messages: &[Publish]) {
    let mut client = Client::connect(broker, connect(Version::V5, "replay")).await;
    let mut in_flight = VecDeque::new();
    for message in messages {
        let qos = message.delivery.qos();
        let id = 1 + client.next_id().get() % 60_000;
        let message = Publish {
            delivery: delivery(qos, id),
            ..message.clone()
        };
        client.send(Packet::Publish(message)).await;
        if qos > Qos::AtMostOnce {
            in_flight.push_back(delivery(qos, id));
        }
        if in_flight.len() == WINDOW {
            client
                .complete(in_flight.pop_front().expect("a full window"))
                .await;
        }
    }
    for delivery in in_flight {
        client.complete(delivery).await;
    }
    client.leave().await;
}

async fn retained_are_the_last_of_each_topic(broker: &Broker, messages: &[Publish]) {
    let retained = messages.iter().filter(|message| message.retain);
    let mut last: HashMap<_, _> = retained
        .map(|message| (message.topic.clone(), &message.payload))
        .collect();
    let mut late = Client::connect(broker, connect(Version::V3_1_1, "late")).await;
    late.subscribe("#", Qos::AtLeastOnce).await;
    while !last.is_empty() {
        let message = late.message().await;
        assert_eq!(
            last.remove(&message.topic),
            Some(&message.payload),
            "{:?}",
            message.topic
        );
        assert!(message.retain);
    }
    late.silent().await;
}

/// Decodes standard base64 with padding.
fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        bits = (bits << 6) | u32::from(digit(byte));
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
