//! Several shards: whatever holds on one holds on all. Names of different lengths arrive at different shards.

use super::check_on;
use super::world::World;

#[test]
fn messages_reach_subscribers_on_every_shard() {
    for shards in 1..=4 {
        check_on(
            shards,
            "
            a> CONNECT v5
            a< CONNACK
            bb> CONNECT v5
            bb< CONNACK
            ccc> CONNECT v4
            ccc< CONNACK
            a> SUBSCRIBE t/+ q1
            a< SUBACK 01
            bb> SUBSCRIBE t/x q2
            bb< SUBACK 02
            ccc> SUBSCRIBE t/# q1
            ccc< SUBACK 01
            a> PUBLISH t/x hello q1 id=1
            a< PUBLISH t/x hello q1 id=1
            a< PUBACK id=1
            bb< PUBLISH t/x hello q1 id=1
            ccc< PUBLISH t/x hello q1 id=1
            bb> UNSUBSCRIBE t/x
            bb< UNSUBACK 00
            ccc> PUBLISH t/x again q1 id=1
            ccc< PUBLISH t/x again q1 id=2
            ccc< PUBACK id=1
            a< PUBLISH t/x again q1 id=2
            ",
        );
    }
}

#[test]
fn retained_messages_are_on_every_shard() {
    check_on(
        3,
        "
        a> CONNECT v5
        a< CONNACK
        a> PUBLISH t x retain
        bb> CONNECT v5
        bb< CONNACK
        bb> SUBSCRIBE t
        bb< SUBACK 00
        bb< PUBLISH t x retain
        ccc> CONNECT v5
        ccc< CONNACK
        ccc> PUBLISH t - retain
        bb< PUBLISH t -
        ddddd> CONNECT v5
        ddddd< CONNACK
        ddddd> SUBSCRIBE t
        ddddd< SUBACK 00
        ",
    );
}

#[test]
fn an_unsubscribe_does_not_overtake_the_subscribe_before_it() {
    let mut world = World::new(3);
    world.run("a> CONNECT v5\na< CONNACK\na> PUBLISH t x retain");
    world.together(&["a> SUBSCRIBE t", "a> UNSUBSCRIBE t"]);
    world.run("a< SUBACK 00\na< UNSUBACK 00");
}

/// Section 4.8.2: a message goes to one member; they take turns, wherever they are.
#[test]
fn members_of_a_shared_subscription_take_turns() {
    for shards in 1..=3 {
        let mut world = World::new(shards);
        world.run("pub> CONNECT v5\npub< CONNACK");
        let members = ["a", "bb", "ccc", "dddd"];
        for name in members {
            world.run(&std::format!(
                "{name}> CONNECT v5 expiry=9\n{name}< CONNACK"
            ));
            world.run(&std::format!(
                "{name}> SUBSCRIBE $share/g/t/+ q1\n{name}< SUBACK 01"
            ));
        }
        for n in 0..40 {
            world.run_step(&std::format!("pub> PUBLISH t/x {n} q1 id=1"));
            world.run_step("pub< PUBACK id=1");
        }
        let counts = members.map(|name| world.take_received(name));
        assert_eq!(
            counts.iter().sum::<usize>(),
            40,
            "{shards} shards: {counts:?}"
        );
        assert!(
            counts.iter().all(|count| *count == 10),
            "{shards} shards: {counts:?}"
        );
        // Those who are here are preferred.
        world.run("a! close\nbb! close\nccc! close");
        for n in 0..10 {
            world.run_step(&std::format!("pub> PUBLISH t/x {n} q1 id=1"));
            world.run_step("pub< PUBACK id=1");
        }
        assert_eq!(world.take_received("dddd"), 10);
        // If nobody is, it waits for one of them.
        world.run("dddd! close\npub> PUBLISH t/x last q1 id=1\npub< PUBACK id=1");
        let mut waited = 0;
        for name in members {
            world.run_step(&std::format!("{name}> CONNECT v5 dirty"));
            world.run_step(&std::format!("{name}< CONNACK present"));
            waited += world.take_matching(name, "last");
        }
        assert_eq!(waited, 1);
    }
}
