//! A JWKS behind a URL: asked for when it is needed, kept, and asked for again.
//!
//! A token with a key id that is not known makes it be asked for at once, since issuers change their keys without notice; but
//! not more often than every few seconds, since anybody can write any key id. While it is asked for, whoever's key is known
//! waits for nobody; while it can't be had, the keys that were had last count; without any, nobody is let in.

use super::Shared;
use super::keys::KeySet;
use crate::error::AuthError;
use crate::web::Endpoint;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Mutex as Turn;

/// How often an unknown key id may make it be asked for.
const PAUSE: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Remote {
    endpoint: Endpoint,
    refresh: Duration,
    kept: Mutex<Option<Shared>>,
    /// When it was asked for last. Held while it is, so that nobody asks twice.
    asked_at: Turn<Option<Instant>>,
}

impl Remote {
    pub(crate) fn new(url: &str, refresh: Duration) -> Result<Self, AuthError> {
        Ok(Self {
            endpoint: Endpoint::parse(url)?,
            refresh,
            kept: Mutex::default(),
            asked_at: Turn::default(),
        })
    }

    /// The keys, among them the one of this id if there is one.
    pub(crate) async fn keys_with(&self, id: Option<&str>) -> Option<Shared> {
        let mut asked_at = match (self.has(id), self.asked_at.try_lock()) {
            (_, Ok(turn)) => turn,
            (true, Err(_)) => return self.keys(),
            (false, Err(_)) => self.asked_at.lock().await,
        };
        let age = asked_at.map(|at| at.elapsed());
        let is_due = age.is_none_or(|age| age >= self.refresh || (age >= PAUSE && !self.has(id)));
        if is_due {
            *asked_at = Some(Instant::now());
            match self.ask().await {
                Ok(keys) => *self.kept() = Some(keys.shared()),
                Err(fault) => {
                    tracing::error!(url = %self.endpoint, "the keys can't be had: {fault}");
                }
            }
        }
        self.keys()
    }

    /// Whether there are keys, and among them the one of this id.
    fn has(&self, id: Option<&str>) -> bool {
        let kept = self.kept();
        kept.as_ref()
            .is_some_and(|keys| id.is_none_or(|id| keys.has(id)))
    }

    fn keys(&self) -> Option<Shared> {
        self.kept().clone()
    }

    fn kept(&self) -> MutexGuard<'_, Option<Shared>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut asked_at = self.asked_at.lock().await;
        *asked_at = asked_at.and_then(|at| at.checked_sub(by));
    }
}
