//! QoS 0 for a client that reads slowly: what is lost, that it is told, and that nobody else notices.

use super::check;
use super::world::World;
use crate::{Settings, SlowReader};
use alloc::vec::Vec;
use std::format;

/// Room for one message at the socket, for four small QoS 0 messages that make room for each other, and for eight of any kind.
fn narrow() -> World {
    World::with(
        1,
        Settings {
            outbox_bytes: 1,
            queue_messages: 8,
            slow_reader_bytes: 4 * 200,
            ..Settings::default()
        },
    )
}

/// `r` stalls with one message on its way, and has this subscription.
fn stalled(subscription: &str) -> World {
    let mut world = narrow();
    world.run("p> CONNECT v5\np< CONNACK\nr> CONNECT v5\nr< CONNACK");
    world.run(&format!("r> SUBSCRIBE {subscription}\nr< SUBACK 00"));
    world.run("r! stall\np> PUBLISH t/1 on-its-way");
    world
}

#[test]
fn the_oldest_make_room_and_the_client_is_told() {
    let mut world = stalled("t/# user=weir-slow-reader:drop-oldest");
    for n in 1..=7 {
        world.run(&format!("p> PUBLISH t/1 v{n}"));
    }
    assert_eq!(
        world.take_reports(),
        ["r: reads slowly and misses messages (drop-oldest)"]
    );
    world.run(
        "
        r! read
        r< PUBLISH t/1 on-its-way
        r< PUBLISH t/1 v4 user=weir-missed:3
        r< PUBLISH t/1 v5
        r< PUBLISH t/1 v6
        r< PUBLISH t/1 v7
        p> PUBLISH t/1 v8
        r< PUBLISH t/1 v8
        r> DISCONNECT
        ",
    );
    assert_eq!(
        world.take_reports(),
        ["r: read slowly and missed 3 messages"]
    );
}

#[test]
fn of_each_topic_the_newest_waits_in_the_place_of_the_first() {
    let mut world = stalled("t/# user=weir-slow-reader:latest-per-topic");
    for n in 1..=50 {
        world.run(&format!(
            "p> PUBLISH t/1 a{n}\np> PUBLISH t/2 b{n} user=k:v"
        ));
    }
    world.run(
        "
        r! read
        r< PUBLISH t/1 on-its-way
        r< PUBLISH t/1 a50 user=weir-missed:98
        r< PUBLISH t/2 b50 user=k:v
        ",
    );
}

/// More topics than there is room for: the oldest give way.
#[test]
fn the_newest_of_each_topic_are_bounded_too() {
    let mut world = stalled("t/# user=weir-slow-reader:latest-per-topic");
    for n in 1..=100 {
        world.run(&format!("p> PUBLISH t/{n} x"));
    }
    world.run(
        "
        r! read
        r< PUBLISH t/1 on-its-way
        r< PUBLISH t/97 x user=weir-missed:96
        r< PUBLISH t/98 x
        r< PUBLISH t/99 x
        r< PUBLISH t/100 x
        ",
    );
}

#[test]
fn the_newest_are_dropped_and_the_client_is_told() {
    let mut world = stalled("t/# user=weir-slow-reader:drop-newest");
    for n in 1..=10 {
        world.run(&format!("p> PUBLISH t/1 v{n}"));
    }
    world.run(
        "
        r! read
        r< PUBLISH t/1 on-its-way
        r< PUBLISH t/1 v1 user=weir-missed:2
        r< PUBLISH t/1 v2
        r< PUBLISH t/1 v3
        r< PUBLISH t/1 v4
        r< PUBLISH t/1 v5
        r< PUBLISH t/1 v6
        r< PUBLISH t/1 v7
        r< PUBLISH t/1 v8
        ",
    );
}

#[test]
fn who_wants_to_miss_nothing_is_disconnected() {
    let mut world = stalled("t/# user=weir-slow-reader:disconnect");
    for n in 1..=8 {
        world.run(&format!("p> PUBLISH t/1 v{n}"));
    }
    world.run("p> PUBLISH t/1 v9\nr? queue full: client reads too slowly");
}

#[test]
fn qos_1_waits_among_what_may_be_lost() {
    let mut world = narrow();
    world.run(
        "
        p> CONNECT v5
        p< CONNACK
        r> CONNECT v5
        r< CONNACK
        r> SUBSCRIBE t/# q1 user=weir-slow-reader:drop-oldest
        r< SUBACK 01
        r! stall
        p> PUBLISH t/1 on-its-way
        p> PUBLISH t/1 v1
        p> PUBLISH t/1 kept q1 id=1
        p< PUBACK id=1
        ",
    );
    for n in 2..=9 {
        world.run(&format!("p> PUBLISH t/1 v{n}"));
    }
    world.run(
        "
        r! read
        r< PUBLISH t/1 on-its-way
        r< PUBLISH t/1 kept q1 id=1
        r< PUBLISH t/1 v6 user=weir-missed:5
        r< PUBLISH t/1 v7
        r< PUBLISH t/1 v8
        r< PUBLISH t/1 v9
        ",
    );
}

#[test]
fn each_subscription_identifier_has_a_sum_of_its_own() {
    let mut world = narrow();
    world.run(
        "
        p> CONNECT v5
        p< CONNACK
        r> CONNECT v5
        r< CONNACK
        r> SUBSCRIBE a sid=1 user=weir-slow-reader:latest-per-topic
        r< SUBACK 00
        r> SUBSCRIBE b sid=2 user=weir-slow-reader:latest-per-topic
        r< SUBACK 00
        r! stall
        p> PUBLISH a on-its-way
        p> PUBLISH a 1
        p> PUBLISH b 1
        p> PUBLISH b 2
        p> PUBLISH b 3
        p> PUBLISH a 2
        r! read
        r< PUBLISH a on-its-way sid=1
        r< PUBLISH a 2 sid=1 user=weir-missed:1
        r< PUBLISH b 3 sid=2 user=weir-missed:2
        ",
    );
}

#[test]
fn a_3_1_1_client_misses_messages_without_a_word() {
    let mut world = narrow();
    world.treats_slow_readers_as(crate::SlowReader::LatestPerTopic);
    world.run(
        "
        p> CONNECT v5
        p< CONNACK
        r> CONNECT v4
        r< CONNACK
        r> SUBSCRIBE t
        r< SUBACK 00
        r! stall
        p> PUBLISH t on-its-way
        p> PUBLISH t 1
        p> PUBLISH t 2
        r! read
        r< PUBLISH t on-its-way
        r< PUBLISH t 2
        ",
    );
    assert_eq!(
        world.take_reports(),
        ["r: reads slowly and misses messages (latest-per-topic)"]
    );
}

/// What was lost before the connection ended is nothing to the next one; nor does QoS 0 wait for it.
#[test]
fn nothing_of_it_outlives_the_connection() {
    let mut world = narrow();
    world.run(
        "
        p> CONNECT v5
        p< CONNACK
        r> CONNECT v5 expiry=100
        r< CONNACK
        r> SUBSCRIBE t user=weir-slow-reader:drop-oldest
        r< SUBACK 00
        r! stall
        p> PUBLISH t on-its-way
        ",
    );
    for n in 1..=9 {
        world.run(&format!("p> PUBLISH t v{n}"));
    }
    world.run(
        "
        r! close
        r> CONNECT v5 dirty expiry=100
        r< CONNACK present
        p> PUBLISH t next
        r< PUBLISH t next
        ",
    );
}

#[test]
fn a_wish_that_does_not_exist_is_refused_in_words() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t,u user=weir-slow-reader:hurry
        a< SUBACK 83 83
        a> PUBLISH t x
        ",
    );
}

/// [MQTT-3.9.2-1]
#[test]
fn the_words_are_left_out_where_the_answer_fits_only_without() {
    let filters = ["t"; 200].join(",");
    for (max, told) in [(256, false), (512, true)] {
        let mut world = World::new(1);
        world.run(&format!(
            "a> CONNECT v5 max={max}\na< CONNACK\na> SUBSCRIBE {filters} user=weir-slow-reader:hurry\na< SUBACK{}",
            " 83".repeat(200)
        ));
        assert_eq!(world.was_told_why("a"), told, "{max}");
    }
}

/// Where several subscriptions match, the one that loses less decides.
#[test]
fn overlapping_subscriptions_lose_the_least() {
    let mut world = narrow();
    world.run(
        "
        p> CONNECT v5
        p< CONNACK
        r> CONNECT v5
        r< CONNACK
        r> SUBSCRIBE t user=weir-slow-reader:latest-per-topic
        r< SUBACK 00
        r> SUBSCRIBE # user=weir-slow-reader:drop-oldest
        r< SUBACK 00
        r! stall
        p> PUBLISH t on-its-way
        p> PUBLISH t 1
        p> PUBLISH t 2
        r! read
        r< PUBLISH t on-its-way
        r< PUBLISH t 1
        r< PUBLISH t 2
        ",
    );
}

/// A client that can't be told for its Maximum Packet Size gets the message all the same.
#[test]
fn a_sum_that_does_not_fit_waits_for_a_message_with_which_it_does() {
    let mut world = narrow();
    world.run(
        "
        p> CONNECT v5
        p< CONNACK
        r> CONNECT v5 max=30
        r< CONNACK
        r> SUBSCRIBE t user=weir-slow-reader:latest-per-topic
        r< SUBACK 00
        r! stall
        p> PUBLISH t 0
        p> PUBLISH t 1
        p> PUBLISH t twenty-characters---
        r! read
        r< PUBLISH t 0
        r< PUBLISH t twenty-characters---
        p> PUBLISH t 3
        r< PUBLISH t 3 user=weir-missed:1
        ",
    );
}

#[test]
fn who_fell_behind_is_sent_what_waited_whether_others_read_in_the_same_turn_or_not() {
    let mut world = World::with(
        1,
        Settings {
            outbox_bytes: 50,
            ..Settings::default()
        },
    );
    world.run("p> CONNECT v5\np< CONNACK");
    for (name, version) in [
        ("a", "v4"),
        ("b", "v4"),
        ("c", "v5"),
        ("d", "v5"),
        ("e", "v5 aliases=1"),
        ("f", "v5"),
    ] {
        let sid = if name == "d" { " sid=7" } else { "" };
        world.run(&format!("{name}> CONNECT {version}\n{name}< CONNACK"));
        world.run(&format!(
            "{name}> SUBSCRIBE long/topic{sid}\n{name}< SUBACK 00"
        ));
        world.run_step(&format!("{name}! stall"));
    }
    for n in 10..40 {
        // What expires tells each how long it has waited.
        let expiry = if n % 10 == 0 { " life=9" } else { "" };
        world.run_step(&format!("p> PUBLISH long/topic {n}{expiry}"));
    }
    world.together(&["a! read", "c! read", "e! read", "b! read", "d! read"]);
    world.run_step("wait 3");
    world.run_step("f! read");
    for name in ["a", "b", "c", "d", "e", "f"] {
        for n in 10..40 {
            let topic = if name == "e" && n > 10 {
                "-"
            } else {
                "long/topic"
            };
            let expiry = match (name, n % 10) {
                ("f", 0) if n > 10 => " life=6",
                ("c" | "d" | "e" | "f", 0) => " life=9",
                _ => "",
            };
            let (before, behind) = match name {
                "d" => ("", " sid=7"),
                "e" => (" alias=1", ""),
                _ => ("", ""),
            };
            world.run_step(&format!(
                "{name}< PUBLISH {topic} {n}{before}{expiry}{behind}"
            ));
        }
        world.run_step(&format!("{name}< nothing"));
    }
}

#[test]
fn what_finds_the_queue_full_is_counted_and_the_others_get_it() {
    let settings = Settings {
        outbox_bytes: 100,
        queue_messages: 8,
        ..Settings::default()
    };
    let mut world = World::with(1, settings);
    for name in ["p", "q", "r"] {
        world.run(&format!("{name}> CONNECT v4\n{name}< CONNACK"));
    }
    world.run("q> SUBSCRIBE t\nq< SUBACK 00\nr> SUBSCRIBE t\nr< SUBACK 00\nr! stall");
    let lines: Vec<_> = (10..60).map(|n| format!("p> PUBLISH t {n}")).collect();
    for run in lines.chunks(10) {
        let run: Vec<_> = run.iter().map(|line| &line[..]).collect();
        world.together(&run);
        assert_eq!(world.take_received("q"), 10);
    }
    world.run_step("r! read");
    let received = world.take_received("r");
    assert_eq!(received as u64 + world.dropped(), 50);
    assert!((8..30).contains(&received), "{received}");
}

/// What comes in one read is only counted for who takes no more of it.
#[test]
fn beside_one_that_stalls_the_others_go_on_until_it_joins_them() {
    let settings = Settings {
        outbox_bytes: 50,
        queue_messages: 2,
        ..Settings::default()
    };
    for policy in [None, Some(SlowReader::DropNewest)] {
        let mut world = World::with(1, settings.clone());
        if let Some(policy) = policy {
            world.treats_slow_readers_as(policy);
        }
        world.connect("p", "v4");
        for name in ["a", "r"] {
            world.connect(name, "v5");
            world.subscribe(name, "t");
        }
        world.run_step("r! stall");
        for _ in 0..4 {
            world.in_one_read("p", &["PUBLISH t 22"; 4]);
            assert_eq!(world.take_received("a"), 4);
        }
        let is_told = policy.is_some();
        // Of 16 packets of 8 bytes 7 were on their way, the last of which found a byte of room, and two wait.
        assert_eq!(world.dropped(), if is_told { 0 } else { 7 });
        world.run_step("r! read");
        assert_eq!(world.take_matching("r", "weir-missed:7"), is_told.into());
        world.in_one_read("p", &["PUBLISH t 22"; 4]);
        assert_eq!((world.take_received("a"), world.take_received("r")), (4, 4));
        world.run("");
    }
}
