//! What pages in Chromium can do with MQTT.js: send tokens, renew them, and read why they are refused or ended.

use crate::passwords::MOSQUITTO;
use crate::scratch::Scratch;
use crate::tokens::{SECRET, provider};
use weir_tests::{Broker, Script};

/// A page of the tests has a port of its own.
const FROM_ELSEWHERE: &str = "[[listener]]\nbind = \"127.0.0.1:0\"\nallowed_origins = [\"*\"]\n";

#[test]
fn tokens_of_pages_are_taken_end_and_are_renewed() {
    let scratch = Scratch::new();
    let broker = Broker::start_with(&format!("{}{FROM_ELSEWHERE}", provider(&scratch, "")));
    let checks = Script::node("tokens.mjs", &[&broker.url(), SECRET]).succeed();
    assert_eq!(checks, 3 * 4 + 3);
    broker.logs("user=\"ann\"");
    broker.logs("authenticated again");
}

#[test]
fn a_page_reads_in_chromium_why_its_connection_ended() {
    let scratch = Scratch::new();
    let passwords = scratch.file("passwords", MOSQUITTO);
    let acl = scratch.file(
        "acl",
        "topic readwrite #\npattern readwrite #\npattern deny secret/#\n",
    );
    let broker = Broker::start_with(&format!(
        "{FROM_ELSEWHERE}[auth]\nacl_file = {acl:?}\n[[auth.provider]]\nkind = \"password-file\"\nfile = {passwords:?}\n\
         [limits]\nmax_packet_bytes = 4096\nmax_connections_per_user = 8\n\
         max_publishes_per_second_per_client = 50\noverrun_seconds = 1\n"
    ));
    let mut script = Script::node("ends.mjs", &[&broker.url()]);
    script.wait_for("ready for the end");
    broker.terminate();
    assert_eq!(script.succeed(), 1);
}
