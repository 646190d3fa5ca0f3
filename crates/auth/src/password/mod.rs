//! User name and password against a password file; SCRAM-SHA-256 against the lines that have its keys.
//!
//! A hash is meant to be slow, so it is computed on a thread of its own, few at a time and with a bounded queue: a flood of
//! logins can't take the processor from connected clients. A user that does not exist costs one hash of the commonest kind
//! in the file, so that the time does not tell who exists.

mod file;
mod hash;

pub use file::PasswordFile;
pub(crate) use hash::{is_same, random};

use crate::error::AuthError;
use crate::scram::{Awaiting, ClientFirst, SCRAM_SHA_256, ScramKeys};
use crate::watched::{Reload, Watched};
use crate::{Exchange, Identity, Judging, Provider, Request, Verdict};
use bytes::Bytes;
use file::Passwords;
use hash::Stored;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::Semaphore;
use weir_engine::{Refusal, Utf8};

/// Logins that may wait for their turn; one more is told that the server is busy.
const WAITING_MAX: usize = 4096;

/// Judges by a password file.
#[derive(Debug)]
pub struct Password {
    name: String,
    passwords: Watched<Passwords>,
    hashing: Arc<Hashing>,
    /// Keys the salts of users that do not exist.
    secret: Secret,
}

struct Secret([u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Password {
    /// Reads the file. `hashes_at_once` is how many passwords are checked at a time.
    ///
    /// # Errors
    /// The file can't be read or has a line that can't be.
    pub fn open(path: &Path, hashes_at_once: usize) -> Result<Self, AuthError> {
        Ok(Self {
            name: format!("password file {}", path.display()),
            passwords: Watched::open(path, Passwords::read)?,
            hashing: Arc::new(Hashing::new(hashes_at_once, WAITING_MAX)),
            secret: Secret(random()?),
        })
    }

    async fn judge(&self, request: &Request<'_>) -> Verdict {
        let credentials = request.credentials;
        match credentials.method.as_deref() {
            Some(SCRAM_SHA_256) => return self.begin_scram(request),
            Some(_) => return Verdict::NoOpinion,
            None => {}
        }
        let (Some(user), Some(password)) = (&credentials.username, &credentials.password) else {
            return Verdict::NoOpinion;
        };
        let passwords = self.passwords.current();
        let known = passwords.find(user);
        let Some(stored) = known.or_else(|| passwords.stand_in()) else {
            return Verdict::NoOpinion;
        };
        let (stored, is_known) = (Arc::clone(stored), known.is_some());
        match self.hashing.check(stored, password.clone()).await {
            Err(Busy) => Verdict::Refused(Refusal::AuthenticationUnavailable),
            // Another provider may know the user.
            Ok(_) if !is_known => Verdict::NoOpinion,
            Ok(true) => Verdict::Granted(Identity::of(user.clone())),
            Ok(false) => Verdict::Refused(Refusal::BadCredentials),
        }
    }

    fn begin_scram(&self, request: &Request<'_>) -> Verdict {
        let data = request.credentials.data.as_deref().unwrap_or_default();
        let refused = Verdict::Refused(Refusal::BadCredentials);
        let Some(first) = ClientFirst::parse(data) else {
            return refused;
        };
        let Ok(user) = Utf8::try_from(first.user.as_str()) else {
            return refused;
        };
        let passwords = self.passwords.current();
        let known = passwords.find(&user).and_then(|stored| stored.scram());
        let keys = match known {
            Some(keys) => keys.clone(),
            None => ScramKeys::invented(&user, &self.secret.0),
        };
        match first.challenge(keys, known.is_some()) {
            None => Verdict::Refused(Refusal::AuthenticationUnavailable),
            Some((data, awaiting)) => Verdict::Challenged(data, Box::new(Scram { user, awaiting })),
        }
    }
}

impl Provider for Password {
    fn name(&self) -> &str {
        &self.name
    }

    fn authenticate<'a>(&'a self, request: &'a Request<'a>) -> Judging<'a> {
        Box::pin(self.judge(request))
    }

    fn tried_user(&self, request: &Request<'_>) -> Option<Utf8> {
        let credentials = request.credentials;
        match credentials.method.as_deref() {
            Some(SCRAM_SHA_256) => {
                let first = ClientFirst::parse(credentials.data.as_deref()?)?;
                Utf8::try_from(first.user.as_str()).ok()
            }
            Some(_) => None,
            None => {
                let user = credentials.username.clone()?;
                credentials.password.is_some().then_some(user)
            }
        }
    }

    fn still_admits(&self, user: &str) -> bool {
        self.passwords.current().has(user)
    }

    fn reload(&self, force: bool) -> Vec<Reload> {
        self.passwords.reload(force).into_iter().collect()
    }

    fn has_method(&self, method: &str) -> bool {
        method == SCRAM_SHA_256
    }
}

/// A SCRAM exchange between its two steps.
struct Scram {
    user: Utf8,
    awaiting: Awaiting,
}

impl Exchange for Scram {
    fn respond<'a>(self: Box<Self>, data: Bytes) -> Judging<'a> {
        let verdict = match self.awaiting.conclude(&data) {
            None => Verdict::Refused(Refusal::BadCredentials),
            Some(data) => Verdict::Granted(Identity {
                data: Some(data),
                ..Identity::of(self.user)
            }),
        };
        Box::pin(std::future::ready(verdict))
    }
}

/// Where hashes are computed.
#[derive(Debug)]
struct Hashing {
    at_once: Semaphore,
    waiting: AtomicUsize,
    waiting_max: usize,
    /// How many hashes were computed.
    computed: AtomicU64,
}

/// Too many logins wait already.
#[derive(Debug, PartialEq, Eq)]
struct Busy;

impl Hashing {
    fn new(at_once: usize, waiting_max: usize) -> Self {
        Self {
            at_once: Semaphore::new(at_once.max(1)),
            waiting: AtomicUsize::new(0),
            waiting_max,
            computed: AtomicU64::new(0),
        }
    }

    async fn check(self: &Arc<Self>, stored: Arc<Stored>, password: Bytes) -> Result<bool, Busy> {
        let waiting = Waiting::begin(self).ok_or(Busy)?;
        let turn = self.at_once.acquire().await.map_err(|_| Busy)?;
        let counted = Arc::clone(self);
        let hash = tokio::task::spawn_blocking(move || {
            counted.computed.fetch_add(1, Ordering::Relaxed);
            stored.is_of(&password)
        });
        let is_right = hash.await;
        drop((turn, waiting));
        is_right.map_err(|_| Busy)
    }
}

/// A place in the queue; given back when dropped, also where the client has gone meanwhile.
struct Waiting<'a>(&'a Hashing);

impl<'a> Waiting<'a> {
    fn begin(hashing: &'a Hashing) -> Option<Self> {
        let before = hashing.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(hashing);
        (before < hashing.waiting_max).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
