//! What a client showed before its CONNECT: its address, its upgrade request, its certificate.
//!
//! The listener side fills it once the transport is open; providers read it together with the CONNECT's own
//! credentials. It is kept only until the client is judged, so an idle connection pays nothing for it. Headers, query and
//! cookies carry secrets: `Debug` shows none of them.

use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// What a client showed before its CONNECT.
#[derive(Clone, Default)]
pub struct Presented {
    /// Which `[[listener]]` it came to, counted from 0.
    pub listener: usize,
    /// Where it is: behind a trusted proxy what the proxy says, `None` on a unix socket.
    pub address: Option<IpAddr>,
    /// The query string of the upgrade request, without the `?`; never there without a WebSocket.
    pub query: Option<String>,
    /// The headers of the upgrade request; empty without a WebSocket.
    pub headers: HeaderMap,
    /// Whether the request named an origin that the listener's own allow-list has, word for word: only then may a cookie
    /// count, since a browser sends it along for every page.
    pub origin_is_listed: bool,
    /// Whether nobody on the way can read along: TLS ends here, or a trusted proxy says that it ends there.
    pub is_encrypted: bool,
    /// The certificate of a TLS client, verified.
    pub certificate: Option<ClientCertificate>,
}

/// What a verified certificate says of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The user name it stands for, from the field that the listener's configuration names; `None` where the certificate
    /// has no such field.
    pub username: Option<String>,
    /// The Common Name of the subject.
    pub common_name: Option<String>,
    /// The alternative names of the subject that are DNS names, e-mail addresses or URIs, in order.
    pub alternative_names: Vec<String>,
}

impl Presented {
    /// The `Authorization` header, if there is exactly one and it is text.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        let mut lines = self.lines(&AUTHORIZATION);
        let only = lines.next()?;
        lines.next().is_none().then_some(only)
    }

    /// The cookie of this name, as it was sent; the first if there are several.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let lines = self.headers.get_all(COOKIE).into_iter();
        lines
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
            .filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='))
            .find(|(found, _)| found.trim() == name)
            .map(|(_, value)| value.trim())
    }

    /// The subprotocols that were offered, in order.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.lines(&SEC_WEBSOCKET_PROTOCOL)
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .filter(|offer| !offer.is_empty())
    }

    /// The parameters of the query string as they were sent, not decoded.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.query.as_deref().unwrap_or_default().split('&');
        pairs.filter_map(|pair| pair.split_once('='))
    }

    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
        let lines = self.headers.get_all(name).into_iter();
        lines.filter_map(|line| line.to_str().ok())
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Presented")
            .field("listener", &self.listener)
            .field("address", &self.address)
            .field("origin_is_listed", &self.origin_is_listed)
            .field("is_encrypted", &self.is_encrypted)
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// What counts as one address: in IPv6 a whole /64, since any host has as many of it as it likes.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(headers: &[(HeaderName, &'static str)]) -> Presented {
        let mut presented = Presented {
            query: Some("a=1&token=x.y&flag".into()),
            ..Presented::default()
        };
        for (name, value) in headers {
            let value = http::HeaderValue::from_static(value);
            presented.headers.append(name, value);
        }
        presented
    }

    #[test]
    fn lists_are_read_over_several_lines() {
        let shown = presented(&[
            (COOKIE, "a=b; session= s1 "),
            (COOKIE, "session=s2"),
            (SEC_WEBSOCKET_PROTOCOL, "mqtt, bearer.x"),
            (SEC_WEBSOCKET_PROTOCOL, "more"),
        ]);
        assert_eq!(shown.cookie("session"), Some("s1"));
        assert_eq!(shown.cookie("sess"), None);
        assert!(shown.subprotocols().eq(["mqtt", "bearer.x", "more"]));
        assert!(shown.parameters().eq([("a", "1"), ("token", "x.y")]));
    }

    /// Pages may set cookies with any characters, and browsers send all of a host's in one line.
    #[test]
    fn a_cookie_is_found_beside_one_that_is_not_ascii() {
        for other in ["name=Zo\u{eb}".as_bytes(), b"name=\xff"] {
            let line = [other, b"; session=s1; ", other].concat();
            let mut shown = Presented::default();
            let line = http::HeaderValue::from_bytes(&line).unwrap();
            shown.headers.append(COOKIE, line);
            assert_eq!(shown.cookie("session"), Some("s1"));
        }
    }

    #[test]
    fn two_authorizations_are_none() {
        let one = presented(&[(AUTHORIZATION, "Bearer x")]);
        assert_eq!(one.authorization(), Some("Bearer x"));
        let two = presented(&[(AUTHORIZATION, "Bearer x"), (AUTHORIZATION, "Bearer y")]);
        assert_eq!(two.authorization(), None);
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = presented(&[(AUTHORIZATION, "Bearer secret"), (COOKIE, "s=secret")]);
        let shown = format!("{shown:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("x.y"),
            "{shown}"
        );
    }
}
