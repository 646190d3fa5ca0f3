//! Retained messages: set, replaced, deleted, replayed.

use super::check;
use super::world::World;
use crate::Settings;
use std::format;
use std::string::String;

#[test]
fn a_new_subscription_is_given_the_retained_messages() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> PUBLISH t/1 one q1 id=1 retain
        a< PUBACK id=1 0x10
        a> PUBLISH t/2 two retain
        a> PUBLISH t/3 three retain
        a> PUBLISH t/3 - retain
        a> PUBLISH t/2 deux retain
        a> SUBSCRIBE t/# q1 sid=4
        a< SUBACK 01
        a< PUBLISH t/1 one q1 id=1 retain sid=4
        a< PUBLISH t/2 deux retain sid=4
        a> PUBLISH t/2 live retain
        a< PUBLISH t/2 live sid=4
        ",
    );
}

/// [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
#[test]
fn retain_handling_decides_when() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> PUBLISH t x retain
        a> SUBSCRIBE t rh=2
        a< SUBACK 00
        a> SUBSCRIBE t rh=1
        a< SUBACK 00
        a> SUBSCRIBE t
        a< SUBACK 00
        a< PUBLISH t x retain
        a> UNSUBSCRIBE t,nothing
        a< UNSUBACK 00 11
        a> SUBSCRIBE t rh=1
        a< SUBACK 00
        a< PUBLISH t x retain
        a> SUBSCRIBE $share/g/t
        a< SUBACK 00
        ",
    );
}

#[test]
fn retained_messages_expire() {
    let mut world = World::new(1);
    let empty = world.footprint();
    world.run(
        "
        a> CONNECT v5
        a< CONNACK
        a> PUBLISH t x retain life=5
        wait 4
        a> SUBSCRIBE t
        a< SUBACK 00
        a< PUBLISH t x retain life=1
        wait 1
        a> SUBSCRIBE t
        a< SUBACK 00
        a! close
        ",
    );
    assert_eq!(world.footprint(), empty);
}

#[test]
fn a_deletion_leaves_nothing_behind_in_the_end() {
    let mut world = World::new(2);
    let empty = world.footprint();
    world.run(
        "
        a> CONNECT v5
        a< CONNACK
        a> PUBLISH t x retain life=1000
        a> PUBLISH t - retain
        a! close
        wait 61
        ",
    );
    assert_eq!(world.footprint(), empty);
}

/// [MQTT-3.8.4-4], [MQTT-3.8.4-5], [MQTT3-3.8.4-4]
#[test]
fn a_filter_that_is_asked_for_twice_brings_its_retained_messages_twice() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> PUBLISH t/1 one q1 id=1 retain
        a< PUBACK id=1 0x10
        a> PUBLISH t/2 two q1 id=1 retain
        a< PUBACK id=1 0x10
        a> SUBSCRIBE t/#,t/1,t/# q0 sid=4
        a< SUBACK 00 00 00
        a< PUBLISH t/1 one retain sid=4
        a< PUBLISH t/2 two retain sid=4
        a< PUBLISH t/1 one retain sid=4
        a< PUBLISH t/2 two retain sid=4
        a< PUBLISH t/1 one retain sid=4
        a> PUBLISH t/2 live
        a< PUBLISH t/2 live sid=4
        ",
    );
    let mut world = World::new(1);
    world.run("a> CONNECT v5\na< CONNACK\na> PUBLISH t x retain");
    world.together(&["a> SUBSCRIBE t sid=1", "a> SUBSCRIBE t sid=2"]);
    world.run(
        "
        a< SUBACK 00
        a< SUBACK 00
        a< PUBLISH t x retain sid=1
        a< PUBLISH t x retain sid=2
        ",
    );
}

/// Not more replays than subscriptions wait; what was taken back brings nothing.
#[test]
fn replays_that_wait_are_bounded() {
    let settings = Settings {
        max_subscriptions_per_session: 2,
        ..Settings::default()
    };
    let mut world = World::with(1, settings);
    world.run("a> CONNECT v5\na< CONNACK\na> PUBLISH t/1 x retain\na> PUBLISH t/2 x retain");
    world.together(&["a> SUBSCRIBE t/1,t/1,t/1,t/1,t/1 sid=1", "a> SUBSCRIBE t/2"]);
    world.run(
        "
        a< SUBACK 00 00 00 00 00
        a< SUBACK 00
        a< PUBLISH t/1 x retain sid=1
        a< PUBLISH t/2 x retain
        ",
    );
    world.together(&["a> SUBSCRIBE t/1,t/1", "a> UNSUBSCRIBE t/1"]);
    world.run("a< SUBACK 00 00\na< UNSUBACK 00");
}

/// However much is looked at in vain, a turn ends.
#[test]
fn a_subscription_that_matches_nothing_is_worked_off_in_turns() {
    let mut world = World::new(1);
    world.run("a> CONNECT v5\na< CONNACK");
    for n in 0..20_000 {
        world.run_step(&std::format!("a> PUBLISH t/{n}/x v retain"));
    }
    let before = world.turns();
    world.run("a> SUBSCRIBE +/+/1,+/+/2,+/+/3,+/+/4\na< SUBACK 00 00 00 00");
    let turns = world.turns() - before;
    assert!(turns >= 8, "80,000 looked at in {turns} turns");
}

#[test]
fn deletions_are_remembered_within_a_limit() {
    for (shards, remembered) in [(1, 0), (2, 16_384)] {
        let mut world = World::new(shards);
        world.run("a> CONNECT v5\na< CONNACK");
        for n in 0..17_000 {
            world.run_step(&std::format!("a> PUBLISH t/{n} - retain"));
        }
        let timers = world.footprint().iter().map(|tables| tables[7]).max();
        assert_eq!(timers, Some(remembered));
    }
}

#[test]
fn a_replay_larger_than_the_outbox_comes_whole() {
    let settings = Settings {
        outbox_bytes: 100,
        ..Settings::default()
    };
    let mut world = World::with(1, settings);
    world.run("a> CONNECT v4\na< CONNACK\nb> CONNECT v5 receive=3\nb< CONNACK");
    for n in 0..300 {
        world.run(&std::format!(
            "a> PUBLISH t/{n:03} value q1 id=1 retain\na< PUBACK id=1"
        ));
    }
    for step in ["b! stall", "b> SUBSCRIBE # q1", "b! read", "b< SUBACK 01"] {
        world.run_step(step);
    }
    for n in 0..300 {
        let id = n + 1;
        world.run_step(&std::format!("b< PUBLISH t/{n:03} value q1 id={id} retain"));
        world.run_step(&std::format!("b> PUBACK id={id}"));
    }
    world.run("");
}

/// [MQTT3-4.8.0-2]
#[test]
fn the_limit_on_retained_messages_is_told() {
    let settings = Settings {
        max_retained_messages: 1,
        ..Settings::default()
    };
    World::with(1, settings).run(
        "
        a> CONNECT v5
        a< CONNACK
        a> PUBLISH t/1 x q1 id=1 retain
        a< PUBACK id=1 0x10
        a> PUBLISH t/2 x q1 id=2 retain
        a< PUBACK id=2 0x97
        a> PUBLISH t/1 y q1 id=3 retain
        a< PUBACK id=3 0x10
        b> CONNECT v4
        b< CONNACK
        b> PUBLISH t/2 x q1 id=2 retain
        b? retained message limit reached
        ",
    );
}

/// The sender of a replay can't know how much it is; a client with a small window was told that it reads too slowly.
#[test]
fn a_replay_of_retained_messages_does_not_fill_the_queue() {
    let settings = Settings {
        queue_messages: 2,
        ..Settings::default()
    };
    World::with(1, settings).run(
        "
        a> CONNECT v5
        a< CONNACK
        a> PUBLISH t/1 x retain q1 id=1
        a< PUBACK id=1 0x10
        a> PUBLISH t/2 x retain q1 id=1
        a< PUBACK id=1 0x10
        a> PUBLISH t/3 x retain
        a> PUBLISH t/4 x retain q1 id=1
        a< PUBACK id=1 0x10
        a> PUBLISH t/5 x retain q1 id=1
        a< PUBACK id=1 0x10
        b> CONNECT v5 receive=1
        b< CONNACK
        b> SUBSCRIBE t/# q1
        b< SUBACK 01
        b< PUBLISH t/1 x q1 id=1 retain
        b> PUBACK id=1
        b< PUBLISH t/2 x q1 id=2 retain
        b> PUBACK id=2
        b< PUBLISH t/3 x retain
        b< PUBLISH t/4 x q1 id=3 retain
        b> PUBACK id=3
        b< PUBLISH t/5 x q1 id=4 retain
        ",
    );
}

/// What found no room where it was published was retained on the shards it was forwarded to.
#[test]
fn a_message_that_finds_no_room_is_retained_on_no_shard() {
    let settings = Settings {
        max_retained_messages: 1,
        ..Settings::default()
    };
    World::with(3, settings).run(
        "
        a> CONNECT v5
        a< CONNACK
        a> PUBLISH t/1 x retain q1 id=1
        a< PUBACK id=1 0x10
        bb> CONNECT v5
        bb< CONNACK
        bb> SUBSCRIBE t/2
        bb< SUBACK 00
        ccc> CONNECT v5
        ccc< CONNACK
        ccc> SUBSCRIBE t/2
        ccc< SUBACK 00
        a> PUBLISH t/2 x retain q1 id=1
        bb< PUBLISH t/2 x
        ccc< PUBLISH t/2 x
        a< PUBACK id=1 0x97
        bb> SUBSCRIBE t/2
        bb< SUBACK 00
        ccc> SUBSCRIBE t/2
        ccc< SUBACK 00
        a> SUBSCRIBE t/2
        a< SUBACK 00
        ",
    );
}

/// A replay that waited for room went on with the time of the last input, and so with too long an expiry.
#[test]
fn a_replay_that_waited_knows_what_time_it_is() {
    let settings = Settings {
        outbox_bytes: 16,
        ..Settings::default()
    };
    World::with(1, settings).run(
        "
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t/1 0123456789 retain
        b> PUBLISH t/2 x retain life=10
        a> CONNECT v5
        a< CONNACK
        a! stall
        a> SUBSCRIBE t/#
        wait 5
        a! read
        a< SUBACK 00
        a< PUBLISH t/1 0123456789 retain
        a< PUBLISH t/2 x retain life=5
        ",
    );
}

/// The copies of a payload in all shards have 1 KiB at most; a larger one is shared.
#[test]
fn payloads_of_any_length_are_replayed_and_replaced() {
    for shards in [1, 2] {
        let mut world = World::new(shards);
        world.run("a> CONNECT v5\na< CONNACK\nb> CONNECT v4\nb< CONNACK");
        for lengths in [[1, 512, 513, 1024], [1025, 513, 512, 3000]] {
            let publishes = |who: &str| -> String {
                let lengths = lengths.into_iter().enumerate();
                let lines = lengths.map(|(n, length)| {
                    format!("{who} PUBLISH t/{n} {} retain\n", "x".repeat(length))
                });
                lines.collect()
            };
            world.run(&publishes("a>"));
            let replayed = publishes("a<");
            world.run(&format!("a> SUBSCRIBE t/#\na< SUBACK 00\n{replayed}"));
            world.run("a> UNSUBSCRIBE t/#\na< UNSUBACK 00");
            let replayed = publishes("b<");
            world.run(&format!("b> SUBSCRIBE t/# q1\nb< SUBACK 01\n{replayed}"));
            world.run("b> UNSUBSCRIBE t/#\nb< UNSUBACK");
        }
    }
}

/// A replay goes out from where the messages are kept.
#[test]
fn a_replay_on_its_way_stays_as_it_was() {
    World::new(1).run(
        "
        a> CONNECT v4
        a< CONNACK
        b> CONNECT v4
        b< CONNACK
        b> PUBLISH t/1 one retain
        b> PUBLISH t/2 two retain
        a! stall
        a> SUBSCRIBE t/#
        b> PUBLISH t/1 ONE retain
        b> PUBLISH t/2 longer retain
        a! read
        a< SUBACK 00
        a< PUBLISH t/1 one retain
        a< PUBLISH t/2 two retain
        a< PUBLISH t/1 ONE
        a< PUBLISH t/2 longer
        ",
    );
}
