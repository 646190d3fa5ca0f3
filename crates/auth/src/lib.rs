//! Who may connect and what they may do.
//!
//! A [`Provider`] judges the credentials of a CONNECT; a [`Chain`] asks its providers in order until one has an opinion.
//! Nobody having one is a refusal: authentication fails closed. A provider may take its time (it answers with a future),
//! it never blocks the thread, and what it grants is asked at every publish and subscribe without waiting.

mod anonymous;
mod presented;

pub use anonymous::Anonymous;
pub use presented::{ClientCertificate, Presented};

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use weir_engine::{Authentication, Credentials, Grant, Refusal};

/// What a provider says of a client.
#[derive(Debug)]
pub enum Verdict {
    /// It may connect, and do this.
    Granted(Grant),
    /// It may not connect; no other provider is asked.
    Refused(Refusal),
    /// Not for this provider to say.
    NoOpinion,
}

/// A verdict to come.
pub type Judging<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Judges who may connect.
pub trait Provider: Debug + Send + Sync {
    /// Judges these credentials.
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> Judging<'a>;
}

/// Providers in the order in which they are asked.
#[derive(Debug, Default)]
pub struct Chain {
    providers: Vec<Box<dyn Provider>>,
}

impl Chain {
    /// A chain of these providers. An empty chain refuses everybody.
    #[must_use]
    pub fn new(providers: Vec<Box<dyn Provider>>) -> Self {
        Self { providers }
    }

    /// The first verdict of a provider that has one; a refusal if none has.
    ///
    /// # Errors
    /// The refusal, for the CONNACK.
    pub async fn authenticate(&self, credentials: &Credentials) -> Authentication {
        for provider in &self.providers {
            match provider.authenticate(credentials).await {
                Verdict::Granted(grant) => return Ok(grant),
                Verdict::Refused(refusal) => return Err(refusal),
                Verdict::NoOpinion => {}
            }
        }
        Err(Refusal::NotAuthorized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use weir_codec::Utf8;

    #[derive(Debug)]
    struct Says(fn() -> Verdict);

    impl Provider for Says {
        fn authenticate<'a>(&'a self, _: &'a Credentials) -> Judging<'a> {
            Box::pin(std::future::ready((self.0)()))
        }
    }

    fn ask(providers: Vec<Box<dyn Provider>>) -> Authentication {
        let chain = Chain::new(providers);
        let credentials = Credentials {
            client_id: Utf8::from_static("c"),
            ..Credentials::default()
        };
        let mut asking = pin!(chain.authenticate(&credentials));
        match asking
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("these providers answer at once"),
        }
    }

    #[test]
    fn an_empty_chain_refuses_everybody() {
        assert_eq!(ask(vec![]).err(), Some(Refusal::NotAuthorized));
    }

    #[test]
    fn the_first_opinion_counts() {
        let no_opinion = || Box::new(Says(|| Verdict::NoOpinion)) as Box<dyn Provider>;
        let refuses = Box::new(Says(|| Verdict::Refused(Refusal::BadCredentials)));
        assert_eq!(
            ask(vec![no_opinion(), refuses, Box::new(Anonymous)]).err(),
            Some(Refusal::BadCredentials)
        );
        assert!(ask(vec![no_opinion(), Box::new(Anonymous)]).is_ok());
        assert_eq!(ask(vec![no_opinion()]).err(), Some(Refusal::NotAuthorized));
    }
}
