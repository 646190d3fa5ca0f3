//! What rests on certificates: users that are clients' certificates, and keys behind an https URL.

use crate::scratch::Scratch;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use std::ffi::OsStr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use weir_codec::{Connect, Qos, ReasonCode, Version};
use weir_tests::certificates::{Authority, Identity};
use weir_tests::packets::connect;
use weir_tests::transport::{tls, tls_keys};
use weir_tests::{Broker, Client};

#[tokio::test]
async fn a_certificate_is_a_user_with_rules_of_its_own() {
    let scratch = Scratch::new();
    let authority = Authority::new("gauges");
    let (ca, acl) = (
        scratch.file("ca.pem", authority.pem()),
        scratch.file("acl", "user gauge\ntopic write level\n"),
    );
    let files = tls_keys(&Authority::shared().server(1), &scratch.path(""));
    let broker = Broker::start_with(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\nprotocol = \"mqtts\"\n{files}client_certificate = \"optional\"\n\
         client_ca_file = {ca:?}\n[auth]\nacl_file = {acl:?}\n[[auth.provider]]\nkind = \"certificate\"\n"
    ));
    let (transport, endpoint) = broker.listener();
    let identity = authority.client("gauge", "gauge@example.org", 7);
    let config = Authority::shared().client_config_as(&identity);
    let stream = tls(endpoint, config).await.expect("a handshake");
    let mut client = Client::over(*transport, stream, Version::V5).await;
    let connack = client.ask(connect(Version::V5, "gauge 1")).await;
    assert_eq!(connack.reason, ReasonCode::Success);
    broker.logs("user=\"gauge\"");
    let written = client.publish("level", "x", Qos::AtLeastOnce).await;
    assert_eq!(written, ReasonCode::NoMatchingSubscribers);
    let elsewhere = client.publish("other", "x", Qos::AtLeastOnce).await;
    assert_eq!(elsewhere, ReasonCode::NotAuthorized);
    let (connack, _) = Client::refused(&broker, connect(Version::V5, "nobody")).await;
    assert_eq!(connack.reason, ReasonCode::NotAuthorized);
    broker.logs("refused: credentials missing");
}

/// An issuer of tokens, with its key.
struct Issuer {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    fn new() -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).expect("a key");
        Self { key, random }
    }

    fn jwks(&self) -> String {
        // 4, then both coordinates.
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|it| URL_SAFE_NO_PAD.encode(it));
        let key = json!({"kty": "EC", "crv": "P-256", "kid": "one", "alg": "ES256", "use": "sig", "x": x, "y": y});
        json!({ "keys": [key] }).to_string()
    }

    fn login(&self) -> Connect {
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(json!({"alg": "ES256", "kid": "one"}));
        let exp = crate::tokens::seconds_from_now(60.0);
        let message = format!("{head}.{}", part(json!({"sub": "ann", "exp": exp})));
        let signature = self.key.sign(&self.random, message.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.expect("a signature"));
        Connect {
            password: Some(format!("{message}.{signature}").into_bytes().into()),
            ..connect(Version::V5, "tab")
        }
    }
}

/// Serves a JWKS over https as this; gives its URL.
async fn serve(identity: &Identity, jwks: String) -> String {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.expect("a certificate")], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("a pair")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who does not trust the certificate hangs up.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.expect("a request");
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", jwks.len());
            let answer = head + &jwks;
            stream.write_all(answer.as_bytes()).await.expect("a reader");
            let _ = stream.shutdown().await;
        }
    });
    format!("https://localhost:{}/keys.json", address.port())
}

#[tokio::test]
async fn the_alternative_name_can_be_the_user() {
    let scratch = Scratch::new();
    let authority = Authority::new("gauges");
    let ca = scratch.file("ca.pem", authority.pem());
    let files = tls_keys(&Authority::shared().server(1), &scratch.path(""));
    let broker = Broker::start_with(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\nprotocol = \"wss\"\n{files}client_certificate = \"required\"\n\
         client_ca_file = {ca:?}\nclient_username = \"alternative-name\"\n[[auth.provider]]\nkind = \"certificate\"\n"
    ));
    let (transport, endpoint) = broker.listener();
    let identity = authority.client("gauge", "gauge@example.org", 7);
    let config = Authority::shared().client_config_as(&identity);
    let stream = tls(endpoint, config).await.expect("a handshake");
    let mut client = Client::over(*transport, stream, Version::V5).await;
    client.ask(connect(Version::V5, "gauge 1")).await;
    broker.logs("user=\"gauge@example.org\"");
}

#[tokio::test]
async fn keys_behind_https_count_if_the_server_is_who_it_says() {
    let scratch = Scratch::new();
    let issuer = Issuer::new();
    let trusted = scratch.file("trusted.pem", Authority::shared().pem());
    let environment = [("SSL_CERT_FILE", OsStr::new(&trusted))];
    for (authority, is_trusted) in [
        (Authority::shared(), true),
        (&Authority::new("somebody"), false),
    ] {
        let url = serve(&authority.server(1), issuer.jwks()).await;
        let config = format!("[[auth.provider]]\nkind = \"jwt\"\njwks_url = \"{url}\"\n");
        let broker = Broker::start_in(&config, &environment);
        if is_trusted {
            Client::connect(&broker, issuer.login()).await;
            broker.logs("user=\"ann\"");
        } else {
            let (connack, _) = Client::refused(&broker, issuer.login()).await;
            assert_eq!(connack.reason, ReasonCode::ServerUnavailable);
            broker.logs("the keys can't be had: ");
        }
    }
}
