//! QoS 0, 1 and 2 in both directions, in every version.

use weir_codec::{Delivery, Packet, Publish, Qos, ReasonCode, Version};
use weir_tests::packets::{ack, connect, lasting, publish};
use weir_tests::{Broker, Client};

const ALL: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

#[tokio::test]
async fn a_delivery_has_the_lower_qos_of_publication_and_subscription() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut client = Client::connect(&broker, connect(version, "both")).await;
        for granted in ALL {
            assert_eq!(
                client.subscribe("t", granted).await,
                ReasonCode::from(granted)
            );
            for published in ALL {
                client.publish("t", "payload", published).await;
                let message = client.message().await;
                assert_eq!(
                    message.delivery.qos(),
                    granted.min(published),
                    "{version:?}"
                );
                assert_eq!((message.retain, message.dup), (false, false));
            }
        }
    }
}

#[tokio::test]
async fn versions_talk_to_each_other() {
    let broker = Broker::start();
    for from in Version::ALL {
        for to in Version::ALL {
            let mut publisher = Client::connect(&broker, connect(from, "from")).await;
            let mut subscriber = Client::connect(&broker, connect(to, "to")).await;
            subscriber.subscribe("t", Qos::ExactlyOnce).await;
            publisher.publish("t", "across", Qos::ExactlyOnce).await;
            assert_eq!(subscriber.payload().await, "across", "{from:?} to {to:?}");
        }
    }
}

#[tokio::test]
async fn a_qos_2_message_repeated_before_pubrel_is_delivered_once() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut subscriber = Client::connect(&broker, connect(version, "subscriber")).await;
        subscriber.subscribe("t", Qos::AtMostOnce).await;
        let mut publisher = Client::connect(&broker, connect(version, "publisher")).await;
        let message = publish("t", "once", Qos::ExactlyOnce, 7);
        for dup in [false, true, true] {
            publisher
                .send(Packet::Publish(Publish {
                    dup,
                    ..message.clone()
                }))
                .await;
            assert!(
                matches!(publisher.recv().await, Packet::PubRec(rec) if rec.packet_id.get() == 7)
            );
        }
        publisher.send(Packet::PubRel(ack(7))).await;
        assert!(
            matches!(publisher.recv().await, Packet::PubComp(comp) if comp.packet_id.get() == 7)
        );
        assert_eq!(subscriber.payload().await, "once");
        subscriber.silent().await;
        publisher
            .publish_packet(publish("t", "again", Qos::ExactlyOnce, 7))
            .await;
        assert_eq!(subscriber.payload().await, "again");
    }
}

#[tokio::test]
async fn pubrel_of_an_unknown_id_is_answered_with_pubcomp() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut client = Client::connect(&broker, connect(version, "unknown")).await;
        client.send(Packet::PubRel(ack(99))).await;
        let Packet::PubComp(comp) = client.recv().await else {
            panic!("expected PUBCOMP")
        };
        assert_eq!(comp.packet_id.get(), 99);
        if version.is_v5() {
            assert_eq!(comp.reason, ReasonCode::PacketIdentifierNotFound);
        }
    }
}

#[tokio::test]
async fn an_unacknowledged_qos_1_message_comes_again_with_dup() {
    let broker = Broker::start();
    for version in Version::ALL {
        let id = format!("again{}", version.level());
        let mut first = Client::connect(&broker, lasting(version, &id)).await;
        first.subscribe("t", Qos::AtLeastOnce).await;
        first.publish("t", "payload", Qos::AtLeastOnce).await;
        let sent = first.publication().await;
        assert!(!sent.dup);
        first.vanish();
        let mut second = Client::connect(&broker, lasting(version, &id)).await;
        let repeated = second.message().await;
        assert_eq!(
            (repeated.dup, repeated.delivery),
            (true, sent.delivery),
            "{version:?}"
        );
        assert_eq!(repeated.payload, sent.payload);
        second.leave().await;
        let mut third = Client::connect(&broker, lasting(version, &id)).await;
        third.silent().await;
    }
}

#[tokio::test]
async fn an_unfinished_qos_2_delivery_goes_on_where_it_stopped() {
    let broker = Broker::start();
    for version in Version::ALL {
        let id = format!("half{}", version.level());
        let mut first = Client::connect(&broker, lasting(version, &id)).await;
        first.subscribe("t", Qos::ExactlyOnce).await;
        first.publish("t", "payload", Qos::ExactlyOnce).await;
        let Delivery::ExactlyOnce(packet_id) = first.publication().await.delivery else {
            panic!("expected QoS 2")
        };
        first.vanish();
        let mut second = Client::connect(&broker, lasting(version, &id)).await;
        let repeated = second.publication().await;
        assert_eq!(
            (repeated.dup, repeated.delivery.packet_id()),
            (true, Some(packet_id)),
            "{version:?}"
        );
        second.send(Packet::PubRec(ack(packet_id.get()))).await;
        assert!(matches!(second.recv().await, Packet::PubRel(rel) if rel.packet_id == packet_id));
        second.vanish();
        let mut third = Client::connect(&broker, lasting(version, &id)).await;
        assert!(matches!(third.recv().await, Packet::PubRel(rel) if rel.packet_id == packet_id));
        third.send(Packet::PubComp(ack(packet_id.get()))).await;
        third.silent().await;
    }
}

#[tokio::test]
async fn an_unfinished_qos_2_publication_is_not_delivered_twice_after_a_reconnection() {
    let broker = Broker::start();
    for version in Version::ALL {
        let id = format!("sender{}", version.level());
        let mut subscriber = Client::connect(&broker, connect(version, "subscriber")).await;
        subscriber.subscribe("t", Qos::AtLeastOnce).await;
        let message = publish("t", "once", Qos::ExactlyOnce, 3);
        let mut first = Client::connect(&broker, lasting(version, &id)).await;
        first.send(Packet::Publish(message.clone())).await;
        assert!(matches!(first.recv().await, Packet::PubRec(_)));
        first.vanish();
        let mut second = Client::connect(&broker, lasting(version, &id)).await;
        second
            .publish_packet(Publish {
                dup: true,
                ..message
            })
            .await;
        assert_eq!(subscriber.payload().await, "once");
        subscriber.silent().await;
    }
}

#[tokio::test]
async fn deliveries_keep_their_order_while_many_are_in_flight() {
    let broker = Broker::start();
    let mut subscriber = Client::v5(&broker, "subscriber").await;
    subscriber.subscribe("t", Qos::AtLeastOnce).await;
    let mut publisher = Client::v5(&broker, "publisher").await;
    let burst =
        (1..=200).map(|n| Packet::Publish(publish("t", n.to_string(), Qos::AtLeastOnce, n)));
    publisher.send_together(burst).await;
    for n in 1..=200 {
        assert!(matches!(publisher.recv().await, Packet::PubAck(ack) if ack.packet_id.get() == n));
        assert_eq!(subscriber.payload().await, n.to_string());
    }
}
