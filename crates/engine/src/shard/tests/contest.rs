//! Takeovers that follow each other: how many there may be, and who is left alone.

use super::world::World;
use crate::Settings;

/// `left` and `right` are two tabs with one client id, three takeovers behind them: `right` has it.
fn fought_for() -> World {
    let settings = Settings {
        takeovers_maximum: 3,
        takeover_pause_seconds: 30,
        ..Settings::default()
    };
    let mut world = World::with(1, settings);
    world.run(
        "
        left> CONNECT v5 as=tab
        left< CONNACK
        wait 100
        right> CONNECT v5 as=tab
        right< CONNACK
        left< DISCONNECT 0x8e
        wait 1
        left> CONNECT v5 as=tab
        left< CONNACK
        right< DISCONNECT 0x8e
        wait 1
        right> CONNECT v5 as=tab
        right< CONNACK
        left< DISCONNECT 0x8e
        ",
    );
    world
}

const REFUSED: &str = "
    left> CONNECT v5 as=tab
    left< CONNACK 0x9f user=weir-retry-after-seconds:30
    left? refused: client identifier in use by another connection; leave it alone for 30 seconds
";

const TAKEN: &str = "
    left> CONNECT v5 as=tab
    left< CONNACK
    right< DISCONNECT 0x8e
    right? session taken over by a new connection
";

/// [MQTT-3.2.2-20]
#[test]
fn how_long_to_stay_away_is_told_where_it_fits() {
    fought_for().run(
        "
        left> CONNECT v5 as=tab max=30
        left< CONNACK 0x9f
        left> CONNECT v5 as=tab max=300
        left< CONNACK 0x9f user=weir-retry-after-seconds:30
        ",
    );
}

#[test]
fn a_takeover_loop_ends_after_three() {
    let mut world = fought_for();
    for _ in 0..100 {
        world.run("wait 1");
        world.run(REFUSED);
    }
    assert_eq!(world.take_reports(), ["tab: contested"]);
    world.run("right> SUBSCRIBE t\nright< SUBACK 00");
    world.run("right> PUBLISH t still\nright< PUBLISH t still");
    // It is enough to leave it alone for a while.
    world.run("wait 29");
    world.run(REFUSED);
    world.run("wait 30");
    world.run(TAKEN);
}

#[test]
fn who_gives_no_sign_of_life_can_be_taken_over() {
    let mut world = fought_for();
    world.run("right! stall");
    for _ in 0..5 {
        world.run("wait 1");
        world.run(REFUSED);
    }
    world.run("wait 1\nleft> CONNECT v5 as=tab\nleft< CONNACK\nright? session taken over by a new connection");
    // That was honest, and counts as the first.
    world.run(
        "
        next> CONNECT v5 as=tab
        next< CONNACK
        left< DISCONNECT 0x8e
        ",
    );
}

#[test]
fn a_packet_is_a_sign_of_life() {
    let mut world = fought_for();
    world.run("right! stall");
    for _ in 0..20 {
        world.run("wait 1\nright> PUBLISH nobody x");
        world.run(REFUSED);
    }
}

#[test]
fn a_client_id_that_nobody_uses_is_free() {
    let mut world = fought_for();
    world.run(REFUSED);
    world.run("right! close\nleft> CONNECT v5 as=tab\nleft< CONNACK");
    world.run("right> CONNECT v5 as=tab\nright< CONNACK\nleft< DISCONNECT 0x8e");
}

#[test]
fn takeovers_now_and_then_are_no_loop() {
    let mut world = fought_for();
    for _ in 0..10 {
        world.run("wait 30");
        world.run(TAKEN);
        world.run(
            "
            wait 30
            right> CONNECT v5 as=tab
            right< CONNACK
            left< DISCONNECT 0x8e
            ",
        );
    }
}

#[test]
fn a_3_1_1_client_is_told_what_its_version_has() {
    let mut world = fought_for();
    world.run("left> CONNECT v4 as=tab\nleft< CONNACK 0x88");
}
