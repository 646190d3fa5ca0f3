//! What the simulation has found, each as a short script with its story.
//!
//! They are written out, not named by their seeds: what a seed stands for changes whenever scripts are drawn differently.

use weir_codec::{Qos, ReasonCode, RetainHandling, SubscriptionOptions};
use weir_engine::Settings;
use weir_sim::{
    Action, ConnectWish, Cut, Habit, PublishWish, Script, Step, StoreHabit, WillWish, check,
};

/// Plays a script on brokers of one to four shards; each step names its moment, its client and what it does.
fn play(settings: &Settings, steps: &[(u64, usize, Action)]) {
    for shards in 1..=4 {
        for seed in 0..2 {
            let script = Script {
                seed,
                shards,
                clients: 6,
                settings: settings.clone(),
                slow_reader: None,
                crowded_bytes: usize::MAX,
                last_packet_id: 0,
                has_past: false,
                mail_delay_millis: 5,
                latency_millis: 2,
                store: StoreHabit {
                    gather_millis: 0,
                    sync_millis: 200,
                    segment_batches: 3,
                    batch_bytes: 1 << 20,
                    garbage_bytes: 0,
                    jump_millis: 0,
                },
                steps: numbered(steps),
            };
            assert_eq!(check(&script).err(), None, "{script}");
        }
    }
}

fn numbered(steps: &[(u64, usize, Action)]) -> Vec<Step> {
    let steps = (0..).zip(steps);
    let steps = steps.map(|(number, (at, client, action))| Step {
        number,
        at: *at,
        client: *client,
        action: action.clone(),
    });
    steps.collect()
}

fn durable() -> Settings {
    Settings {
        is_durable: true,
        ..Settings::default()
    }
}

fn connect() -> Action {
    Action::Connect(Box::default())
}

fn subscribe(filter: &'static str, qos: Qos) -> Action {
    let options = SubscriptionOptions {
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::SendAtSubscribe,
    };
    Action::Subscribe {
        filters: vec![(filter, options)],
        identifier: 0,
        slow_reader: None,
    }
}

fn message(topic: &'static str, qos: Qos) -> PublishWish {
    PublishWish {
        topic,
        qos,
        retain: false,
        empty: false,
        payload_bytes: 20,
        life_seconds: None,
        aliased: false,
        adorned: false,
        count: 1,
    }
}

fn publish(topic: &'static str, qos: Qos) -> Action {
    Action::Publish(message(topic, qos))
}

/// What a step changes is asked of the store when the step is over; an answer held before that, while nobody owed anything
/// yet, was given at once. Every acknowledgement left before what it promises was kept.
#[test]
fn no_answer_leaves_before_its_own_step_is_kept() {
    let steps = [
        (0, 0, connect()),
        (1000, 0, subscribe("t", Qos::AtLeastOnce)),
        (2000, 0, publish("t", Qos::AtLeastOnce)),
        (3000, 0, publish("t", Qos::ExactlyOnce)),
        (4000, 0, Action::Crash(100)),
    ];
    play(&durable(), &steps);
}

/// A shard said that a message is kept there when nobody owed it anything for that step, other shards included: two that
/// published to each other at the same moment waited for each other for ever.
#[test]
fn shards_that_publish_to_each_other_both_go_on() {
    let mut steps = Vec::new();
    for client in 0..6 {
        steps.push((0, client, connect()));
        steps.push((1000, client, subscribe("t/#", Qos::AtLeastOnce)));
    }
    for round in 0..8 {
        for client in 0..6 {
            steps.push((3000 + 50 * round, client, publish("t/a", Qos::AtLeastOnce)));
        }
    }
    play(&durable(), &steps);
}

/// A client that came back while the store was full was sent the PUBREL of a PUBREC that was not kept: it forgot the packet
/// id, and after a crash would have taken the message a second time.
#[test]
fn a_message_is_taken_once_though_its_client_comes_back_to_a_full_store() {
    let steps = [
        (0, 0, connect()),
        (0, 1, connect()),
        (1000, 0, subscribe("t", Qos::ExactlyOnce)),
        (2000, 0, Action::Habit(Habit::Slow(1000))),
        (2000, 1, publish("t", Qos::ExactlyOnce)),
        (2700, 1, Action::StoreFull(5000)),
        (4000, 0, Action::Cut(Cut::Reset)),
        (4500, 0, connect()),
        (6000, 1, Action::Crash(1000)),
    ];
    play(&durable(), &steps);
}

/// A will that was due when the broker was started again was published before other shards had told of the subscriptions
/// that they had restored.
#[test]
fn a_will_that_is_due_at_a_restart_reaches_subscribers_on_every_shard() {
    let mut steps = Vec::new();
    for client in 0..6 {
        let will = WillWish {
            publish: message("t/a", Qos::AtLeastOnce),
            delay_seconds: 0,
        };
        let wish = ConnectWish {
            will: Some(will),
            ..ConnectWish::default()
        };
        steps.push((0, client, Action::Connect(Box::new(wish))));
        steps.push((1000, client, subscribe("t/#", Qos::AtLeastOnce)));
    }
    steps.push((3000, 0, Action::Crash(5000)));
    play(&durable(), &steps);
}

/// QoS 2 messages that wait until their packet ids are kept took no room in the output: a whole window of them was written
/// to it at once, far beyond its limit.
#[test]
fn what_waits_for_the_store_is_within_the_limits_of_the_output() {
    let settings = Settings {
        outbox_bytes: 100,
        ..durable()
    };
    let burst = PublishWish {
        payload_bytes: 3000,
        count: 40,
        ..message("t", Qos::ExactlyOnce)
    };
    let steps = [
        (0, 0, connect()),
        (0, 1, connect()),
        (1000, 0, subscribe("t", Qos::ExactlyOnce)),
        (2000, 0, Action::StoreStalls(1000)),
        (2000, 1, Action::Publish(burst)),
    ];
    play(&settings, &steps);
}

/// They were also encoded when they were put off: the time that they waited was not taken off their Message Expiry Interval,
/// and they were sent though it had passed.
#[test]
fn the_time_a_message_waits_for_the_store_is_taken_off_its_life() {
    let short = |seconds| {
        Action::Publish(PublishWish {
            life_seconds: Some(seconds),
            ..message("t", Qos::ExactlyOnce)
        })
    };
    let steps = [
        (0, 0, connect()),
        (0, 1, connect()),
        (1000, 0, subscribe("t", Qos::ExactlyOnce)),
        (2000, 0, Action::StoreStalls(3000)),
        (2000, 1, short(1)),
        (2000, 1, short(60)),
    ];
    play(&durable(), &steps);
}

/// Not a bug that was, but what all of this is for: a broker that is stopped in good order loses nothing.
#[test]
fn an_orderly_end_loses_nothing() {
    let mut steps = Vec::new();
    for client in 0..4 {
        steps.push((0, client, connect()));
        steps.push((1000, client, subscribe("t/#", Qos::ExactlyOnce)));
        steps.push((3000, client, publish("t/a", Qos::ExactlyOnce)));
        steps.push((3010, client, publish("t/b", Qos::AtLeastOnce)));
    }
    let leave = Action::Disconnect {
        reason: ReasonCode::DisconnectWithWillMessage,
        expiry_seconds: None,
    };
    steps.push((3020, 0, leave));
    steps.push((3030, 1, Action::Shutdown(1000)));
    play(&durable(), &steps);
}
