//! What a delivery asks of the heap on the steady path: nothing with QoS 0, however many messages and subscribers; what is
//! allocated belongs to the message, once for all who get it. And what a client that only comes and goes asks of it.

#[path = "../benches/parts/mod.rs"]
mod parts;

use parts::PARTS;

/// Allocations of one turn of a part that is warm.
fn allocations_of_a_turn(name: &str) -> (u64, u64) {
    let (_, units, make) = PARTS
        .into_iter()
        .find(|(part, _, _)| *part == name)
        .unwrap();
    let mut part = make();
    (0..50).for_each(|_| part());
    let measured = allocation_counter::measure(&mut part);
    assert_eq!(
        measured.bytes_current, 0,
        "what was asked for is given back"
    );
    (measured.count_total, units)
}

#[test]
fn a_delivery_with_qos_0_allocates_nothing() {
    let (many, deliveries) = allocations_of_a_turn("deliver with QoS 0");
    let (one, messages) = allocations_of_a_turn("deliver to one");
    assert_eq!(
        many, one,
        "{deliveries} deliveries of {messages} messages take more than {messages} do"
    );
    assert!(
        one <= 2 * messages,
        "{one} allocations for {messages} messages"
    );
}

#[test]
fn only_the_first_message_of_a_run_allocates() {
    let (run, _) = allocations_of_a_turn("from bytes to one");
    assert!(run <= 2, "{run} allocations");
}

#[test]
fn decoding_and_routing_allocate_nothing() {
    for part in ["decode a PUBLISH", "route one of 10,000 filters"] {
        assert_eq!(allocations_of_a_turn(part).0, 0, "{part}");
    }
}

#[test]
fn a_visit_allocates_what_its_session_is_made_of() {
    let (visit, _) = allocations_of_a_turn("connect, subscribe, disconnect");
    assert!(visit <= 12, "{visit} allocations");
}
