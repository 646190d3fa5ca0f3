//! The rules of the WebSocket handshake over a parsed HTTP request, without I/O.
//!
//! [`examine`] says whether a request is plain HTTP, a WebSocket to be, or a refused one. What must hold: lists are
//! parsed as lists, over several header lines too; at most one subprotocol is answered, and only one that was offered,
//! compared exactly (RFC 6455, 4.2; [MQTT-6.0.0-3], [MQTT-6.0.0-4]). Extensions are declined by saying nothing.

use bytes::Bytes;
use http::header::{
    CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::handshake::{HandshakeConfig, Host};
use crate::origin;
use crate::refusal::{Refusal, quote};

/// The length of 16 bytes in base64, padding included.
const KEY_CHARS: usize = 24;

/// A subprotocol that was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subprotocol {
    /// `mqtt`, registered for every version of MQTT.
    Mqtt,
    /// `mqttv3.1`, what clients of 3.1 offer.
    MqttV31,
}

/// Who is told of a refusal by a close code, after an upgrade, instead of by an HTTP status that a page can't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefuseAfterUpgrade {
    /// Nobody.
    Never,
    /// Requests with an `Origin`: they come from a page.
    Browsers,
    /// Everybody.
    Always,
}

/// What a request is.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Ordinary HTTP.
    Plain,
    /// A WebSocket, with the answer that opens it.
    Upgrade {
        subprotocol: Option<Subprotocol>,
        response: Response<Bytes>,
    },
    /// A WebSocket that is opened to say why there is none.
    Deferred {
        refusal: Refusal,
        response: Response<Bytes>,
    },
    /// Neither.
    Refused(Refusal),
}

impl Subprotocol {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::MqttV31 => "mqttv3.1",
        }
    }
}

/// A handshake without a fault of form: what would open the WebSocket.
struct Opening {
    accept: String,
    subprotocol: Option<Subprotocol>,
}

/// Applies the rules in the order in which a person would want to hear of them.
pub(crate) fn examine(
    request: &Request<()>,
    has_body: bool,
    config: &HandshakeConfig,
    host: &impl Host,
) -> Verdict {
    let upgrade = lists(request.headers(), UPGRADE, |token| {
        token.eq_ignore_ascii_case(b"websocket")
    });
    if !upgrade && !request.headers().contains_key(SEC_WEBSOCKET_KEY) {
        return Verdict::Plain;
    }
    let is_known = check_path(request, config);
    let opening = check_request(request, has_body, upgrade)
        .and_then(|()| check_version(request.headers()))
        .and_then(|()| accept_key(request.headers()))
        .and_then(|accept| Ok((accept, choose_subprotocol(request.headers())?)))
        .map(|(accept, subprotocol)| Opening {
            accept,
            subprotocol,
        });
    let opening = match (is_known, opening) {
        (Ok(()), Err(fault)) | (Err(fault), Err(_)) => return Verdict::Refused(fault),
        (Err(refusal), Ok(opening)) => return defer(request, config, refusal, opening),
        (Ok(()), Ok(opening)) => opening,
    };
    let permitted = check_offer(&opening, config)
        .and_then(|()| origin::check(request.headers(), &config.allowed_origins))
        .and_then(|()| host.admit(request));
    match permitted {
        Ok(()) => Verdict::Upgrade {
            subprotocol: opening.subprotocol,
            response: switching(opening),
        },
        Err(refusal) => defer(request, config, refusal, opening),
    }
}

/// Refuses, in a way that whoever asked can read.
fn defer(
    request: &Request<()>,
    config: &HandshakeConfig,
    refusal: Refusal,
    opening: Opening,
) -> Verdict {
    let defers = match config.refuse_after_upgrade {
        RefuseAfterUpgrade::Never => false,
        RefuseAfterUpgrade::Browsers => request.headers().contains_key(ORIGIN),
        RefuseAfterUpgrade::Always => true,
    };
    if defers && refusal.close_code().is_some() {
        let response = switching(opening);
        return Verdict::Deferred { refusal, response };
    }
    Verdict::Refused(refusal)
}

fn check_path(request: &Request<()>, config: &HandshakeConfig) -> Result<(), Refusal> {
    let path = request.uri().path();
    if config.paths.iter().any(|supported| supported == path) {
        return Ok(());
    }
    Err(Refusal::UnknownPath {
        path: quote(path.as_bytes()),
        supported: config.paths.to_vec(),
    })
}

fn check_request(request: &Request<()>, has_body: bool, upgrade: bool) -> Result<(), Refusal> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(Refusal::Method {
            method: quote(request.method().as_str().as_bytes()),
        });
    }
    if request.version() < Version::HTTP_11 {
        return Err(Refusal::HttpVersion);
    }
    if !upgrade
        || !lists(headers, CONNECTION, |token| {
            token.eq_ignore_ascii_case(b"upgrade")
        })
    {
        return Err(Refusal::NotAnUpgrade);
    }
    if single(headers, HOST).is_none() {
        return Err(Refusal::Host);
    }
    if has_body { Err(Refusal::Body) } else { Ok(()) }
}

fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    match single(headers, SEC_WEBSOCKET_VERSION) {
        Some(b"13") => Ok(()),
        _ => Err(Refusal::Version {
            offered: offered(headers, SEC_WEBSOCKET_VERSION),
        }),
    }
}

/// The answer to the key. The unused bits of its last character are not looked at: they carry nothing.
fn accept_key(headers: &HeaderMap) -> Result<String, Refusal> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match single(headers, SEC_WEBSOCKET_KEY) {
        Some(key)
            if key.len() == KEY_CHARS
                && key.ends_with(b"==")
                && key[..KEY_CHARS - 2].iter().all(is_base64) =>
        {
            Ok(derive_accept_key(key))
        }
        _ => Err(Refusal::Key),
    }
}

/// The subprotocol to answer; `None` if none was offered.
fn choose_subprotocol(headers: &HeaderMap) -> Result<Option<Subprotocol>, Refusal> {
    let is_offered = |subprotocol: &Subprotocol| {
        lists(headers, SEC_WEBSOCKET_PROTOCOL, |token| {
            token == subprotocol.as_str().as_bytes()
        })
    };
    let chosen = [Subprotocol::Mqtt, Subprotocol::MqttV31]
        .into_iter()
        .find(is_offered);
    if chosen.is_none() && lists(headers, SEC_WEBSOCKET_PROTOCOL, |_| true) {
        return Err(Refusal::Subprotocol {
            offered: offered(headers, SEC_WEBSOCKET_PROTOCOL),
        });
    }
    Ok(chosen)
}

fn check_offer(opening: &Opening, config: &HandshakeConfig) -> Result<(), Refusal> {
    if opening.subprotocol.is_none() && !config.allow_missing_subprotocol {
        return Err(Refusal::SubprotocolMissing);
    }
    Ok(())
}

fn switching(opening: Opening) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::try_from(opening.accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(subprotocol) = opening.subprotocol {
        headers.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(subprotocol.as_str()),
        );
    }
    response
}

/// Whether a header that is a list, over any number of lines, has an element for which `is` holds.
fn lists(headers: &HeaderMap, name: HeaderName, is: impl Fn(&[u8]) -> bool) -> bool {
    elements(headers, name).any(is)
}

fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// The value of a header that must stand exactly once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut lines = headers.get_all(name).into_iter();
    match (lines.next(), lines.next()) {
        (Some(only), None) => Some(only.as_bytes().trim_ascii()),
        _ => None,
    }
}

fn offered(headers: &HeaderMap, name: HeaderName) -> String {
    quote(&elements(headers, name).collect::<Vec<_>>().join(&b", "[..]))
}
