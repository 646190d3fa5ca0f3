//! Statements of MQTT 3.1.1, each as a script of clients that speak it. See conformance.rs for 5.0.

use super::check;

/// [MQTT3-3.1.2-4], [MQTT3-3.1.2-5], [MQTT3-3.1.2-6], [MQTT3-3.1.2-7], [MQTT3-3.1.4-3], [MQTT3-3.1.4-4],
/// [MQTT3-3.2.0-1], [MQTT3-3.2.2-1], [MQTT3-3.2.2-2], [MQTT3-3.2.2-3], [MQTT3-4.1.0-1], [MQTT3-4.5.0-1]
#[test]
fn a_session_is_kept_or_discarded_as_clean_session_says() {
    check(
        "
        a> CONNECT v4 dirty
        a< CONNACK
        a> SUBSCRIBE t q2
        a< SUBACK 02
        a> PUBLISH kept x retain
        a> DISCONNECT
        b> CONNECT v4
        b< CONNACK
        b> PUBLISH t 0
        b> PUBLISH t 1 q1 id=1
        b< PUBACK id=1
        b> PUBLISH t 2 q2 id=2
        b< PUBREC id=2
        a> CONNECT v4 dirty
        a< CONNACK present
        a< PUBLISH t 1 q1 id=1
        a< PUBLISH t 2 q2 id=2
        a! close
        a> CONNECT v4
        a< CONNACK
        b> PUBLISH t 3 q1 id=1
        b< PUBACK id=1
        a> DISCONNECT
        a> CONNECT v4 dirty
        a< CONNACK
        a> SUBSCRIBE kept
        a< SUBACK 00
        a< PUBLISH kept x retain
        ",
    );
}

/// [MQTT3-4.1.0-2]
#[test]
fn a_session_lasts_as_long_as_its_connection() {
    check(
        "
        a> CONNECT v4
        a< CONNACK
        a> SUBSCRIBE t
        a< SUBACK 00
        wait 1000
        a> PUBLISH t x
        a< PUBLISH t x
        ",
    );
}

/// [MQTT3-3.1.2-8], [MQTT3-3.1.2-10], [MQTT3-3.1.2-12], [MQTT3-3.1.2-16], [MQTT3-3.1.2-17], [MQTT3-3.14.4-3]
#[test]
fn a_will_is_published_once_unless_the_client_disconnects() {
    check(
        "
        w> CONNECT v4
        w< CONNACK
        w> SUBSCRIBE # q2
        w< SUBACK 02
        a> CONNECT v4 dirty will=will/a q1
        a< CONNACK
        a! close
        w< PUBLISH will/a gone q1 id=1
        a> CONNECT v4 dirty
        a< CONNACK present
        a! close
        b> CONNECT v4 will=will/b
        b< CONNACK
        b> DISCONNECT
        c> CONNECT v4 will=will/c will-retain
        c< CONNACK
        c! close
        w< PUBLISH will/c gone
        n> CONNECT v4
        n< CONNACK
        n> SUBSCRIBE will/#
        n< SUBACK 00
        n< PUBLISH will/c gone retain
        ",
    );
}

/// [MQTT3-3.1.2-24]
#[test]
fn a_silent_client_is_closed_after_one_and_a_half_keep_alives() {
    check(
        "
        a> CONNECT v4 keep=4
        a< CONNACK
        wait 5
        a> PINGREQ
        a< PINGRESP
        wait 5
        wait 1
        a? keep alive timeout
        ",
    );
}

/// [MQTT3-3.1.3-6], [MQTT3-3.1.3-7], [MQTT3-3.1.3-8], [MQTT3-3.1.3-9], [MQTT3-3.2.2-4], [MQTT3-3.2.2-5]
#[test]
fn an_empty_client_id_is_for_clean_sessions() {
    check(
        "
        a> CONNECT v4 as=- dirty
        a< CONNACK 0x85
        a? refused: client identifier not valid
        b> CONNECT v4 as=-
        b< CONNACK
        c> CONNECT v4 as=-
        c< CONNACK
        b> PINGREQ
        b< PINGRESP
        ",
    );
}

/// [MQTT3-3.1.2-2]
#[test]
fn another_protocol_level_is_told_which_is_not_spoken_and_closed() {
    check(
        "
        a> BYTES 100d 0004 4d515454 07 02 003c 0001 61
        a< CONNACK 0x84
        a? CONNECT: protocol level 7 is not supported
        ",
    );
}

/// [MQTT3-3.1.2-3], [MQTT3-3.1.4-1], [MQTT3-3.2.2-6]
#[test]
fn a_malformed_connect_is_closed_without_a_connack() {
    check(
        "
        a> BYTES 100d 0004 4d515454 04 03 003c 0001 61
        a? CONNECT: the reserved connect flag is set
        b> BYTES 1010 0004 4d515454 04 42 003c 0001 61 0001 70
        b? CONNECT: password without a user name
        ",
    );
}

/// [MQTT3-2.2.2-2], [MQTT3-3.6.1-1], [MQTT3-3.8.1-1], [MQTT3-3.10.1-1], [MQTT3-3.14.1-1], [MQTT3-4.8.0-1]
#[test]
fn a_malformed_packet_closes_the_connection() {
    for (packet, bytes) in [
        ("PUBREL", "6002 0001"),
        ("SUBSCRIBE", "8006 0001 0001 74 00"),
        ("UNSUBSCRIBE", "a005 0001 0001 74"),
        ("DISCONNECT", "e100"),
        ("PINGREQ", "c100"),
    ] {
        check(&std::format!(
            "
            a> CONNECT v4
            a< CONNACK
            a> BYTES {bytes}
            a? {packet}: reserved flags of the fixed header are wrong
            "
        ));
    }
}

/// [MQTT3-3.1.0-2]
#[test]
fn a_second_connect_closes_the_connection() {
    check(
        "
        a> CONNECT v4
        a< CONNACK
        a> BYTES 100d 0004 4d515454 04 02 003c 0001 61
        a? CONNECT: sent a second time
        ",
    );
}

/// [MQTT3-3.1.4-2]
#[test]
fn a_second_connection_ends_the_first() {
    check(
        "
        a> CONNECT v4 dirty
        a< CONNACK
        a> CONNECT v4 dirty
        a'? session taken over by a new connection
        a< CONNACK present
        ",
    );
}

/// [MQTT3-3.1.4-5]
#[test]
fn nothing_is_done_for_a_client_that_was_refused() {
    check(
        "
        s> CONNECT v4
        s< CONNACK
        s> SUBSCRIBE t
        s< SUBACK 00
        a> CONNECT v4 user-name=wrong lingers
        a< CONNACK 0x86
        a? refused: bad user name or password
        a> PUBLISH t x q1 id=1
        a> SUBSCRIBE t
        s> PUBLISH t y
        s< PUBLISH t y
        a! close
        ",
    );
}

/// [MQTT3-2.3.1-6], [MQTT3-2.3.1-7], [MQTT3-3.3.4-1], [MQTT3-3.8.4-1], [MQTT3-3.8.4-2], [MQTT3-3.10.4-4],
/// [MQTT3-3.10.4-5], [MQTT3-3.12.4-1]
#[test]
fn every_request_is_answered_with_its_own_packet_id() {
    check(
        "
        a> CONNECT v4
        a< CONNACK
        a> SUBSCRIBE t q2 id=7
        a< SUBACK id=7 02
        a> UNSUBSCRIBE t id=8
        a< UNSUBACK id=8
        a> UNSUBSCRIBE t id=9
        a< UNSUBACK id=9
        a> PUBLISH t x
        a> PUBLISH t x q1 id=300
        a< PUBACK id=300
        a> PUBLISH t x q2 id=301
        a< PUBREC id=301
        a> PUBREL id=301
        a< PUBCOMP id=301
        a> PINGREQ
        a< PINGRESP
        ",
    );
}

/// [MQTT3-3.8.4-4], [MQTT3-3.8.4-5], [MQTT3-3.9.3-1], [MQTT3-3.9.3-2], [MQTT3-3.10.4-6]
#[test]
fn each_filter_has_its_own_return_code_in_its_place() {
    check(
        "
        a> CONNECT v4
        a< CONNACK
        a> SUBSCRIBE t/1,a/#/b,t/2 q1
        a< SUBACK 01 80 01
        a> PUBLISH t/1 x
        a< PUBLISH t/1 x
        a> PUBLISH t/2 x
        a< PUBLISH t/2 x
        a> UNSUBSCRIBE t/1,t/2
        a< UNSUBACK
        a> PUBLISH t/1 x
        a> PUBLISH t/2 x
        ",
    );
}

/// [MQTT3-3.3.1-5], [MQTT3-3.3.1-6], [MQTT3-3.3.1-7], [MQTT3-3.3.1-8], [MQTT3-3.3.1-9], [MQTT3-3.3.1-10],
/// [MQTT3-3.3.1-11], [MQTT3-3.3.1-12]
#[test]
fn retained_messages_are_set_sent_replaced_and_removed() {
    check(
        "
        a> CONNECT v4
        a< CONNACK
        a> SUBSCRIBE t q1
        a< SUBACK 01
        b> CONNECT v4
        b< CONNACK
        b> PUBLISH t old q1 id=1 retain
        b< PUBACK id=1
        a< PUBLISH t old q1 id=1
        a> SUBSCRIBE t q1
        a< SUBACK 01
        a< PUBLISH t old q1 id=2 retain
        b> PUBLISH t new retain
        a< PUBLISH t new
        b> PUBLISH t plain
        a< PUBLISH t plain
        n> CONNECT v4
        n< CONNACK
        n> SUBSCRIBE t q1
        n< SUBACK 01
        n< PUBLISH t new retain
        b> PUBLISH t - retain
        a< PUBLISH t -
        n< PUBLISH t -
        n> SUBSCRIBE t q1
        n< SUBACK 01
        ",
    );
}

/// [MQTT3-3.3.5-1]
#[test]
fn overlapping_subscriptions_deliver_at_the_highest_qos() {
    check(
        "
        a> CONNECT v4
        a< CONNACK
        a> SUBSCRIBE t/#
        a< SUBACK 00
        a> SUBSCRIBE t/+ q2
        a< SUBACK 02
        a> PUBLISH t/x 1 q2 id=1
        a< PUBLISH t/x 1 q2 id=1
        a< PUBREC id=1
        ",
    );
}

/// [MQTT3-3.3.5-2]: positive acknowledgement or close; this is the latter.
#[test]
fn a_publish_that_is_not_authorized_closes_the_connection() {
    check(
        "
        a> CONNECT v4
        a< CONNACK
        a> PUBLISH $SYS/x y q1 id=1
        a? not authorized to publish
        ",
    );
}

/// [MQTT3-3.8.4-3], [MQTT3-3.8.4-6]
#[test]
fn subscribing_again_replaces_the_qos() {
    check(
        "
        a> CONNECT v4
        a< CONNACK
        a> SUBSCRIBE t q2
        a< SUBACK 02
        a> PUBLISH t 1 q1 id=1
        a< PUBLISH t 1 q1 id=1
        a< PUBACK id=1
        a> SUBSCRIBE t
        a< SUBACK 00
        a> PUBLISH t 2 q1 id=1
        a< PUBLISH t 2
        a< PUBACK id=1
        ",
    );
}

/// [MQTT3-3.10.4-1], [MQTT3-3.10.4-2], [MQTT3-3.10.4-3]
#[test]
fn unsubscribing_ends_what_is_new_and_completes_what_was_begun() {
    check(
        "
        a> CONNECT v4 dirty
        a< CONNACK
        a> SUBSCRIBE t/+ q1
        a< SUBACK 01
        b> CONNECT v4
        b< CONNACK
        b> PUBLISH t/x 1 q1 id=1
        b< PUBACK id=1
        a< PUBLISH t/x 1 q1 id=1
        a> UNSUBSCRIBE t/x
        a< UNSUBACK
        b> PUBLISH t/x 2 q1 id=2
        b< PUBACK id=2
        a< PUBLISH t/x 2 q1 id=2
        a> UNSUBSCRIBE t/+
        a< UNSUBACK
        b> PUBLISH t/x 3 q1 id=3
        b< PUBACK id=3
        a! close
        a> CONNECT v4 dirty
        a< CONNACK present
        a< PUBLISH t/x 1 q1 id=1 dup
        a< PUBLISH t/x 2 q1 id=2 dup
        ",
    );
}

/// [MQTT3-2.3.1-4], [MQTT3-3.3.1-1], [MQTT3-3.3.1-3], [MQTT3-4.3.1-1], [MQTT3-4.3.2-1], [MQTT3-4.3.3-1],
/// [MQTT3-4.4.0-1], [MQTT3-4.6.0-1], [MQTT3-4.6.0-5], [MQTT3-4.6.0-6]
#[test]
fn what_is_not_acknowledged_is_sent_again_in_order_with_its_packet_id() {
    check(
        "
        a> CONNECT v4 dirty
        a< CONNACK
        a> SUBSCRIBE t q2
        a< SUBACK 02
        b> CONNECT v4
        b< CONNACK
        b> PUBLISH t 0
        a< PUBLISH t 0
        b> PUBLISH t 1 q1 id=1 dup
        b< PUBACK id=1
        a< PUBLISH t 1 q1 id=1
        b> PUBLISH t 2 q2 id=2
        b< PUBREC id=2
        a< PUBLISH t 2 q2 id=2
        b> PUBLISH t 3 q2 id=3
        b< PUBREC id=3
        a< PUBLISH t 3 q2 id=3
        a> PUBREC id=2
        a< PUBREL id=2
        a> PUBREC id=3
        a< PUBREL id=3
        b> PUBLISH t 4 q2 id=4
        b< PUBREC id=4
        a< PUBLISH t 4 q2 id=4
        a! close
        b> PUBLISH t 5 q1 id=5
        b< PUBACK id=5
        a> CONNECT v4 dirty
        a< CONNACK present
        a< PUBLISH t 1 q1 id=1 dup
        a< PUBREL id=2
        a< PUBREL id=3
        a< PUBLISH t 4 q2 id=4 dup
        a< PUBLISH t 5 q1 id=5
        ",
    );
}

/// [MQTT3-4.3.2-2], [MQTT3-4.3.3-2]
#[test]
fn a_packet_id_is_free_again_after_its_last_acknowledgement() {
    check(
        "
        a> CONNECT v4
        a< CONNACK
        a> SUBSCRIBE t
        a< SUBACK 00
        a> PUBLISH t 1 q1 id=1
        a< PUBLISH t 1
        a< PUBACK id=1
        a> PUBLISH t 2 q1 id=1 dup
        a< PUBLISH t 2
        a< PUBACK id=1
        a> PUBLISH t 3 q2 id=1
        a< PUBLISH t 3
        a< PUBREC id=1
        a> PUBLISH t 3 q2 id=1 dup
        a< PUBREC id=1
        a> PUBREL id=1
        a< PUBCOMP id=1
        a> PUBLISH t 4 q2 id=1
        a< PUBLISH t 4
        a< PUBREC id=1
        ",
    );
}
