//! The clients that people really use, against the real binary.
//!
//! Each script makes its own checks and prints them; the number of checks is asserted here, so that a script
//! which stops early can't pass. What the scripts need is installed by `cargo xtask setup`.

mod rumqttc;
mod stream;

use std::path::Path;

use weir_tests::{Broker, Script};

/// A broker for pages that come from another origin, as a real web application's do.
const FROM_ELSEWHERE: &str = "[[listener]]\nbind = \"127.0.0.1:0\"\nallowed_origins = [\"*\"]\n";

#[test]
fn mqttjs_in_node_speaks_all_versions() {
    let broker = Broker::start();
    let checks = Script::node("mqttjs.mjs", &[&broker.url()]).succeed();
    assert_eq!(checks, 3 * 18 + 6);
}

#[test]
fn mqttjs_in_chromium_speaks_all_versions() {
    // The page is served by a port of its own, so it is not of the broker's host.
    let broker = Broker::start_with(FROM_ELSEWHERE);
    let checks = Script::node("browser.mjs", &[&broker.url()]).succeed();
    assert_eq!(checks, 3 * 18 + 6);
}

#[test]
fn mqttjs_in_chromium_speaks_over_tls() {
    let identity = weir_tests::certificates::Authority::shared().server(1);
    let folder = weir_tests::folder();
    let files = weir_tests::transport::tls_keys(&identity, &folder);
    let broker = Broker::start_with(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\nprotocol = \"wss\"\nallowed_origins = [\"*\"]\n{files}"
    ));
    let url = format!("wss://{}/mqtt", broker.address());
    let checks = Script::node("browser.mjs", &[&url, "5"]).succeed();
    assert_eq!(checks, 18 + 6);
}

#[test]
fn the_try_it_page_works_in_two_tabs() {
    let broker = Broker::start();
    let address = format!("http://{}/", broker.address());
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    let pictures = pictures.to_str().expect("a text path");
    let checks = Script::node("page.mjs", &[&address, pictures]).succeed();
    assert_eq!(checks, 8);
}

#[test]
fn two_tabs_of_chromium_with_one_client_id_come_to_rest() {
    let broker = Broker::start_with(FROM_ELSEWHERE);
    let checks = Script::node("tabs.mjs", &[&broker.url()]).succeed();
    assert_eq!(checks, 2);
    broker.logs("takeover loop");
}

#[test]
fn a_tab_of_chromium_that_stands_still_is_told_what_it_missed() {
    let broker = Broker::start_with(FROM_ELSEWHERE);
    let checks = Script::node("slow.mjs", &[&broker.url()]).succeed();
    assert_eq!(checks, 2);
    broker.logs("reads slowly and misses messages (drop-oldest)");
}

#[test]
fn paho_in_python_speaks_all_versions() {
    let broker = Broker::start();
    let checks = Script::python("clients.py", &[&broker.url()]).succeed();
    assert_eq!(checks, 3 * 15 + 2);
}
