//! How connections end: refusals, violations, wills, timeouts.

use super::check;
use super::world::World;
use crate::Settings;

#[test]
fn client_ids_are_judged_by_version() {
    check(
        "
        a> CONNECT v4 as=- dirty
        a< CONNACK 0x85
        a? refused: client identifier not valid
        b> CONNECT v4 as=-
        b< CONNACK
        c> CONNECT v5 as=- dirty
        c< CONNACK assigned
        d> CONNECT v3 as=-
        d< CONNACK 0x85
        ",
    );
}

#[test]
fn long_client_ids_in_3_1_are_tolerated_or_not() {
    let script = "
        a> CONNECT v3 as=12345678901234567890123
        a< CONNACK
        b> CONNECT v3 as=123456789012345678901234
    ";
    for (tolerates_long_3_1_client_ids, answer) in
        [(true, "b< CONNACK"), (false, "b< CONNACK 0x85")]
    {
        let settings = Settings {
            tolerates_long_3_1_client_ids,
            ..Settings::default()
        };
        World::with(1, settings).run(&std::format!("{script}\n{answer}"));
    }
}

/// [MQTT-4.12.0-1]
#[test]
fn an_authentication_method_we_do_not_have_is_refused() {
    check(
        "a> CONNECT v5 method=SCRAM\na< CONNACK 0x8c\na? refused: authentication method not supported",
    );
}

/// [MQTT-4.12.0-7]
#[test]
fn auth_without_an_authentication_method_is_a_violation() {
    let mut world = World::new(1);
    world.run("a> CONNECT v5\na< CONNACK");
    world.run("a> AUTH 0x19 method=x\na< DISCONNECT 0x82\na? AUTH not expected here");
}

#[test]
fn acknowledgements_of_the_wrong_kind_are_violations() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE t q2
        a< SUBACK 02
        a> PUBLISH t x q2 id=1
        a< PUBLISH t x q2 id=1
        a< PUBREC id=1
        a> PUBACK id=7
        a> PUBACK id=1
        a< DISCONNECT 0x82
        a? PUBACK not expected here
        ",
    );
}

/// [MQTT-3.1.2-22], [MQTT-3.2.2-22], [MQTT-3.12.4-1]
#[test]
fn silence_for_one_and_a_half_keep_alives_ends_the_connection() {
    check(
        "
        a> CONNECT v5 keep=4
        a< CONNACK
        wait 5
        a> PINGREQ
        a< PINGRESP
        wait 5
        wait 1
        a< DISCONNECT 0x8d
        a? keep alive timeout
        ",
    );
}

#[test]
fn the_servers_keep_alive_shortens_that_of_a_5_0_client() {
    let settings = Settings {
        server_keep_alive_seconds: 2,
        ..Settings::default()
    };
    World::with(1, settings).run(
        "
        a> CONNECT v5 keep=100
        a< CONNACK keep=2
        b> CONNECT v4 keep=100
        b< CONNACK
        c> CONNECT v5 keep=1
        c< CONNACK
        wait 2
        c< DISCONNECT 0x8d
        wait 1
        a< DISCONNECT 0x8d
        ",
    );
}

#[test]
fn a_connection_without_connect_is_given_up_at_its_deadline() {
    use crate::{Effect, End, Input, Instant, Shard, ShardId};
    let mut shard = Shard::new(ShardId(0), 1, Settings::default(), 7);
    let empty = shard.footprint();
    let deadline = Instant::from_millis(10_000);
    let connection = shard.open(Instant::from_millis(0), deadline);
    assert_eq!(shard.next_timeout(), Some(deadline));
    shard.handle(deadline, Input::Timeout);
    let effect = shard.poll_effect();
    assert!(
        matches!(
            effect,
            Some(Effect::Close {
                end: End::ConnectTimeout,
                ..
            })
        ),
        "{effect:?}"
    );
    shard.handle(
        deadline,
        Input::Closed {
            connection,
            lost: crate::Lost::Closed,
        },
    );
    assert_eq!(shard.footprint(), empty);
}

/// [MQTT-3.1.2-10], [MQTT-3.14.4-3]
#[test]
fn a_will_is_published_unless_the_client_says_goodbye() {
    check(
        "
        w> CONNECT v5
        w< CONNACK
        w> SUBSCRIBE will/#
        w< SUBACK 00
        a> CONNECT v5 will=will/a
        a< CONNACK
        a> DISCONNECT
        a? client disconnected
        a> CONNECT v5 will=will/a
        a< CONNACK
        a> DISCONNECT 0x04
        w< PUBLISH will/a gone
        a> CONNECT v4 will=will/a
        a< CONNACK
        a! close
        w< PUBLISH will/a gone
        ",
    );
}

/// [MQTT-3.1.3-9], [MQTT-3.1.2-8]: the will waits for its delay or the session's end, whichever is first.
#[test]
fn a_will_waits_for_its_delay() {
    check(
        "
        w> CONNECT v5
        w< CONNACK
        w> SUBSCRIBE will/#
        w< SUBACK 00
        a> CONNECT v5 will=will/a will-delay=5 expiry=100
        a< CONNACK
        a! close
        wait 4
        a> CONNECT v5 dirty will=will/a will-delay=5 expiry=3
        a< CONNACK present
        wait 20
        a! close
        wait 2
        wait 1
        w< PUBLISH will/a gone
        a> CONNECT v5 dirty will=will/a will-delay=5 expiry=100
        a< CONNACK
        a! close
        wait 1
        a> CONNECT v5
        a< CONNACK
        w< PUBLISH will/a gone
        ",
    );
}

/// [MQTT-3.8.3-3], and `$SYS` is the server's own.
#[test]
fn a_will_is_bound_by_what_binds_a_publish() {
    check(
        "
        a> CONNECT v5 will=will/a expiry=100
        a< CONNACK
        a> SUBSCRIBE will/# q1 nolocal
        a< SUBACK 01
        a! close
        a> CONNECT v5 dirty
        a< CONNACK present
        b> CONNECT v5 will=$SYS/version
        b< CONNACK 0x87
        b? refused: not authorized to publish the will
        ",
    );
}

#[test]
fn shutting_down_tells_everybody() {
    let mut world = World::new(1);
    world.run("a> CONNECT v5\na< CONNACK\nb> CONNECT v4\nb< CONNACK");
    world.shutdown();
    world.run("a< DISCONNECT 0x8b\na? server shutting down\nb? server shutting down");
}

/// [MQTT-3.1.2-24]
#[test]
fn an_answer_larger_than_the_client_takes_ends_the_connection() {
    check(
        "
        a> CONNECT v5 max=30
        a< CONNACK
        a> SUBSCRIBE a,b,c
        a< SUBACK 00 00 00
        a> SUBSCRIBE a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,1,2,3
        a< DISCONNECT 0x95
        a? answer larger than the client's maximum packet size
        ",
    );
}

/// Section 3.14.2.2.2 of 5.0.
#[test]
fn an_expiry_of_zero_can_not_be_raised_at_disconnect() {
    check(
        "
        a> CONNECT v5
        a< CONNACK
        a> DISCONNECT expiry=5
        a< DISCONNECT 0x82
        a? session expiry interval raised from zero
        ",
    );
}

#[test]
fn a_topic_with_too_many_levels_is_refused() {
    let settings = Settings {
        max_topic_levels: 3,
        ..Settings::default()
    };
    World::with(1, settings).run(
        "
        a> CONNECT v5
        a< CONNACK
        a> SUBSCRIBE a/b/c,a/b/c/d,a/#/b
        a< SUBACK 00 8f 8f
        a> PUBLISH a/b/c/d x
        a< DISCONNECT 0x90
        ",
    );
}

/// [MQTT-3.1.2-24]: who can't be told that it is accepted is refused, and its session is left alone.
#[test]
fn a_client_that_takes_no_connack_is_not_accepted() {
    check(
        "
        a> CONNECT v5 max=15 will=will/a
        a< CONNACK 0x95
        a? answer larger than the client's maximum packet size
        b> CONNECT v5 max=4
        b? answer larger than the client's maximum packet size
        ",
    );
}

/// [MQTT-3.14.2-2] speaks of what CONNECT asked for, not of what was granted.
#[test]
fn an_expiry_that_was_not_granted_may_still_be_changed_at_disconnect() {
    let settings = Settings {
        session_expiry_max_seconds: 0,
        ..Settings::default()
    };
    World::with(1, settings).run(
        "
        a> CONNECT v5 expiry=10
        a< CONNACK expiry=0
        a> DISCONNECT expiry=5
        a? client disconnected
        ",
    );
}
