//! Publishers that go on with their topics in later turns and between each other: everybody gets what they would have got of
//! each message alone, whatever has changed.
//!
//! `~` is a payload with which a packet takes the short way unseen, and then, in a second run, one with which it is decoded.

use super::world::World;
use crate::Settings;
use std::format;
use std::string::String;

fn check(script: &str) {
    check_with(&[1], &Settings::default(), script);
}

fn check_with(shards: &[u16], settings: &Settings, script: &str) {
    for shards in shards {
        for payload in ["x", "y"] {
            let mut world = World::with(*shards, settings.clone());
            world.run(&script.replace('~', payload));
        }
    }
}

/// `a`, who connects so, has `t`, and `p` has begun to publish to it.
fn begun(connect: &str) -> String {
    format!(
        "p> CONNECT v5
         p< CONNACK
         a> CONNECT {connect}
         a< CONNACK
         a> SUBSCRIBE t
         a< SUBACK 00
         p> PUBLISH t ~
         a< PUBLISH t ~\n"
    )
}

fn check_begun(connect: &str, script: &str) {
    check(&[&begun(connect), script].concat());
}

#[test]
fn an_encore_goes_on_in_the_next_turn_and_after_others() {
    let mut world = World::new(1);
    world.run(&begun("v5"));
    world.run("q> CONNECT v4\nq< CONNACK\na> SUBSCRIBE u/#\na< SUBACK 00");
    assert!(
        !world.may_go_on("p"),
        "until it is known whether that concerns it"
    );
    for _ in 0..2 {
        world.run("p> PUBLISH t 2\na< PUBLISH t 2\nq> PUBLISH u/q 4\na< PUBLISH u/q 4");
        world.run("a> PINGREQ\na< PINGRESP\nwait 1");
        world.run("p> PUBLISH t k retain\na< PUBLISH t k\nq> PUBLISH v x q1 id=1\nq< PUBACK id=1");
        assert!(world.may_go_on("p") && world.may_go_on("q"));
        assert!(!world.may_go_on("a"));
    }
}

/// From the third time on it goes on with either.
#[test]
fn a_publisher_goes_on_with_several_topics_in_turn() {
    let mut world = World::new(1);
    for name in ["p", "a", "b", "c"] {
        world.connect(name, "v5");
    }
    for (name, filter) in [("a", "t sid=1"), ("b", "u sid=2"), ("c", "+")] {
        world.subscribe(name, filter);
    }
    for payload in ["x", "y", "2", "x", "2", "y"] {
        for (topic, name, id) in [("t", "a", 1), ("u", "b", 2)] {
            world.run(&format!(
                "p> PUBLISH {topic} {payload}
                 {name}< PUBLISH {topic} {payload} sid={id}
                 c< PUBLISH {topic} {payload}"
            ));
        }
        let both = ["t", "u", "u", "t", "t", "u"];
        world.in_one_read("p", &both.map(|topic| format!("PUBLISH {topic} {payload}")));
        assert!(world.may_go_on("p"));
        for topic in both {
            world.run_step(&format!("c< PUBLISH {topic} {payload}"));
        }
        assert_eq!(["a", "b"].map(|name| world.take_received(name)), [3, 3]);
    }
    world.run("a> UNSUBSCRIBE t\na< UNSUBACK 00\nb> SUBSCRIBE t\nb< SUBACK 00");
    for payload in ["2", "x", "2"] {
        world.run(&format!(
            "p> PUBLISH t {payload}
             b< PUBLISH t {payload}
             c< PUBLISH t {payload}
             p> PUBLISH u {payload}
             b< PUBLISH u {payload} sid=2
             c< PUBLISH u {payload}"
        ));
    }
}

#[test]
fn who_subscribes_between_turns_gets_the_next() {
    check_begun(
        "v5",
        "b> CONNECT v5
         b< CONNACK
         b> SUBSCRIBE +
         b< SUBACK 00
         p> PUBLISH t ~
         a< PUBLISH t ~
         b< PUBLISH t ~",
    );
}

#[test]
fn who_subscribes_anew_gets_the_next_in_the_new_way() {
    check_begun(
        "v5",
        "a> SUBSCRIBE t sid=7
         a< SUBACK 00
         p> PUBLISH t ~
         a< PUBLISH t ~ sid=7",
    );
}

#[test]
fn who_unsubscribes_between_turns_gets_no_more() {
    check_begun(
        "v5",
        "a> UNSUBSCRIBE t
         a< UNSUBACK 00
         p> PUBLISH t ~
         a< nothing",
    );
}

/// With its session.
#[test]
fn who_goes_between_turns_gets_no_more() {
    check_begun(
        "v5",
        "b> CONNECT v5
         b< CONNACK
         b> SUBSCRIBE t
         b< SUBACK 00
         p> PUBLISH t ~
         a< PUBLISH t ~
         b< PUBLISH t ~
         a> DISCONNECT
         p> PUBLISH t ~
         b< PUBLISH t ~
         a> CONNECT v5
         a< CONNACK
         p> PUBLISH t ~
         b< PUBLISH t ~
         a< nothing
         b! close
         p> PUBLISH t ~
         p> PUBLISH t ~",
    );
}

#[test]
fn who_may_not_publish_any_more_does_not() {
    let mut world = World::new(1);
    world.run("permissions all\np> CONNECT v5 user-name=file\np< CONNACK");
    world.connect("a", "v5");
    world.subscribe("a", "t");
    world.run("p> PUBLISH t 2\na< PUBLISH t 2\npermissions u\np> PUBLISH t 2\na< nothing");
    assert_eq!(world.take_reports().len(), 1);
    world.run("permissions all");
}

#[test]
fn who_authenticates_again_may_publish_what_is_granted_then() {
    check(
        "p> CONNECT v5 method=JWT auth=all
         p< CONNACK method=JWT auth=welcome
         a> CONNECT v5
         a< CONNACK
         a> SUBSCRIBE t
         a< SUBACK 00
         p> PUBLISH t ~
         a< PUBLISH t ~
         p> AUTH 0x19 method=JWT auth=u
         p< AUTH method=JWT auth=welcome
         p> PUBLISH t ~
         a< nothing",
    );
}

#[test]
fn who_may_not_receive_any_more_does_not() {
    check(
        "permissions t
         a> CONNECT v5 user-name=file
         a< CONNACK
         a> SUBSCRIBE #
         a< SUBACK 00
         p> CONNECT v5
         p< CONNACK
         p> PUBLISH t ~
         a< PUBLISH t ~
         permissions u
         p> PUBLISH t ~
         a< nothing
         permissions all",
    );
}

#[test]
fn interest_of_other_shards_counts_from_the_next_message() {
    let mut world = World::with(4, Settings::default());
    world.run("p> CONNECT v4\np< CONNACK");
    let names = ["a", "b", "c", "e", "f", "g"];
    for n in 0..=names.len() {
        for payload in ["x", "x", "y", "y"] {
            world.run_step(&format!("p> PUBLISH t {payload}"));
            for name in &names[..n] {
                world.run_step(&format!("{name}< PUBLISH t {payload}"));
            }
        }
        if let Some(name) = names.get(n) {
            world.connect(name, "v4");
            world.subscribe(name, "t");
        }
    }
    for (n, name) in names.iter().enumerate() {
        world.run(&format!("{name}> UNSUBSCRIBE t\n{name}< UNSUBACK"));
        for payload in ["x", "x", "y", "y"] {
            world.run_step(&format!("p> PUBLISH t {payload}"));
            for name in &names[n + 1..] {
                world.run_step(&format!("{name}< PUBLISH t {payload}"));
            }
        }
    }
    world.run("");
}

#[test]
fn a_connection_that_takes_over_takes_over() {
    check_begun(
        "v5 expiry=100",
        "a> CONNECT v4 dirty
         a'< DISCONNECT 0x8e
         a< CONNACK present
         p> PUBLISH t ~
         a< PUBLISH t ~
         a! close
         p> PUBLISH t ~
         a> CONNECT v5 dirty
         a< CONNACK present
         p> PUBLISH t ~
         a< PUBLISH t ~",
    );
}

#[test]
fn who_had_to_be_asked_again_joins_the_others_with_the_next() {
    let mut world = World::new(1);
    world.connect("p", "v5");
    for name in ["a", "b"] {
        world.connect(name, "v5 aliases=1");
        world.subscribe(name, "long/topic");
    }
    world.run(
        "p> PUBLISH long/topic x
         a< PUBLISH long/topic x alias=1
         b< PUBLISH long/topic x alias=1",
    );
    let asked = world.most_bytes("p").unwrap();
    let next = "p> PUBLISH long/topic x\na< PUBLISH - x alias=1\nb< PUBLISH - x alias=1";
    world.run(next);
    // What two are given together may be larger.
    let joined = world.most_bytes("p").unwrap();
    assert!(joined > asked, "{joined} {asked}");
    world.run(next);
}

/// Its transport is still there, and its session.
#[test]
fn nothing_follows_a_disconnect() {
    check_begun(
        "v5 keep=2 expiry=100 lingers",
        "wait 3
         a< DISCONNECT 0x8d
         p> PUBLISH t ~
         a< nothing",
    );
}

#[test]
fn what_waits_is_not_overtaken() {
    check(
        "p> CONNECT v5
         p< CONNACK
         a> CONNECT v5 receive=1
         a< CONNACK
         a> SUBSCRIBE t q1
         a< SUBACK 01
         p> PUBLISH t ~
         a< PUBLISH t ~
         p> PUBLISH t first q1 id=1
         p< PUBACK id=1
         a< PUBLISH t first q1 id=1
         p> PUBLISH t second q1 id=1
         p< PUBACK id=1
         p> PUBLISH t ~
         a< nothing
         a> PUBACK id=1
         a< PUBLISH t second q1 id=2
         a< PUBLISH t ~",
    );
}

/// What `a` has been sent by others counts, too.
#[test]
fn an_output_takes_no_more_than_its_room_in_a_later_turn() {
    let settings = Settings {
        outbox_bytes: 100,
        queue_messages: 3,
        ..Settings::default()
    };
    let mut world = World::with(1, settings);
    for name in ["p", "q"] {
        world.connect(name, "v4");
    }
    world.connect("a", "v4");
    world.subscribe("a", "+");
    // Ten packets of 7 bytes after the one with which each has begun.
    world.run("p> PUBLISH t 00\na< PUBLISH t 00\nq> PUBLISH u 00\na< PUBLISH u 00\na! stall");
    for name in ["p", "q", "p", "q"] {
        let topic = if name == "p" { "t" } else { "u" };
        let line = format!("PUBLISH {topic} 22");
        world.in_one_read(name, &[&line; 10]);
    }
    assert_eq!(world.output_bytes(), 105);
    world.run_step("a! read");
    assert_eq!(world.take_received("a"), 15 + 3);
}

#[test]
fn a_head_is_not_looked_for_in_the_segment_of_an_earlier_turn() {
    check(
        "p> CONNECT v5
         p< CONNACK
         q> CONNECT v5
         q< CONNACK
         a> CONNECT v5
         a< CONNACK
         a> SUBSCRIBE # sid=7
         a< SUBACK 00
         p> PUBLISH t ~
         a< PUBLISH t ~ sid=7
         q> PUBLISH u ~
         a< PUBLISH u ~ sid=7
         p> PUBLISH t ~
         a< PUBLISH t ~ sid=7
         q> PUBLISH u ~
         a< PUBLISH u ~ sid=7",
    );
}

/// There is room in a segment for so many identifiers only, and it is others' this time.
#[test]
fn those_whose_kind_finds_no_place_get_theirs_too() {
    let mut world = World::new(1);
    for n in 0..40 {
        world.connect(&format!("p{n}"), "v5");
        world.connect(&format!("a{n}"), "v5");
        world.subscribe(&format!("a{n}"), &format!("t{n} sid={}", n + 1));
    }
    for (first, payload) in [(0, "x"), (20, "x"), (0, "y"), (20, "x"), (0, "x")] {
        let numbers = (0..40).map(|n| (first + n) % 40);
        let lines = numbers.map(|n| format!("p{n}> PUBLISH t{n} {payload}"));
        world.together(&lines.collect::<std::vec::Vec<_>>());
        for n in 0..40 {
            world.run_step(&format!("a{n}< PUBLISH t{n} {payload} sid={}", n + 1));
        }
    }
    world.run("");
}

#[test]
fn a_group_changes_between_turns() {
    check_with(
        &[1, 3],
        &Settings::default(),
        "p> CONNECT v5
         p< CONNACK
         g> CONNECT v5
         g< CONNACK
         g> SUBSCRIBE $share/s/t
         g< SUBACK 00
         p> PUBLISH t ~
         g< PUBLISH t ~
         p> PUBLISH t ~
         g< PUBLISH t ~
         h> CONNECT v5
         h< CONNACK
         h> SUBSCRIBE $share/s/t
         h< SUBACK 00
         g> UNSUBSCRIBE $share/s/t
         g< UNSUBACK 00
         p> PUBLISH t ~
         h< PUBLISH t ~
         h> DISCONNECT
         p> PUBLISH t ~
         k> CONNECT v5
         k< CONNACK
         k> SUBSCRIBE $share/other/t
         k< SUBACK 00
         p> PUBLISH t ~
         k< PUBLISH t ~",
    );
}

#[test]
fn a_client_that_only_goes_on_is_alive() {
    check(
        "p> CONNECT v5 keep=2
         p< CONNACK
         p> PUBLISH t ~
         wait 2
         p> PUBLISH t ~
         wait 2
         p> PUBLISH t ~
         wait 2
         p> PINGREQ
         p< PINGRESP",
    );
}

/// With the turn that ends then: `r` is found in its second, in which nobody is sent anything before.
#[test]
fn a_run_brings_the_time() {
    let mut world = World::new(1);
    world.connect("p", "v5");
    world.connect("a", "v5");
    world.run("p> PUBLISH r kept retain life=10");
    world.together(&[
        "a> SUBSCRIBE n/1",
        "a> SUBSCRIBE n/2",
        "a> SUBSCRIBE n/3",
        "a> SUBSCRIBE n/4",
        "a> SUBSCRIBE r",
        "p> PUBLISH nobody 2",
        "turn",
        "wait 1",
        "p> PUBLISH nobody 2",
    ]);
    assert!(world.may_go_on("p"));
    world.run(&("a< SUBACK 00\n".repeat(5) + "a< PUBLISH r kept retain life=9"));
}

/// More publishers than there are places.
#[test]
fn who_is_forgotten_is_heard_all_the_same() {
    let mut world = World::new(1);
    world.connect("a", "v4");
    world.subscribe("a", "t/#");
    for n in 0..1100 {
        world.connect(&format!("p{n}"), "v4");
    }
    for _ in 0..2 {
        for n in 0..1100 {
            world.run(&format!("p{n}> PUBLISH t/{n} 2\na< PUBLISH t/{n} 2"));
        }
    }
    let remembered = (0..1100).filter(|n| world.may_go_on(&format!("p{n}")));
    assert!((1000..1100).contains(&remembered.count()));
}
