//! rumqttc, a Rust client with a WebSocket transport, in its 3.1.1 and its 5.0 form.
//!
//! The two forms are two modules with the same shape and different types, so one macro writes the same
//! scenario for both. Its event loop runs in a task of its own and passes on what arrives.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use weir_codec::{Publish, TopicName};
use weir_tests::{Broker, PATIENCE};

/// rumqttc takes 10 KiB by default, less than a camera's picture.
const MAX_PACKET_BYTES: usize = 1 << 20;

/// Topic, payload, QoS and retain of what arrived.
type Arrival = (String, Vec<u8>, u8, bool);

/// Waits for the next thing that arrives.
pub(crate) async fn next<T>(arrivals: &mut UnboundedReceiver<T>) -> T {
    let arrival = timeout(PATIENCE, arrivals.recv()).await;
    arrival.expect("an arrival in time").expect("a connection")
}

macro_rules! scenario {
    ($module:ident, $($path:ident)::+, $incoming:path, $qos:path, $topic:expr) => {
        mod $module {
            use super::*;
            use $qos as QoS;
            use $incoming as Incoming;
            use $($path)::+::{AsyncClient, Event, MqttOptions};

            pub(super) struct Peer {
                client: AsyncClient,
                pub(super) messages: UnboundedReceiver<Arrival>,
                subacks: UnboundedReceiver<()>,
            }

            impl Peer {
                pub(super) async fn subscribe(&mut self, filter: &str, qos: QoS) {
                    let asked = self.client.subscribe(filter, qos).await;
                    asked.expect("an open client");
                    next(&mut self.subacks).await;
                }

                async fn publish(&self, topic: &str, qos: QoS, retain: bool, payload: &str) {
                    let sent = self.client.publish(topic, qos, retain, payload.to_owned()).await;
                    sent.expect("an open client");
                }
            }

            pub(super) async fn peer(broker: &Broker, id: &str, keep_session: bool) -> (Peer, bool) {
                let mut options = MqttOptions::new(id, broker.url(), broker.address().port());
                options.set_transport(rumqttc::Transport::Ws);
                options.set_keep_alive(Duration::from_secs(30));
                super::$module(&mut options, keep_session);
                let (client, mut events) = AsyncClient::new(options, 64);
                let (arrived, messages) = unbounded_channel();
                let (subscribed, subacks) = unbounded_channel();
                let (connected, mut connacks) = unbounded_channel();
                tokio::spawn(async move {
                    loop {
                        match events.poll().await.inspect_err(|error| println!("rumqttc: {error}")) {
                            Ok(Event::Incoming(Incoming::ConnAck(connack))) => {
                                let _ = connected.send(connack.session_present);
                            }
                            Ok(Event::Incoming(Incoming::SubAck(_))) => {
                                let _ = subscribed.send(());
                            }
                            Ok(Event::Incoming(Incoming::Publish(publish))) => {
                                let (topic, payload) = ($topic(&publish.topic), publish.payload);
                                let qos = publish.qos as u8;
                                let _ = arrived.send((topic, payload.to_vec(), qos, publish.retain));
                            }
                            Ok(_) => {}
                            Err(_) => return,
                        }
                    }
                });
                let present = next(&mut connacks).await;
                (Peer { client, messages, subacks }, present)
            }

            #[tokio::test]
            async fn every_qos_arrives_as_it_was_sent() {
                let broker = Broker::start();
                let (mut subscriber, _) = peer(&broker, "subscriber", false).await;
                subscriber.subscribe("rust/#", QoS::ExactlyOnce).await;
                let (publisher, _) = peer(&broker, "publisher", false).await;
                for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    let topic = format!("rust/{}", qos as u8);
                    publisher.publish(&topic, qos, false, "payload").await;
                    let expected = (topic, b"payload".to_vec(), qos as u8, false);
                    assert_eq!(next(&mut subscriber.messages).await, expected);
                }
            }

            #[tokio::test]
            async fn a_retained_message_meets_a_later_subscriber() {
                let broker = Broker::start();
                let (publisher, _) = peer(&broker, "publisher", false).await;
                publisher.publish("kept", QoS::AtLeastOnce, true, "state").await;
                let (mut late, _) = peer(&broker, "late", false).await;
                late.subscribe("kept", QoS::AtLeastOnce).await;
                assert_eq!(next(&mut late.messages).await.1, b"state");
            }

            #[tokio::test]
            async fn a_persistent_session_keeps_messages() {
                let broker = Broker::start();
                let (mut first, present) = peer(&broker, "keeper", true).await;
                assert!(!present);
                first.subscribe("t", QoS::ExactlyOnce).await;
                first.client.disconnect().await.expect("an open client");
                while first.messages.recv().await.is_some() {}
                let (mut publisher, _) = peer(&broker, "publisher", false).await;
                publisher.subscribe("t", QoS::ExactlyOnce).await;
                for n in 0..20 {
                    publisher.publish("t", QoS::ExactlyOnce, false, &n.to_string()).await;
                    assert_eq!(next(&mut publisher.messages).await.1, n.to_string().as_bytes());
                }
                let (mut second, present) = peer(&broker, "keeper", true).await;
                assert!(present);
                for n in 0..20 {
                    assert_eq!(next(&mut second.messages).await.1, n.to_string().as_bytes());
                }
            }
        }
    };
}

/// A receiver of everything, subscribed.
pub(crate) async fn receiver(broker: &Broker) -> UnboundedReceiver<Arrival> {
    let (mut peer, _) = v5::peer(broker, "receiver-rumqttc", false).await;
    peer.subscribe("#", rumqttc::v5::mqttbytes::QoS::ExactlyOnce)
        .await;
    peer.messages
}

/// Receives this stream: every message, in the order of its QoS.
pub(crate) async fn receive(mut arrivals: UnboundedReceiver<Arrival>, messages: &[Publish]) {
    let mut expected = [(); 3].map(|()| VecDeque::new());
    for message in messages {
        expected[message.delivery.qos() as usize].push_back(message);
    }
    for _ in messages {
        let (topic, payload, qos, retain) = next(&mut arrivals).await;
        let wanted = expected[usize::from(qos)]
            .pop_front()
            .expect("no more than was sent");
        let wanted_topic = wanted.topic.as_ref().map(TopicName::as_str);
        assert_eq!((Some(topic.as_str()), retain), (wanted_topic, false));
        assert!(payload == wanted.payload, "the payload of {topic} changed");
    }
}

scenario!(
    v3_1_1,
    rumqttc,
    rumqttc::Packet,
    rumqttc::QoS,
    |topic: &String| topic.clone()
);
scenario!(
    v5,
    rumqttc::v5,
    rumqttc::v5::Incoming,
    rumqttc::v5::mqttbytes::QoS,
    |topic: &bytes::Bytes| { String::from_utf8(topic.to_vec()).expect("a text topic") }
);

fn v3_1_1(options: &mut rumqttc::MqttOptions, keep_session: bool) {
    options.set_clean_session(!keep_session);
    options.set_max_packet_size(MAX_PACKET_BYTES, MAX_PACKET_BYTES);
}

fn v5(options: &mut rumqttc::v5::MqttOptions, keep_session: bool) {
    options.set_clean_start(!keep_session);
    options.set_max_packet_size(u32::try_from(MAX_PACKET_BYTES).ok());
    options.set_session_expiry_interval(keep_session.then_some(600));
}
