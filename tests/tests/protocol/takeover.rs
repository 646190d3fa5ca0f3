//! One client id has one owner: a second connection takes over from the first.

use weir_codec::{Connect, Property, Qos, ReasonCode, Version};
use weir_tests::packets::{connect, lasting, will};
use weir_tests::{Broker, Client, Code};

#[tokio::test]
async fn the_first_5_0_client_is_told_and_closed() {
    let broker = Broker::start();
    let mut first = Client::v5(&broker, "twin").await;
    let mut second = Client::v5(&broker, "twin").await;
    assert_eq!(
        first.disconnected().await,
        (ReasonCode::SessionTakenOver, Code(4142))
    );
    second.subscribe("t", Qos::AtLeastOnce).await;
    second.publish("t", "mine", Qos::AtLeastOnce).await;
    assert_eq!(second.payload().await, "mine");
    broker.logs("taken over");
}

#[tokio::test]
async fn the_first_3_x_client_sees_why_in_the_close() {
    let broker = Broker::start();
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut first = Client::connect(&broker, connect(version, "twin")).await;
        let _second = Client::connect(&broker, connect(version, "twin")).await;
        let close = first.closed().await;
        assert_eq!(close.code, 4142);
        assert!(close.says("taken over"), "{close:?}");
    }
}

#[tokio::test]
async fn the_session_moves_to_the_second_connection() {
    let broker = Broker::start();
    let mut publisher = Client::v5(&broker, "publisher").await;
    let mut first = Client::connect(&broker, lasting(Version::V5, "mover")).await;
    first.subscribe("t", Qos::AtLeastOnce).await;
    publisher
        .publish("t", "unacknowledged", Qos::AtLeastOnce)
        .await;
    let before = first.publication().await;
    let mut second = Client::connect(&broker, lasting(Version::V3_1_1, "mover")).await;
    assert!(second.connack().session_present);
    let again = second.message().await;
    assert_eq!((again.dup, again.delivery), (true, before.delivery));
    publisher.publish("t", "next", Qos::AtLeastOnce).await;
    assert_eq!(second.payload().await, "next");
}

#[tokio::test]
async fn a_takeover_publishes_the_will_of_the_first() {
    let broker = Broker::start();
    let mut watcher = Client::v5(&broker, "watcher").await;
    watcher.subscribe("will", Qos::AtLeastOnce).await;
    let mortal = Connect {
        will: Some(will("will", "gone")),
        ..connect(Version::V5, "twin")
    };
    let _first = Client::connect(&broker, mortal).await;
    let _second = Client::v5(&broker, "twin").await;
    assert_eq!(watcher.payload().await, "gone");
}

#[tokio::test]
async fn many_takeovers_at_once_leave_one_owner() {
    let broker = Broker::start_with("[limits]\nmax_takeovers = 30");
    let rivals = (0..30).map(|_| Client::connect(&broker, lasting(Version::V5, "rival")));
    let mut owners = 0;
    for mut rival in futures_util::future::join_all(rivals).await {
        let told = tokio::time::timeout(weir_tests::SILENCE, rival.recv()).await;
        owners += usize::from(told.is_err());
    }
    assert_eq!(owners, 1);
}

#[tokio::test]
async fn a_takeover_loop_ends_and_leaves_one_in_peace() {
    let broker = Broker::start();
    let mut present = Client::v5(&broker, "tab").await;
    for _ in 0..3 {
        let next = Client::v5(&broker, "tab").await;
        assert_eq!(
            present.disconnected().await,
            (ReasonCode::SessionTakenOver, Code(4142))
        );
        present = next;
    }
    for _ in 0..5 {
        let (connack, close) = Client::refused(&broker, connect(Version::V5, "tab")).await;
        assert_eq!(connack.reason, ReasonCode::ConnectionRateExceeded);
        let wait = Property::UserProperty("weir-retry-after-seconds", "30");
        assert!(connack.properties.iter().any(|property| property == wait));
        assert_eq!(close.code, 4159);
        assert!(close.says("for 30 seconds"), "{close:?}");
        let (connack, close) = Client::refused(&broker, connect(Version::V3_1_1, "tab")).await;
        assert_eq!(connack.reason, ReasonCode::ServerUnavailable);
        assert_eq!(close.code, 4159);
    }
    present.subscribe("t", Qos::AtLeastOnce).await;
    broker.logs("takeover loop: two clients use one client id");
    assert_eq!(broker.log().matches("takeover loop").count(), 1);
}

#[tokio::test]
async fn a_client_that_breaks_off_and_comes_back_at_once_is_no_rival_of_itself() {
    let broker = Broker::start_with("shards = 3");
    for _ in 0..200 {
        Client::v5(&broker, "reloaded").await.vanish();
    }
    assert!(!broker.log().contains("taken over"));
}

#[tokio::test]
async fn a_client_that_is_gone_without_a_word_does_not_keep_its_id() {
    let broker = Broker::start();
    // Their connections stay open, but nobody reads them, so nobody answers.
    let mut dead = Vec::new();
    while dead.len() < 4 {
        dead.push(Client::v5(&broker, "dead").await);
    }
    let deadline = std::time::Instant::now() + weir_tests::PATIENCE;
    loop {
        let mut again = Client::open(&broker, Version::V5).await;
        if again.ask(connect(Version::V5, "dead")).await.reason == ReasonCode::Success {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "never let in again");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
