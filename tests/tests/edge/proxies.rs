//! Behind HAProxy and nginx, and behind somebody who only says to be one.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use weir_codec::Version;
use weir_tests::certificates::Authority;
use weir_tests::folder;
use weir_tests::packets::connect;
use weir_tests::transport::{tls, trusting};
use weir_tests::{Broker, Client, Endpoint, PATIENCE, Transport, Wire};

use super::listener;

const MQTT: &str = "Sec-WebSocket-Protocol: mqtt";

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// Starts a proxy and waits until it listens.
fn start(program: &str, arguments: &[&str], address: SocketAddr) -> Running {
    let child = Command::new(program).args(arguments).spawn();
    let child = child.unwrap_or_else(|error| panic!("{program}: {error}: run `cargo xtask setup`"));
    let running = Running(child);
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "{program} does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    running
}

fn haproxy(folder: &Path, address: SocketAddr, broker: SocketAddr, send: &str) -> Running {
    let config = format!(
        "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         listen weir\n  bind {address}\n  server broker {broker} {send}\n"
    );
    let file = folder.join("haproxy.cfg");
    fs::write(&file, config).expect("a file");
    start(
        "haproxy",
        &["-db", "-f", file.to_str().expect("a text path")],
        address,
    )
}

#[tokio::test]
async fn haproxy_says_where_clients_are() {
    let keys = "trusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = true";
    for send in ["send-proxy-v2", "send-proxy"] {
        let broker = Broker::start_with(&listener("mqtt", keys));
        let (folder, address) = (folder(), free_address());
        let _haproxy = haproxy(&folder, address, broker.address(), send);
        let stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("a connection");
        let client = stream.local_addr().expect("an address");
        let mut client_of = Client::over(Transport::Mqtt, Box::new(stream), Version::V5).await;
        client_of.ask(connect(Version::V5, "behind")).await;
        broker.logs(&format!("client=\"behind\" peer={client}"));
    }
}

#[tokio::test]
async fn haproxys_address_counts_and_not_the_proxys() {
    let keys = "trusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = true";
    let config = listener("ws", keys) + "[limits]\nmax_connections_per_address = 1\n";
    let broker = Broker::start_with(&config);
    for (source, status) in [("192.0.2.1", 101), ("192.0.2.2", 101), ("192.0.2.1", 429)] {
        let mut wire = Wire::open(&broker).await;
        wire.write(format!("PROXY TCP4 {source} 127.0.0.1 5555 80\r\n").as_bytes())
            .await;
        assert_eq!(
            wire.upgrade("/mqtt", &[MQTT]).await.status,
            status,
            "{source}"
        );
        std::mem::forget(wire);
    }
    broker.logs("192.0.2.1:5555");
}

#[tokio::test]
async fn nobody_else_may_say_where_a_client_is() {
    let keys = "trusted_proxies = [\"192.0.2.99\"]\nproxy_protocol = true";
    let broker = Broker::start_with(&listener("ws", keys));
    let mut wire = Wire::open(&broker).await;
    wire.write_anyway(b"PROXY TCP4 192.0.2.1 127.0.0.1 5555 80\r\n")
        .await;
    wire.ended().await;
    broker.logs("not one of this listener's `trusted_proxies`");

    let keys = "trusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = true";
    let broker = Broker::start_with(&listener("ws", keys));
    let mut wire = Wire::open(&broker).await;
    wire.write_anyway(b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    wire.ended().await;
    broker.logs("no PROXY header");
}

#[tokio::test]
async fn a_proxy_that_says_nothing_is_cut_off() {
    let keys = "trusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = true";
    let config = listener("ws", keys) + "[timing]\nhandshake_seconds = 1\n";
    let broker = Broker::start_with(&config);
    Wire::open(&broker).await.ended().await;
    broker.logs("no PROXY header in time");
}

#[tokio::test]
async fn forwarded_headers_count_from_a_trusted_proxy_only() {
    let keys = "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]";
    let broker = Broker::start_with(&(listener("ws", keys) + &listener("ws", "")));
    let [trusting, wary] = broker.addresses()[..] else {
        panic!("two listeners")
    };
    for (address, header, peer) in [
        (
            trusting,
            "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.3",
            "peer=192.0.2.7 ",
        ),
        (trusting, "X-Real-IP: 192.0.2.8", "peer=192.0.2.8 "),
        (wary, "X-Forwarded-For: 192.0.2.9", "peer=127.0.0.1:"),
    ] {
        let mut wire = Wire::open_at(address).await;
        assert_eq!(wire.upgrade("/mqtt", &[MQTT, header]).await.status, 101);
        wire.binary(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01x")
            .await;
        wire.next_frame().await;
        broker.logs(peer);
    }
    assert!(!broker.log().contains("192.0.2.9"));
}

#[tokio::test]
async fn nginx_ends_tls_in_front_with_the_shipped_configuration() {
    behind_nginx(
        &listener("ws", "trusted_proxies = [\"127.0.0.1\"]"),
        |broker| broker.address().to_string(),
    )
    .await;
}

#[tokio::test]
async fn nginx_reaches_a_unix_socket_and_is_believed() {
    let socket = folder().join("weir.sock").display().to_string();
    let keys = format!("bind = \"unix:{socket}\"\ntrusted_proxies = [\"unix\"]");
    behind_nginx(&format!("[[listener]]\n{keys}\n"), |_| {
        format!("unix:{socket}:")
    })
    .await;
}

/// `upstream` is where nginx finds the broker.
async fn behind_nginx(config: &str, upstream: impl Fn(&Broker) -> String) {
    let folder = folder();
    let broker = Broker::start_with(config);
    let address = free_address();
    let identity = Authority::shared().server(1);
    weir_tests::transport::tls_keys(&identity, &folder);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/nginx.conf");
    let folder_name = folder.display().to_string();
    let server = fs::read_to_string(shipped)
        .expect("dist/nginx.conf")
        .replace("listen 443 ssl", &format!("listen {address} ssl"))
        .replace("    listen [::]:443 ssl;\n", "")
        .replace(
            "/etc/ssl/certs/mqtt.example.org.pem",
            &format!("{folder_name}/fullchain.pem"),
        )
        .replace(
            "/etc/ssl/private/mqtt.example.org.key",
            &format!("{folder_name}/privkey.pem"),
        )
        .replace("127.0.0.1:8083", &upstream(&broker));
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder_name}/{name};\n"))
        .concat();
    let main = format!(
        "daemon off;\nmaster_process off;\npid {folder_name}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{server}}}\n"
    );
    fs::write(folder.join("nginx.conf"), main).expect("a file");
    let config = format!("{folder_name}/nginx.conf");
    let arguments = ["-e", "stderr", "-p", &folder_name, "-c", &config];
    let _nginx = start("nginx", &arguments, address);

    let stream = tls(&Endpoint::Tcp(address), trusting("http/1.1"))
        .await
        .expect("a handshake");
    let mut client = Client::over(Transport::Wss, stream, Version::V5).await;
    client.ask(connect(Version::V5, "secure")).await;
    // The client's address as nginx saw it, which has no port.
    broker.logs("client=\"secure\" peer=127.0.0.1 ");
}
