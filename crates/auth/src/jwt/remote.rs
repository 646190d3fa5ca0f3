//! A JWKS behind a URL: asked for when it is needed, kept, and asked for again.
//!
//! A token with a key id that is not known makes it be asked for at once, since issuers change their keys without notice; but
//! not more often than every few seconds, since anybody can write any key id. While it can't be had, the keys that were had
//! last count; without any, nobody is let in.

use super::Shared;
use super::keys::KeySet;
use crate::error::AuthError;
use crate::web::Endpoint;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How often an unknown key id may make it be asked for.
const PAUSE: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Remote {
    endpoint: Endpoint,
    refresh: Duration,
    /// Held while it is asked for, so that nobody asks twice.
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    keys: Option<Shared>,
    asked_at: Option<Instant>,
}

impl Remote {
    pub(crate) fn new(url: &str, refresh: Duration) -> Result<Self, AuthError> {
        Ok(Self {
            endpoint: Endpoint::parse(url)?,
            refresh,
            kept: Mutex::default(),
        })
    }

    /// The keys, among them the one of this id if there is one.
    pub(crate) async fn keys_with(&self, id: Option<&str>) -> Option<Shared> {
        let mut kept = self.kept.lock().await;
        let age = kept.asked_at.map(|at| at.elapsed());
        let lacks = kept
            .keys
            .as_ref()
            .is_none_or(|keys| id.is_some_and(|id| !keys.has(id)));
        let is_due = age.is_none_or(|age| age >= self.refresh || (lacks && age >= PAUSE));
        if is_due {
            kept.asked_at = Some(Instant::now());
            match self.ask().await {
                Ok(keys) => kept.keys = Some(keys.shared()),
                Err(fault) => {
                    tracing::error!(url = %self.endpoint, "the keys can't be had: {fault}");
                }
            }
        }
        kept.keys.clone()
    }

    async fn ask(&self) -> Result<KeySet, String> {
        let answer = self.endpoint.get(PATIENCE, ANSWER_BYTES_MAX).await;
        let answer = answer.map_err(|fault| fault.to_string())?;
        let text = std::str::from_utf8(&answer).map_err(|_| "the answer is not text")?;
        KeySet::parse_jwks(text)
            .ok_or_else(|| "the answer is no JWKS with a key for signatures".into())
    }
}

#[cfg(test)]
impl Remote {
    /// As if it had been asked so much earlier.
    pub(crate) async fn grow_old(&self, by: Duration) {
        let mut kept = self.kept.lock().await;
        kept.asked_at = kept.asked_at.and_then(|at| at.checked_sub(by));
    }
}
