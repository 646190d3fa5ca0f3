//! Tokens of every algorithm, by every way, and everything that makes one not count.

use super::*;
use crate::scratch::Scratch;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use serde_json::json;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weir_engine::Utf8;

const SECRET: &[u8] = b"a secret of more than thirty-two bytes";

/// Somebody who signs.
enum Issuer {
    Secret(&'static [u8]),
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Issuer {
    fn rsa() -> Self {
        let pem = include_str!("../../testdata/rsa-private.pem");
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        Self::Rsa(Box::new(
            RsaKeyPair::from_pkcs8(&STANDARD.decode(base64).unwrap()).unwrap(),
        ))
    }

    fn ec() -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random);
        Self::Ec(key.unwrap())
    }

    fn ed() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let bytes = message.as_bytes();
        let random = SystemRandom::new();
        let signature = match self {
            Self::Secret(secret) => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
                ring::hmac::sign(&key, bytes).as_ref().to_vec()
            }
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let padding: &dyn ring::signature::RsaEncoding = match header["alg"].as_str() {
                    Some("PS256") => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                key.sign(padding, &random, bytes, &mut signature).unwrap();
                signature
            }
            Self::Ec(key) => key.sign(&random, bytes).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(bytes).as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn jwk(&self, id: &str) -> Value {
        let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": id, "alg": "ES256", "use": "sig",
                    "x": base64(&point[1..33]), "y": base64(&point[33..])})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": base64(key.public_key().as_ref())})
            }
            _ => unreachable!("no test publishes this one"),
        }
    }

    /// The public key as `openssl pkey -pubout` writes it.
    fn pem(&self) -> String {
        let (prefix, key) = match self {
            Self::Ec(key) => (
                "3059301306072a8648ce3d020106082a8648ce3d030107034200",
                key.public_key().as_ref(),
            ),
            Self::Ed(key) => ("302a300506032b6570032100", key.public_key().as_ref()),
            Self::Rsa(_) => return include_str!("../../testdata/rsa-public.pem").into(),
            Self::Secret(_) => unreachable!("a secret is not published"),
        };
        let prefix = (0..prefix.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&prefix[at..at + 2], 16).unwrap());
        let der: Vec<u8> = prefix.chain(key.iter().copied()).collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        )
    }
}

fn seconds(from_now: i64) -> i64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    i64::try_from(now.as_secs()).unwrap() + from_now
}

fn settings(keys: KeySource) -> JwtSettings {
    JwtSettings {
        keys,
        issuer: None,
        audiences: Vec::new(),
        leeway: Duration::ZERO,
        sources: vec![TokenSource::Password],
        claims: ClaimNames {
            user: "sub".into(),
            client_id: "mqtt_client_id".into(),
            acl: "mqtt_acl".into(),
        },
    }
}

fn with_secret(scratch: &Scratch) -> JwtSettings {
    let secret = std::str::from_utf8(SECRET).unwrap();
    settings(KeySource::SecretFile(
        scratch.file("secret", &format!("{secret}\n")),
    ))
}

async fn verdict(jwt: &Jwt, credentials: &Credentials, presented: &Presented) -> String {
    let request = Request {
        credentials,
        presented,
    };
    match jwt.judge(&request).await {
        Verdict::Granted(identity) => format!("granted to {}", identity.user.unwrap().as_str()),
        Verdict::Refused(refusal) => format!("{refusal:?}"),
        Verdict::NoOpinion => "no opinion".into(),
        Verdict::Challenged(..) => "challenged".into(),
    }
}

async fn judge(jwt: &Jwt, token: &str) -> String {
    let credentials = Credentials {
        client_id: Utf8::from_static("tab"),
        password: Some(Bytes::copy_from_slice(token.as_bytes())),
        ..Credentials::default()
    };
    verdict(jwt, &credentials, &Presented::default()).await
}

/// A token of the secret, with these claims besides `sub` and `exp`.
fn token(claims: &Value) -> String {
    let mut all = json!({"sub": "ann", "exp": seconds(60)});
    let all_claims = all.as_object_mut().unwrap();
    for (name, value) in claims.as_object().unwrap() {
        match value {
            Value::Null => all_claims.remove(name),
            value => all_claims.insert(name.clone(), value.clone()),
        };
    }
    Issuer::Secret(SECRET).sign(&json!({"alg": "HS256"}), &all)
}

#[tokio::test]
async fn tokens_of_every_kind_of_key_are_granted_and_forged_ones_are_not() {
    let scratch = Scratch::new();
    let claims = json!({"sub": "ann", "exp": seconds(60)});
    for (issuer, stranger, algorithm) in [
        (Issuer::rsa(), Issuer::ec(), "RS256"),
        (Issuer::rsa(), Issuer::ec(), "PS256"),
        (Issuer::ec(), Issuer::ec(), "ES256"),
        (Issuer::ed(), Issuer::ed(), "EdDSA"),
    ] {
        let file = scratch.file("key.pem", &issuer.pem());
        let jwt = Jwt::open(settings(KeySource::File(file))).unwrap();
        let header = json!({"alg": algorithm});
        assert_eq!(
            judge(&jwt, &issuer.sign(&header, &claims)).await,
            "granted to ann",
            "{algorithm}"
        );
        assert_eq!(
            judge(&jwt, &stranger.sign(&header, &claims)).await,
            "BadCredentials",
            "{algorithm}"
        );
    }
    let jwt = Jwt::open(with_secret(&scratch)).unwrap();
    assert_eq!(judge(&jwt, &token(&json!({}))).await, "granted to ann");
    let forged = Issuer::Secret(b"another").sign(&json!({"alg": "HS256"}), &claims);
    assert_eq!(judge(&jwt, &forged).await, "BadCredentials");
}

#[tokio::test]
async fn a_file_may_hold_several_keys() {
    let scratch = Scratch::new();
    let (one, two) = (Issuer::ec(), Issuer::ed());
    let pem = scratch.file("keys.pem", &format!("# ours\n{}{}", one.pem(), two.pem()));
    let jwks = json!({"keys": [one.jwk("1"), two.jwk("2"), {"kty": "what", "kid": "3"}]});
    let jwks = scratch.file("keys.json", &jwks.to_string());
    let claims = json!({"sub": "ann", "exp": seconds(60)});
    for file in [pem, jwks] {
        let jwt = Jwt::open(settings(KeySource::File(file))).unwrap();
        let ours = one.sign(&json!({"alg": "ES256", "kid": "1"}), &claims);
        assert_eq!(judge(&jwt, &ours).await, "granted to ann");
        let ours = two.sign(&json!({"alg": "EdDSA", "kid": "2"}), &claims);
        assert_eq!(judge(&jwt, &ours).await, "granted to ann");
    }
}

/// The classic: a public key taken for the secret of HMAC, or no signature at all.
#[tokio::test]
async fn the_token_does_not_choose_the_algorithm() {
    let scratch = Scratch::new();
    let file = scratch.file("key.pem", &Issuer::rsa().pem());
    let jwt = Jwt::open(settings(KeySource::File(file))).unwrap();
    let public = include_bytes!("../../testdata/rsa-public.pem");
    let claims = json!({"sub": "ann", "exp": seconds(60)});
    let confused = Issuer::Secret(public).sign(&json!({"alg": "HS256"}), &claims);
    assert_eq!(judge(&jwt, &confused).await, "BadCredentials");
    let unsigned = Issuer::Secret(public).sign(&json!({"alg": "none"}), &claims);
    let (message, _) = unsigned.rsplit_once('.').unwrap();
    assert_eq!(judge(&jwt, &format!("{message}.")).await, "BadCredentials");
}

/// RFC 7515, 4.1.11.
#[tokio::test]
async fn what_has_to_be_understood_and_is_not_makes_a_token_invalid() {
    let scratch = Scratch::new();
    let jwt = Jwt::open(with_secret(&scratch)).unwrap();
    let claims = json!({"sub": "ann", "exp": seconds(60)});
    for (header, expected) in [
        (json!({"alg": "HS256", "more": true}), "granted to ann"),
        (
            json!({"alg": "HS256", "more": true, "crit": ["more"]}),
            "BadCredentials",
        ),
        (json!({"alg": "HS256", "crit": []}), "BadCredentials"),
    ] {
        let token = Issuer::Secret(SECRET).sign(&header, &claims);
        assert_eq!(judge(&jwt, &token).await, expected, "{header}");
    }
}

#[tokio::test]
async fn an_end_beyond_all_clocks_is_none() {
    let scratch = Scratch::new();
    let jwt = Jwt::open(JwtSettings {
        leeway: Duration::from_secs(3600),
        ..with_secret(&scratch)
    })
    .unwrap();
    // The last second that the clock knows, as near as a float comes to it.
    let last = token(&json!({"exp": i64::MAX - 1023}));
    assert_eq!(judge(&jwt, &last).await, "BadCredentials");
}

#[tokio::test]
async fn every_claim_that_is_asked_for_has_to_hold() {
    let scratch = Scratch::new();
    let jwt = Jwt::open(JwtSettings {
        issuer: Some("https://us.example".into()),
        audiences: vec!["mqtt".into(), "all".into()],
        ..with_secret(&scratch)
    })
    .unwrap();
    let good = json!({"iss": "https://us.example", "aud": ["other", "all"]});
    for (claims, expected) in [
        (json!({}), "granted to ann"),
        (json!({"exp": seconds(-1)}), "CredentialsExpired"),
        (json!({"exp": null}), "BadCredentials"),
        (json!({"exp": "tomorrow"}), "BadCredentials"),
        (json!({"nbf": seconds(30)}), "BadCredentials"),
        (json!({"iss": "https://them.example"}), "no opinion"),
        (json!({"iss": null}), "no opinion"),
        (json!({"aud": "nobody"}), "BadCredentials"),
        (json!({"aud": null}), "BadCredentials"),
        (json!({"sub": null}), "BadCredentials"),
        (json!({"sub": ""}), "BadCredentials"),
        (json!({"sub": 7}), "BadCredentials"),
        (json!({"mqtt_client_id": "tab"}), "granted to ann"),
        (json!({"mqtt_client_id": "other"}), "NotAuthorized"),
        (
            json!({"mqtt_acl": ["read a/#", "deny a/b"]}),
            "granted to ann",
        ),
        (json!({"mqtt_acl": ["raed a/#"]}), "BadCredentials"),
        (json!({"mqtt_acl": "read a/#"}), "BadCredentials"),
    ] {
        let mut all = good.clone();
        all.as_object_mut()
            .unwrap()
            .extend(claims.as_object().unwrap().clone());
        assert_eq!(judge(&jwt, &token(&all)).await, expected, "{claims}");
    }
}

#[tokio::test]
async fn leeway_stretches_the_end_for_the_token_and_the_connection() {
    let scratch = Scratch::new();
    let jwt = Jwt::open(JwtSettings {
        leeway: Duration::from_secs(30),
        ..with_secret(&scratch)
    })
    .unwrap();
    let late = token(&json!({"exp": seconds(-10)}));
    assert_eq!(judge(&jwt, &late).await, "granted to ann");
    let identity = jwt.identify(&late, &Credentials::default()).await.unwrap();
    let end = identity
        .expires_at
        .unwrap()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(i64::try_from(end.as_secs()).unwrap() - seconds(0), 20);
}

#[tokio::test]
async fn rules_in_a_token_count() {
    let scratch = Scratch::new();
    let jwt = Jwt::open(with_secret(&scratch)).unwrap();
    let rules = token(&json!({"mqtt_acl": ["read a/%c/#", "write %u", "deny a/tab/x"]}));
    let credentials = Credentials {
        client_id: Utf8::from_static("tab"),
        ..Credentials::default()
    };
    let identity = jwt.identify(&rules, &credentials).await.unwrap();
    let granted = crate::acl::Granted {
        rules: identity.rules,
        ..crate::acl::Granted::by_file(None, &credentials.client_id, identity.user.as_ref(), None)
    };
    use weir_engine::{Asked, Coverage, Permissions, TopicFilter, TopicName};
    let topic = |text: &str| TopicName::try_from(text).unwrap();
    assert!(granted.may_receive(&topic("a/tab/y")) && !granted.may_receive(&topic("a/tab/x")));
    assert!(granted.may_publish(&topic("ann")) && !granted.may_publish(&topic("a/tab/y")));
    let filter = TopicFilter::try_from("a/tab/#").unwrap();
    assert_eq!(granted.may_subscribe(&filter), Coverage::Part);
    let rule = granted.rule(Asked::Publish(&topic("a/tab/x")));
    assert_eq!(rule, "claim mqtt_acl, entry 3: deny a/tab/x");
}

#[tokio::test]
async fn a_token_comes_by_every_way_that_is_configured_and_no_other() {
    let scratch = Scratch::new();
    let token = token(&json!({}));
    let mut presented = Presented {
        query: Some(format!("a=b&token={token}")),
        ..Presented::default()
    };
    for (name, value) in [
        (AUTHORIZATION, format!("bearer {token}")),
        (COOKIE, format!("other=1; session={token}")),
        (SEC_WEBSOCKET_PROTOCOL, format!("mqtt, bearer.{token}")),
    ] {
        presented
            .headers
            .insert(name, HeaderValue::from_str(&value).unwrap());
    }
    let listed = Presented {
        origin_is_listed: true,
        ..presented.clone()
    };
    let nothing = Credentials::default();
    for (source, from_anywhere) in [
        (TokenSource::Query("token".into()), "granted to ann"),
        (TokenSource::Query("jwt".into()), "no opinion"),
        (TokenSource::Authorization, "granted to ann"),
        (TokenSource::Subprotocol, "granted to ann"),
        (TokenSource::Cookie("session".into()), "no opinion"),
        (TokenSource::Password, "no opinion"),
    ] {
        let is_cookie = matches!(source, TokenSource::Cookie(_));
        let jwt = Jwt::open(JwtSettings {
            sources: vec![source],
            ..with_secret(&scratch)
        });
        let jwt = jwt.unwrap();
        assert_eq!(verdict(&jwt, &nothing, &presented).await, from_anywhere);
        if is_cookie {
            assert_eq!(verdict(&jwt, &nothing, &listed).await, "granted to ann");
        }
    }
    let by_auth = Credentials {
        method: Some(Utf8::from_static("JWT")),
        data: Some(Bytes::from(token.clone())),
        ..Credentials::default()
    };
    let jwt = Jwt::open(with_secret(&scratch)).unwrap();
    assert_eq!(
        verdict(&jwt, &by_auth, &Presented::default()).await,
        "granted to ann"
    );
}

#[tokio::test]
async fn a_password_that_is_no_token_is_left_to_others() {
    let scratch = Scratch::new();
    let jwt = Jwt::open(with_secret(&scratch)).unwrap();
    assert_eq!(judge(&jwt, "hunter2").await, "no opinion");
    assert_eq!(judge(&jwt, "a.b.c").await, "BadCredentials");
    assert_eq!(
        judge(&jwt, &format!("{}.b.c", "a".repeat(TOKEN_BYTES_MAX))).await,
        "BadCredentials"
    );
}

#[test]
fn keys_that_cannot_be_used_are_refused_at_the_start() {
    let scratch = Scratch::new();
    let said = |keys: KeySource| Jwt::open(settings(keys)).unwrap_err().to_string();
    let short = said(KeySource::SecretFile(scratch.file("s", "short")));
    assert!(
        short.contains("s: a secret of less than 32 bytes"),
        "{short}"
    );
    for text in [
        "",
        "{}",
        "{\"keys\": []}",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ] {
        let error = said(KeySource::File(scratch.file("k", text)));
        assert!(error.contains("k: no key in it"), "{error}");
    }
    for url in ["ftp://x/", "x", "http:///x"] {
        said(KeySource::Url(url.into(), Duration::ZERO));
    }
}

/// Answers each connection with the next of these bodies, then no more.
async fn serve(bodies: Vec<String>) -> (String, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys?x=1", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let count = bodies.len();
        for body in bodies {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let len = stream.read(&mut request).await.unwrap();
            assert!(request[..len].starts_with(b"GET /keys?x=1 HTTP/1.1\r\n"));
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream
                .write_all(format!("{head}{body}").as_bytes())
                .await
                .unwrap();
        }
        count
    });
    (url, serving)
}

#[tokio::test]
async fn keys_behind_a_url_are_kept_and_rotated() {
    let (old, new) = (Issuer::ec(), Issuer::ed());
    let jwks = |keys: &[Value]| json!({ "keys": keys }).to_string();
    let bodies = vec![
        jwks(&[old.jwk("old")]),
        jwks(&[old.jwk("old"), new.jwk("new")]),
    ];
    let (url, serving) = serve(bodies).await;
    let jwt = Jwt::open(settings(KeySource::Url(url, Duration::from_secs(3600)))).unwrap();
    let claims = json!({"sub": "ann", "exp": seconds(60)});
    let by_old = old.sign(&json!({"alg": "ES256", "kid": "old"}), &claims);
    let by_new = new.sign(&json!({"alg": "EdDSA", "kid": "new"}), &claims);
    assert_eq!(judge(&jwt, &by_old).await, "granted to ann");
    assert_eq!(judge(&jwt, &by_old).await, "granted to ann", "kept");
    // Not at once: anybody can write any key id.
    assert_eq!(judge(&jwt, &by_new).await, "BadCredentials");
    let Keys::Url(remote) = &jwt.keys else {
        unreachable!()
    };
    remote.grow_old(Duration::from_secs(11)).await;
    assert_eq!(judge(&jwt, &by_new).await, "granted to ann");
    assert_eq!(serving.await.unwrap(), 2);
    // The server is gone: what was had last still counts.
    remote.grow_old(Duration::from_secs(7200)).await;
    assert_eq!(judge(&jwt, &by_old).await, "granted to ann");
}

/// Anybody can name a key that is not known, and the server may be slow to say that there is none.
#[tokio::test]
async fn whoever_has_a_known_key_waits_for_nobody() {
    let ours = Issuer::ec();
    let (url, serving) = serve(vec![json!({"keys": [ours.jwk("ours")]}).to_string()]).await;
    let address = url.split('/').nth(2).unwrap().to_owned();
    let jwt = Jwt::open(settings(KeySource::Url(url, Duration::from_secs(3600)))).unwrap();
    let claims = json!({"sub": "ann", "exp": seconds(60)});
    let known = ours.sign(&json!({"alg": "ES256", "kid": "ours"}), &claims);
    let unknown = Issuer::ec().sign(&json!({"alg": "ES256", "kid": "theirs"}), &claims);
    assert_eq!(judge(&jwt, &known).await, "granted to ann");
    serving.await.unwrap();
    let silent = TcpListener::bind(address).await.unwrap();
    let Keys::Url(remote) = &jwt.keys else {
        unreachable!()
    };
    remote.grow_old(Duration::from_secs(11)).await;
    tokio::select! {
        biased;
        verdict = judge(&jwt, &unknown) => panic!("{verdict}, by whom?"),
        verdict = async {
            let _asked = silent.accept().await.unwrap();
            judge(&jwt, &known).await
        } => assert_eq!(verdict, "granted to ann"),
    }
}

#[tokio::test]
async fn without_any_keys_nobody_is_let_in() {
    let jwt = Jwt::open(settings(KeySource::Url(
        "http://127.0.0.1:1/".into(),
        Duration::ZERO,
    )))
    .unwrap();
    let token = Issuer::ec().sign(
        &json!({"alg": "ES256"}),
        &json!({"sub": "ann", "exp": seconds(9)}),
    );
    assert_eq!(judge(&jwt, &token).await, "AuthenticationUnavailable");
}
