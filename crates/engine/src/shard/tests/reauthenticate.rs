//! Enhanced authentication, the life of credentials, and permissions that change.

use super::world::World;
use super::{check, check_on};

/// [MQTT-4.12.0-2], [MQTT-4.12.0-3], [MQTT-4.12.0-5]
#[test]
fn a_challenge_goes_back_and_forth_before_connack() {
    check(
        "a> CONNECT v5 method=JWT auth=ask
         a< AUTH 0x18 method=JWT auth=more
         a> AUTH 0x18 method=JWT auth=ask-again
         a< AUTH 0x18 method=JWT auth=more
         a> AUTH 0x18 method=JWT auth=all
         a< CONNACK method=JWT auth=welcome",
    );
}

/// [MQTT-4.12.0-4]
#[test]
fn a_wrong_answer_to_a_challenge_is_a_refusal() {
    check(
        "a> CONNECT v5 method=JWT auth=ask
         a< AUTH 0x18 method=JWT auth=more
         a> AUTH 0x18 method=JWT auth=no
         a< CONNACK 0x86
         a? refused: bad user name or password",
    );
}

/// [MQTT-3.1.2-30]
#[test]
fn nothing_but_auth_and_disconnect_comes_before_connack() {
    check(
        "a> CONNECT v5 method=JWT auth=ask
         a< AUTH 0x18 method=JWT auth=more
         a> PUBLISH t x
         a< CONNACK 0x82
         a? PUBLISH not expected here
         b> CONNECT v5 method=JWT auth=ask
         b< AUTH 0x18 method=JWT auth=more
         b> DISCONNECT
         b? client disconnected
         c> CONNECT v5 method=JWT auth=ask
         c< AUTH 0x18 method=JWT auth=more
         c> AUTH 0x18 method=OTHER auth=all
         c< CONNACK 0x8c
         c? AUTH with another method than CONNECT",
    );
}

#[test]
fn a_challenge_that_is_never_answered_meets_the_deadline() {
    check(
        "a> CONNECT v5 method=JWT auth=ask
         a< AUTH 0x18 method=JWT auth=more
         wait 9
         wait 1
         a< CONNACK 0x88
         a? no CONNECT in time",
    );
}

#[test]
fn credentials_end_the_connection_to_the_second_and_the_will_is_published() {
    check(
        "w> CONNECT v5
         w< CONNACK
         w> SUBSCRIBE will
         w< SUBACK 00
         a> CONNECT v5 method=JWT auth=all@30 will=will
         a< CONNACK method=JWT auth=welcome
         wait 29
         a> PINGREQ
         a< PINGRESP
         wait 1
         a< DISCONNECT 0xa0
         a? credentials expired
         w< PUBLISH will gone",
    );
}

#[test]
fn what_has_expired_already_is_refused() {
    check(
        "a> CONNECT v5 method=JWT auth=all@0
         a< CONNACK 0x87
         a? refused: credentials expired
         b> CONNECT v4 user-name=ann!all@5
         b< CONNACK
         wait 5
         b? credentials expired",
    );
}

/// [MQTT-4.12.1-1]: the renewal itself; nothing is missed while it goes on.
#[test]
fn a_renewal_moves_the_end_and_misses_nothing() {
    check_on(
        2,
        "p> CONNECT v5
         p< CONNACK
         a> CONNECT v5 method=JWT auth=all@30
         a< CONNACK method=JWT auth=welcome
         a> SUBSCRIBE t q1
         a< SUBACK 01
         wait 20
         a> AUTH 0x19 method=JWT auth=ask
         a< AUTH 0x18 method=JWT auth=more
         p> PUBLISH t while q1 id=1
         p< PUBACK id=1
         a< PUBLISH t while q1 id=1
         a> PUBACK id=1
         a> AUTH 0x18 method=JWT auth=all@30
         a< AUTH method=JWT auth=welcome
         wait 29
         p> PUBLISH t after
         a< PUBLISH t after
         wait 1
         a< DISCONNECT 0xa0
         a? credentials expired",
    );
}

/// [MQTT-4.12.1-2]
#[test]
fn a_renewal_that_is_refused_ends_the_connection() {
    check(
        "a> CONNECT v5 method=JWT auth=all
         a< CONNACK method=JWT auth=welcome
         a> AUTH 0x19 method=JWT auth=no
         a< DISCONNECT 0x87
         a? refused again: bad user name or password",
    );
}

/// [MQTT-4.12.1-1], [MQTT-4.12.0-5], [MQTT-4.12.0-7]
#[test]
fn auth_comes_in_order_and_with_the_method_of_connect() {
    check(
        "a> CONNECT v5 method=JWT auth=all
         a< CONNACK method=JWT auth=welcome
         a> AUTH 0x19 method=OTHER auth=all
         a< DISCONNECT 0x8c
         a? AUTH with another method than CONNECT
         b> CONNECT v5 method=JWT auth=all
         b< CONNACK method=JWT auth=welcome
         b> AUTH 0x18 method=JWT auth=all
         b< DISCONNECT 0x82
         b? AUTH not expected here
         c> CONNECT v5
         c< CONNACK
         c> AUTH 0x19 method=JWT auth=all
         c< DISCONNECT 0x82
         c? AUTH not expected here
         d> CONNECT v5 method=JWT auth=all
         d< CONNACK method=JWT auth=welcome
         d> AUTH 0x19 method=JWT auth=ask
         d< AUTH 0x18 method=JWT auth=more
         d> AUTH 0x19 method=JWT auth=all
         d< DISCONNECT 0x82
         d? AUTH not expected here",
    );
}

#[test]
fn a_renewal_must_be_of_the_same_user() {
    check(
        "a> CONNECT v5 method=JWT auth=ann!all
         a< CONNACK method=JWT auth=welcome
         a> AUTH 0x19 method=JWT auth=bob!all
         a< DISCONNECT 0x87
         a? refused again: not authorized",
    );
}

#[test]
fn a_renewal_ends_the_subscriptions_it_does_not_allow_and_names_them() {
    let mut world = World::new(1);
    world.run(
        "p> CONNECT v5
         p< CONNACK
         a> CONNECT v5 method=JWT auth=all
         a< CONNACK method=JWT auth=welcome
         a> SUBSCRIBE t,u
         a< SUBACK 00 00
         a> AUTH 0x19 method=JWT auth=t@9
         a< AUTH method=JWT auth=welcome user=subscription-ended:u
         p> PUBLISH t x
         a< PUBLISH t x
         p> PUBLISH u x q1 id=1
         p< PUBACK id=1 0x10
         a> PUBLISH u x q1 id=1
         a< PUBACK id=1 0x87",
    );
    assert_eq!(
        world.take_reports(),
        [
            "a: subscription to \"u\" ended: nothing but t",
            "a: authenticated again",
            "a: publish to \"u\" denied: only t",
        ]
    );
}

/// [MQTT-3.15.2-3]
#[test]
fn a_client_that_takes_little_is_not_told_which_subscriptions_ended() {
    check(
        "a> CONNECT v5 method=JWT auth=all max=64
         a< CONNACK method=JWT auth=welcome
         a> SUBSCRIBE a/filter/that/is/so/long,t
         a< SUBACK 00 00
         a> AUTH 0x19 method=JWT auth=t@9
         a< AUTH method=JWT auth=welcome",
    );
}

#[test]
fn a_wide_subscription_receives_what_is_allowed_and_nothing_else() {
    check(
        "p> CONNECT v5
         p< CONNACK
         p> PUBLISH secret old retain
         p> PUBLISH t/a old retain
         a> CONNECT v5 user-name=ann!t/#
         a< CONNACK
         a> SUBSCRIBE #,other
         a< SUBACK 00 87
         a< PUBLISH t/a old retain
         p> PUBLISH secret new
         p> PUBLISH t/b new
         a< PUBLISH t/b new",
    );
}

#[test]
fn a_shared_message_goes_to_a_member_that_may_have_it() {
    check(
        "p> CONNECT v5
         p< CONNACK
         a> CONNECT v5 user-name=ann!t
         a< CONNACK
         a> SUBSCRIBE $share/g/#
         a< SUBACK 00
         b> CONNECT v5
         b< CONNACK
         b> SUBSCRIBE $share/g/#
         b< SUBACK 00
         p> PUBLISH u 1
         b< PUBLISH u 1
         p> PUBLISH u 2
         b< PUBLISH u 2",
    );
}

#[test]
fn a_will_that_may_not_be_published_is_refused_or_deleted() {
    let mut world = World::new(1);
    world.run(
        "w> CONNECT v5
         w< CONNACK
         w> SUBSCRIBE will
         w< SUBACK 00
         a> CONNECT v5 user-name=ann!t will=will
         a< CONNACK 0x87
         a? refused: not authorized to publish the will
         b> CONNECT v5 method=JWT auth=all will=will
         b< CONNACK method=JWT auth=welcome
         b> AUTH 0x19 method=JWT auth=t
         b< AUTH method=JWT auth=welcome
         b! close
         b? connection lost",
    );
    assert_eq!(
        world.take_reports(),
        [
            "b: will to \"will\" deleted: only t",
            "b: authenticated again"
        ]
    );
}

#[test]
fn permissions_that_change_count_for_who_is_here_and_for_who_is_away() {
    check(
        "permissions all
         p> CONNECT v5
         p< CONNACK
         a> CONNECT v5 user-name=file
         a< CONNACK
         a> SUBSCRIBE t
         a< SUBACK 00
         b> CONNECT v5 user-name=file expiry=60
         b< CONNACK
         b> SUBSCRIBE t,u q1
         b< SUBACK 01 01
         b! close
         b? connection lost
         p> PUBLISH u before q1 id=1
         p< PUBACK id=1
         permissions t
         p> PUBLISH u after q1 id=1
         p< PUBACK id=1 0x10
         p> PUBLISH t still q1 id=2
         p< PUBACK id=2
         a< PUBLISH t still
         b> CONNECT v5 user-name=file dirty expiry=60
         b< CONNACK present
         b< PUBLISH t still q1 id=1
         permissions u
         a< DISCONNECT 0x87
         a? permission withdrawn
         b< DISCONNECT 0x87
         b? permission withdrawn
         c> CONNECT v5 user-name=file
         c< CONNACK
         permissions nobody
         c< DISCONNECT 0x87
         c? permission withdrawn",
    );
}

#[test]
fn a_session_is_looked_at_again_when_its_client_returns() {
    check(
        "a> CONNECT v5 user-name=ann!t,u expiry=60
         a< CONNACK
         a> SUBSCRIBE t,u
         a< SUBACK 00 00
         a! close
         a? connection lost
         a> CONNECT v5 user-name=ann!t dirty expiry=60
         a< CONNACK present
         p> CONNECT v5
         p< CONNACK
         p> PUBLISH u x q1 id=1
         p< PUBACK id=1 0x10
         p> PUBLISH t x
         a< PUBLISH t x",
    );
}

#[test]
fn a_session_is_not_given_to_another_user() {
    check(
        "a> CONNECT v5 as=c user-name=ann!all
         a< CONNACK
         b> CONNECT v5 as=c user-name=bob!all
         b< CONNACK 0x87
         b? refused: client identifier belongs to another user
         n> CONNECT v5 as=c
         n< CONNACK 0x87
         n? refused: client identifier belongs to another user
         a2> CONNECT v5 as=c user-name=ann!all
         a< DISCONNECT 0x8e
         a? session taken over by a new connection
         a2< CONNACK",
    );
}

#[test]
fn the_log_is_not_flooded_with_denials() {
    let mut world = World::new(1);
    world.run("a> CONNECT v5 user-name=ann!t\na< CONNACK");
    let flood = "a> PUBLISH u x\n".repeat(100);
    world.run(&flood);
    let reports = world.take_reports();
    assert_eq!(reports.len(), 17);
    assert_eq!(
        reports.last().unwrap(),
        "a: further denials of this connection are not logged"
    );
}
