//! Every reason for which a request to become a WebSocket is refused, with the HTTP answer that it gets.
//!
//! One text serves the person at the other end and the log, so both read the same. A page's script can't read an HTTP
//! answer at all: so some refusals can be told after the upgrade instead, by a close code and the same text. What must
//! hold: the text names the remedy, its first 123 bytes say the reason (a close frame has no more room); whatever it
//! quotes of the request is bounded and printable.

use std::fmt;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Response, StatusCode};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// How much of the peer's own words an answer repeats.
const QUOTE_CHARS_MAX: usize = 120;

/// A refused upgrade; `Display` is the body of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// An upgrade on a path where no WebSocket is spoken: 404.
    UnknownPath {
        /// The path asked for.
        path: String,
        /// The configured paths.
        supported: Vec<String>,
    },
    /// An upgrade by another method than GET: 405.
    Method {
        /// The method used.
        method: String,
    },
    /// An upgrade in HTTP/1.0, which knows none: 400.
    HttpVersion,
    /// WebSocket headers, but not both `Upgrade: websocket` and `Connection: Upgrade`: 400.
    NotAnUpgrade,
    /// No `Host`, or several: 400.
    Host,
    /// An upgrade with a body: 400.
    Body,
    /// Another version of the protocol than 13, or none: 426.
    Version {
        /// The version asked for.
        offered: String,
    },
    /// No `Sec-WebSocket-Key`, several, or not 16 bytes in base64: 400.
    Key,
    /// No subprotocol offered that is spoken here: 400.
    Subprotocol {
        /// What was offered, in the peer's order.
        offered: String,
    },
    /// No subprotocol offered at all: 400.
    SubprotocolMissing,
    /// A request that was begun and not finished in time: 408.
    RequestTimeout,
    /// A header block over the limit: 431.
    HeaderTooLarge {
        /// The configured limit.
        limit_bytes: usize,
    },
    /// A page of an origin that may not connect: 403.
    Origin {
        /// The origin.
        origin: String,
    },
    /// HTTP in the clear where TLS is spoken: 400.
    TlsExpected,
    /// HTTP where MQTT is spoken without WebSocket: 400.
    NotHttp,
    /// As many connections as there may be: 503.
    TooManyConnections,
    /// As many connections from one address as there may be: 429.
    TooManyFromAddress,
    /// More connections begun from one address in a second than may be: 429.
    TooFast,
}

impl Refusal {
    /// The word for it in metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::UnknownPath { .. } => "unknown_path",
            Self::Method { .. } => "method",
            Self::HttpVersion => "http_version",
            Self::NotAnUpgrade => "not_an_upgrade",
            Self::Host => "host",
            Self::Body => "body",
            Self::Version { .. } => "websocket_version",
            Self::Key => "websocket_key",
            Self::Subprotocol { .. } => "subprotocol",
            Self::SubprotocolMissing => "subprotocol_missing",
            Self::RequestTimeout => "request_timeout",
            Self::HeaderTooLarge { .. } => "header_too_large",
            Self::Origin { .. } => "origin",
            Self::TlsExpected => "http_on_tls",
            Self::NotHttp => "http_on_mqtt",
            Self::TooManyConnections => "too_many_connections",
            Self::TooManyFromAddress => "too_many_of_address",
            Self::TooFast => "address_too_fast",
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::UnknownPath { .. } => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Version { .. } => StatusCode::UPGRADE_REQUIRED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::HeaderTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Origin { .. } => StatusCode::FORBIDDEN,
            Self::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooManyFromAddress | Self::TooFast => StatusCode::TOO_MANY_REQUESTS,
            Self::HttpVersion
            | Self::NotAnUpgrade
            | Self::Host
            | Self::Body
            | Self::Key
            | Self::Subprotocol { .. }
            | Self::SubprotocolMissing
            | Self::TlsExpected
            | Self::NotHttp => StatusCode::BAD_REQUEST,
        }
    }

    /// The code that closes a WebSocket which was opened only to say this; `None` where none can be opened, since the
    /// handshake itself is wrong.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::UnknownPath { .. } | Self::Origin { .. } => Some(CloseCode::Policy),
            Self::SubprotocolMissing => Some(CloseCode::Protocol),
            Self::TooManyConnections | Self::TooManyFromAddress | Self::TooFast => {
                Some(CloseCode::Again)
            }
            _ => None,
        }
    }

    /// After how many seconds another try may succeed.
    fn retry_after_seconds(&self) -> Option<u16> {
        match self {
            Self::TooManyConnections | Self::TooManyFromAddress => Some(5),
            Self::TooFast => Some(1),
            _ => None,
        }
    }

    /// The whole answer in bytes, where nobody is left to write it.
    pub fn raw_response(&self) -> String {
        let body = format!("{self}\n");
        format!(
            "HTTP/1.1 {}\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            self.status(),
            body.len(),
        )
    }

    /// The whole answer, which ends the connection.
    pub fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(format!("{self}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        match self {
            Self::Method { .. } => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            Self::Version { .. } => {
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade, close"));
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPath { path, supported } => {
                write!(f, "no WebSocket at {path}: connect to {}", supported.join(" or "))
            }
            Self::Method { method } => write!(f, "a WebSocket is opened with GET, not {method}"),
            Self::HttpVersion => f.write_str(
                "a WebSocket is opened in HTTP/1.1, this request came in HTTP/1.0: \
                 a proxy in between must speak HTTP/1.1 to this server (nginx: proxy_http_version 1.1)",
            ),
            Self::NotAnUpgrade => f.write_str(
                "not a WebSocket handshake: it needs both `Upgrade: websocket` and `Connection: Upgrade`; \
                 a proxy in between must pass them on",
            ),
            Self::Host => f.write_str("a WebSocket handshake carries exactly one `Host` header"),
            Self::Body => f.write_str("a WebSocket handshake has no body"),
            Self::Version { offered } if offered.is_empty() => {
                f.write_str("`Sec-WebSocket-Version` is missing: version 13 is spoken here")
            }
            Self::Version { offered } => {
                write!(f, "WebSocket version {offered} is not supported: version 13 is spoken here")
            }
            Self::Key => f.write_str("`Sec-WebSocket-Key` must be given once, with 16 bytes in base64"),
            Self::Subprotocol { offered } => write!(
                f,
                "none of the offered subprotocols is supported: \
                 `Sec-WebSocket-Protocol` must offer mqtt or mqttv3.1, it offered {offered}"
            ),
            Self::SubprotocolMissing => f.write_str(
                "no subprotocol was offered: `Sec-WebSocket-Protocol` must offer mqtt or mqttv3.1",
            ),
            Self::RequestTimeout => f.write_str("the request was not complete in time"),
            Self::HeaderTooLarge { limit_bytes } => write!(
                f,
                "the request line and headers are larger than {limit_bytes} bytes or too many; \
                 usually cookies are the cause"
            ),
            Self::Origin { origin } => write!(
                f,
                "origin {origin} may not connect: it is not in `allowed_origins` of this listener"
            ),
            Self::TlsExpected => {
                f.write_str("this port speaks TLS: connect to it with wss:// or https://")
            }
            Self::NotHttp => {
                f.write_str("this port speaks MQTT without WebSocket: connect to it with mqtt://")
            }
            Self::TooManyConnections => {
                f.write_str("this broker has as many connections as it may have; try again later")
            }
            Self::TooManyFromAddress => {
                f.write_str("your address has as many connections as it may have")
            }
            Self::TooFast => {
                f.write_str("too many connections were begun from your address; try again in a second")
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// The peer's words, cut to a bounded length, with everything that is not printable ASCII replaced.
pub(crate) fn quote(words: &[u8]) -> String {
    let printable = |byte: &u8| {
        if byte.is_ascii_graphic() || *byte == b' ' {
            char::from(*byte)
        } else {
            '?'
        }
    };
    let mut quoted: String = words.iter().take(QUOTE_CHARS_MAX).map(printable).collect();
    if words.len() > QUOTE_CHARS_MAX {
        quoted.push_str("...");
    }
    quoted
}
