//! The real binary killed with SIGKILL again and again, under load: what was acknowledged is there afterwards.
//!
//! Publishers and subscribers with sessions that last go on from where they were, as a client library would: what was not
//! acknowledged is sent again, what was is not. So a subscriber must see every message, of a QoS 2 publisher in QoS 2
//! exactly once, and in order. `WEIR_KILLS` says how often; `cargo xtask kills N` sets it. A library loaded into the
//! broker drops writes that were not synced, so that being killed is to it what a power cut is; that this finds a missing
//! sync is shown with a broker that is told not to wait for one.

mod clients;
mod commands;
mod full;
mod power;

use clients::{Publisher, Subscriber};
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;
use weir_codec::Qos;
use weir_tests::{Broker, folder};

/// A publisher and a subscriber of each.
const EACH: [Qos; 2] = [Qos::AtLeastOnce, Qos::ExactlyOnce];

/// How a run ended: what was lost, doubled or out of order is the error.
type Outcome = Result<(), String>;

/// Everybody who takes part, over all rounds.
struct Cast {
    publishers: [Publisher; 2],
    subscribers: [Subscriber; 2],
}

impl Cast {
    /// Publishers and subscribers of these two QoS.
    fn new(qos: [Qos; 2]) -> Self {
        let [one, two] = qos;
        Self {
            publishers: [Publisher::new("one", one), Publisher::new("two", two)],
            subscribers: [
                Subscriber::new("first", one, qos),
                Subscriber::new("second", two, qos),
            ],
        }
    }

    /// A round that ends when the broker is killed after `life`.
    async fn until_killed(&mut self, broker: Broker, life: Duration) -> Outcome {
        let [first, second] = &mut self.subscribers;
        let [third, fourth] = &mut self.publishers;
        let (a, b) = (first.join(&broker).await?, second.join(&broker).await?);
        let (c, d) = (third.join(&broker).await?, fourth.join(&broker).await?);
        let killed = async {
            tokio::time::sleep(life).await;
            drop(broker);
            Ok(())
        };
        let (e, f, g, h, i) = tokio::join!(
            first.follow(a, None),
            second.follow(b, None),
            third.publish(c, true),
            fourth.publish(d, true),
            killed,
        );
        e.and(f).and(g).and(h).and(i)
    }

    /// The last round: nobody is killed, everything arrives.
    async fn last_round(&mut self, broker: &Broker) -> Outcome {
        let [first, second] = &mut self.subscribers;
        let [third, fourth] = &mut self.publishers;
        let (a, b) = (first.join(broker).await?, second.join(broker).await?);
        let (c, d) = (third.join(broker).await?, fourth.join(broker).await?);
        let all = [third.published(), fourth.published()];
        let (e, f, g, h) = tokio::join!(
            first.follow(a, Some(all)),
            second.follow(b, Some(all)),
            third.publish(c, false),
            fourth.publish(d, false),
        );
        e.and(f).and(g).and(h)
    }
}

/// A broker that is killed again and again.
struct Victim<'a> {
    shards: u16,
    /// What stands in `[store]` besides the path.
    store: &'a str,
    folder: &'a Path,
    environment: &'a [(&'a str, &'a OsStr)],
}

impl Victim<'_> {
    /// Kills it so often, and then lets it end its work.
    async fn kill(&self, kills: u32, qos: [Qos; 2]) -> Outcome {
        let mut cast = Cast::new(qos);
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..kills {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let life = Duration::from_millis(random % 150);
            let outcome = cast.until_killed(self.start(), life).await;
            outcome.map_err(|error| format!("round {round}: {error}"))?;
        }
        cast.last_round(&self.start()).await?;
        let published = cast.publishers.map(|it| it.published());
        println!("{kills} kills, {published:?} messages");
        Ok(())
    }

    fn start(&self) -> Broker {
        let (shards, path, store) = (self.shards, self.folder, self.store);
        let config = format!("shards = {shards}\n[store]\npath = {path:?}\n{store}");
        Broker::start_in(&config, self.environment)
    }
}

/// How often to kill.
fn kills(unless_told: u32) -> u32 {
    let told = std::env::var("WEIR_KILLS").ok();
    told.map_or(unless_told, |text| {
        text.parse().expect("WEIR_KILLS is a number")
    })
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = folder();
    let victim = Victim {
        shards: 1,
        store: "",
        folder: &folder,
        environment: &[],
    };
    victim.kill(kills(20), EACH).await.expect("all of it");
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_across_shards() {
    let folder = folder();
    let victim = Victim {
        shards: 3,
        store: "",
        folder: &folder,
        environment: &[],
    };
    let qos = [Qos::AtLeastOnce; 2];
    victim.kill(kills(10), qos).await.expect("all of it");
}

#[tokio::test]
async fn an_interval_between_syncs_survives_kill_9_too() {
    let folder = folder();
    let victim = Victim {
        shards: 1,
        store: "durability = \"interval\"\n",
        folder: &folder,
        environment: &[],
    };
    victim.kill(kills(5), EACH).await.expect("all of it");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_power_cut() {
    let folder = folder();
    let library = power::library(&folder);
    let victim = Victim {
        shards: 1,
        store: "",
        folder: &folder,
        environment: &power::environment(&library, &folder),
    };
    victim.kill(kills(20), EACH).await.expect("all of it");
}

#[tokio::test]
async fn qos_2_across_shards_survives_a_power_cut() {
    let folder = folder();
    let library = power::library(&folder);
    let victim = Victim {
        shards: 3,
        store: "",
        folder: &folder,
        environment: &power::environment(&library, &folder),
    };
    victim.kill(kills(20), EACH).await.expect("all of it");
}

/// The proof that the tests above can fail: the same with a broker that does not wait for the sync.
#[tokio::test]
async fn a_missing_sync_is_found_out() {
    let folder = folder();
    let library = power::library(&folder);
    let victim = Victim {
        shards: 1,
        store: "durability = \"interval\"\nsync_interval_milliseconds = 60000\n",
        folder: &folder,
        environment: &power::environment(&library, &folder),
    };
    let error = victim.kill(20, EACH).await;
    println!("found: {}", error.expect_err("what was not synced is lost"));
}
