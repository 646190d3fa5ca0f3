//! Messages on their way: QoS flows, windows, aliases, sharing.

use super::check;
use super::world::World;
use crate::Settings;
use std::format;

/// [MQTT-3.8.4-8]
#[test]
fn every_qos_is_delivered_at_the_lower_of_published_and_granted() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t/0 id=1
        a< SUBACK 00
        a> SUBSCRIBE t/1 q1 id=2
        a< SUBACK id=2 01
        a> SUBSCRIBE t/2 q2 id=3
        a< SUBACK id=3 02
        b> CONNECT v4
        b< CONNACK
        b> PUBLISH t/0 x q2 id=1
        b< PUBREC id=1
        a< PUBLISH t/0 x
        b> PUBREL id=1
        b< PUBCOMP id=1
        b> PUBLISH t/1 y q2 id=2
        b< PUBREC id=2
        a< PUBLISH t/1 y q1 id=1
        a> PUBACK id=1
        b> PUBLISH t/2 z q1 id=3
        b< PUBACK id=3
        a< PUBLISH t/2 z q1 id=2
        b> PUBLISH t/2 zz
        a< PUBLISH t/2 zz
        ",
    );
}

/// [MQTT-4.3.3-10], [MQTT-4.3.3-12]: a second copy of a QoS 2 message is acknowledged and not delivered again until
/// PUBREL.
#[test]
fn a_repeated_qos_2_message_is_delivered_once() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t q2
        a< SUBACK 02
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t x q2 id=5
        b< PUBREC id=5
        a< PUBLISH t x q2 id=1
        b> PUBLISH t x q2 id=5 dup
        b< PUBREC id=5
        b> PUBREL id=5
        b< PUBCOMP id=5
        b> PUBREL id=5
        b< PUBCOMP id=5 0x92
        b> PUBLISH t new q2 id=5
        b< PUBREC id=5
        a< PUBLISH t new q2 id=2
        ",
    );
}

/// [MQTT-4.3.3-4], [MQTT-4.3.3-5]
#[test]
fn the_flow_of_qos_2_to_a_client_goes_by_pubrec_pubrel_pubcomp() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t q2
        a< SUBACK 02
        a> PUBLISH t x q2 id=9
        a< PUBLISH t x q2 id=1
        a< PUBREC id=9
        a> PUBREC id=1
        a< PUBREL id=1
        a> PUBREC id=1
        a< PUBREL id=1
        a> PUBCOMP id=1
        a> PUBREC id=1
        a< PUBREL id=1 0x92
        ",
    );
}

/// [MQTT-4.3.3-4]: no PUBREL where the client refused the message.
#[test]
fn a_pubrec_with_an_error_ends_the_flow() {
    check(
        "
        a> CONNECT v5 receive=1
        a< CONNACK
        a> SUBSCRIBE t q2
        a< SUBACK 02
        a> PUBLISH t x q2 id=9
        a< PUBLISH t x q2 id=1
        a< PUBREC id=9
        a> PUBLISH t y q2 id=10
        a< PUBREC id=10
        a> PUBREC id=1 0x97
        a< PUBLISH t y q2 id=2
        ",
    );
}

/// [MQTT-3.3.4-9]: never more unacknowledged than the client's Receive Maximum; QoS 0 is not held up by it... but keeps
/// its place behind what waits.
#[test]
fn what_exceeds_the_receive_maximum_waits_for_an_acknowledgement() {
    check(
        "
        a> CONNECT v5 receive=2
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        b> CONNECT v4
        b< CONNACK
        b> PUBLISH t 1 q1 id=1
        b< PUBACK id=1
        a< PUBLISH t 1 q1 id=1
        b> PUBLISH t 2 q1 id=2
        b< PUBACK id=2
        a< PUBLISH t 2 q1 id=2
        b> PUBLISH t 3 q1 id=3
        b< PUBACK id=3
        b> PUBLISH t 4 q1 id=4
        b< PUBACK id=4
        a> PUBACK id=2
        a< PUBLISH t 3 q1 id=3
        a> PUBACK id=1
        a< PUBLISH t 4 q1 id=4
        ",
    );
}

/// [MQTT-3.3.4-7]: more than our Receive Maximum is 0x93.
#[test]
fn a_client_that_exceeds_our_receive_maximum_is_told() {
    let settings = Settings {
        receive_maximum: 2,
        ..Settings::default()
    };
    World::with(1, settings).run(
        "
        a> CONNECT v5
        a< CONNACK
        a> PUBLISH t x q2 id=1
        a< PUBREC id=1 0x10
        a> PUBLISH t x q2 id=2
        a< PUBREC id=2 0x10
        a> PUBLISH t x q2 id=2 dup
        a< PUBREC id=2
        a> PUBLISH t x q2 id=3
        a< DISCONNECT 0x93
        a? receive maximum exceeded
        ",
    );
}

/// [MQTT-3.3.4-2], [MQTT-3.3.4-3], [MQTT-3.3.4-4]
#[test]
fn a_client_that_does_not_count_can_be_tolerated() {
    let settings = Settings {
        receive_maximum: 1,
        tolerates_receive_maximum_exceeded: true,
        ..Settings::default()
    };
    World::with(1, settings).run(
        "
        a> CONNECT v5
        a< CONNACK
        a> PUBLISH t x q2 id=1
        a< PUBREC id=1 0x10
        a> PUBLISH t x q2 id=2
        a< PUBREC id=2 0x10
        ",
    );
}

#[test]
fn overlapping_subscriptions_give_one_copy_with_all_identifiers() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t/# sid=1
        a< SUBACK 00
        a> SUBSCRIBE t/+ q2 rap sid=2
        a< SUBACK 02
        a> SUBSCRIBE other sid=3
        a< SUBACK 00
        b> CONNECT v4
        b< CONNACK
        b> PUBLISH t/x hello q1 id=1 retain
        b< PUBACK id=1
        a< PUBLISH t/x hello q1 id=1 retain sid=1 sid=2
        ",
    );
}

/// [MQTT-3.8.3-3]
#[test]
fn no_local_keeps_a_clients_own_messages_from_it() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t nolocal
        a< SUBACK 00
        a> PUBLISH t mine
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t yours
        a< PUBLISH t yours
        ",
    );
}

/// [MQTT-3.3.2-17], [MQTT-3.3.2-18]: user properties arrive unaltered and in order; 3.x clients don't see them.
#[test]
fn user_properties_pass_through_in_order() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t
        a< SUBACK 00
        c> CONNECT v4
        c< CONNACK
        c> SUBSCRIBE t
        c< SUBACK 00
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t x user=k:1,a:2,k:3
        a< PUBLISH t x user=k:1 user=a:2 user=k:3
        c< PUBLISH t x
        ",
    );
}

#[test]
fn aliases_work_in_both_directions() {
    check(
        "
        a> CONNECT v5 aliases=1
        a< CONNACK
        a> SUBSCRIBE long/#
        a< SUBACK 00
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH long/topic 1 alias=3
        a< PUBLISH long/topic 1 alias=1
        b> PUBLISH - 2 alias=3
        a< PUBLISH - 2 alias=1
        b> PUBLISH long/other 3 alias=3
        a< PUBLISH long/other 3
        b> PUBLISH - 4 alias=3
        a< PUBLISH long/other 4
        b> PUBLISH - 5 alias=4
        b< DISCONNECT 0x82
        b? topic alias not set
        ",
    );
}

/// [MQTT-3.3.2-5], [MQTT-3.3.2-6]
#[test]
fn messages_expire_while_they_wait_and_tell_what_is_left() {
    check(
        "
        a> CONNECT v5 expiry=100
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        a! close
        a? connection lost
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t short q1 id=1 life=3
        b< PUBACK id=1
        b> PUBLISH t long q1 id=2 life=30
        b< PUBACK id=2
        wait 5
        a> CONNECT v5 dirty expiry=100
        a< CONNACK present
        a< PUBLISH t long q1 id=1 life=25
        ",
    );
}

/// [MQTT-3.1.2-25]: too large for the client: as if it had been delivered.
#[test]
fn a_message_larger_than_the_client_takes_is_left_out() {
    check(
        "
        a> CONNECT v5 max=30
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t 0123456789012345678901234567890123456789 q1 id=1
        b< PUBACK id=1
        b> PUBLISH t short q1 id=2
        b< PUBACK id=2
        a< PUBLISH t short q1 id=1
        ",
    );
}

/// To set an alias takes room: what fits without it only is sent without it.
#[test]
fn an_alias_makes_no_message_too_large() {
    check(
        "
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH kept/two 12345678901234567 retain
        a> CONNECT v5 max=30 aliases=2
        a< CONNACK
        a> SUBSCRIBE long/#,kept/#
        a< SUBACK 00 00
        a< PUBLISH kept/two 12345678901234567 retain
        b> PUBLISH long/one 12345678901234567
        a< PUBLISH long/one 12345678901234567
        b> PUBLISH long/one 1
        a< PUBLISH long/one 1 alias=1
        b> PUBLISH long/one 12345678901234567
        a< PUBLISH - 12345678901234567 alias=1
        ",
    );
}

/// [MQTT-4.7.2-1], and `$SYS` is the server's own.
#[test]
fn dollar_topics_are_not_matched_by_leading_wildcards() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE #,+/x,$other/#
        a< SUBACK 00 00 00
        a> PUBLISH $other/x y
        a< PUBLISH $other/x y
        a> PUBLISH $SYS/x y q1 id=1
        a< PUBACK id=1 0x87
        ",
    );
}

#[test]
fn a_full_queue_of_an_absent_client_takes_no_more_and_one_that_is_here_is_told() {
    let settings = Settings {
        queue_messages: 2,
        ..Settings::default()
    };
    World::with(1, settings).run(
        "
        a> CONNECT v5 receive=1 expiry=100
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        b> CONNECT v4
        b< CONNACK
        b> PUBLISH t 1 q1 id=1
        b< PUBACK id=1
        a< PUBLISH t 1 q1 id=1
        b> PUBLISH t 2 q1 id=2
        b< PUBACK id=2
        b> PUBLISH t 3 q1 id=3
        b< PUBACK id=3
        b> PUBLISH t 4 q1 id=4
        b< PUBACK id=4
        a< DISCONNECT 0x97
        a? queue full: client reads too slowly
        b> PUBLISH t 5 q1 id=5
        b< PUBACK id=5
        a> CONNECT v5 dirty
        a< CONNACK present
        a< PUBLISH t 1 q1 id=1 dup
        a< PUBLISH t 2 q1 id=2
        a< PUBLISH t 3 q1 id=3
        ",
    );
}

/// A session whose queue is full can still be caught up with: what is published meanwhile does not end its connection.
#[test]
fn a_full_queue_does_not_keep_a_client_from_coming_back() {
    let settings = Settings {
        queue_messages: 2,
        ..Settings::default()
    };
    World::with(1, settings).run(
        "
        a> CONNECT v5 expiry=100
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        a! close
        b> CONNECT v4
        b< CONNACK
        b> PUBLISH t 1 q1 id=1
        b< PUBACK id=1
        b> PUBLISH t 2 q1 id=2
        b< PUBACK id=2
        b> PUBLISH t 3 q1 id=3
        b< PUBACK id=3
        a> CONNECT v5 dirty receive=1 expiry=100
        a< CONNACK present
        a< PUBLISH t 1 q1 id=1
        b> PUBLISH t 4 q1 id=4
        b< PUBACK id=4
        b> PUBLISH t 5 q1 id=5
        b< PUBACK id=5
        a> PUBACK id=1
        a< PUBLISH t 2 q1 id=2
        a> PUBACK id=2
        a< PUBLISH t 4 q1 id=3
        a> PUBACK id=3
        ",
    );
}

#[test]
fn a_reader_that_stalls_gets_everything_in_order_when_it_reads_again() {
    let settings = Settings {
        outbox_bytes: 16,
        ..Settings::default()
    };
    World::with(1, settings).run(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        b> CONNECT v5
        b< CONNACK
        a! stall
        b> PUBLISH t 1
        b> PUBLISH t 2
        b> PUBLISH t 3
        b> PUBLISH t 4
        b> PUBLISH t 5 q1 id=1
        b< PUBACK id=1
        b> PUBLISH t 6
        a! read
        a< PUBLISH t 1
        a< PUBLISH t 2
        a< PUBLISH t 3
        a< PUBLISH t 4
        a< PUBLISH t 5 q1 id=1
        a< PUBLISH t 6
        ",
    );
}

/// [MQTT-3.3.4-9], [MQTT-4.6.0-6]
#[test]
fn acknowledgements_that_come_together_make_room_for_as_many() {
    let mut world = World::new(1);
    world.run("p> CONNECT v5\np< CONNACK\na> CONNECT v5 receive=3\na< CONNACK");
    world.run("a> SUBSCRIBE t q1\na< SUBACK 01");
    for n in 1..=8 {
        world.run_step(&format!("p> PUBLISH t {n} q1 id=1"));
        world.run_step("p< PUBACK id=1");
    }
    let sent = |world: &mut World, numbers: core::ops::RangeInclusive<u16>| {
        for n in numbers {
            world.run_step(&format!("a< PUBLISH t {n} q1 id={n}"));
        }
    };
    sent(&mut world, 1..=3);
    world.run_step("a< nothing");
    // One of them acknowledges what nobody has sent.
    world.in_one_read("a", &["PUBACK id=2", "PUBACK id=1", "PUBACK id=77"]);
    sent(&mut world, 4..=5);
    world.run_step("a< nothing");
    world.in_one_read(
        "a",
        &["PUBACK id=3", "PUBACK id=4", "PUBACK id=5", "PINGREQ"],
    );
    sent(&mut world, 6..=8);
    world.run("a< PINGRESP");
}

/// [MQTT-4.3.3-3]
#[test]
fn an_acknowledgement_of_the_wrong_kind_among_others_ends_the_connection() {
    let mut world = World::new(1);
    world.run("p> CONNECT v5\np< CONNACK\na> CONNECT v5\na< CONNACK");
    world.run("a> SUBSCRIBE t q2\na< SUBACK 02");
    world.run(
        "
        p> PUBLISH t 1 q1 id=1
        p< PUBACK id=1
        p> PUBLISH t 2 q1 id=1
        p< PUBACK id=1
        p> PUBLISH t 3 q2 id=1
        p< PUBREC id=1
        p> PUBREL id=1
        p< PUBCOMP id=1
        a< PUBLISH t 1 q1 id=1
        a< PUBLISH t 2 q1 id=2
        a< PUBLISH t 3 q2 id=3
        ",
    );
    world.in_one_read("a", &["PUBACK id=1", "PUBACK id=2", "PUBACK id=3"]);
    world.run("a< DISCONNECT 0x82\na? PUBACK not expected here");
}
