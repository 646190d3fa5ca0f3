//! The ways a token may come to the broker.
//!
//! A page's script has only the URL, the subprotocols and the CONNECT; a cookie and `Authorization` are set by others. A
//! browser sends a cookie along for every page, so it counts only where the page's origin is listed.

use crate::presented::Presented;
use weir_engine::Credentials;

const BEARER: &str = "bearer ";
const SUBPROTOCOL: &str = "bearer.";

/// One way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// The Password of CONNECT.
    Password,
    /// A parameter of the query string.
    Query(String),
    /// A cookie.
    Cookie(String),
    /// `Authorization: Bearer`.
    Authorization,
    /// A `bearer.TOKEN` among the subprotocols offered.
    Subprotocol,
}

impl TokenSource {
    /// The token that comes this way, if one does.
    pub(crate) fn find(&self, credentials: &Credentials, presented: &Presented) -> Option<String> {
        let token = match self {
            Self::Password => {
                let password = std::str::from_utf8(credentials.password.as_deref()?).ok()?;
                // Another password is for other providers.
                Some(password).filter(|text| has_three_parts(text))
            }
            Self::Query(name) => presented
                .parameters()
                .find(|(found, _)| found == name)
                .map(|(_, token)| token),
            Self::Cookie(name) if presented.origin_is_listed => presented.cookie(name),
            Self::Cookie(_) => None,
            Self::Authorization => {
                let header = presented.authorization()?;
                let (scheme, token) = header.split_at_checked(BEARER.len())?;
                scheme.eq_ignore_ascii_case(BEARER).then_some(token.trim())
            }
            Self::Subprotocol => presented
                .subprotocols()
                .find_map(|offer| offer.strip_prefix(SUBPROTOCOL)),
        };
        token.map(str::to_owned)
    }
}

fn has_three_parts(text: &str) -> bool {
    text.split('.').count() == 3
}
