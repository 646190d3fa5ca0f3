//! Who may connect and what they may do.
//!
//! A [`Provider`] judges what a client says and shows of itself; a [`Chain`] asks its providers in order until one has an
//! opinion. Nobody having one is a refusal: authentication fails closed. A provider may take its time (it answers with a
//! future), it never blocks the thread, and what it grants is asked at every publish and subscribe without waiting.
//! No password, token or hash is ever part of a `Debug`, an error or a log line.

mod acl;
mod attempts;
mod certificate;
mod chain;
mod error;
mod jwt;
mod password;
mod presented;
mod scram;
#[cfg(test)]
mod scratch;
mod watched;
mod web;
mod webhook;

pub use acl::{Explanation, explain_publish, explain_subscribe};
pub use certificate::Certificate;
pub use chain::{Admission, Chain, Judgement, Pending};
pub use error::{AuthError, FileFault, LineFault};
pub use jwt::{ClaimNames, Jwt, JwtSettings, KeySource, TokenSource};
pub use password::{Password, PasswordFile};
pub use presented::{ClientCertificate, Presented, network};
pub use watched::Reload;
pub use webhook::{Webhook, WebhookSettings};

use bytes::Bytes;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;
use weir_engine::{Credentials, Refusal, Utf8};

/// What a provider has to judge by.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What CONNECT or AUTH says.
    pub credentials: &'a Credentials,
    /// What was shown before.
    pub presented: &'a Presented,
}

/// What a provider says of a client.
pub enum Verdict {
    /// It may connect, as this.
    Granted(Identity),
    /// It may not connect; no other provider is asked.
    Refused(Refusal),
    /// Not for this provider to say.
    NoOpinion,
    /// It has to answer this first (Authentication Data), and its answer goes there.
    Challenged(Bytes, Box<dyn Exchange>),
}

/// A verdict to come.
pub type Judging<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Judges who may connect.
pub trait Provider: Debug + Send + Sync {
    /// What the log calls it.
    fn name(&self) -> &str;

    /// Judges a client.
    fn authenticate<'a>(&'a self, request: &'a Request<'a>) -> Judging<'a>;

    /// Whether a user that was granted would still be; asked when something was read again.
    fn still_admits(&self, user: &str) -> bool {
        let _ = user;
        true
    }

    /// Reads again what has changed, everything if `force`.
    fn reload(&self, force: bool) -> Vec<Reload> {
        let _ = force;
        Vec::new()
    }

    /// The user whose password is tried, where somebody could guess it: too many failures make the next one wait.
    fn tried_user(&self, request: &Request<'_>) -> Option<Utf8> {
        let _ = request;
        None
    }

    /// Whether it has this method of enhanced authentication.
    fn has_method(&self, method: &str) -> bool {
        let _ = method;
        false
    }
}

/// An enhanced authentication that awaits the client's next answer.
pub trait Exchange: Send {
    /// Goes on with it.
    fn respond<'a>(self: Box<Self>, data: Bytes) -> Judging<'a>;
}

/// Who a client was found to be.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The user; `None` for the anonymous.
    pub user: Option<Utf8>,
    /// When what it showed expires; `None`: never.
    pub expires_at: Option<SystemTime>,
    /// The Authentication Data that ends an enhanced authentication.
    pub data: Option<Bytes>,
    /// Rules that came with it and count instead of those of the ACL file.
    pub(crate) rules: Option<acl::Rules>,
}

impl Identity {
    /// This user, for ever.
    #[must_use]
    pub fn of(user: Utf8) -> Self {
        Self {
            user: Some(user),
            ..Self::default()
        }
    }
}
