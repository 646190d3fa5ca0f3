//! The stream against rustls' own client, over sockets that take and give as little as they like.

use super::*;
use crate::runtime::tls::scratch::INCOMPLETE_BYTES_MAX;
use proptest::prelude::*;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls::{SupportedProtocolVersion, version};
use std::io::{Read, Write};
use std::sync::LazyLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio_rustls::TlsConnector;

static VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

static IDENTITY: LazyLock<CertifiedKey<KeyPair>> =
    LazyLock::new(|| generate_simple_self_signed(["localhost".to_owned()]).unwrap());

fn server() -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(IDENTITY.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![IDENTITY.cert.der().clone()], key)
        .unwrap();
    config.ticketer = ring::Ticketer::new().unwrap();
    Arc::new(config)
}

fn client(version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut trusted = RootCertStore::empty();
    trusted.add(IDENTITY.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Arc::new(config)
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// Sends all of `sent` and a close_notify, and meanwhile reads to the end.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: S, sent: &[u8]) -> (S, Vec<u8>) {
    let (mut from_peer, mut to_peer) = split(stream);
    let send = async {
        to_peer.write_all(sent).await.unwrap();
        to_peer.shutdown().await.unwrap();
    };
    let mut came = Vec::new();
    // An end that no close_notify told of would be an error.
    let ((), read) = tokio::join!(send, from_peer.read_to_end(&mut came));
    read.unwrap();
    (from_peer.unsplit(to_peer), came)
}

/// A client that is driven by hand, so that a test has the records in its hands; the server's socket is `far`.
struct ByHand {
    tls: ClientConnection,
    far: DuplexStream,
}

impl ByHand {
    async fn connected() -> (TlsStream<DuplexStream>, Self) {
        let (near, far) = duplex(1 << 20);
        let tls = ClientConnection::new(client(&version::TLS13), name()).unwrap();
        let mut hand = Self { tls, far };
        let accept = tokio::spawn(TlsStream::accept(server(), near));
        while hand.tls.is_handshaking() {
            hand.send().await;
            hand.receive().await;
        }
        hand.send().await;
        (accept.await.unwrap().unwrap(), hand)
    }

    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }

    async fn send(&mut self) {
        let records = self.records();
        self.far.write_all(&records).await.unwrap();
    }

    /// What the server sent; `None` at the end.
    async fn receive(&mut self) -> Option<Result<(), rustls::Error>> {
        let mut came = [0; 1 << 15];
        let bytes = self.far.read(&mut came).await.unwrap();
        let mut came = &came[..bytes];
        while !came.is_empty() {
            self.tls.read_tls(&mut came).unwrap();
            if let Err(error) = self.tls.process_new_packets() {
                return Some(Err(error));
            }
        }
        (bytes > 0).then_some(Ok(()))
    }
}

#[tokio::test]
async fn everything_passes_both_ways_however_little_the_socket_takes() {
    for version in VERSIONS {
        for (bytes, len) in [(1, 300_u32), (999, 40_000), (1 << 20, 200_000)] {
            let sent: Vec<u8> = (0..len).map(|index| (index % 251) as u8).collect();
            let (near, far) = duplex(bytes);
            let serve = async {
                let stream = TlsStream::accept(server(), near).await.unwrap();
                exchange(stream, &sent).await
            };
            let visit = async {
                let connector = TlsConnector::from(client(version));
                exchange(connector.connect(name(), far).await.unwrap(), &sent).await
            };
            let ((server, came), (_, came_back)) = tokio::join!(serve, visit);
            assert!(came == sent && came_back == sent);
            assert_eq!(server.unsent.capacity() + server.unread.capacity(), 0);
            assert_eq!(server.session.incomplete_bytes(), 0);
        }
    }
}

#[tokio::test]
async fn what_follows_the_handshake_at_once_is_not_lost() {
    let (near, far) = duplex(1 << 20);
    let tls = ClientConnection::new(client(&version::TLS13), name()).unwrap();
    let mut hand = ByHand { tls, far };
    let accept = tokio::spawn(TlsStream::accept(server(), near));
    hand.send().await;
    hand.receive().await;
    assert!(!hand.tls.is_handshaking());
    // Behind the client's Finished, in the same write.
    hand.tls.writer().write_all(b"CONNECT").unwrap();
    hand.send().await;
    let mut stream = accept.await.unwrap().unwrap();
    let (mut first, mut rest) = ([0; 3], [0; 4]);
    stream.read_exact(&mut first).await.unwrap();
    stream.read_exact(&mut rest).await.unwrap();
    assert_eq!((&first, &rest), (b"CON", b"NECT"));
}

#[tokio::test]
async fn a_key_update_is_answered_with_what_is_sent_next() {
    let (mut stream, mut hand) = ByHand::connected().await;
    for round in 0..3_u8 {
        hand.tls.refresh_traffic_keys().unwrap();
        hand.tls.writer().write_all(&[round]).unwrap();
        hand.send().await;
        assert_eq!(stream.read_u8().await.unwrap(), round);
        stream.write_all(&[round; 20_000]).await.unwrap();
        let mut came = Vec::new();
        while came.len() < 20_000 {
            hand.receive().await.unwrap().unwrap();
            let _ = hand.tls.reader().read_to_end(&mut came);
        }
        assert_eq!(came, [round; 20_000]);
    }
}

#[tokio::test]
async fn what_came_before_a_broken_record_is_read_before_the_fault() {
    let (mut stream, mut hand) = ByHand::connected().await;
    hand.tls.writer().write_all(b"good").unwrap();
    let mut records = hand.records();
    hand.tls.writer().write_all(b"bad").unwrap();
    let mut broken = hand.records();
    *broken.last_mut().unwrap() ^= 1;
    records.append(&mut broken);
    hand.far.write_all(&records).await.unwrap();
    let mut came = [0; 100];
    assert_eq!(stream.read(&mut came).await.unwrap(), 4);
    for _ in 0..2 {
        let error = stream.read(&mut came).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("decrypt"), "{error}");
    }
    assert!(stream.write(b"more").await.is_err());
    // Ends without a close_notify behind the alert.
    stream.shutdown().await.unwrap();
    let told = loop {
        if let Some(Err(error)) = hand.receive().await {
            break error;
        }
    };
    assert_eq!(
        told,
        rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac)
    );
    assert_eq!(hand.receive().await, None);
}

#[tokio::test]
async fn who_fails_in_the_handshake_is_told_why() {
    let (near, mut far) = duplex(1 << 20);
    far.write_all(b"GET /mqtt HTTP/1.1\r\n\r\n").await.unwrap();
    let error = TlsStream::accept(server(), near).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let mut alert = Vec::new();
    far.read_to_end(&mut alert).await.unwrap();
    // A fatal decode_error.
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 50]);
}

#[tokio::test]
async fn an_end_without_a_close_notify_is_an_error_and_one_with_it_is_none() {
    let (mut stream, hand) = ByHand::connected().await;
    drop(hand);
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("close_notify"));

    let (mut stream, mut hand) = ByHand::connected().await;
    hand.tls.writer().write_all(b"bye").unwrap();
    hand.tls.send_close_notify();
    hand.send().await;
    // After the end nothing counts, not even what is no TLS.
    hand.far.write_all(&[b'x'; 100]).await.unwrap();
    let mut came = Vec::new();
    stream.read_to_end(&mut came).await.unwrap();
    assert_eq!(came, b"bye");
    // Our own direction is still open.
    stream.write_all(b"bye").await.unwrap();
    hand.receive().await.unwrap().unwrap();
    let mut came = [0; 3];
    hand.tls.reader().read_exact(&mut came).unwrap();
    assert_eq!(&came, b"bye");
}

#[tokio::test]
async fn a_peer_gone_in_the_handshake_is_an_error() {
    let (near, far) = duplex(64);
    drop(far);
    let error = TlsStream::accept(server(), near).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_not_kept() {
    let (near, mut far) = duplex(1 << 20);
    // A ClientHello of 65,535 bytes, a byte a record.
    let mut hello = vec![1, 0, 0xff, 0xff];
    hello.resize(INCOMPLETE_BYTES_MAX, 0);
    let records: Vec<u8> = hello
        .iter()
        .flat_map(|byte| [22, 3, 1, 0, 1, *byte])
        .collect();
    let write = tokio::spawn(async move {
        let _ = far.write_all(&records).await;
        far
    });
    let error = TlsStream::accept(server(), near).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    drop(write.await.unwrap());
}

proptest! {
    #[test]
    fn portions_are_full_and_in_order(
        lengths in prop::collection::vec(prop_oneof![0_usize..50, 16_000_usize..16_800, 30_000_usize..70_000], 0..12),
    ) {
        let bytes: Vec<Vec<u8>> = lengths
            .iter()
            .enumerate()
            .map(|(index, len)| vec![index as u8; *len])
            .collect();
        let slices: Vec<IoSlice<'_>> = bytes.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let (mut portions, mut room) = (Portions::of(&slices), vec![0; PLAIN_BYTES_MAX]);
        let (mut all, total) = (Vec::new(), bytes.concat().len());
        while let Some(portion) = portions.next(&mut room) {
            all.extend_from_slice(portion);
            prop_assert!(portion.len() == PLAIN_BYTES_MAX || all.len() == total);
            prop_assert_eq!(portions.taken_bytes, all.len());
        }
        prop_assert_eq!(all, bytes.concat());
    }
}
