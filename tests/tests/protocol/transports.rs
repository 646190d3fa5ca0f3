//! The same tests over every other transport: this program runs itself again for each.
//!
//! Left out are the modules that speak HTTP, frames or bytes themselves, and those that mostly wait for a clock.

use std::process::Command;

const MODULES: [&str; 12] = [
    "aliases::",
    "hostile::",
    "limits::",
    "properties::",
    "qos::",
    "reconnections::",
    "retained::",
    "sessions::",
    "shared::",
    "subscriptions::",
    "takeover::",
    "wills::",
];

/// It moves 80 MB, which takes a debug build of TLS too long.
const TOO_MUCH: &str = "a_reader_that_stops";

/// Without WebSocket there are no pings to find out that a client is gone.
const NEEDS_PINGS: &str = "a_client_that_is_gone";

fn again_over(transport: &str) {
    let program = std::env::current_exe().expect("a running program");
    let output = Command::new(program)
        .args(MODULES)
        .args(["--skip", TOO_MUCH, "--skip", NEEDS_PINGS])
        .env("WEIR_TRANSPORT", transport)
        .output()
        .expect("the program runs again");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "over {transport}:\n{text}");
    let passed = text.lines().filter(|line| line.ends_with("... ok")).count();
    assert!(
        passed > 60,
        "only {passed} tests ran over {transport}:\n{text}"
    );
}

#[test]
fn tcp_carries_what_websocket_carries() {
    again_over("mqtt");
}

#[test]
fn tls_carries_what_tcp_carries() {
    again_over("mqtts");
}

#[test]
fn tls_carries_what_websocket_carries() {
    again_over("wss");
}

#[test]
fn a_unix_socket_carries_what_websocket_carries() {
    again_over("unix");
}
