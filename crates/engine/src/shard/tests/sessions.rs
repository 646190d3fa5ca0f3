//! Sessions: present or not, taken over, expired, resent.

use super::check;
use super::world::World;

/// [MQTT-3.1.2-23], [MQTT-4.1.0-2]
#[test]
fn a_session_lives_as_long_as_its_expiry() {
    check(
        "
        a> CONNECT v5 expiry=10
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        a! close
        wait 9
        a> CONNECT v5 dirty expiry=10
        a< CONNACK present
        a! close
        wait 10
        a> CONNECT v5 dirty
        a< CONNACK
        a> PUBLISH t x q1 id=1
        a< PUBACK id=1 0x10
        ",
    );
}

#[test]
fn clean_session_in_3_1_1_is_a_clean_start_and_no_expiry() {
    check(
        "
        a> CONNECT v4 dirty
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        a> DISCONNECT
        a> CONNECT v4 dirty
        a< CONNACK present
        a> PUBLISH t x q1 id=1
        a< PUBLISH t x q1 id=1
        a< PUBACK id=1
        a> CONNECT v4
        a< CONNACK
        a> DISCONNECT
        a> CONNECT v4 dirty
        a< CONNACK
        ",
    );
}

/// [MQTT-4.4.0-1], [MQTT-4.6.0-1]: what was not acknowledged is sent again, in order, with DUP and the same ids.
#[test]
fn what_was_in_flight_is_sent_again() {
    check(
        "
        a> CONNECT v5 expiry=100
        a< CONNACK
        a> SUBSCRIBE t q2
        a< SUBACK 02
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t 1 q1 id=1
        b< PUBACK id=1
        a< PUBLISH t 1 q1 id=1
        b> PUBLISH t 2 q2 id=2
        b< PUBREC id=2
        a< PUBLISH t 2 q2 id=2
        b> PUBLISH t 3 q2 id=3
        b< PUBREC id=3
        a< PUBLISH t 3 q2 id=3
        a> PUBREC id=3
        a< PUBREL id=3
        a! close
        b> PUBLISH t 4 q1 id=4
        b< PUBACK id=4
        b> PUBLISH t 5
        a> CONNECT v5 dirty expiry=100 receive=2
        a< CONNACK present
        a< PUBLISH t 1 q1 id=1 dup
        a< PUBLISH t 2 q2 id=2 dup
        a< PUBREL id=3
        a> PUBACK id=1
        a< PUBLISH t 4 q1 id=4
        ",
    );
}

/// [MQTT-3.1.4-3], [MQTT-3.14.2-2]
#[test]
fn a_new_connection_takes_the_session_over() {
    check(
        "
        a> CONNECT v5 expiry=100
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        a> CONNECT v5 dirty expiry=100
        a'< DISCONNECT 0x8e
        a'? session taken over by a new connection
        a< CONNACK present
        a> PUBLISH t x q1 id=1
        a< PUBLISH t x q1 id=1
        a< PUBACK id=1
        ",
    );
}

/// [MQTT-3.1.4-3] and the will: it is published unless the session goes on and the will has a delay.
#[test]
fn a_takeover_publishes_the_will_of_the_earlier_connection() {
    check(
        "
        w> CONNECT v5
        w< CONNACK
        w> SUBSCRIBE will/#
        w< SUBACK 00
        a> CONNECT v5 will=will/a expiry=100
        a< CONNACK
        a> CONNECT v5 dirty will=will/a will-delay=9 expiry=100
        a'< DISCONNECT 0x8e
        w< PUBLISH will/a gone
        a< CONNACK present
        a> CONNECT v5 dirty expiry=100
        a'< DISCONNECT 0x8e
        a< CONNACK present
        wait 20
        ",
    );
}

#[test]
fn qos_2_ids_received_survive_the_connection() {
    check(
        "
        s> CONNECT v5
        s< CONNACK
        s> SUBSCRIBE t
        s< SUBACK 00
        a> CONNECT v5 expiry=100
        a< CONNACK
        a> PUBLISH t x q2 id=1
        s< PUBLISH t x
        a< PUBREC id=1
        a! close
        a> CONNECT v5 dirty expiry=100
        a< CONNACK present
        a> PUBLISH t x q2 id=1 dup
        a< PUBREC id=1
        a> PUBREL id=1
        a< PUBCOMP id=1
        ",
    );
}

#[test]
fn nothing_is_left_when_everybody_has_gone() {
    for shards in [1, 3] {
        let mut world = World::new(shards);
        let empty = world.footprint();
        world.run(
            "
            a> CONNECT v5 expiry=10 keep=30 will=will/a will-delay=5
            a< CONNACK
            a> SUBSCRIBE t/#,$share/g/t,x q2
            a< SUBACK 02 02 02
            bb> CONNECT v4 keep=10
            bb< CONNACK
            bb> SUBSCRIBE t/#,$share/g/t q1
            bb< SUBACK 01 01
            bb> UNSUBSCRIBE t/#
            bb< UNSUBACK
            a> PUBLISH x 1 q2 id=1
            a< PUBLISH x 1 q2 id=1
            a< PUBREC id=1
            a! close
            bb! close
            wait 10
            ",
        );
        assert_eq!(world.footprint(), empty);
    }
}

#[test]
fn only_what_differs_is_announced() {
    check(
        "
        a> CONNECT v5 expiry=4294967295 reqresp=1
        a< CONNACK expiry=604800 response=response/a
        ",
    );
}

/// [MQTT-4.9.0-3]: a PUBREL needs no quota; [MQTT-3.3.4-9]: and its PUBCOMP gives none back that was not taken.
#[test]
fn a_smaller_receive_maximum_is_kept_when_a_session_is_resumed() {
    check(
        "
        a> CONNECT v5 expiry=100
        a< CONNACK
        a> SUBSCRIBE t q2
        a< SUBACK 02
        b> CONNECT v4
        b< CONNACK
        b> PUBLISH t 1 q1 id=1
        b< PUBACK id=1
        a< PUBLISH t 1 q1 id=1
        b> PUBLISH t 2 q1 id=2
        b< PUBACK id=2
        a< PUBLISH t 2 q1 id=2
        b> PUBLISH t 3 q2 id=3
        b< PUBREC id=3
        a< PUBLISH t 3 q2 id=3
        a> PUBREC id=3
        a< PUBREL id=3
        a! close
        a> CONNECT v5 dirty receive=1
        a< CONNACK present
        a< PUBLISH t 1 q1 id=1 dup
        a< PUBREL id=3
        a> PUBCOMP id=3
        a> PUBACK id=1
        a< PUBLISH t 2 q1 id=2 dup
        ",
    );
}
