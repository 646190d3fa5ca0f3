//! Somebody else's program judges: it is asked by HTTP, with a POST of JSON.
//!
//! ```text
//! -> {"client_id": "tab", "username": "ann", "password": "..", "address": "192.0.2.1",
//!     "encrypted": true, "certificate": null}
//! <- {"result": "allow", "user": "ann", "expires_in_seconds": 3600, "acl": ["read news/#"]}
//! ```
//! `result` is `allow`, `deny` or `ignore`; the rest may be missing. Anything else than that, in time, is no: it fails closed.
//! Answers are kept for a while, under a key from which no password can be read.

use crate::acl::Rules;
use crate::error::AuthError;
use crate::password::random;
use crate::web::Endpoint;
use crate::{Identity, Judging, Provider, Request, Verdict};
use bytes::Bytes;
use ring::hmac;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Semaphore;
use weir_engine::{Refusal, Utf8};

const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Questions asked at a time; more wait.
const AT_ONCE: usize = 64;
/// Questions that wait at most.
const WAITING_MAX: usize = 4096;
const KEPT_MAX: usize = 10_000;

/// How a webhook is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Where.
    pub url: String,
    /// How long it may take.
    pub patience: Duration,
    /// How long an answer is kept; zero: not at all.
    pub keep: Duration,
}

/// Judges by asking a webhook.
pub struct Webhook {
    name: String,
    endpoint: Endpoint,
    settings: WebhookSettings,
    at_once: Semaphore,
    waiting: Semaphore,
    kept: Mutex<HashMap<[u8; 32], (Instant, Answer)>>,
    /// Keys the names under which answers are kept.
    key: hmac::Key,
}

/// What a webhook said.
#[derive(Clone, Debug)]
enum Answer {
    Allow(Identity),
    Deny,
    Ignore,
}

impl Webhook {
    /// A webhook that has not been asked yet.
    ///
    /// # Errors
    /// The URL can't be one.
    pub fn new(settings: WebhookSettings) -> Result<Self, AuthError> {
        let endpoint = Endpoint::parse(&settings.url)?;
        Ok(Self {
            name: format!("webhook {endpoint}"),
            endpoint,
            settings,
            at_once: Semaphore::new(AT_ONCE),
            waiting: Semaphore::new(WAITING_MAX),
            kept: Mutex::default(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()?),
        })
    }

    async fn judge(&self, request: &Request<'_>) -> Verdict {
        if request.credentials.method.is_some() {
            return Verdict::NoOpinion;
        }
        let question = question(request);
        let name = self.name_of(&question);
        if let Some(answer) = self.kept(&name) {
            return answer.verdict();
        }
        match self.ask(&question, request).await {
            Ok(answer) => {
                self.keep(name, &answer);
                answer.verdict()
            }
            Err(fault) => {
                tracing::error!(provider = self.name, "no answer that counts: {fault}");
                Verdict::Refused(Refusal::AuthenticationUnavailable)
            }
        }
    }

    async fn ask(&self, question: &Value, request: &Request<'_>) -> Result<Answer, String> {
        let _waiting = self
            .waiting
            .try_acquire()
            .map_err(|_| "too many wait already")?;
        let _turn = self.at_once.acquire().await.map_err(|_| "it is closed")?;
        let body = Bytes::from(question.to_string());
        let answer = self
            .endpoint
            .post_json(body, self.settings.patience, ANSWER_BYTES_MAX)
            .await
            .map_err(|fault| fault.to_string())?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| "it is no JSON")?;
        Answer::read(&answer, request.credentials.username.as_ref())
    }

    /// What an answer is kept under: it says nothing of the question.
    fn name_of(&self, question: &Value) -> [u8; 32] {
        let tag = hmac::sign(&self.key, question.to_string().as_bytes());
        tag.as_ref().try_into().unwrap_or_default()
    }

    fn kept(&self, name: &[u8; 32]) -> Option<Answer> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, answer) = kept.get(name)?;
        let is_fresh = at.elapsed() < self.settings.keep && !answer.has_expired();
        is_fresh.then(|| answer.clone())
    }

    fn keep(&self, name: [u8; 32], answer: &Answer) {
        if self.settings.keep.is_zero() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, (at, _)| at.elapsed() < self.settings.keep);
        }
        if kept.len() < KEPT_MAX {
            kept.insert(name, (Instant::now(), answer.clone()));
        }
    }
}

impl Provider for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn authenticate<'a>(&'a self, request: &'a Request<'a>) -> Judging<'a> {
        Box::pin(self.judge(request))
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Webhook").field(&self.name).finish()
    }
}

impl Answer {
    fn read(answer: &Value, username: Option<&Utf8>) -> Result<Self, String> {
        match answer["result"].as_str() {
            Some("allow") => {}
            Some("deny") => return Ok(Self::Deny),
            Some("ignore") => return Ok(Self::Ignore),
            _ => return Err("its result is none of allow, deny and ignore".into()),
        }
        let user = match &answer["user"] {
            Value::Null => username.cloned(),
            Value::String(user) => {
                Some(Utf8::try_from(user.as_str()).map_err(|_| "its user is no name")?)
            }
            _ => return Err("its user is no name".into()),
        };
        let expires_at = match &answer["expires_in_seconds"] {
            Value::Null => None,
            seconds => {
                let seconds = seconds
                    .as_u64()
                    .ok_or("its expires_in_seconds is no number")?;
                SystemTime::now().checked_add(Duration::from_secs(seconds))
            }
        };
        let rules = match &answer["acl"] {
            Value::Null => None,
            acl => {
                Some(Rules::of_list(acl, "webhook, entry").map_err(|_| "its acl can't be read")?)
            }
        };
        Ok(Self::Allow(Identity {
            user,
            expires_at,
            data: None,
            rules,
        }))
    }

    fn verdict(self) -> Verdict {
        match self {
            Self::Allow(identity) => Verdict::Granted(identity),
            Self::Deny => Verdict::Refused(Refusal::BadCredentials),
            Self::Ignore => Verdict::NoOpinion,
        }
    }

    fn has_expired(&self) -> bool {
        match self {
            Self::Allow(identity) => identity
                .expires_at
                .is_some_and(|at| at <= SystemTime::now()),
            Self::Deny | Self::Ignore => false,
        }
    }
}

fn question(request: &Request<'_>) -> Value {
    let (credentials, presented) = (request.credentials, request.presented);
    let password = credentials.password.as_deref().map(String::from_utf8_lossy);
    let certificate = presented.certificate.as_ref();
    json!({
        "client_id": credentials.client_id.as_str(),
        "username": credentials.username.as_deref(),
        "password": password,
        "address": presented.address.map(|address| address.to_string()),
        "encrypted": presented.is_encrypted,
        "certificate": certificate.and_then(|certificate| certificate.username.as_deref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presented::Presented;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use weir_engine::Credentials;

    /// Answers each connection with the next of these, and gives the requests.
    async fn serve(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/auth", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    assert!(stream.read_buf(&mut request).await.unwrap() > 0);
                }
                requests.push(String::from_utf8(request).unwrap());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            requests
        });
        (url, serving)
    }

    fn answer(json: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{json}",
            json.len()
        )
    }

    fn webhook(url: &str, keep_seconds: u64) -> Webhook {
        Webhook::new(WebhookSettings {
            url: url.into(),
            patience: Duration::from_secs(5),
            keep: Duration::from_secs(keep_seconds),
        })
        .unwrap()
    }

    async fn judge(webhook: &Webhook, password: &'static str) -> String {
        let credentials = Credentials {
            client_id: Utf8::from_static("tab"),
            username: Some(Utf8::from_static("ann")),
            password: Some(Bytes::from_static(password.as_bytes())),
            ..Credentials::default()
        };
        let presented = Presented::default();
        let request = Request {
            credentials: &credentials,
            presented: &presented,
        };
        match webhook.judge(&request).await {
            Verdict::Granted(identity) => format!("granted to {}", identity.user.unwrap().as_str()),
            Verdict::Refused(refusal) => format!("{refusal:?}"),
            _ => "no opinion".into(),
        }
    }

    #[tokio::test]
    async fn the_answer_decides() {
        let answers = [
            r#"{"result": "allow"}"#,
            r#"{"result": "allow", "user": "other", "expires_in_seconds": 5, "acl": ["read a"]}"#,
            r#"{"result": "deny"}"#,
            r#"{"result": "ignore"}"#,
        ];
        let (url, serving) = serve(answers.map(answer).to_vec()).await;
        let webhook = webhook(&url, 0);
        for expected in [
            "granted to ann",
            "granted to other",
            "BadCredentials",
            "no opinion",
        ] {
            assert_eq!(judge(&webhook, "pw").await, expected);
        }
        let requests = serving.await.unwrap();
        assert!(
            requests[0].starts_with("POST /auth HTTP/1.1\r\n"),
            "{}",
            requests[0]
        );
        let body = requests[0].split("\r\n\r\n").nth(1).unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&body["client_id"], &body["password"]),
            (&json!("tab"), &json!("pw"))
        );
    }

    #[tokio::test]
    async fn whatever_is_no_answer_is_a_refusal() {
        let answers = vec![
            answer("allow"),
            answer(r#"{"result": "yes"}"#),
            answer(r#"{"result": "allow", "acl": "all"}"#),
            answer(r#"{"result": "allow", "expires_in_seconds": "soon"}"#),
            "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".into(),
            "HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n".into(),
            "nonsense".into(),
        ];
        let count = answers.len();
        let (url, serving) = serve(answers).await;
        let webhook = webhook(&url, 60);
        for _ in 0..count {
            assert_eq!(judge(&webhook, "pw").await, "AuthenticationUnavailable");
        }
        serving.await.unwrap();
        assert_eq!(
            judge(&webhook, "pw").await,
            "AuthenticationUnavailable",
            "nobody listens"
        );
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_the_same_question_only() {
        let answers = [r#"{"result": "allow"}"#, r#"{"result": "deny"}"#];
        let (url, serving) = serve(answers.map(answer).to_vec()).await;
        let webhook = webhook(&url, 60);
        for _ in 0..3 {
            assert_eq!(judge(&webhook, "right").await, "granted to ann");
        }
        assert_eq!(judge(&webhook, "wrong").await, "BadCredentials");
        assert_eq!(judge(&webhook, "right").await, "granted to ann");
        assert_eq!(serving.await.unwrap().len(), 2);
    }
}
