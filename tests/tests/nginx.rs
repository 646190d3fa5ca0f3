//! The broker behind nginx, with the configuration that is shipped for it.
//!
//! Only what a test can't have is replaced in it: the port, the certificate and the broker's address. Needs Debian's `nginx`
//! package; without it this test fails.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::client::{IntoClientRequest, client};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use weir_tests::{Broker, PATIENCE, folder};

const CONNECT: &[u8] = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05nginx";
const CONNACK_ACCEPTED: &[u8] = b"\x20\x02\x00\x00";
const PINGREQ: &[u8] = b"\xc0\x00";
const PINGRESP: &[u8] = b"\xd0\x00";

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_websocket_and_a_plain_request_pass_through_nginx() {
    let folder = folder();
    let broker = Broker::start();
    let (_nginx, nginx) = start_nginx(&folder, broker.address());

    let mut request = format!("ws://{nginx}/mqtt?token=1")
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
    let (mut socket, response) = client(request, connect(nginx)).unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");
    socket
        .send(Message::Binary(Bytes::from_static(CONNECT)))
        .unwrap();
    assert_eq!(
        socket.read().unwrap(),
        Message::Binary(Bytes::from_static(CONNACK_ACCEPTED))
    );
    socket
        .send(Message::Binary(Bytes::from_static(PINGREQ)))
        .unwrap();
    assert_eq!(
        socket.read().unwrap(),
        Message::Binary(Bytes::from_static(PINGRESP))
    );

    assert!(get(nginx, "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(get(nginx, "/nothing").starts_with("HTTP/1.1 404 "));
}

fn start_nginx(folder: &Path, broker: SocketAddr) -> (Running, SocketAddr) {
    let address = free_address();
    let main = folder.join("nginx.conf");
    fs::write(&main, configuration(folder, address, broker)).unwrap();
    let mut command = Command::new("nginx");
    command
        .args(["-e", "stderr", "-p"])
        .arg(folder)
        .arg("-c")
        .arg(&main);
    let child = command
        .spawn()
        .unwrap_or_else(|error| panic!("nginx: {error}; Debian's package nginx has it"));
    let running = Running(child);
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nginx does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    (running, address)
}

/// The shipped file in the smallest main file that runs it in the foreground and writes into `folder` only.
fn configuration(folder: &Path, address: SocketAddr, broker: SocketAddr) -> String {
    let shipped =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/nginx.conf"))
            .unwrap();
    let tls = |line: &&str| !line.contains("ssl_certificate") && !line.contains("[::]:443");
    let server: String = shipped
        .lines()
        .filter(tls)
        .map(|line| format!("{line}\n"))
        .collect();
    let server = replace_once(&server, "443 ssl", &address.to_string());
    let server = replace_once(&server, "127.0.0.1:8083", &broker.to_string());
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/{name};\n", folder.display()))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{server}}}\n",
        folder.display()
    )
}

fn replace_once(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from} in dist/nginx.conf");
    text.replace(from, to)
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = connect(address);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
