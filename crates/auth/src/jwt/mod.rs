//! JSON Web Tokens (RFC 7519): who a page is, until when, and what it may do, signed by somebody who knows.
//!
//! A page can't set headers, so the token may come in any of several ways; the same token renews the connection in place,
//! by AUTH with the method `JWT`. The key decides which algorithms count, never the token. A token without `exp` is
//! refused: nothing that opens a door may be good for ever.

mod claims;
mod crypto;
mod keys;
mod remote;
mod source;

pub use claims::ClaimNames;
pub use source::TokenSource;

use crate::error::AuthError;
use crate::presented::Presented;
use crate::watched::{Reload, Watched};
use crate::{Judging, Provider, Request, Verdict};
use claims::Fault;
use jsonwebtoken::{TokenData, Validation, decode, decode_header};
use keys::{Key, KeySet};
use remote::Remote;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use weir_engine::{Credentials, Refusal};

/// The name of the Authentication Method.
const METHOD: &str = "JWT";

/// A token of a person fits in a header; a longer one is not worth the arithmetic.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// What tokens a provider takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSettings {
    /// Where the keys are.
    pub keys: KeySource,
    /// The `iss` that a token must have, if one is given.
    pub issuer: Option<String>,
    /// The `aud` that a token must have one of, if any is given.
    pub audiences: Vec<String>,
    /// How far `exp` and `nbf` are stretched.
    pub leeway: Duration,
    /// The ways a token may come, in the order in which they are looked at.
    pub sources: Vec<TokenSource>,
    /// Which claims say what.
    pub claims: ClaimNames,
}

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file with public keys: PEM, or a JWKS.
    File(PathBuf),
    /// A file whose bytes, without white space at the end, are the secret of HMAC.
    SecretFile(PathBuf),
    /// A JWKS behind a URL, asked for again after this time.
    Url(String, Duration),
}

/// Judges by tokens.
#[derive(Debug)]
pub struct Jwt {
    name: String,
    settings: JwtSettings,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    File(Watched<KeySet>),
    Url(Remote),
}

impl Jwt {
    /// Reads the keys; those behind a URL are asked for with the first token.
    ///
    /// # Errors
    /// A file can't be read or has no key that can be used; a URL can't be one.
    pub fn open(settings: JwtSettings) -> Result<Self, AuthError> {
        crypto::install();
        let (name, keys) = match &settings.keys {
            KeySource::File(path) => (
                path.display().to_string(),
                Keys::File(Watched::open(path, KeySet::read_public)?),
            ),
            KeySource::SecretFile(path) => (
                path.display().to_string(),
                Keys::File(Watched::open(path, KeySet::read_secret)?),
            ),
            KeySource::Url(url, refresh) => (url.clone(), Keys::Url(Remote::new(url, *refresh)?)),
        };
        Ok(Self {
            name: format!("tokens of {}", settings.issuer.as_ref().unwrap_or(&name)),
            settings,
            keys,
        })
    }

    async fn judge(&self, request: &Request<'_>) -> Verdict {
        let Some(token) = self.token(request.credentials, request.presented) else {
            return Verdict::NoOpinion;
        };
        let Some(unproven) = unproven_issuer(&token) else {
            return self.refuse(request, &Fault::NotAToken);
        };
        // Another provider may know that issuer.
        if self.settings.issuer.is_some() && self.settings.issuer != unproven {
            return Verdict::NoOpinion;
        }
        match self.identify(&token, request.credentials).await {
            Ok(identity) => Verdict::Granted(identity),
            Err(fault) => self.refuse(request, &fault),
        }
    }

    fn refuse(&self, request: &Request<'_>, fault: &Fault) -> Verdict {
        let client = request.credentials.client_id.as_str();
        tracing::info!(client, provider = self.name, "token refused: {fault}");
        Verdict::Refused(match fault {
            Fault::Expired => Refusal::CredentialsExpired,
            Fault::NoKeys => Refusal::AuthenticationUnavailable,
            Fault::ClientId => Refusal::NotAuthorized,
            _ => Refusal::BadCredentials,
        })
    }

    async fn identify(
        &self,
        token: &str,
        credentials: &Credentials,
    ) -> Result<crate::Identity, Fault> {
        let header = decode_header(token).map_err(|_| Fault::NotAToken)?;
        // RFC 7515, 4.1.11: what has to be understood, and is not, makes a token invalid. No extension is known here.
        if header.crit.is_some() {
            return Err(Fault::Critical);
        }
        let keys = match &self.keys {
            Keys::File(watched) => watched.current(),
            Keys::Url(remote) => remote
                .keys_with(header.kid.as_deref())
                .await
                .ok_or(Fault::NoKeys)?,
        };
        let mut fault = Fault::UnknownKey;
        for key in keys.candidates(header.kid.as_deref(), header.alg) {
            match decode::<Map<String, Value>>(token, &key.decoding, &self.validation(key)) {
                Ok(TokenData { claims, .. }) => {
                    return self.settings.claims.identity(
                        &claims,
                        self.settings.leeway,
                        credentials,
                    );
                }
                Err(error) => fault = Fault::of(&error),
            }
        }
        Err(fault)
    }

    fn validation(&self, key: &Key) -> Validation {
        let mut validation = Validation::new(key.algorithms[0]);
        validation.algorithms.clone_from(&key.algorithms);
        validation.leeway = self.settings.leeway.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if let Some(issuer) = &self.settings.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.validate_aud = !self.settings.audiences.is_empty();
        if validation.validate_aud {
            validation.set_audience(&self.settings.audiences);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    /// The token that a client shows, the first in the configured order.
    fn token(&self, credentials: &Credentials, presented: &Presented) -> Option<String> {
        match credentials.method.as_deref() {
            Some(METHOD) => {
                let token = credentials.data.as_deref().unwrap_or_default();
                Some(String::from_utf8_lossy(token).into_owned())
            }
            Some(_) => None,
            None => {
                let mut sources = self.settings.sources.iter();
                sources.find_map(|source| source.find(credentials, presented))
            }
        }
    }
}

impl Provider for Jwt {
    fn name(&self) -> &str {
        &self.name
    }

    fn authenticate<'a>(&'a self, request: &'a Request<'a>) -> Judging<'a> {
        Box::pin(self.judge(request))
    }

    fn reload(&self, force: bool) -> Vec<Reload> {
        match &self.keys {
            Keys::File(watched) => watched.reload(force).into_iter().collect(),
            Keys::Url(_) => Vec::new(),
        }
    }

    fn has_method(&self, method: &str) -> bool {
        method == METHOD
    }
}

/// The `iss` that a token claims, before anything is proven; `None`: it is no token.
fn unproven_issuer(token: &str) -> Option<Option<String>> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let claims =
        jsonwebtoken::dangerous::insecure_decode_claims::<Map<String, Value>>(token).ok()?;
    let issuer = claims.get("iss").and_then(Value::as_str);
    Some(issuer.map(str::to_owned))
}

/// Keys as a value that can be shared and replaced.
type Shared = Arc<KeySet>;

#[cfg(test)]
mod tests;
