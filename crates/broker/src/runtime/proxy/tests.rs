//! What proxies say, rightly and wrongly, byte by byte.

use super::*;
use crate::config::Config;
use proptest::prelude::*;

fn trusted() -> TrustedProxies {
    let text = "[[listener]]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]";
    let config = Config::parse(text, "t").unwrap();
    config.listeners[0].trusted_proxies.clone()
}

/// What is read of these bytes, and how many of them are left.
fn read(bytes: &[u8]) -> (Result<Option<SocketAddr>, ProxyFault>, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut rest = bytes;
    let read = runtime.block_on(read_header(&mut rest));
    (read, rest.len())
}

fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, payload].concat()
}

const IPV4: [u8; 12] = [192, 0, 2, 7, 127, 0, 0, 1, 0x30, 0x39, 0x1f, 0x90];

#[test]
fn a_header_is_read_to_its_last_byte_and_no_further() {
    let source = Some("192.0.2.7:12345".parse().unwrap());
    let mut line = b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 8080\r\n".to_vec();
    line.extend(b"GET /");
    let (found, rest) = read(&line);
    assert_eq!((found.unwrap(), rest), (source, 5));
    let mut block = v2(0x21, 0x11, &IPV4);
    block.extend(b"GET /");
    let (found, rest) = read(&block);
    assert_eq!((found.unwrap(), rest), (source, 5));
    let appended = v2(0x21, 0x11, &[&IPV4[..], &[0x04, 0, 2, 0, 0]].concat());
    assert_eq!(read(&appended).0.unwrap(), source);
    let (found, _) = read(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n");
    assert_eq!(found.unwrap(), Some("[2001:db8::1]:1".parse().unwrap()));
}

#[test]
fn a_proxy_that_speaks_for_itself_names_nobody() {
    assert_eq!(read(b"PROXY UNKNOWN\r\n").0.unwrap(), None);
    assert_eq!(read(&v2(0x20, 0x00, &[])).0.unwrap(), None);
    assert_eq!(read(&v2(0x20, 0x11, &IPV4)).0.unwrap(), None);
    assert_eq!(read(&v2(0x21, 0x00, &[])).0.unwrap(), None);
}

#[test]
fn what_is_no_header_is_said_to_be_none() {
    let fault = |bytes: &[u8]| read(bytes).0.unwrap_err();
    assert!(matches!(fault(b"GET / HTTP/1.1\r\n"), ProxyFault::Absent));
    assert!(matches!(
        fault(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00"),
        ProxyFault::Absent
    ));
    assert!(matches!(
        fault(b"PROXY TCP4 1.2.3.4 x 1 2\r\n"),
        ProxyFault::Malformed
    ));
    let endless = [b"PROXY TCP4 ", &[b'1'; 200][..]].concat();
    assert!(matches!(fault(&endless), ProxyFault::Malformed));
    assert!(matches!(
        fault(&v2(0x31, 0x11, &IPV4)),
        ProxyFault::Malformed
    ));
    assert!(matches!(
        fault(&v2(0x21, 0x11, &IPV4[..8])),
        ProxyFault::Malformed
    ));
    assert!(matches!(
        fault(&v2(0x21, 0x11, &[0; 5000])),
        ProxyFault::TooLong
    ));
    assert!(matches!(
        fault(&v2(0x21, 0x11, &IPV4)[..20]),
        ProxyFault::Lost(_)
    ));
}

fn client(proxy: &str, headers: &[(&'static str, &str)]) -> Option<String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, http::HeaderValue::try_from(*value).unwrap());
    }
    let proxy = Peer::Socket(format!("{proxy}:1").parse().unwrap());
    forwarded(&map, proxy, &trusted()).map(|peer| peer.to_string())
}

#[test]
fn the_last_address_that_is_no_proxy_is_the_client() {
    let via = |list| client("127.0.0.1", &[("x-forwarded-for", list)]);
    assert_eq!(via("192.0.2.7").as_deref(), Some("192.0.2.7"));
    assert_eq!(
        via("6.6.6.6, 192.0.2.7, 10.1.1.1").as_deref(),
        Some("192.0.2.7")
    );
    assert_eq!(via("192.0.2.7:5555").as_deref(), Some("192.0.2.7"));
    assert_eq!(
        via("[2001:db8::1]:55, 10.0.0.1").as_deref(),
        Some("2001:db8::1")
    );
    assert_eq!(via("10.0.0.9").as_deref(), Some("10.0.0.9"));
    assert_eq!(via("192.0.2.7, unknown"), None);
    let lines = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-for", "192.0.2.7"),
    ];
    assert_eq!(client("127.0.0.1", &lines).as_deref(), Some("192.0.2.7"));
    let real = [("x-real-ip", "192.0.2.7")];
    assert_eq!(client("10.2.2.2", &real).as_deref(), Some("192.0.2.7"));
}

/// A client that could make its address unreadable would be taken for the proxy.
#[test]
fn what_a_client_put_before_its_address_plays_no_part() {
    for own in ["nonsense", "\u{e9}", ","] {
        let list = format!("{own}, 192.0.2.7");
        let found = client("127.0.0.1", &[("x-forwarded-for", &list)]);
        assert_eq!(found.as_deref(), Some("192.0.2.7"), "{own}");
        let lines = [("x-forwarded-for", own), ("x-forwarded-for", "192.0.2.7")];
        let found = client("127.0.0.1", &lines);
        assert_eq!(found.as_deref(), Some("192.0.2.7"), "{own}");
    }
}

#[test]
fn nobody_else_is_believed() {
    assert_eq!(client("192.0.2.1", &[("x-forwarded-for", "6.6.6.6")]), None);
    assert_eq!(client("192.0.2.1", &[("x-real-ip", "6.6.6.6")]), None);
    assert_eq!(client("127.0.0.1", &[]), None);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), signed in any::<bool>()) {
        let bytes = if signed { [&SIGNATURE[..], &bytes].concat() } else { bytes };
        let _ = read(&bytes);
    }
}
