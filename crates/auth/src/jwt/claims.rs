//! What the claims of a token that is proven say: the user, the end, a client id, rules.
//!
//! Only a token with a user and an end counts. Why one does not is told by the names of its claims, never by what they
//! say.

use crate::Identity;
use crate::acl::Rules;
use jsonwebtoken::errors::{Error, ErrorKind};
use serde_json::{Map, Value};
use std::fmt;
use std::time::{Duration, SystemTime};
use weir_engine::{Credentials, Utf8};

/// Which claims say what; an empty name is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// The user name.
    pub user: String,
    /// The Client Identifier that the token is for, where it has this claim.
    pub client_id: String,
    /// What the client may do: a list of `read news/#`, as the lines of an ACL file, where it has this claim.
    pub acl: String,
}

/// Why a token does not count. No part of it is ever quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NotAToken,
    Critical,
    UnknownKey,
    NoKeys,
    Signature,
    Expired,
    NotYetValid,
    Issuer,
    Audience,
    Missing(String),
    ClientId,
    Acl(usize),
}

impl ClaimNames {
    pub(crate) fn identity(
        &self,
        claims: &Map<String, Value>,
        leeway: Duration,
        credentials: &Credentials,
    ) -> Result<Identity, Fault> {
        let user = claims.get(&self.user).and_then(Value::as_str);
        let user = user.and_then(|user| Utf8::try_from(user).ok());
        let user = user.filter(|user| !user.is_empty());
        let user = user.ok_or_else(|| Fault::Missing(self.user.clone()))?;
        if let Some(bound) = claims.get(&self.client_id)
            && bound.as_str() != Some(&credentials.client_id)
        {
            return Err(Fault::ClientId);
        }
        let rules = claims
            .get(&self.acl)
            .map(|acl| self.rules(acl))
            .transpose()?;
        Ok(Identity {
            user: Some(user),
            expires_at: Some(expiry(claims, leeway)?),
            data: None,
            rules,
        })
    }

    fn rules(&self, acl: &Value) -> Result<Rules, Fault> {
        Rules::of_list(acl, &format!("claim {}, entry", self.acl)).map_err(Fault::Acl)
    }
}

impl Fault {
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYetValid,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::MissingRequiredClaim(claim) => Self::Missing(claim.clone()),
            _ => Self::NotAToken,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAToken => f.write_str("not a token"),
            Self::Critical => {
                f.write_str("its header asks for an extension that is not known here")
            }
            Self::UnknownKey => f.write_str("no key for its algorithm and key id"),
            Self::NoKeys => f.write_str("the keys can't be had at the moment"),
            Self::Signature => f.write_str("its signature is wrong"),
            Self::Expired => f.write_str("it has expired"),
            Self::NotYetValid => f.write_str("it is not valid yet"),
            Self::Issuer => f.write_str("another issuer"),
            Self::Audience => f.write_str("another audience"),
            Self::Missing(claim) => write!(f, "no usable claim {claim:?}"),
            Self::ClientId => f.write_str("it is for another client id"),
            Self::Acl(0) => f.write_str("its rules are not a list"),
            Self::Acl(entry) => write!(f, "entry {entry} of its rules can't be read"),
        }
    }
}

/// `exp`, which was checked already, and the leeway: seconds since 1970, possibly with a fraction.
fn expiry(claims: &Map<String, Value>, leeway: Duration) -> Result<SystemTime, Fault> {
    let seconds = claims.get("exp").and_then(Value::as_f64);
    let since = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    since
        .and_then(|since| {
            SystemTime::UNIX_EPOCH
                .checked_add(since)?
                .checked_add(leeway)
        })
        .ok_or_else(|| Fault::Missing("exp".into()))
}
