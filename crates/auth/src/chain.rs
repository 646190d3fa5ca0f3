//! The providers in the order in which they are asked, and what becomes of their verdict.
//!
//! The first provider with an opinion decides. Whoever shows nothing at all is anonymous, and let in only on the listeners
//! that say so; whoever shows something that no provider knows is refused. The permissions a client gets know where they
//! come from, so that they can be asked what became of them.

use crate::acl::{Acl, Granted};
use crate::error::AuthError;
use crate::presented::Presented;
use crate::watched::{Reload, Watched};
use crate::{Exchange, Identity, Provider, Request, Verdict};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use weir_engine::{Credentials, Permissions, Refusal, Utf8};

/// Providers in the order in which they are asked.
#[derive(Debug, Default)]
pub struct Chain {
    providers: Vec<Arc<dyn Provider>>,
    /// For each listener, whether the anonymous are let in.
    anonymous: Vec<bool>,
    /// What clients may do; everything, if there is none.
    acl: Option<Arc<Watched<Acl>>>,
}

/// What a client may do, and until when.
#[derive(Clone, Debug)]
pub struct Admission {
    /// What it may publish and subscribe to.
    pub permissions: Arc<dyn Permissions>,
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
}

impl Chain {
    /// A chain of these providers. `anonymous` says for each listener whether who shows nothing is let in.
    #[must_use]
    pub fn new(providers: Vec<Arc<dyn Provider>>, anonymous: Vec<bool>) -> Self {
        Self {
            providers,
            anonymous,
            acl: None,
        }
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
        for provider in &self.providers {
            match provider.authenticate(&request).await {
                Verdict::NoOpinion => {}
                verdict => return self.judgement(provider, &credentials.client_id, verdict),
            }
        }
        Judgement::Decided(self.anonymous(credentials, presented))
    }

    /// Goes on with an enhanced authentication.
    pub async fn respond(&self, pending: Pending, data: Bytes) -> Judgement {
        let verdict = pending.exchange.respond(data).await;
        self.judgement(&pending.provider, &pending.client_id, verdict)
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
        verdict: Verdict,
    ) -> Judgement {
        match verdict {
            Verdict::Granted(identity) => {
                Judgement::Decided(Ok(self.admit(provider, client_id, identity)))
            }
            Verdict::Refused(refusal) => Judgement::Decided(Err(refusal)),
            Verdict::NoOpinion => Judgement::Decided(Err(Refusal::BadCredentials)),
            Verdict::Challenged(data, exchange) => Judgement::Challenged(
                data,
                Pending {
                    exchange,
                    client_id: client_id.detached(),
                    provider: Arc::clone(provider),
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
            user: identity.user,
            expires_at: identity.expires_at,
            data: identity.data,
        }
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

    #[derive(Debug)]
    struct Says(&'static str);

    impl Provider for Says {
        fn name(&self) -> &str {
            self.0
        }

        fn authenticate<'a>(&'a self, _: &'a Request<'a>) -> Judging<'a> {
            let verdict = match self.0 {
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
}
