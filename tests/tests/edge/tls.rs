//! TLS as rustls and OpenSSL see it: versions, suites, ALPN, clients' certificates, and peers that dawdle.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use weir_codec::{ReasonCode, Version};
use weir_tests::certificates::{Authority, Identity};
use weir_tests::folder;
use weir_tests::packets::connect;
use weir_tests::transport::{clear, tls, trusting};
use weir_tests::{Broker, Client, PATIENCE, Transport};

use super::{certificate, file, listener, with};

/// Whether OpenSSL's client gets through a handshake with these arguments, and what it said.
fn openssl(broker: &Broker, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl")
        .args([
            "s_client",
            "-brief",
            "-connect",
            &broker.address().to_string(),
        ])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs: `cargo xtask setup` installs it");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (said.contains("CONNECTION ESTABLISHED"), said)
}

#[test]
fn old_versions_and_weak_suites_are_refused() {
    let broker = Broker::start_with(&listener("wss", &certificate()));
    for (arguments, is_good) in [
        (&["-tls1_3"][..], true),
        (&["-tls1_2"], true),
        // OpenSSL itself offers what is older only when it is told that security does not matter.
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], false),
        (&["-tls1", "-cipher", "ALL:@SECLEVEL=0"], false),
        (&["-tls1_2", "-cipher", "ECDHE+AESGCM"], true),
        (&["-tls1_2", "-cipher", "ECDHE+CHACHA20"], true),
        // No forward secrecy; CBC; no encryption at all.
        (&["-tls1_2", "-cipher", "kRSA:@SECLEVEL=0"], false),
        (
            &[
                "-tls1_2",
                "-cipher",
                "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0",
            ],
            false,
        ),
        (&["-tls1_2", "-cipher", "NULL:aNULL:@SECLEVEL=0"], false),
        (
            &["-tls1_2", "-cipher", "3DES:RC4:DES:EXPORT:@SECLEVEL=0"],
            false,
        ),
    ] {
        let (established, said) = openssl(&broker, arguments);
        assert_eq!(established, is_good, "{arguments:?}: {said}");
    }
}

#[test]
fn a_session_is_resumed_with_a_ticket() {
    let broker = Broker::start_with(&listener("wss", &certificate()));
    let ticket = folder().join("ticket");
    let ticket = ticket.to_str().expect("a text path");
    let full = |argument: &str| {
        let output = Command::new("openssl")
            .args([
                "s_client",
                "-tls1_2",
                "-connect",
                &broker.address().to_string(),
            ])
            .args([argument, ticket])
            .stdin(Stdio::null())
            .output();
        String::from_utf8_lossy(&output.expect("openssl runs").stdout).into_owned()
    };
    assert!(full("-sess_out").contains("New, TLSv1.2"));
    assert!(full("-sess_in").contains("Reused, TLSv1.2"));
}

#[tokio::test]
async fn the_protocol_is_agreed_on_where_the_client_names_one() {
    let config = listener("wss", &certificate()) + &listener("mqtts", &certificate());
    let broker = Broker::start_with(&config);
    let [(_, wss), (_, mqtts)] = broker.listeners() else {
        panic!("two listeners")
    };
    assert!(tls(wss, trusting("http/1.1")).await.is_ok());
    assert!(tls(mqtts, trusting("mqtt")).await.is_ok());
    assert!(tls(wss, Authority::shared().client_config()).await.is_ok());
    assert!(tls(wss, trusting("h2")).await.is_err());
    assert!(tls(mqtts, trusting("http/1.1")).await.is_err());
    broker.logs("TLS handshake failed");
}

#[tokio::test]
async fn the_whole_chain_is_sent() {
    let between = Authority::shared().intermediate("between");
    let mut identity = between.server(1);
    for (further, is_good) in [("", false), (between.pem(), true)] {
        identity.certificate += further;
        let broker = Broker::start_with(&listener("wss", &with(&identity, &folder())));
        let (_, endpoint) = broker.listener();
        let stream = tls(endpoint, trusting("http/1.1")).await;
        assert_eq!(stream.is_ok(), is_good, "{further}");
    }
}

/// What becomes of a client with this configuration: its CONNACK, or how the handshake failed.
async fn outcome(broker: &Broker, config: ClientConfig) -> Result<ReasonCode, ()> {
    let (transport, endpoint) = broker.listener();
    let stream = tls(endpoint, config).await.map_err(drop)?;
    // With TLS 1.3 the client is done before the server has looked at its certificate.
    let (mut read, mut write) = tokio::io::split(stream);
    let packet = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01x";
    assert_eq!(*transport, Transport::Mqtts);
    write.write_all(packet).await.map_err(drop)?;
    let mut connack = [0; 4];
    read.read_exact(&mut connack).await.map_err(drop)?;
    Ok(if connack[3] == 0 {
        ReasonCode::Success
    } else {
        ReasonCode::NotAuthorized
    })
}

fn asking(demand: &str, authority: &Authority, revoked: &[u64]) -> String {
    let folder = folder();
    let keys = [
        certificate(),
        format!("client_certificate = \"{demand}\"\n"),
        file("client_ca_file", &folder, "ca.pem", authority.pem()),
        file(
            "client_crl_file",
            &folder,
            "crl.pem",
            &authority.revoke(revoked),
        ),
    ];
    listener("mqtts", &keys.concat())
}

#[tokio::test]
async fn clients_certificates_are_demanded_verified_and_revoked() {
    let (ours, theirs) = (Authority::new("clients"), Authority::new("others"));
    let as_client = |identity: &Identity| Authority::shared().client_config_as(identity);
    let good = ours.client("gauge", "gauge@example.org", 7);
    let revoked = ours.client("stolen", "stolen@example.org", 8);
    let stranger = theirs.client("stranger", "stranger@example.org", 9);

    let required = Broker::start_with(&asking("required", &ours, &[8]));
    assert_eq!(
        outcome(&required, as_client(&good)).await,
        Ok(ReasonCode::Success)
    );
    assert!(outcome(&required, as_client(&revoked)).await.is_err());
    assert!(outcome(&required, as_client(&stranger)).await.is_err());
    assert!(
        outcome(&required, Authority::shared().client_config())
            .await
            .is_err()
    );
    required.logs("TLS handshake failed: peer sent no certificates");
    required.logs("Revoked");

    let optional = Broker::start_with(&asking("optional", &ours, &[8]));
    assert_eq!(
        outcome(&optional, as_client(&good)).await,
        Ok(ReasonCode::Success)
    );
    assert!(outcome(&optional, as_client(&revoked)).await.is_err());
    let nobody = Authority::shared().client_config();
    assert_eq!(outcome(&optional, nobody).await, Ok(ReasonCode::Success));
}

#[tokio::test]
async fn who_dawdles_in_the_handshake_holds_up_nobody_and_is_cut_off() {
    let config = listener("wss", &certificate()) + "[timing]\nhandshake_seconds = 1\n";
    let broker = Broker::start_with(&config);
    let (_, endpoint) = broker.listener();
    let mut silent = clear(endpoint).await;
    let mut slow = clear(endpoint).await;
    slow.write_all(b"\x16\x03\x01\x02\x00\x01")
        .await
        .expect("an open connection");
    let client = Client::connect(&broker, connect(Version::V5, "swift")).await;
    for stream in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "never cut off");
    }
    broker.logs("no TLS handshake in time");
    client.leave().await;
}

#[tokio::test]
async fn a_large_message_passes_and_an_idle_client_stays() {
    let broker = Broker::start_with(&listener("wss", &certificate()));
    let mut client = Client::v5(&broker, "large").await;
    client.subscribe("t", weir_codec::Qos::AtLeastOnce).await;
    let payload = "x".repeat(900_000);
    client
        .publish("t", &payload, weir_codec::Qos::AtLeastOnce)
        .await;
    assert_eq!(client.payload().await, payload);
    client.silent_for(Duration::from_millis(200)).await;
}
