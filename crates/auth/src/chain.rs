//! The providers in the order in which they are asked, and what becomes of their verdict.
//!
//! The first provider with an opinion decides. Whoever shows nothing at all is anonymous, and let in only on the listeners
//! that say so; whoever shows something that no provider knows is refused. The permissions a client gets know where they
//! come from, so that they can be asked what became of them.

use crate::acl::{Acl, Granted};
use crate::attempts::{Attempt, Attempts};
use crate::error::AuthError;
use crate::presented::Presented;
use crate::watched::{Reload, Watched};
use crate::{Exchange, Identity, Provider, Request, Verdict};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use weir_engine::{Credentials, Permissions, Refusal, Utf8};

/// Providers in the order in which they are asked.
#[derive(Debug, Default)]
pub struct Chain {
    providers: Vec<Arc<dyn Provider>>,
    /// For each listener, whether the anonymous are let in.
    anonymous: Vec<bool>,
    /// What clients may do; everything, if there is none.
    acl: Option<Arc<Watched<Acl>>>,
    /// What makes guessers wait; nothing, if there is none.
    attempts: Option<Attempts>,
}

/// What a client may do, and until when.
#[derive(Clone, Debug)]
pub struct Admission {
    /// What it may publish and subscribe to.
    pub permissions: Arc<dyn Permissions>,
    /// The client id that this is for.
    pub client_id: Utf8,
    /// Who it is; `None` for the anonymous.
    pub user: Option<Utf8>,
    /// When what it showed expires; `None`: never.
    pub expires_at: Option<SystemTime>,
    /// The Authentication Data that ends an enhanced authentication.
    pub data: Option<Bytes>,
}

/// What a chain says of a client.
#[derive(Debug)]
pub enum Judgement {
    /// It may connect, or not.
    Decided(Result<Admission, Refusal>),
    /// It is to be asked this first; then go on with [`Chain::respond`].
    Challenged(Bytes, Pending),
}

/// An enhanced authentication that awaits the client's answer.
pub struct Pending {
    exchange: Box<dyn Exchange>,
    client_id: Utf8,
    provider: Arc<dyn Provider>,
    attempt: Option<Attempt>,
}

impl Chain {
    /// A chain of these providers. `anonymous` says for each listener whether who shows nothing is let in.
    #[must_use]
    pub fn new(providers: Vec<Arc<dyn Provider>>, anonymous: Vec<bool>) -> Self {
        Self {
            providers,
            anonymous,
            acl: None,
            attempts: None,
        }
    }

    /// Who tries passwords in vain has to wait, at most this long.
    #[must_use]
    pub fn with_login_delay(mut self, longest: Duration) -> Self {
        self.attempts = Some(Attempts::new(longest));
        self
    }

    /// Clients may do what this ACL file says.
    ///
    /// # Errors
    /// The file can't be read or has a line that can't be.
    pub fn with_acl_file(mut self, path: &Path) -> Result<Self, AuthError> {
        self.acl = Some(Arc::new(Watched::open(path, Acl::read)?));
        Ok(self)
    }

    /// The first opinion of a provider; a refusal if none has one.
    pub async fn authenticate(
        &self,
        credentials: &Credentials,
        presented: &Presented,
    ) -> Judgement {
        if let Some(method) = credentials.method.as_deref()
            && !self.providers.iter().any(|it| it.has_method(method))
        {
            // [MQTT-4.12.0-1]
            return Judgement::Decided(Err(Refusal::BadAuthenticationMethod));
        }
        let request = Request {
            credentials,
            presented,
        };
        let mut tried = None;
        for provider in &self.providers {
            if !self.may_try(provider, &request, &mut tried) {
                continue;
            }
            match provider.authenticate(&request).await {
                Verdict::NoOpinion => {}
                verdict => {
                    let is_tried = provider.tried_user(&request).is_some();
                    // Who proves to be somebody in another way has not guessed the password.
                    let counts = is_tried || !matches!(verdict, Verdict::Granted(_));
                    let attempt = tried.and_then(Result::ok).filter(|_| counts);
                    return self.judgement(provider, &credentials.client_id, attempt, verdict);
                }
            }
        }
        match tried {
            Some(Err(wait)) => Judgement::Decided(Err(told_to_wait(wait))),
            tried => {
                let answer = self.anonymous(credentials, presented);
                let attempt = tried.and_then(Result::ok);
                let counted = self.count(attempt, answer.as_ref().err().copied());
                Judgement::Decided(counted.and(answer))
            }
        }
    }

    /// Whether a provider is asked: not while a guesser has to wait. Those that nobody can guess at are.
    fn may_try(
        &self,
        provider: &Arc<dyn Provider>,
        request: &Request<'_>,
        tried: &mut Option<Result<Attempt, Duration>>,
    ) -> bool {
        let Some(attempts) = &self.attempts else {
            return true;
        };
        let Some(user) = provider.tried_user(request) else {
            return true;
        };
        let address = request.presented.address;
        let begin = || attempts.begin(&user, address, Instant::now());
        tried.get_or_insert_with(begin).is_ok()
    }

    /// Remembers how a try ended. Other refusals than for a wrong password, such as that nobody could look, are none.
    ///
    /// # Errors
    /// It has to wait after all, and nobody may be told.
    fn count(&self, attempt: Option<Attempt>, refusal: Option<Refusal>) -> Result<(), Refusal> {
        let (Some(attempts), Some(attempt)) = (&self.attempts, attempt) else {
            return Ok(());
        };
        let is_right = match refusal {
            None => true,
            Some(Refusal::BadCredentials) => false,
            Some(_) => return Ok(()),
        };
        let ended = attempts.end(attempt, is_right, Instant::now());
        ended.map_err(told_to_wait)
    }

    /// Goes on with an enhanced authentication.
    pub async fn respond(&self, pending: Pending, data: Bytes) -> Judgement {
        let verdict = pending.exchange.respond(data).await;
        let attempt = pending.attempt;
        self.judgement(&pending.provider, &pending.client_id, attempt, verdict)
    }

    /// Reads again what has changed, everything if `force`.
    pub fn reload(&self, force: bool) -> Vec<Reload> {
        let providers = self.providers.iter();
        let of_providers = providers.flat_map(|provider| provider.reload(force));
        let of_acl = self.acl.iter().filter_map(|acl| acl.reload(force));
        of_providers.chain(of_acl).collect()
    }

    fn judgement(
        &self,
        provider: &Arc<dyn Provider>,
        client_id: &Utf8,
        attempt: Option<Attempt>,
        verdict: Verdict,
    ) -> Judgement {
        match verdict {
            Verdict::Granted(identity) => {
                let counted = self.count(attempt, None);
                Judgement::Decided(counted.map(|()| self.admit(provider, client_id, identity)))
            }
            Verdict::Refused(refusal) => {
                let counted = self.count(attempt, Some(refusal));
                Judgement::Decided(counted.and(Err(refusal)))
            }
            Verdict::NoOpinion => Judgement::Decided(Err(Refusal::BadCredentials)),
            Verdict::Challenged(data, exchange) => Judgement::Challenged(
                data,
                Pending {
                    exchange,
                    client_id: client_id.detached(),
                    provider: Arc::clone(provider),
                    attempt,
                },
            ),
        }
    }

    fn anonymous(
        &self,
        credentials: &Credentials,
        presented: &Presented,
    ) -> Result<Admission, Refusal> {
        let shows_something = credentials.username.is_some()
            || credentials.password.is_some()
            || credentials.method.is_some();
        // Where nobody could know anybody, what a client says of itself plays no part.
        if shows_something && !self.providers.is_empty() {
            return Err(Refusal::BadCredentials);
        }
        match self.anonymous.get(presented.listener) {
            Some(true) => Ok(Admission {
                permissions: Arc::new(Granted::by_file(
                    self.acl.as_ref(),
                    &credentials.client_id,
                    None,
                    None,
                )),
                client_id: credentials.client_id.clone(),
                user: None,
                expires_at: None,
                data: None,
            }),
            _ if self.providers.is_empty() => Err(Refusal::NotAuthorized),
            _ => Err(Refusal::AnonymousNotAllowed),
        }
    }

    fn admit(
        &self,
        provider: &Arc<dyn Provider>,
        client_id: &Utf8,
        identity: Identity,
    ) -> Admission {
        let provider = Some(Arc::clone(provider));
        let (user, file) = (identity.user.as_ref(), self.acl.as_ref());
        let permissions = match identity.rules {
            None => Granted::by_file(file, client_id, user, provider),
            rules => Granted {
                rules,
                ..Granted::by_file(None, client_id, user, provider)
            },
        };
        Admission {
            permissions: Arc::new(permissions),
            client_id: client_id.clone(),
            user: identity.user,
            expires_at: identity.expires_at,
            data: identity.data,
        }
    }
}

fn told_to_wait(wait: Duration) -> Refusal {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Refusal::TooManyFailedLogins {
        retry_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Judging;

    /// `guessed` tries passwords and knows none, `granted` knows who says `right` as a password.
    #[derive(Debug)]
    struct Says(&'static str);

    impl Provider for Says {
        fn name(&self) -> &str {
            self.0
        }

        fn tried_user(&self, request: &Request<'_>) -> Option<Utf8> {
            let tries = self.0 == "guessed";
            request.credentials.username.clone().filter(|_| tries)
        }

        fn authenticate<'a>(&'a self, request: &'a Request<'a>) -> Judging<'a> {
            let verdict = match self.0 {
                "guessed" if request.credentials.password.is_none() => {
                    Verdict::Refused(Refusal::BadCredentials)
                }
                "granted" if request.credentials.password.is_some() => {
                    Verdict::Granted(Identity::of(Utf8::from_static("eve")))
                }
                "yes" => Verdict::Granted(Identity::of(Utf8::from_static("ann"))),
                "no" => Verdict::Refused(Refusal::BadCredentials),
                _ => Verdict::NoOpinion,
            };
            Box::pin(std::future::ready(verdict))
        }
    }

    async fn ask(providers: &[&'static str], user: &str, listener: usize) -> Result<(), Refusal> {
        let providers = providers
            .iter()
            .map(|says| Arc::new(Says(says)) as Arc<dyn Provider>);
        let chain = Chain::new(providers.collect(), vec![true, false]);
        let credentials = Credentials {
            username: Utf8::try_from(user).ok().filter(|user| !user.is_empty()),
            ..Credentials::default()
        };
        let presented = Presented {
            listener,
            ..Presented::default()
        };
        match chain.authenticate(&credentials, &presented).await {
            Judgement::Decided(answer) => answer.map(drop),
            Judgement::Challenged(..) => panic!("these providers ask nothing"),
        }
    }

    #[tokio::test]
    async fn the_first_opinion_counts() {
        assert_eq!(
            ask(&["?", "no", "yes"], "u", 0).await,
            Err(Refusal::BadCredentials)
        );
        assert_eq!(ask(&["?", "yes", "no"], "u", 0).await, Ok(()));
        assert_eq!(ask(&["?"], "u", 0).await, Err(Refusal::BadCredentials));
    }

    #[tokio::test]
    async fn the_anonymous_are_let_in_where_the_listener_says_so() {
        assert_eq!(ask(&["?"], "", 0).await, Ok(()));
        assert_eq!(ask(&["?"], "", 1).await, Err(Refusal::AnonymousNotAllowed));
        assert_eq!(ask(&["?"], "", 7).await, Err(Refusal::AnonymousNotAllowed));
    }

    #[tokio::test]
    async fn without_providers_nobody_looks_at_names() {
        assert_eq!(ask(&[], "u", 0).await, Ok(()));
        assert_eq!(ask(&[], "u", 1).await, Err(Refusal::NotAuthorized));
    }

    async fn log_in(chain: &Chain, password: Option<&'static [u8]>) -> Result<(), Refusal> {
        let credentials = Credentials {
            username: Some(Utf8::from_static("ann")),
            password: password.map(Bytes::from_static),
            ..Credentials::default()
        };
        match chain
            .authenticate(&credentials, &Presented::default())
            .await
        {
            Judgement::Decided(answer) => answer.map(drop),
            Judgement::Challenged(..) => panic!("these providers ask nothing"),
        }
    }

    #[tokio::test]
    async fn a_guesser_waits_and_others_are_asked_meanwhile() {
        let providers: [Arc<dyn Provider>; 2] =
            [Arc::new(Says("guessed")), Arc::new(Says("granted"))];
        let chain = Chain::new(providers.to_vec(), vec![false]);
        let chain = chain.with_login_delay(Duration::from_secs(10));
        for _ in 0..5 {
            assert_eq!(log_in(&chain, None).await, Err(Refusal::BadCredentials));
            // To be somebody else does not make the failures forgotten.
            assert_eq!(log_in(&chain, Some(b"a token")).await, Ok(()));
        }
        let retry_seconds = 1;
        assert_eq!(
            log_in(&chain, None).await,
            Err(Refusal::TooManyFailedLogins { retry_seconds })
        );
        assert_eq!(log_in(&chain, Some(b"a token")).await, Ok(()));
    }
}
