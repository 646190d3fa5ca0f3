//! The edge: TLS, origins, proxies and limits, against the real binary.
//!
//! Each test asks what a client outside sees, and what the log says of it. The other side is made of rustls, OpenSSL,
//! HAProxy, nginx and Chromium, so that nobody but the broker has our own idea of a protocol.

mod limits;
mod listeners;
mod metrics;
mod origins;
mod proxies;
mod renewal;
mod tls;

use std::path::Path;

use weir_tests::certificates::{Authority, Identity};
use weir_tests::folder;
use weir_tests::transport::tls_keys;

/// A listener on a free port with these further keys.
fn listener(protocol: &str, keys: &str) -> String {
    format!("[[listener]]\nbind = \"127.0.0.1:0\"\nprotocol = \"{protocol}\"\n{keys}\n")
}

/// The keys of a certificate that the harness trusts.
fn certificate() -> String {
    tls_keys(&Authority::shared().server(1), &folder())
}

/// The key of a file with this text.
fn file(key: &str, folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a temporary file");
    format!("{key} = \"{}\"\n", path.display())
}

/// The keys of a listener with this certificate in this folder.
fn with(identity: &Identity, folder: &Path) -> String {
    tls_keys(identity, folder)
}
