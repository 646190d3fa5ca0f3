//! What waits for a client that is away is in the store alone, and comes back in its place.

use super::durable::{check_durable, durable};
use std::format;

#[test]
fn what_waited_in_the_store_is_sent_before_what_came_since() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q2
        s< SUBACK 02
        s> DISCONNECT 0x00
        p> CONNECT v5
        p< CONNACK
        p> PUBLISH t one q1 id=1
        p< PUBACK id=1
        p> PUBLISH t two q1 id=2
        p< PUBACK id=2
        store keeps quiet
        s> CONNECT v5 expiry=100 dirty
        s< CONNACK present
        s< nothing
        p> PUBLISH t three q1 id=3
        p< PUBACK id=3
        s< nothing
        store answers
        s< PUBLISH t one q1 id=1
        s< PUBLISH t two q1 id=2
        s< PUBLISH t three q1 id=3
        s> PINGREQ
        s< PINGRESP
        ",
    );
}

#[test]
fn an_answer_that_comes_after_its_client_has_gone_is_of_no_use() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q1
        s< SUBACK 01
        s> DISCONNECT 0x00
        p> CONNECT v5
        p< CONNACK
        p> PUBLISH t one q1 id=1
        p< PUBACK id=1
        store keeps quiet
        s> CONNECT v5 expiry=100 dirty
        s< CONNACK present
        s! close
        p> PUBLISH t two q1 id=2
        p< PUBACK id=2
        store answers
        s> CONNECT v5 expiry=100 dirty
        s< CONNACK present
        s< PUBLISH t one q1 id=1
        s< PUBLISH t two q1 id=2
        s! close
        store keeps quiet
        p> PUBLISH t three q1 id=3
        p< PUBACK id=3
        s> CONNECT v5 expiry=100
        s< CONNACK
        store answers
        s< nothing
        ",
    );
}

#[test]
fn what_was_loaded_and_not_taken_is_parked_again() {
    check_durable(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q1
        s< SUBACK 01
        s> DISCONNECT 0x00
        p> CONNECT v5
        p< CONNACK
        p> PUBLISH t one q1 id=1
        p< PUBACK id=1
        p> PUBLISH t two q1 id=2
        p< PUBACK id=2
        p> PUBLISH t three q1 id=3
        p< PUBACK id=3
        s> CONNECT v5 expiry=100 dirty receive=1
        s< CONNACK present
        s< PUBLISH t one q1 id=1
        s> PUBACK id=1
        s< PUBLISH t two q1 id=2
        s! close
        store keeps quiet
        s> CONNECT v5 expiry=100 dirty receive=5
        s< CONNACK present
        s< PUBLISH t two q1 id=2 dup
        s< nothing
        store answers
        s< PUBLISH t three q1 id=3
        ",
    );
}

#[test]
fn what_is_damaged_in_the_store_is_left_out_and_forgotten() {
    let mut world = durable(1);
    world.run(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q1
        s< SUBACK 01
        s> DISCONNECT 0x00
        p> CONNECT v5
        p< CONNACK
        ",
    );
    let before = world.records();
    world.run(
        "
        p> PUBLISH t one q1 id=1
        p< PUBACK id=1
        store is damaged
        s> CONNECT v5 expiry=100 dirty
        s< CONNACK present
        s< nothing
        p> PUBLISH t two q1 id=2
        p< PUBACK id=2
        s< PUBLISH t two q1 id=1
        s> PUBACK id=1
        ",
    );
    assert_eq!(world.records(), before);
}

#[test]
fn what_may_not_be_received_any_more_is_not_taken_out_of_the_store() {
    check_durable(
        "
        s> CONNECT v5 expiry=100 method=JWT auth=ann!t/#,u
        s< CONNACK method=JWT auth=welcome
        s> SUBSCRIBE t/#,u q1
        s< SUBACK 01 01
        s> DISCONNECT 0x00
        p> CONNECT v5
        p< CONNACK
        p> PUBLISH t/x one q1 id=1
        p< PUBACK id=1
        p> PUBLISH u two q1 id=2
        p< PUBACK id=2
        s> CONNECT v5 expiry=100 dirty method=JWT auth=ann!u
        s< CONNACK present method=JWT auth=welcome
        s< PUBLISH u two q1 id=1
        s> PUBACK id=1
        ",
    );
}

#[test]
fn however_much_waits_it_comes_in_order_a_little_at_a_time() {
    let mut world = durable(1);
    world.run(
        "
        s> CONNECT v5 expiry=100
        s< CONNACK
        s> SUBSCRIBE t q1
        s< SUBACK 01
        s> DISCONNECT 0x00
        p> CONNECT v5
        p< CONNACK
        ",
    );
    for number in 1..=900 {
        world.run(&format!("p> PUBLISH t m{number} q1 id=1\np< PUBACK id=1"));
    }
    world.run_step("s> CONNECT v5 expiry=100 dirty receive=3");
    world.run_step("s< CONNACK present");
    for number in 1..=900 {
        assert!(world.messages_in_memory() <= 256 + 64 + 3);
        if number == 401 {
            world.run_step("crash");
            world.run_step("s> CONNECT v5 expiry=100 dirty receive=3");
            world.run_step("s< CONNACK present");
        }
        let dup = if (401..404).contains(&number) {
            " dup"
        } else {
            ""
        };
        world.run_step(&format!("s< PUBLISH t m{number} q1 id={number}{dup}"));
        world.run_step(&format!("s> PUBACK id={number}"));
    }
}
