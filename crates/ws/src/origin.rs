//! Which pages may open a WebSocket: the `Origin` header against what the listener allows.
//!
//! A browser lets any page in the world connect to any server and says in `Origin` which page it was; nothing but the
//! server's own comparison protects what it serves on loopback or behind cookies. The comparison is exact, byte for byte
//! with the serialised origin (RFC 6454, 6.2), and fails closed: what is listed twice, or is no origin, is refused. A
//! request without the header does not come from a browser.

use std::fmt;
use std::str::FromStr;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

use crate::refusal::{Refusal, quote};

/// Pages that may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// Those that came from the host and port that the request names in its `Host` header: `same-host`.
    SameHost,
    /// All pages of the world: `*`.
    Any,
    /// Those of exactly this serialised origin, such as `https://app.example`; `null` is that of a sandboxed frame or a
    /// local file.
    Exactly(String),
}

/// Why a text is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginFault {
    /// It is not a scheme, `://` and a host.
    NotAnOrigin,
    /// Something stands behind host and port: a path, even `/` alone.
    Path,
    /// A browser writes it in lower case.
    UpperCase,
    /// A browser leaves the scheme's usual port away.
    UsualPort,
}

impl AllowedOrigin {
    fn allows(&self, origin: &[u8], headers: &HeaderMap) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(listed) => listed.as_bytes() == origin,
            Self::SameHost => is_same_host(origin, headers),
        }
    }
}

impl FromStr for AllowedOrigin {
    type Err = OriginFault;

    fn from_str(text: &str) -> Result<Self, OriginFault> {
        match text {
            "same-host" => return Ok(Self::SameHost),
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Exactly(text.to_owned())),
            _ => {}
        }
        let (scheme, authority) = text.split_once("://").ok_or(OriginFault::NotAnOrigin)?;
        if authority.contains(['/', '?', '#']) {
            return Err(OriginFault::Path);
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(OriginFault::UpperCase);
        }
        let uri: Uri = text.parse().map_err(|_| OriginFault::NotAnOrigin)?;
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or(OriginFault::NotAnOrigin)?;
        let whole = match uri.port_u16() {
            Some(port) => authority == format!("{host}:{port}"),
            None => authority == host,
        };
        if !whole || scheme.is_empty() || uri.scheme_str() != Some(scheme) {
            return Err(OriginFault::NotAnOrigin);
        }
        if without_usual_port(scheme, authority) != authority {
            return Err(OriginFault::UsualPort);
        }
        Ok(Self::Exactly(text.to_owned()))
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameHost => "same-host",
            Self::Any => "*",
            Self::Exactly(origin) => origin,
        })
    }
}

impl fmt::Display for OriginFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnOrigin => "is not an origin",
            Self::Path => "has something behind the host, which no origin has",
            Self::UpperCase => "has upper case letters, which no browser sends",
            Self::UsualPort => "names the usual port of its scheme, which no browser sends",
        })
    }
}

impl std::error::Error for OriginFault {}

/// Whether the page that sent this request may connect.
pub(crate) fn check(headers: &HeaderMap, allowed: &[AllowedOrigin]) -> Result<(), Refusal> {
    let mut lines = headers.get_all(ORIGIN).into_iter();
    let Some(origin) = lines.next() else {
        return Ok(());
    };
    let is_allowed = |entry: &AllowedOrigin| entry.allows(origin.as_bytes(), headers);
    if lines.next().is_none() && allowed.iter().any(is_allowed) {
        return Ok(());
    }
    Err(Refusal::Origin {
        origin: quote(origin.as_bytes()),
    })
}

/// Whether `allowed` has the origin of this request word for word.
pub(crate) fn is_listed(headers: &HeaderMap, allowed: &[AllowedOrigin]) -> bool {
    let mut lines = headers.get_all(ORIGIN).into_iter();
    match (lines.next(), lines.next()) {
        (Some(origin), None) => allowed.iter().any(
            |entry| matches!(entry, AllowedOrigin::Exactly(listed) if listed.as_bytes() == origin.as_bytes()),
        ),
        _ => false,
    }
}

fn is_same_host(origin: &[u8], headers: &HeaderMap) -> bool {
    let parts = std::str::from_utf8(origin)
        .ok()
        .and_then(|text| text.split_once("://"));
    let mut hosts = headers.get_all(HOST).into_iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let (Some((scheme, authority)), Some(host), None) = (parts, host, hosts.next()) else {
        return false;
    };
    // The request may have come through a proxy that ended TLS, so the page's own scheme says which port is usual.
    let same = |one: &str, other: &str| !one.is_empty() && one.eq_ignore_ascii_case(other);
    same(
        without_usual_port(scheme, authority),
        without_usual_port(scheme, host),
    )
}

fn without_usual_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let usual = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return authority,
    };
    authority.strip_suffix(usual).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(host: &str, origins: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::try_from(host).unwrap());
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::try_from(*origin).unwrap());
        }
        headers
    }

    fn passes(allowed: &[&str], host: &str, origins: &[&str]) -> bool {
        let allowed: Vec<_> = allowed.iter().map(|text| text.parse().unwrap()).collect();
        check(&headers(host, origins), &allowed).is_ok()
    }

    #[test]
    fn a_request_without_origin_does_not_come_from_a_page() {
        assert!(passes(&[], "h", &[]));
    }

    #[test]
    fn the_same_host_means_host_and_port() {
        let same = |host: &str, origin: &str| passes(&["same-host"], host, &[origin]);
        assert!(same("localhost:8083", "http://localhost:8083"));
        assert!(same("APP.example", "https://app.example"));
        assert!(same("app.example:443", "https://app.example"));
        assert!(same("[::1]:8083", "http://[::1]:8083"));
        for (host, origin) in [
            ("localhost:8083", "http://localhost:5173"),
            ("localhost:8083", "http://localhost"),
            ("app.example", "https://app.example.evil.example"),
            ("app.example", "https://evil.example"),
            ("app.example:80", "https://app.example"),
            ("app.example", "null"),
            ("app.example", "app.example"),
            ("", "http://"),
        ] {
            assert!(!same(host, origin), "{host} {origin}");
        }
    }

    #[test]
    fn a_listed_origin_is_compared_byte_for_byte() {
        let listed = |origin: &str| passes(&["https://app.example", "null"], "broker", &[origin]);
        assert!(listed("https://app.example") && listed("null"));
        for origin in [
            "https://app.example/",
            "https://app.example:443",
            "https://APP.example",
            "http://app.example",
            "https://app.example.evil.example",
            "https://app.example https://evil.example",
            "",
            "https://broker",
        ] {
            assert!(!listed(origin), "{origin}");
        }
    }

    #[test]
    fn any_is_any_and_two_origins_are_none() {
        assert!(passes(&["*"], "broker", &["https://evil.example"]));
        assert!(!passes(
            &["*"],
            "broker",
            &["https://a.example", "https://b.example"]
        ));
        assert!(!passes(&[], "broker", &["https://broker"]));
    }

    #[test]
    fn only_a_literal_entry_lists_an_origin() {
        let shown = headers("app.example", &["https://app.example"]);
        let entry = |text: &str| [text.parse().unwrap()];
        assert!(is_listed(&shown, &entry("https://app.example")));
        assert!(!is_listed(&shown, &entry("same-host")));
        assert!(!is_listed(&shown, &entry("*")));
    }

    #[test]
    fn what_no_browser_would_send_is_no_entry() {
        let fault = |text: &str| text.parse::<AllowedOrigin>().unwrap_err();
        for text in [
            "",
            "app.example",
            "https://",
            "https://a b",
            "https://u@h",
            "://h",
            "https://h:x",
        ] {
            let parsed = text.parse::<AllowedOrigin>();
            assert_eq!(parsed, Err(OriginFault::NotAnOrigin), "{text}");
        }
        assert_eq!(fault("https://app.example/"), OriginFault::Path);
        assert_eq!(fault("https://App.example"), OriginFault::UpperCase);
        assert_eq!(fault("https://app.example:443"), OriginFault::UsualPort);
        assert!("capacitor://localhost".parse::<AllowedOrigin>().is_ok());
        assert!("https://[::1]:8443".parse::<AllowedOrigin>().is_ok());
    }
}
