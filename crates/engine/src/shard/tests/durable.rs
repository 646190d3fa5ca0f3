//! What waits for the store, what does not, and what a broker begins again with.

use super::world::World;
use crate::Settings;
use std::format;

pub(super) fn durable(shards: u16) -> World {
    World::with(
        shards,
        Settings {
            is_durable: true,
            ..Settings::default()
        },
    )
}

/// Runs the same script on one shard and on several.
pub(super) fn check_durable(script: &str) {
    for shards in [1, 2, 3] {
        durable(shards).run(script);
    }
}

#[test]
fn puback_waits_for_the_store() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q1
        s< SUBACK 01
        p> CONNECT v5
        p< CONNACK
        store stalls
        p> PUBLISH t one q1 id=1
        s< PUBLISH t one q1 id=1
        p< nothing
        store works
        p< PUBACK id=1
        ",
    );
}

#[test]
fn nothing_waits_that_nobody_durable_wants() {
    check_durable(
        "
        s> CONNECT v5
        s< CONNACK
        s> SUBSCRIBE t q2
        s< SUBACK 02
        p> CONNECT v5
        p< CONNACK
        store stalls
        s> SUBSCRIBE u q1
        s< SUBACK 01
        p> PUBLISH t one q1 id=1
        p< PUBACK id=1
        p> PUBLISH t two q2 id=2
        p< PUBREC id=2
        s< PUBLISH t one q1 id=1
        s< PUBLISH t two q2 id=2
        s> PUBACK id=1
        s> PUBREC id=2
        s< PUBREL id=2
        p> PUBREL id=2
        p< PUBCOMP id=2
        ",
    );
}

/// [MQTT-4.6.0-2], [MQTT-4.6.0-3]
#[test]
fn no_acknowledgement_overtakes_one_that_waits() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q1
        s< SUBACK 01
        p> CONNECT v5
        p< CONNACK
        store stalls
        p> PUBLISH t one q1 id=1
        s< PUBLISH t one q1 id=1
        p> PUBLISH nobody two q1 id=2
        p> PUBLISH t three
        s< PUBLISH t three
        p> PUBLISH t four q2 id=3
        p> PUBLISH nobody five q2 id=4
        s< PUBLISH t four q1 id=2
        p< nothing
        store works
        p< PUBACK id=1
        p< PUBACK id=2 0x10
        p< PUBREC id=3
        p< PUBREC id=4 0x10
        ",
    );
}

/// Each would wait for the other to say that the message is kept there, which each would say when all is done.
#[test]
fn shards_that_publish_to_each_other_do_not_wait_for_each_other() {
    for shards in [1, 2, 3] {
        let mut world = durable(shards);
        let names = ["a", "b", "c", "d", "e", "f"];
        for name in names {
            world.run(&format!(
                "{name}> CONNECT v5 expiry=100\n{name}< CONNACK\n{name}> SUBSCRIBE t q1\n{name}< SUBACK 01"
            ));
        }
        world.run_step("store stalls");
        let publishes = names.map(|name| format!("{name}> PUBLISH t x q1 id=9"));
        world.together(&publishes.each_ref().map(|line| line.as_str()));
        world.run_step("store works");
        for name in names {
            assert_eq!(world.take_matching(name, "PUBACK"), 1, "{shards}, {name}");
        }
    }
}

#[test]
fn a_session_that_does_not_last_subscribes_whatever_the_store_does() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        p> CONNECT v5
        p< CONNACK
        store stalls
        s> SUBSCRIBE t q1
        s< nothing
        p> SUBSCRIBE t q1
        p< SUBACK 01
        store works
        s< SUBACK 01
        ",
    );
}

#[test]
fn suback_and_connack_of_a_session_that_lasts_wait_for_the_store() {
    check_durable(
        "
        store stalls
        s> CONNECT v5 expiry=100
        s< nothing
        store works
        s< CONNACK
        store stalls
        s> SUBSCRIBE t q1
        s< nothing
        store works
        s< SUBACK 01
        ",
    );
}

/// [MQTT-4.3.3-2]: the client would know it twice if its packet id were forgotten.
#[test]
fn a_qos_2_message_leaves_when_its_packet_id_is_durable() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q2
        s< SUBACK 02
        p> CONNECT v5
        p< CONNACK
        store stalls
        p> PUBLISH t one q2 id=1
        s< nothing
        p< nothing
        store works
        s< PUBLISH t one q2 id=1
        p< PUBREC id=1
        p> PUBREL id=1
        p< PUBCOMP id=1
        store stalls
        s> PUBREC id=1
        s< nothing
        store works
        s< PUBREL id=1
        s> PUBCOMP id=1
        ",
    );
}

#[test]
fn what_was_acknowledged_survives_a_crash() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t/# q2 sid=7
        s< SUBACK 02
        s> DISCONNECT 0x00
        s? client disconnected
        p> CONNECT v5
        p< CONNACK
        p> PUBLISH t/1 one q1 id=1 user=k:v
        p< PUBACK id=1
        p> PUBLISH t/2 two q2 id=2
        p< PUBREC id=2
        crash
        s> CONNECT v5 dirty expiry=100
        s< CONNACK present
        s< PUBLISH t/1 one q1 id=1 sid=7 user=k:v
        s< PUBLISH t/2 two q2 id=2 sid=7
        q> CONNECT v5
        q< CONNACK
        q> PUBLISH t/3 three
        s< PUBLISH t/3 three sid=7
        ",
    );
}

/// [MQTT-4.6.0-4]
#[test]
fn pubrels_leave_in_the_order_of_their_pubrecs() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q2
        s< SUBACK 02
        p> CONNECT v5
        p< CONNACK
        p> PUBLISH t one q2 id=1
        p< PUBREC id=1
        p> PUBLISH t two q2 id=2
        p< PUBREC id=2
        s< PUBLISH t one q2 id=1
        s< PUBLISH t two q2 id=2
        store stalls
        s> PUBREC id=2
        s> PUBREC id=9
        s> PUBREC id=1
        s< nothing
        store works
        s< PUBREL id=2
        s< PUBREL id=9 0x92
        s< PUBREL id=1
        ",
    );
}

/// [MQTT-4.4.0-1]: with the packet ids that they had.
#[test]
fn what_was_in_flight_is_sent_again_after_a_crash() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q2
        s< SUBACK 02
        p> CONNECT v5
        p< CONNACK
        p> PUBLISH t zero q1 id=9
        p< PUBACK id=9
        s< PUBLISH t zero q1 id=1
        s> PUBACK id=1
        p> PUBLISH t one q2 id=1
        p< PUBREC id=1
        s< PUBLISH t one q2 id=2
        s> PUBREC id=2
        s< PUBREL id=2
        p> PUBLISH t two q1 id=2
        p< PUBACK id=2
        s< PUBLISH t two q1 id=3
        p> PUBLISH t three q2 id=3
        p< PUBREC id=3
        s< PUBLISH t three q2 id=4
        crash
        s> CONNECT v5 dirty expiry=100
        s< CONNACK present
        s< PUBREL id=2
        s< PUBLISH t two q1 id=3 dup
        s< PUBLISH t three q2 id=4 dup
        s> PUBCOMP id=2
        s> PUBACK id=3
        s> PUBREC id=4
        s< PUBREL id=4
        s> PUBCOMP id=4
        ",
    );
}

/// [MQTT-4.3.3-10]
#[test]
fn a_qos_2_message_that_came_before_a_crash_is_known_after_it() {
    check_durable(
        "
        s> CONNECT v5
        s< CONNACK
        p> CONNECT v5 expiry=100
        p< CONNACK
        p> PUBLISH t one q2 id=5
        p< PUBREC id=5 0x10
        crash
        s> CONNECT v5
        s< CONNACK
        s> SUBSCRIBE t q2
        s< SUBACK 02
        p> CONNECT v5 dirty expiry=100
        p< CONNACK present
        p> PUBLISH t one q2 id=5 dup
        p< PUBREC id=5
        p> PUBREL id=5
        p< PUBCOMP id=5
        crash
        s> CONNECT v5
        s< CONNACK
        s> SUBSCRIBE t q2
        s< SUBACK 02
        p> CONNECT v5 dirty expiry=100
        p< CONNACK present
        p> PUBLISH t two q2 id=5
        p< PUBREC id=5
        s< PUBLISH t two q2 id=1
        ",
    );
}

#[test]
fn pubcomp_waits_until_the_packet_id_is_forgotten_for_good() {
    check_durable(
        "
        p> CONNECT v5 expiry=100
        p< CONNACK
        p> PUBLISH t one q2 id=5
        p< PUBREC id=5 0x10
        store stalls
        p> PUBREL id=5
        p< nothing
        store works
        p< PUBCOMP id=5
        ",
    );
}

#[test]
fn retained_messages_survive_a_crash() {
    check_durable(
        "
        p> CONNECT v5
        p< CONNACK
        p> PUBLISH t/a one retain q1 id=1
        p< PUBACK id=1 0x10
        p> PUBLISH t/b two retain q1 id=2
        p< PUBACK id=2 0x10
        p> PUBLISH t/a un retain q1 id=3
        p< PUBACK id=3 0x10
        p> PUBLISH t/b - retain q1 id=4
        p< PUBACK id=4 0x10
        store stalls
        p> PUBLISH t/a lost retain q1 id=5
        crash
        s> CONNECT v5
        s< CONNACK
        s> SUBSCRIBE t/#
        s< SUBACK 00
        s< PUBLISH t/a un retain
        ",
    );
}

#[test]
fn a_will_survives_a_crash_and_is_published_once() {
    check_durable(
        "
        c> CONNECT v5 expiry=100 will=w will-delay=5
        c< CONNACK
        d> CONNECT v5 expiry=100 will=w
        d< CONNACK
        d> DISCONNECT 0x00
        d? client disconnected
        crash
        s> CONNECT v5
        s< CONNACK
        s> SUBSCRIBE w
        s< SUBACK 00
        wait 4
        wait 1
        s< PUBLISH w gone
        crash
        s> CONNECT v5
        s< CONNACK
        s> SUBSCRIBE w
        s< SUBACK 00
        wait 10
        ",
    );
}

/// [MQTT-3.1.2-23]
#[test]
fn a_session_that_was_absent_before_a_crash_ends_in_its_time() {
    check_durable(
        "
        a> CONNECT v5 expiry=10
        a< CONNACK
        a> DISCONNECT 0x00
        a? client disconnected
        b> CONNECT v5 expiry=10
        b< CONNACK
        wait 6
        crash
        wait 5
        a> CONNECT v5 dirty expiry=10
        a< CONNACK
        b> CONNECT v5 dirty expiry=10
        b< CONNACK present
        ",
    );
}

#[test]
fn a_clean_start_forgets_the_session_for_good() {
    check_durable(
        "
        a> CONNECT v5 expiry=100
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        a> CONNECT v5 expiry=100
        a< CONNACK
        a'< DISCONNECT 0x8e
        a'? session taken over by a new connection
        crash
        a> CONNECT v5 dirty expiry=100
        a< CONNACK present
        p> CONNECT v5
        p< CONNACK
        p> PUBLISH t x q1 id=1
        p< PUBACK id=1 0x10
        ",
    );
}

#[test]
fn a_full_store_refuses_what_it_would_have_to_keep() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q1
        s< SUBACK 01
        p> CONNECT v5
        p< CONNACK
        old> CONNECT v4
        old< CONNACK
        p> PUBLISH t one q1 id=1
        p< PUBACK id=1
        store full
        p> PUBLISH t two q1 id=2
        p< PUBACK id=2 0x97
        p> PUBLISH t three retain
        old> PUBLISH t four q1 id=1
        old? no room in the store
        s< PUBLISH t one q1 id=1
        s< PUBLISH t three
        s> PUBACK id=1
        s> SUBSCRIBE u q1
        s< SUBACK 97
        new> CONNECT v5 expiry=100
        new< CONNACK 0x97
        new? refused: no room in the store
        store has room
        p> PUBLISH t five q1 id=3
        p< PUBACK id=3
        s< PUBLISH t five q1 id=2
        ",
    );
}

#[test]
fn a_full_store_takes_whatever_frees_room() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q1
        s< SUBACK 01
        s> SUBSCRIBE u q2
        s< SUBACK 02
        p> CONNECT v5
        p< CONNACK
        p> PUBLISH t kept q1 id=1 retain
        p< PUBACK id=1
        p> PUBLISH u one q2 id=2
        p< PUBREC id=2
        s< PUBLISH t kept q1 id=1
        s< PUBLISH u one q2 id=2
        gone> CONNECT v5 expiry=100
        gone< CONNACK
        store full
        p> PUBREL id=2
        p< PUBCOMP id=2
        s> PUBACK id=1
        s> PUBREC id=2
        s< PUBREL id=2
        s> PUBCOMP id=2
        p> PUBLISH t - q1 id=3 retain
        p< PUBACK id=3
        s< PUBLISH t - q1 id=3
        s> PUBACK id=3
        s> UNSUBSCRIBE u
        s< UNSUBACK 00
        gone> DISCONNECT expiry=0
        gone? client disconnected
        store has room
        crash
        gone> CONNECT v5 dirty
        gone< CONNACK
        p> CONNECT v5
        p< CONNACK
        p> SUBSCRIBE t q1
        p< SUBACK 01
        p< nothing
        ",
    );
}

/// PUBREL tells the client to forget the packet id: after a crash it would take the message for a new one.
#[test]
fn who_comes_back_while_the_store_is_full_is_sent_no_pubrel_that_a_crash_forgets() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q2
        s< SUBACK 02
        p> CONNECT v5
        p< CONNACK
        p> PUBLISH t one q2 id=1
        p< PUBREC id=1
        s< PUBLISH t one q2 id=1
        store full
        store stalls
        s> PUBREC id=1
        s> CONNECT v5 dirty expiry=100
        s'< DISCONNECT 0x8e
        s'? session taken over by a new connection
        s< nothing
        store works
        s< CONNACK present
        s< PUBREL id=1
        ",
    );
}

/// [MQTT-3.3.2-5], [MQTT-3.3.2-6]
#[test]
fn the_time_a_message_waits_for_the_store_counts() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q2
        s< SUBACK 02
        p> CONNECT v5
        p< CONNACK
        store stalls
        p> PUBLISH t one q2 id=1 life=5
        p> PUBLISH t two q2 id=2 life=2
        wait 3
        store works
        s< PUBLISH t one q2 id=1 life=2
        p< PUBREC id=1
        p< PUBREC id=2
        ",
    );
}

#[test]
fn what_waits_for_the_store_takes_room_in_the_output() {
    let settings = Settings {
        is_durable: true,
        outbox_bytes: 1,
        ..Settings::default()
    };
    let mut world = World::with(1, settings);
    world.run(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q2
        s< SUBACK 02
        p> CONNECT v5
        p< CONNACK
        store stalls
        p> PUBLISH t one q2 id=1
        p> PUBLISH t two q2 id=2
        p> PUBLISH t three q2 id=3
        s! stall
        store works
        p< PUBREC id=1
        p< PUBREC id=2
        p< PUBREC id=3
        ",
    );
    assert!(world.output_bytes() < 20);
    world.run(
        "
        s! read
        s< PUBLISH t one q2 id=1
        s< PUBLISH t two q2 id=2
        s< PUBLISH t three q2 id=3
        ",
    );
}

#[test]
fn when_all_is_over_the_store_is_as_empty_as_before() {
    for shards in [1, 2, 3] {
        let mut world = durable(shards);
        world.run(
            "
            a> CONNECT v5 expiry=10 will=w will-delay=60
            a< CONNACK
            a> SUBSCRIBE t/# q2
            a< SUBACK 02
            a> PUBLISH u x q2 id=3
            a< PUBREC id=3 0x10
            p> CONNECT v5
            p< CONNACK
            p> PUBLISH t/1 one q1 id=1 retain life=5
            p< PUBACK id=1
            a< PUBLISH t/1 one q1 id=1 life=5
            p> PUBLISH t/2 two q2 id=2
            p< PUBREC id=2
            a< PUBLISH t/2 two q2 id=2
            a> PUBREC id=2
            a< PUBREL id=2
            a! close
            a? connection lost
            p> PUBLISH t/3 three q1 id=3
            p< PUBACK id=3
            ",
        );
        assert!(world.records() > 6, "{} records", world.records());
        world.run("wait 20");
        assert_eq!(world.records(), 0);
    }
}

/// Its shards keep what they keep of it together: one part without the other would be a message lost or doubled.
#[test]
fn a_qos_2_message_between_shards_is_kept_as_a_whole() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q2
        s< SUBACK 02
        u> CONNECT v5
        u< CONNACK
        u> SUBSCRIBE t q2
        u< SUBACK 02
        first> CONNECT v5 expiry=100
        first< CONNACK
        second> CONNECT v5 expiry=100
        second< CONNACK
        first> PUBLISH t one q2 id=1
        first< PUBREC id=1
        second> PUBLISH t two q2 id=1
        second< PUBREC id=1
        s< PUBLISH t one q2 id=1
        u< PUBLISH t one q2 id=1
        s< PUBLISH t two q2 id=2
        u< PUBLISH t two q2 id=2
        ",
    );
}

/// Nobody sends a will again. One that was forgotten where its session was, and not yet kept where it went, was lost by a
/// crash.
#[test]
fn a_will_between_shards_is_forgotten_when_it_is_kept_there() {
    let script = "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE w q1
        s< SUBACK 01
        u> CONNECT v5 expiry=100
        u< CONNACK
        u> SUBSCRIBE w q1
        u< SUBACK 01
        first> CONNECT v5 expiry=100 will=w q1
        first< CONNACK
        second> CONNECT v5 expiry=3 will=w q1 will-delay=9
        second< CONNACK
        first! close
        first? connection lost
        s< PUBLISH w gone q1 id=1
        u< PUBLISH w gone q1 id=1
        second! close
        second? connection lost
        wait 3
        s< PUBLISH w gone q1 id=2
        u< PUBLISH w gone q1 id=2
        ";
    check_durable(script);
    for shards in [2, 3] {
        let mut world = durable(shards);
        world.run(script);
        assert!(world.joined() > 0, "of {shards} shards none asked another");
    }
}
