//! A publisher that goes on with its topic: everybody gets what they would have got of each message alone.

use super::world::World;
use crate::{Settings, SlowReader};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use std::format;
use weir_codec::LINK_BYTES;

/// `p` publishes; `a` and `b` (3.1.1), `c` (5.0) and `d` (with an identifier) have `t`.
fn world() -> World {
    let mut world = World::with(1, Settings::default());
    world.connect("p", "v5");
    for (name, version, options) in [("a", "v4", ""), ("b", "v4", ""), ("d", "v5", " sid=7")] {
        world.connect(name, version);
        world.subscribe(name, &format!("t{options}"));
    }
    world.run("c> CONNECT v5\nc< CONNACK\nc> SUBSCRIBE t q1\nc< SUBACK 01");
    world
}

/// `p` publishes, and `g` and `h` share `t`.
fn with_a_group(mut world: World) -> World {
    for name in ["p", "g", "h"] {
        world.connect(name, "v4");
    }
    for name in ["g", "h"] {
        world.subscribe(name, "$share/s/t");
    }
    world
}

/// A line for each number.
fn numbered(numbers: Range<usize>, line: &str) -> Vec<String> {
    numbers.map(|n| format!("{line} {n}")).collect()
}

fn expect(world: &mut World, names: &[&str], messages: &[&str]) {
    for name in names {
        let identifier = if *name == "d" { " sid=7" } else { "" };
        for message in messages {
            world.run_step(&format!("{name}< PUBLISH t {message}{identifier}"));
        }
        world.run_step(&format!("{name}< nothing"));
    }
}

#[test]
fn every_message_reaches_everybody_once_in_order() {
    let mut world = world();
    world.together(&["p> PUBLISH t 1", "p> PUBLISH t 2", "p> PUBLISH t 3"]);
    world.together(&["p> PUBLISH t 4", "p> PUBLISH t 5"]);
    expect(
        &mut world,
        &["a", "b", "c", "d"],
        &["1", "2", "3", "4", "5"],
    );
    world.run("");
}

#[test]
fn what_comes_in_one_read_reaches_everybody_as_they_speak() {
    let mut world = world();
    world.connect("e", "v5 aliases=4");
    for name in ["a", "b", "c", "e"] {
        world.subscribe(name, "topic");
    }
    world.subscribe("d", "topic sid=7");
    for version in ["v3", "v4", "v5"] {
        world.connect("q", version);
        let messages = ["1", "22", "3", "-", "5"];
        let lines = messages.map(|message| format!("PUBLISH topic {message}"));
        world.in_one_read("q", &lines);
        for message in messages {
            for name in ["a", "b", "c"] {
                world.run_step(&format!("{name}< PUBLISH topic {message}"));
            }
            world.run_step(&format!("d< PUBLISH topic {message} sid=7"));
            let is_first = (version, message) == ("v3", "1");
            let topic = if is_first { "topic" } else { "-" };
            world.run_step(&format!("e< PUBLISH {topic} {message} alias=1"));
        }
        world.run("q> DISCONNECT");
    }
}

#[test]
fn in_one_read_too_other_packets_keep_their_places() {
    let mut world = world();
    world.subscribe("p", "t");
    world.in_one_read(
        "p",
        &[
            "PUBLISH t 1",
            "PUBLISH t 2",
            "PUBLISH t 3 user=k:v",
            "PUBLISH t 4",
            "PUBLISH u x",
            "PUBLISH t 5",
            "PUBLISH t 6 retain",
            "PUBLISH t 7",
            "UNSUBSCRIBE t",
            "PUBLISH t 8",
            "PUBLISH t 9",
        ],
    );
    expect(
        &mut world,
        &["a", "b"],
        &["1", "2", "3", "4", "5", "6", "7", "8", "9"],
    );
    for name in ["c", "d"] {
        let identifier = if name == "d" { " sid=7" } else { "" };
        for n in 1..=9 {
            let user = if n == 3 { " user=k:v" } else { "" };
            world.run_step(&format!("{name}< PUBLISH t {n}{identifier}{user}"));
        }
    }
    for n in 1..=7 {
        let user = if n == 3 { " user=k:v" } else { "" };
        world.run_step(&format!("p< PUBLISH t {n}{user}"));
    }
    world.run("p< UNSUBACK 00");
}

#[test]
fn who_unsubscribes_or_goes_meanwhile_gets_no_more() {
    let mut world = world();
    world.together(&[
        "p> PUBLISH t 1",
        "p> PUBLISH t 2",
        "a> UNSUBSCRIBE t",
        "p> PUBLISH t 3",
        "p> PUBLISH t 4",
        "c> DISCONNECT",
        "p> PUBLISH t 5",
    ]);
    expect(&mut world, &["b", "d"], &["1", "2", "3", "4", "5"]);
    expect(&mut world, &["c"], &["1", "2", "3", "4"]);
    world.run("a< PUBLISH t 1\na< PUBLISH t 2\na< UNSUBACK");
}

#[test]
fn other_packets_keep_their_places_among_them() {
    let mut world = world();
    world.run("a> SUBSCRIBE u q1\na< SUBACK 01");
    world.together(&[
        "p> PUBLISH t 1",
        "p> PUBLISH t 2",
        "p> PUBLISH u x q1 id=1",
        "p> PUBLISH t 3",
        "a> PINGREQ",
        "p> PUBLISH t 4",
        "b> PUBLISH t b",
        "p> PUBLISH t 5",
        "p> PUBLISH t kept retain",
        "p> PUBLISH t 6",
    ]);
    expect(
        &mut world,
        &["b", "c", "d"],
        &["1", "2", "3", "4", "b", "5", "kept", "6"],
    );
    world.run(
        "
        p< PUBACK id=1
        a< PUBLISH t 1
        a< PUBLISH t 2
        a< PUBLISH u x q1 id=1
        a< PUBLISH t 3
        a< PINGRESP
        a< PUBLISH t 4
        a< PUBLISH t b
        a< PUBLISH t 5
        a< PUBLISH t kept
        a< PUBLISH t 6
        ",
    );
}

#[test]
fn permission_is_asked_for_again_when_it_changes() {
    let mut world = world();
    world.run("permissions all\nw> CONNECT v5 user-name=file\nw< CONNACK");
    world.together(&[
        "w> PUBLISH t 1",
        "w> PUBLISH t 2",
        "permissions u",
        "w> PUBLISH t 3",
    ]);
    expect(&mut world, &["a", "b", "c", "d"], &["1", "2"]);
    assert_eq!(world.take_reports().len(), 1);
    world.run("permissions all");
}

#[test]
fn who_is_slow_keeps_its_share_beyond_the_turn() {
    let mut world = world();
    world.run("a! stall");
    world.together(&["p> PUBLISH t 1", "p> PUBLISH t 2"]);
    world.together(&["p> PUBLISH t 3", "p> PUBLISH t 4"]);
    expect(&mut world, &["b", "c", "d"], &["1", "2", "3", "4"]);
    world.run_step("a< nothing");
    world.run_step("a! read");
    expect(&mut world, &["a"], &["1", "2", "3", "4"]);
}

#[test]
fn an_output_takes_no_more_than_its_room() {
    let settings = Settings {
        outbox_bytes: 100,
        queue_messages: 3,
        ..Settings::default()
    };
    let mut world = World::with(1, settings);
    world.connect("p", "v4");
    world.connect("a", "v4");
    world.subscribe("a", "t");
    world.run("a! stall");
    for are_one_read in [false, true] {
        match are_one_read {
            true => world.in_one_read("p", &numbered(10..99, "PUBLISH t")),
            false => world.together(&numbered(10..99, "p> PUBLISH t")),
        }
        // Packets of 7 bytes.
        assert_eq!(world.output_bytes(), 105);
        world.run_step("a! read");
        assert_eq!(world.take_received("a"), 15 + 3);
        world.run_step("a! stall");
    }
}

#[test]
fn what_is_too_large_for_one_reaches_the_others() {
    let mut world = world();
    world.connect("s", "v5 max=40");
    world.subscribe("s", "t");
    let long = "x".repeat(40);
    let long_line = format!("p> PUBLISH t {long}");
    world.together(&[
        "p> PUBLISH t 1",
        "p> PUBLISH t 2",
        &long_line,
        "p> PUBLISH t 3",
    ]);
    expect(&mut world, &["a", "b", "c", "d"], &["1", "2", &long, "3"]);
    expect(&mut world, &["s"], &["1", "2", "3"]);
}

#[test]
fn what_is_too_large_for_one_ends_a_run_for_nobody_else() {
    let mut world = world();
    world.connect("s", "v5 max=40");
    world.subscribe("s", "t");
    let long = "x".repeat(40);
    let long_line = format!("PUBLISH t {long}");
    world.in_one_read(
        "p",
        &["PUBLISH t 1", "PUBLISH t 2", &long_line, "PUBLISH t 3"],
    );
    expect(&mut world, &["a", "b", "c", "d"], &["1", "2", &long, "3"]);
    expect(&mut world, &["s"], &["1", "2", "3"]);
}

#[test]
fn the_more_receive_it_the_larger_is_what_goes_on() {
    let mut world = World::new(1);
    world.connect("p", "v4");
    let names = ["a", "b", "c", "e"];
    for (more, name) in names.iter().enumerate() {
        world.connect(name, "v4");
        world.subscribe(name, "t");
        let long = "x".repeat(LINK_BYTES * more + 100);
        let lines = ["1", &long, "2", &long, &long].map(|it| format!("PUBLISH t {it}"));
        world.in_one_read("p", &lines);
        expect(
            &mut world,
            &names[..=more],
            &["1", &long, "2", &long, &long],
        );
        assert_eq!(world.most_bytes("p"), Some(LINK_BYTES * (more + 1)));
    }
}

#[test]
fn aliases_hold_for_the_following_messages() {
    let mut world = world();
    world.connect("e", "v5 aliases=4");
    world.subscribe("e", "long/topic");
    world.subscribe("a", "long/topic");
    world.together(&[
        "p> PUBLISH long/topic 1 alias=2",
        "p> PUBLISH - 2 alias=2",
        "p> PUBLISH - 3 alias=2 user=k:v",
    ]);
    world.together(&["p> PUBLISH - 4 alias=2", "p> PUBLISH - 5 alias=2 user=k:v"]);
    world.run(
        "
        a< PUBLISH long/topic 1
        a< PUBLISH long/topic 2
        a< PUBLISH long/topic 3
        a< PUBLISH long/topic 4
        a< PUBLISH long/topic 5
        e< PUBLISH long/topic 1 alias=1
        e< PUBLISH - 2 alias=1
        e< PUBLISH - 3 alias=1 user=k:v
        e< PUBLISH - 4 alias=1
        e< PUBLISH - 5 alias=1 user=k:v
        ",
    );
}

#[test]
fn the_members_of_a_group_take_turns_in_a_run() {
    for shards in [1, 2] {
        let mut world = with_a_group(World::new(shards));
        world.together(&numbered(10..16, "p> PUBLISH t"));
        world.in_one_read("p", &numbered(10..16, "PUBLISH t"));
        let received = ["g", "h"].map(|name| world.take_received(name));
        assert_eq!(received, [6, 6], "with {shards} shards");
    }
}

/// 3.1.1, 5.0, an identifier, aliases, a small Maximum Packet Size, no permission: each gets its turn's message as it has to.
#[test]
fn each_member_of_a_group_gets_its_messages_as_it_speaks() {
    let mut world = World::with(1, Settings::default());
    world.connect("p", "v4");
    let members = [
        ("a", "v4", ""),
        ("b", "v5", ""),
        ("c", "v5", " sid=7"),
        ("d", "v5 aliases=4", ""),
        ("e", "v5 max=20", ""),
    ];
    for (name, connect, subscribe) in members {
        world.connect(name, connect);
        world.subscribe(name, &format!("$share/s/topic{subscribe}"));
    }
    let mut lines = numbered(0..15, "PUBLISH topic");
    lines[9] = "PUBLISH topic much-too-large-for-e".into();
    world.in_one_read("p", &lines);
    for (n, name) in (0..15).zip(["a", "b", "c", "d", "e"].iter().cycle()) {
        let topic = if (*name, n) == ("d", 8) || (*name, n) == ("d", 13) {
            "-"
        } else {
            "topic"
        };
        let rest = match *name {
            "c" => " sid=7",
            "d" => " alias=1",
            _ => "",
        };
        if n != 9 {
            world.run_step(&format!("{name}< PUBLISH {topic} {n}{rest}"));
        }
    }
    world.run("");
}

#[test]
fn a_member_that_is_slow_gets_its_turns_later_and_in_order() {
    let settings = Settings {
        outbox_bytes: 20,
        ..Settings::default()
    };
    let mut world = with_a_group(World::with(1, settings));
    world.run("g! stall");
    world.in_one_read("p", &numbered(10..30, "PUBLISH t"));
    // Three packets of 7 bytes.
    assert_eq!(world.output_bytes(), 21);
    world.run_step("g! read");
    for n in (10..30).step_by(2) {
        world.run_step(&format!("g< PUBLISH t {n}"));
        world.run_step(&format!("h< PUBLISH t {}", n + 1));
    }
    world.run("");
}

/// The end of one changes whose turn it is, and where the group is.
#[test]
fn a_member_that_has_to_be_ended_gets_no_further_turn() {
    let settings = Settings {
        outbox_bytes: 70,
        queue_messages: 1,
        ..Settings::default()
    };
    let mut world = World::with(1, settings);
    world.treats_slow_readers_as(SlowReader::Disconnect);
    let mut world = with_a_group(world);
    world.subscribe("g", "u");
    world.run("g! stall");
    // Ten packets of 7 bytes in the output, one in the queue.
    world.in_one_read("p", &["PUBLISH u xx"; 11]);
    world.in_one_read("p", &numbered(10..19, "PUBLISH t"));
    world.run_step("g? queue full: client reads too slowly");
    for n in 11..19 {
        world.run_step(&format!("h< PUBLISH t {n}"));
    }
    world.run("");
}

#[test]
fn who_has_a_topic_for_itself_and_in_a_group_gets_both_in_order() {
    let mut world = World::with(1, Settings::default());
    world.connect("p", "v4");
    world.connect("a", "v4");
    world.subscribe("a", "t");
    world.subscribe("a", "$share/s/t");
    world.together(&["p> PUBLISH t 1", "p> PUBLISH t 2", "p> PUBLISH t 3"]);
    expect(&mut world, &["a"], &["1", "1", "2", "2", "3", "3"]);
}

#[test]
fn who_is_on_another_shard_gets_all_of_a_run_in_order() {
    let mut world = World::with(3, Settings::default());
    world.connect("p", "v4");
    let names = ["a", "b", "c", "e", "f"];
    for (name, version) in names.iter().zip(["v3", "v4", "v5", "v4", "v5"]) {
        world.connect(name, version);
        world.subscribe(name, "t");
    }
    world.together(&["p> PUBLISH t 1", "p> PUBLISH t 2", "p> PUBLISH t 3"]);
    expect(&mut world, &names, &["1", "2", "3"]);
    let messages = ["1", "22", "3", "-", "5"];
    let lines = messages.map(|message| format!("PUBLISH t {message}"));
    for _ in 0..2 {
        world.in_one_read("p", &lines);
        expect(&mut world, &names, &messages);
    }
}

/// Whoever gets it there, each as it has to.
#[test]
fn a_run_of_another_shard_reaches_who_is_slow_and_who_takes_little() {
    let settings = Settings {
        outbox_bytes: 30,
        ..Settings::default()
    };
    let mut world = World::with(3, settings);
    world.connect("p", "v4");
    let names = ["a", "b", "c", "e", "f"];
    for name in names {
        world.connect(name, "v5 max=40");
        world.subscribe(name, "t");
        world.run(&format!("{name}! stall"));
    }
    let mut lines = numbered(10..30, "PUBLISH t");
    lines.insert(15, format!("PUBLISH t {}", "x".repeat(40)));
    world.in_one_read("p", &lines);
    for name in names {
        world.run_step(&format!("{name}! read"));
        for n in 10..30 {
            world.run_step(&format!("{name}< PUBLISH t {n}"));
        }
    }
    world.run("");
}
