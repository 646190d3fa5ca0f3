//! A well-behaved client that goes on being served while others do harm.
//!
//! It lives in a thread of its own, so that nothing the test does can hold it up: what holds it up is the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use weir_codec::Qos;
use weir_tests::{Broker, Client};

/// A round trip takes a millisecond. This leaves room for a busy machine, none for a broker that is held up.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(3);

/// The pause between two round trips.
const PAUSE: Duration = Duration::from_millis(10);

/// A client that publishes to itself, again and again, until it is asked how it fared.
pub(crate) struct Canary {
    over: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Canary {
    /// Lets it sing; it has been served once when this returns.
    pub(crate) fn fly(broker: &Arc<Broker>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (broker, told) = (Arc::clone(broker), Arc::clone(&over));
        let (started, start) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(sing(&broker, &told, || {
                let _ = started.send(());
            }))
        });
        let _ = start.recv();
        Self { over, thread }
    }

    /// Checks that it was served all the time.
    pub(crate) fn unharmed(self) {
        self.over.store(true, Ordering::Relaxed);
        let songs = self.thread.join().expect("the canary was served");
        assert!(songs > 0);
    }
}

async fn sing(broker: &Broker, over: &AtomicBool, started: impl Fn()) -> usize {
    let mut client = Client::v5(broker, "canary").await;
    client.subscribe("canary/song", Qos::AtLeastOnce).await;
    let mut songs = 0;
    while !over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        // A packet id for each: QoS 1, so that the acknowledgement is measured too.
        let qos = if songs < 60_000 {
            Qos::AtLeastOnce
        } else {
            Qos::AtMostOnce
        };
        client.publish("canary/song", "tweet", qos).await;
        assert_eq!(client.payload().await, "tweet");
        assert!(
            begin.elapsed() < LONGEST_ROUND_TRIP,
            "the canary was held up for {:?}",
            begin.elapsed()
        );
        songs += 1;
        started();
        tokio::time::sleep(PAUSE).await;
    }
    songs
}
