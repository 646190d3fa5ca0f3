//! Statements of MQTT 5.0, each as a script that fails where the statement does not hold.
//!
//! What other files here tell as a story is not repeated: this file holds what no story needs. 3.1.1 is in
//! conformance_3.rs.

use super::check;
use super::world::World;
use crate::Settings;

/// [MQTT-2.2.1-5], [MQTT-2.2.1-6], [MQTT-3.3.4-1], [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.10.4-4], [MQTT-3.10.4-5],
/// [MQTT-4.3.2-4], [MQTT-4.3.3-8], [MQTT-4.3.3-11]
#[test]
fn every_request_is_answered_with_its_own_packet_id() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t q2 id=7
        a< SUBACK id=7 02
        a> UNSUBSCRIBE t id=8
        a< UNSUBACK id=8 00
        a> UNSUBSCRIBE t id=9
        a< UNSUBACK id=9 11
        a> PUBLISH t x
        a> PUBLISH t x q1 id=300
        a< PUBACK id=300 0x10
        a> PUBLISH t x q2 id=301
        a< PUBREC id=301 0x10
        a> PUBREL id=301
        a< PUBCOMP id=301
        ",
    );
}

/// [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.8.4-7], [MQTT-3.9.3-1], [MQTT-3.10.4-6], [MQTT-3.11.3-1]
#[test]
fn each_filter_has_its_own_answer_in_its_place() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t/1,a/#/b,t/2 q1
        a< SUBACK 01 8f 01
        a> PUBLISH t/1 x
        a< PUBLISH t/1 x
        a> PUBLISH t/2 x
        a< PUBLISH t/2 x
        a> UNSUBSCRIBE t/3,t/1,t/1,a/#/b,t/2
        a< UNSUBACK 11 00 11 8f 00
        a> PUBLISH t/1 x
        a> PUBLISH t/2 x
        ",
    );
}

/// [MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-3.1.2-6], [MQTT-3.1.4-4], [MQTT-3.1.4-5], [MQTT-3.2.0-1], [MQTT-3.2.2-2],
/// [MQTT-3.2.2-3], [MQTT-4.5.0-1]
#[test]
fn a_session_is_made_resumed_and_discarded() {
    check(
        "
        a> CONNECT v5 dirty expiry=100
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        a! close
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t x q1 id=1
        b< PUBACK id=1
        a> CONNECT v5 dirty expiry=100
        a< CONNACK present
        a< PUBLISH t x q1 id=1
        a! close
        a> CONNECT v5 expiry=100
        a< CONNACK
        b> PUBLISH t x q1 id=1
        b< PUBACK id=1 0x10
        a! close
        a> CONNECT v5 dirty expiry=100
        a< CONNACK present
        ",
    );
}

/// [MQTT-3.1.3-2]
#[test]
fn sessions_are_told_apart_by_client_id() {
    check(
        "
        a> CONNECT v5 expiry=100
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        a! close
        b> CONNECT v5 dirty expiry=100
        b< CONNACK
        b> PUBLISH t x q1 id=1
        b< PUBACK id=1
        A> CONNECT v5 dirty
        A< CONNACK
        c> CONNECT v5 dirty as=a
        c< CONNACK present
        c< PUBLISH t x q1 id=1
        ",
    );
}

/// [MQTT-4.1.0-1]
#[test]
fn a_session_does_not_expire_while_its_client_is_here() {
    check(
        "
        a> CONNECT v5 expiry=2
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        wait 10
        a> PUBLISH t x q1 id=1
        a< PUBLISH t x q1 id=1
        a< PUBACK id=1
        a! close
        wait 1
        a> CONNECT v5 dirty expiry=2
        a< CONNACK present
        a< PUBLISH t x q1 id=1 dup
        wait 10
        a> PUBACK id=1
        a> PUBLISH t y q1 id=2
        a< PUBLISH t y q1 id=2
        a< PUBACK id=2
        ",
    );
}

/// [MQTT-3.1.2-7], [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.1.2-14], [MQTT-3.1.2-15], [MQTT-3.1.3-10]
#[test]
fn a_will_is_published_once_as_its_client_asked() {
    check(
        "
        w> CONNECT v5
        w< CONNACK
        w> SUBSCRIBE will/# q2 rap
        w< SUBACK 02
        a> CONNECT v5 will=will/a will-user=k:1,a:2,k:3 q1 expiry=100
        a< CONNACK
        a! close
        w< PUBLISH will/a gone q1 id=1 user=k:1 user=a:2 user=k:3
        a> CONNECT v5 dirty expiry=100
        a< CONNACK present
        a! close
        b> CONNECT v5 will=will/b will-retain
        b< CONNACK
        b! close
        w< PUBLISH will/b gone retain
        n> CONNECT v5
        n< CONNACK
        n> SUBSCRIBE will/#
        n< SUBACK 00
        n< PUBLISH will/b gone retain
        ",
    );
}

/// [MQTT-3.1.4-2], [MQTT-3.2.2-7], [MQTT-4.13.2-1]
#[test]
fn whom_authentication_refuses_is_told_and_closed() {
    check(
        "
        a> CONNECT v5 user-name=wrong
        a< CONNACK 0x86
        a? refused: bad user name or password
        b> CONNECT v5 user-name=right
        b< CONNACK
        ",
    );
}

/// [MQTT-3.1.4-6]
#[test]
fn nothing_is_done_for_a_client_that_was_refused() {
    check(
        "
        s> CONNECT v5
        s< CONNACK
        s> SUBSCRIBE t
        s< SUBACK 00
        a> CONNECT v5 user-name=wrong lingers will=t
        a< CONNACK 0x86
        a? refused: bad user name or password
        a> PUBLISH t x q1 id=1
        a> SUBSCRIBE t
        a> PINGREQ
        s> PUBLISH t y
        s< PUBLISH t y
        a! close
        ",
    );
}

/// [MQTT-3.14.4-1], [MQTT-3.14.4-2]
#[test]
fn nothing_follows_a_disconnect() {
    check(
        "
        a> CONNECT v5 lingers expiry=100
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        a> AUTH 0x19 method=x
        a< DISCONNECT 0x82
        a? AUTH not expected here
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t x q1 id=1
        b< PUBACK id=1
        a> PINGREQ
        a> PUBLISH u x q1 id=1
        ",
    );
}

/// [MQTT-3.1.0-2], [MQTT-3.2.0-2]
#[test]
fn a_second_connect_is_a_protocol_error_and_has_no_connack() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> BYTES 100e 0004 4d515454 05 02 003c 00 0001 61
        a< DISCONNECT 0x82
        a? CONNECT: sent a second time
        ",
    );
}

/// [MQTT-3.1.0-1], [MQTT-3.14.0-1]: not even a DISCONNECT before the CONNACK that accepts.
#[test]
fn who_does_not_begin_with_connect_is_closed_without_a_word() {
    check(
        "
        a> BYTES c000
        a? PINGREQ: the first packet must be CONNECT
        b> BYTES 3005 0001 74 6869
        b? PUBLISH: the first packet must be CONNECT
        ",
    );
}

/// [MQTT-3.1.2-1], [MQTT-3.1.2-2], [MQTT-3.1.2-3], [MQTT-3.1.4-1]
#[test]
fn a_connect_that_is_not_one_is_refused_and_closed() {
    check(
        "
        a> BYTES 100e 0004 4d515454 05 03 003c 00 0001 61
        a< CONNACK 0x81
        a? CONNECT: the reserved connect flag is set
        b> BYTES 100e 0004 4d515454 06 02 003c 00 0001 61
        b< CONNACK 0x84
        b? CONNECT: protocol level 6 is not supported
        c> BYTES 100e 0004 4d515458 05 02 003c 00 0001 61
        c< CONNACK 0x84
        c? CONNECT: protocol name is not MQTT
        ",
    );
}

/// [MQTT-2.1.3-1], [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1], [MQTT-3.14.1-1], [MQTT-3.15.1-1], [MQTT-4.13.1-1]
#[test]
fn a_malformed_packet_closes_the_connection_with_its_reason() {
    for (packet, bytes) in [
        ("PUBREL", "6002 0001"),
        ("SUBSCRIBE", "8007 0001 00 0001 74 00"),
        ("UNSUBSCRIBE", "a006 0001 00 0001 74"),
        ("DISCONNECT", "e100"),
        ("AUTH", "f100"),
        ("PINGREQ", "c100"),
    ] {
        check(&std::format!(
            "
            a> CONNECT v5
            a< CONNACK
            a> BYTES {bytes}
            a< DISCONNECT 0x81
            a? {packet}: reserved flags of the fixed header are wrong
            "
        ));
    }
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> BYTES 8203 0001 00
        a< DISCONNECT 0x82
        a? SUBSCRIBE: no topic filter
        ",
    );
}

/// [MQTT-3.1.3-5]
#[test]
fn client_ids_of_1_to_23_letters_and_digits_are_accepted() {
    for version in ["v3", "v4", "v5"] {
        for id in [
            "0",
            "0123456789abcdefghijklm",
            "nopqrstuvwxyzABCDEFGHIJ",
            "KLMNOPQRSTUVWXYZ",
        ] {
            check(&std::format!("a> CONNECT {version} as={id}\na< CONNACK"));
        }
    }
}

/// [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16]
#[test]
fn every_empty_client_id_is_given_another() {
    check(
        "
        a> CONNECT v5 as=-
        a< CONNACK assigned
        b> CONNECT v5 as=- dirty
        b< CONNACK assigned
        c> CONNECT v5 as=-
        c< CONNACK assigned
        a> PINGREQ
        a< PINGRESP
        b> PINGREQ
        b< PINGRESP
        ",
    );
}

/// [MQTT-3.3.1-1], [MQTT-3.3.1-2], [MQTT-3.3.1-3], [MQTT-4.3.1-1], [MQTT-4.3.2-2], [MQTT-4.3.3-2]
#[test]
fn dup_says_only_that_this_sender_sends_again() {
    check(
        "
        a> CONNECT v5 expiry=100
        a< CONNACK
        a> SUBSCRIBE t q2
        a< SUBACK 02
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t 0
        a< PUBLISH t 0
        b> PUBLISH t 1 q1 id=1 dup
        b< PUBACK id=1
        a< PUBLISH t 1 q1 id=1
        b> PUBLISH t 2 q2 id=2 dup
        b< PUBREC id=2
        a< PUBLISH t 2 q2 id=2
        a! close
        a> CONNECT v5 dirty expiry=100
        a< CONNACK present
        a< PUBLISH t 1 q1 id=1 dup
        a< PUBLISH t 2 q2 id=2 dup
        ",
    );
}

/// [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7], [MQTT-3.3.1-8], [MQTT-3.3.1-9], [MQTT-3.3.1-12], [MQTT-3.3.1-13]
#[test]
fn a_retained_message_is_replaced_and_removed_by_retained_ones_alone() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t rap
        a< SUBACK 00
        b> CONNECT v5
        b< CONNACK
        b> SUBSCRIBE t
        b< SUBACK 00
        p> CONNECT v5
        p< CONNACK
        p> PUBLISH t old retain
        a< PUBLISH t old retain
        b< PUBLISH t old
        p> PUBLISH t new retain
        a< PUBLISH t new retain
        b< PUBLISH t new
        p> PUBLISH t plain
        a< PUBLISH t plain
        b< PUBLISH t plain
        p> PUBLISH t -
        a< PUBLISH t -
        b< PUBLISH t -
        n> CONNECT v5
        n< CONNACK
        n> SUBSCRIBE t
        n< SUBACK 00
        n< PUBLISH t new retain
        p> PUBLISH t - retain
        a< PUBLISH t - retain
        b< PUBLISH t -
        n< PUBLISH t -
        n> SUBSCRIBE t
        n< SUBACK 00
        ",
    );
}

/// [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]
#[test]
fn what_a_publisher_says_about_its_message_arrives_unaltered() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t
        a< SUBACK 00
        a> PUBLISH t x data=17 format=1 reply=r/1 type=text/plain user=k:1,a:2,k:3
        a< PUBLISH t x data=17 format=1 reply=r/1 type=text/plain user=k:1 user=a:2 user=k:3
        a> PUBLISH t x format=0
        a< PUBLISH t x format=0
        ",
    );
}

/// [MQTT-3.1.2-26], [MQTT-3.1.2-27], [MQTT-3.3.2-7], [MQTT-3.3.2-11]
#[test]
fn aliases_of_ours_stay_within_the_clients_maximum_and_its_connection() {
    check(
        "
        a> CONNECT v5 aliases=1 expiry=100
        a< CONNACK
        a> SUBSCRIBE long/#
        a< SUBACK 00
        b> CONNECT v5
        b< CONNACK
        b> SUBSCRIBE long/one
        b< SUBACK 00
        b> PUBLISH long/one 1
        a< PUBLISH long/one 1 alias=1
        b< PUBLISH long/one 1
        b> PUBLISH long/one 2
        a< PUBLISH - 2 alias=1
        b< PUBLISH long/one 2
        b> PUBLISH long/two 3
        a< PUBLISH long/two 3
        a! close
        a> CONNECT v5 dirty aliases=1 expiry=100
        a< CONNACK present
        b> PUBLISH long/one 4
        a< PUBLISH long/one 4 alias=1
        b< PUBLISH long/one 4
        a! close
        a> CONNECT v5 dirty expiry=100
        a< CONNACK present
        b> PUBLISH long/one 5
        a< PUBLISH long/one 5
        b< PUBLISH long/one 5
        ",
    );
}

/// [MQTT-3.2.2-17], [MQTT-3.2.2-18], [MQTT-3.3.2-7], [MQTT-3.3.2-9], [MQTT-3.3.2-12]
#[test]
fn aliases_of_the_client_are_taken_up_to_our_maximum_on_their_connection() {
    check(
        "
        a> CONNECT v5 expiry=100
        a< CONNACK
        a> SUBSCRIBE t
        a< SUBACK 00
        a> PUBLISH t 1 alias=1
        a< PUBLISH t 1
        a> PUBLISH t 2 alias=64
        a< PUBLISH t 2
        a> PUBLISH - 3 alias=64
        a< PUBLISH t 3
        a! close
        a> CONNECT v5 dirty
        a< CONNACK present
        a> PUBLISH - 4 alias=64
        a< DISCONNECT 0x82
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t 1 alias=65
        b< DISCONNECT 0x94
        b? topic alias above the maximum
        ",
    );
    let settings = Settings {
        topic_alias_maximum: 0,
        ..Settings::default()
    };
    World::with(1, settings).run(
        "
        a> CONNECT v5
        a< CONNACK
        a> PUBLISH t 1 alias=1
        a< DISCONNECT 0x94
        ",
    );
}

/// [MQTT-3.3.4-9], [MQTT-3.3.4-10], [MQTT-4.9.0-1], [MQTT-4.9.0-2], [MQTT-4.9.0-3]
#[test]
fn a_used_up_receive_maximum_holds_up_nothing_but_publishes() {
    check(
        "
        a> CONNECT v5 receive=2
        a< CONNACK
        a> SUBSCRIBE t q2
        a< SUBACK 02
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t 1 q2 id=1
        b< PUBREC id=1
        a< PUBLISH t 1 q2 id=1
        b> PUBLISH t 2 q1 id=2
        b< PUBACK id=2
        a< PUBLISH t 2 q1 id=2
        b> PUBLISH t 3 q1 id=3
        b< PUBACK id=3
        a> PINGREQ
        a< PINGRESP
        a> SUBSCRIBE u id=3
        a< SUBACK id=3 00
        a> UNSUBSCRIBE u id=4
        a< UNSUBACK id=4 00
        a> PUBLISH u x q1 id=5
        a< PUBACK id=5 0x10
        a> PUBLISH u x q2 id=6
        a< PUBREC id=6 0x10
        a> PUBREL id=6
        a< PUBCOMP id=6
        a> PUBREC id=1
        a< PUBREL id=1
        a> PUBCOMP id=1
        a< PUBLISH t 3 q1 id=3
        ",
    );
}

/// [MQTT-2.2.1-4], [MQTT-4.3.2-1], [MQTT-4.3.2-3], [MQTT-4.3.3-1], [MQTT-4.3.3-3], [MQTT-4.3.3-5], [MQTT-4.3.3-6]
#[test]
fn what_is_not_acknowledged_keeps_its_packet_id() {
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
        b> PUBLISH t 4 q1 id=4
        b< PUBACK id=4
        a< PUBLISH t 4 q1 id=4
        a> PUBACK id=4
        a! close
        a> CONNECT v5 dirty expiry=100
        a< CONNACK present
        a< PUBLISH t 1 q1 id=1 dup
        a< PUBLISH t 2 q2 id=2 dup
        a< PUBREL id=3
        a> PUBACK id=1
        a> PUBREC id=2
        a< PUBREL id=2
        a> PUBCOMP id=2
        a> PUBCOMP id=3
        a! close
        a> CONNECT v5 dirty expiry=100
        a< CONNACK present
        ",
    );
}

/// [MQTT-4.3.2-5]
#[test]
fn an_acknowledged_packet_id_begins_a_new_message_whatever_dup_says() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t
        a< SUBACK 00
        a> PUBLISH t x q1 id=1
        a< PUBLISH t x
        a< PUBACK id=1
        a> PUBLISH t x q1 id=1 dup
        a< PUBLISH t x
        a< PUBACK id=1
        ",
    );
}

/// [MQTT-4.3.3-7], [MQTT-4.3.3-13]
#[test]
fn expiry_does_not_break_off_a_qos_2_flow() {
    check(
        "
        a> CONNECT v5 expiry=100
        a< CONNACK
        a> SUBSCRIBE t q2
        a< SUBACK 02
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t x q2 id=1 life=2
        b< PUBREC id=1
        a< PUBLISH t x q2 id=1 life=2
        a! close
        wait 5
        a> CONNECT v5 dirty expiry=100
        a< CONNACK present
        a< PUBLISH t x q2 id=1 dup life=0
        a> PUBREC id=1
        a< PUBREL id=1
        a> PUBCOMP id=1
        b> PUBLISH t x q2 id=1 dup life=2
        b< PUBREC id=1
        b> PUBREL id=1
        b< PUBCOMP id=1
        ",
    );
}

/// [MQTT-4.3.3-9]
#[test]
fn a_refused_packet_id_begins_a_new_message() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t
        a< SUBACK 00
        a> PUBLISH $SYS/x y q2 id=1
        a< PUBREC id=1 0x87
        a> PUBLISH t y q2 id=1
        a< PUBLISH t y
        a< PUBREC id=1
        ",
    );
}

/// [MQTT-4.4.0-2]
#[test]
fn what_the_client_refused_is_not_sent_again() {
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
        a> PUBACK id=1 0x80
        a> PUBREC id=2 0x97
        a! close
        a> CONNECT v5 dirty expiry=100
        a< CONNACK present
        ",
    );
}

/// [MQTT-3.8.4-3], [MQTT-3.8.4-4], [MQTT-3.8.4-8]
#[test]
fn a_subscription_that_is_replaced_loses_nothing() {
    check(
        "
        a> CONNECT v5 receive=1
        a< CONNACK
        a> SUBSCRIBE t q2 sid=1
        a< SUBACK 02
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t 1 q1 id=1 retain
        b< PUBACK id=1
        a< PUBLISH t 1 q1 id=1 sid=1
        b> PUBLISH t 2 q1 id=2
        b< PUBACK id=2
        a> SUBSCRIBE t sid=2
        a< SUBACK 00
        b> PUBLISH t 3 q1 id=3
        b< PUBACK id=3
        a> PUBACK id=1
        a< PUBLISH t 2 q1 id=2 sid=1
        a< PUBLISH t 3 sid=2
        a< PUBLISH t 1 retain sid=2
        ",
    );
}

/// [MQTT-3.10.4-1], [MQTT-3.10.4-2], [MQTT-3.10.4-3]
#[test]
fn unsubscribing_ends_what_is_new_and_completes_what_was_begun() {
    check(
        "
        a> CONNECT v5 receive=1 expiry=100
        a< CONNACK
        a> SUBSCRIBE t/+ q1
        a< SUBACK 01
        b> CONNECT v5
        b< CONNACK
        b> PUBLISH t/x 1 q1 id=1
        b< PUBACK id=1
        a< PUBLISH t/x 1 q1 id=1
        a> UNSUBSCRIBE t/x,t/#
        a< UNSUBACK 11 11
        b> PUBLISH t/x 2 q1 id=2
        b< PUBACK id=2
        a> UNSUBSCRIBE t/+
        a< UNSUBACK 00
        b> PUBLISH t/x 3 q1 id=3
        b< PUBACK id=3 0x10
        a! close
        a> CONNECT v5 dirty receive=1 expiry=100
        a< CONNACK present
        a< PUBLISH t/x 1 q1 id=1 dup
        a> PUBACK id=1
        a< PUBLISH t/x 2 q1 id=2
        ",
    );
}

/// [MQTT-4.8.2-3], [MQTT-4.8.2-4], [MQTT-4.8.2-5], [MQTT-4.8.2-6]
#[test]
fn a_message_stays_with_the_member_that_it_was_sent_to() {
    check(
        "
        a> CONNECT v5 expiry=100
        a< CONNACK
        a> SUBSCRIBE $share/g/t q2
        a< SUBACK 02
        p> CONNECT v5
        p< CONNACK
        p> PUBLISH t 1 q2 id=1
        p< PUBREC id=1
        a< PUBLISH t 1 q2 id=1
        p> PUBLISH t 2 q1 id=2
        p< PUBACK id=2
        a< PUBLISH t 2 q1 id=2
        b> CONNECT v5
        b< CONNACK
        b> SUBSCRIBE $share/g/t q1
        b< SUBACK 01
        a> PUBACK id=2 0x80
        a! close
        p> PUBLISH t 3 q2 id=3
        p< PUBREC id=3
        b< PUBLISH t 3 q1 id=1
        a> CONNECT v5 dirty expiry=100
        a< CONNACK present
        a< PUBLISH t 1 q2 id=1 dup
        a! close
        wait 100
        a> CONNECT v5 dirty
        a< CONNACK
        ",
    );
}

/// [MQTT-4.6.0-5], [MQTT-4.6.0-6]
#[test]
fn a_waiting_client_gets_the_messages_of_each_topic_and_qos_in_order() {
    let mut world = World::new(1);
    world.run("a> CONNECT v5 receive=3 expiry=9\na< CONNACK\na> SUBSCRIBE # q2\na< SUBACK 02");
    world.run("b> CONNECT v5\nb< CONNACK\na! close");
    let kinds = [("t", "q1"), ("u", "q2"), ("t", "q2")];
    let at = |n: usize| kinds[n % kinds.len()];
    for n in 0..30 {
        let (topic, qos) = at(n);
        let ack = if qos == "q1" { "PUBACK" } else { "PUBREC" };
        let id = n + 1;
        world.run(&std::format!(
            "b> PUBLISH {topic} {n} {qos} id={id}\nb< {ack} id={id}"
        ));
    }
    world.run_step("a> CONNECT v5 dirty receive=3");
    world.run_step("a< CONNACK present");
    for n in 0..30 {
        let (topic, qos) = at(n);
        let id = n + 1;
        world.run_step(&std::format!("a< PUBLISH {topic} {n} {qos} id={id}"));
        let ack = if qos == "q1" { "PUBACK" } else { "PUBREC" };
        // A refusal is an acknowledgement as well, and saves the rest of the flow.
        world.run_step(&std::format!("a> {ack} id={id} 0x80"));
    }
    world.run("");
}

/// [MQTT-3.1.2-28], [MQTT-4.12.0-6]
#[test]
fn connack_holds_nothing_that_was_not_asked_for() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        b> CONNECT v5 reqresp=1
        b< CONNACK response=response/b
        ",
    );
}

/// [MQTT-3.1.2-29], [MQTT-3.2.2-19], [MQTT-3.14.2-3]
#[test]
fn a_reason_is_told_in_words_where_it_is_wanted_and_fits() {
    for (wish, told) in [("", true), ("noproblem=1", false), ("max=20", false)] {
        let mut world = World::new(1);
        world.run(&std::format!(
            "a> CONNECT v5 {wish}\na< CONNACK\na> AUTH 0x19 method=x\na< DISCONNECT 0x82"
        ));
        assert_eq!(world.was_told_why("a"), told, "{wish}");
        world.run(&std::format!(
            "b> CONNECT v5 {wish} method=x\nb< CONNACK 0x8c"
        ));
        assert_eq!(world.was_told_why("b"), told, "{wish}");
    }
}
