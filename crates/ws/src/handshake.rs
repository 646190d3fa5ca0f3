//! HTTP on a fresh stream, until it becomes a WebSocket or ends.
//!
//! hyper parses and answers, so that everything that is not a handshake gets a proper HTTP answer on the same port, with
//! keep-alive; the rules are in `negotiate`. After the upgrade the bare stream and the bytes behind the handshake are
//! taken back from hyper, and nothing of it stays in memory.
//!
//! What must hold: a refusal reaches the peer before the stream ends, even if the peer is still sending; there is no
//! deadline here, the caller bounds the whole.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{poll_fn, ready};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1::{Builder, Parts};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::connection::Connection;
use crate::negotiate::{RefuseAfterUpgrade, Subprotocol, Verdict, examine};
use crate::origin::{self, AllowedOrigin};
use crate::refusal::Refusal;

/// Header lines in one request.
const HEADER_LINES_MAX: usize = 256;
/// hyper's own limit stands above ours by so much (which is also the least that it takes): in between, the refusal has
/// a body, above it has none.
const HEADER_SLACK_BYTES: usize = 8 * 1024;
/// What a handshake of TLS begins with, and a CONNECT of MQTT.
const TLS_HANDSHAKE: u8 = 0x16;
const MQTT_CONNECT: u8 = 0x10;
/// How long, and for how much, a peer that is still sending is listened to after the last answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// What is accepted. A clone shares its lists.
#[derive(Debug, Clone)]
pub struct HandshakeConfig {
    /// Where a WebSocket may be opened; compared exactly with the path, without the query string.
    pub paths: Arc<[String]>,
    /// Whether a client may offer no subprotocol at all, against [MQTT-6.0.0-3].
    pub allow_missing_subprotocol: bool,
    /// The largest request line and headers together.
    pub max_header_bytes: usize,
    /// How long the peer may take until the stream is a WebSocket; plain HTTP ends after it too.
    pub timeout: Duration,
    /// The pages that may connect; requests without an `Origin` don't come from one.
    pub allowed_origins: Arc<[AllowedOrigin]>,
    /// Whose refusal is told by a close code, after an upgrade, instead of by HTTP.
    pub refuse_after_upgrade: RefuseAfterUpgrade,
}

/// Whoever's port this is: it answers what is ordinary HTTP, and has the last word on an upgrade.
pub trait Host {
    /// Answers a request that asks for no WebSocket.
    fn respond(&self, request: &Request<()>) -> Response<Bytes>;

    /// Whether this upgrade, with which nothing else is wrong, may happen.
    ///
    /// # Errors
    /// Why not.
    fn admit(&self, request: &Request<()>) -> Result<(), Refusal>;
}

/// Admits everybody.
impl<F: Fn(&Request<()>) -> Response<Bytes>> Host for F {
    fn respond(&self, request: &Request<()>) -> Response<Bytes> {
        self(request)
    }

    fn admit(&self, _: &Request<()>) -> Result<(), Refusal> {
        Ok(())
    }
}

/// How the handshake ended.
#[derive(Debug)]
pub enum Outcome<S> {
    /// The stream is a WebSocket.
    Upgraded(Accepted<S>),
    /// The stream is a WebSocket only so that the peer can be told by a close frame why it is refused.
    Deferred {
        /// The connection; to be closed with [`Refusal::close_code`] and the refusal's text.
        connection: Connection<S>,
        /// Why.
        refusal: Refusal,
    },
    /// Plain HTTP was served, or an upgrade was refused; the connection is over.
    Answered {
        /// Why the upgrade was refused, if one was asked for.
        refusal: Option<Refusal>,
    },
}

/// A WebSocket that was opened.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The connection.
    pub connection: Connection<S>,
    /// The request: path, query string, headers. It keeps hyper's read buffer alive, so it should not be kept.
    pub request: Request<()>,
    /// The subprotocol that was answered; `None` only if a missing one is allowed.
    pub subprotocol: Option<Subprotocol>,
}

impl<S> Accepted<S> {
    /// Whether `allowed` has the origin of this request word for word: only then is it known which page a cookie came
    /// from.
    pub fn origin_is_listed(&self, allowed: &[AllowedOrigin]) -> bool {
        origin::is_listed(self.request.headers(), allowed)
    }
}

impl Default for HandshakeConfig {
    fn default() -> Self {
        Self {
            paths: ["/".to_owned(), "/mqtt".to_owned()].into(),
            allow_missing_subprotocol: false,
            max_header_bytes: 40 * 1024,
            timeout: Duration::from_secs(10),
            allowed_origins: [AllowedOrigin::SameHost].into(),
            refuse_after_upgrade: RefuseAfterUpgrade::Never,
        }
    }
}

/// Why a stream ended without an outcome.
#[derive(Debug)]
pub enum HandshakeError {
    /// What arrived is not HTTP; it was answered with 400 if it looked like it at all.
    Malformed(hyper::Error),
    /// The peer left in the middle of a request, or the stream failed.
    Disconnected(hyper::Error),
    /// The peer sent nothing in time.
    Silent,
    /// The peer began with TLS, which would have ended before it came here.
    Tls,
    /// The peer began with a CONNECT of MQTT, as over TCP.
    Mqtt,
}

/// Serves HTTP on a stream until it becomes a WebSocket or ends.
///
/// The returned future is small; what HTTP needs lives on the heap and is freed with it.
///
/// # Errors
/// The peer sent something else than HTTP, or left.
pub async fn handshake<S, H>(
    stream: S,
    config: &HandshakeConfig,
    host: H,
) -> Result<Outcome<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Host,
{
    Box::pin(serve(stream, config, host)).await
}

async fn serve<S, H>(
    stream: S,
    config: &HandshakeConfig,
    host: H,
) -> Result<Outcome<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Host,
{
    let ending = RefCell::new(Ending::Plain);
    let has_answered = Cell::new(false);
    let service = service_fn(|request| {
        has_answered.set(true);
        let response = answer(request, config, &host, &mut ending.borrow_mut());
        ready(Ok::<_, std::convert::Infallible>(response.map(Full::new)))
    });
    let mut http = builder(config).serve_connection(TokioIo::new(stream), service);
    let result = timeout(config.timeout, poll_fn(|cx| http.poll_without_shutdown(cx))).await;
    let Parts { io, read_buf, .. } = http.into_parts();
    let stream = io.into_inner();
    let Ok(result) = result else {
        return time_out(stream, !read_buf.is_empty(), has_answered.get()).await;
    };
    match (result, ending.into_inner()) {
        (Ok(()), Ending::Upgrade(request, subprotocol)) => Ok(Outcome::Upgraded(Accepted {
            connection: Connection::new(stream, &read_buf),
            request,
            subprotocol,
        })),
        (Ok(()), Ending::Deferred(refusal)) => Ok(Outcome::Deferred {
            connection: Connection::new(stream, &read_buf),
            refusal,
        }),
        (_, Ending::Refused(refusal)) => finish(stream, Ok(Some(refusal))).await,
        (Ok(()), Ending::Plain) => finish(stream, Ok(None)).await,
        (Err(error), _) => {
            let outcome = error_outcome(error, read_buf.first(), config);
            finish(stream, outcome).await
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "not an HTTP request: {error}"),
            Self::Disconnected(error) => write!(f, "the client left during the handshake: {error}"),
            Self::Silent => f.write_str("no request in time"),
            Self::Tls => f.write_str(
                "TLS was begun where HTTP is spoken: the listener's protocol would have to be wss",
            ),
            Self::Mqtt => f.write_str(
                "MQTT was begun without a WebSocket: the listener's protocol would have to be mqtt",
            ),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed(error) | Self::Disconnected(error) => Some(error),
            Self::Silent | Self::Tls | Self::Mqtt => None,
        }
    }
}

/// What the last request on the stream came to.
enum Ending {
    Plain,
    Upgrade(Request<()>, Option<Subprotocol>),
    Deferred(Refusal),
    Refused(Refusal),
}

fn builder(config: &HandshakeConfig) -> Builder {
    let mut builder = Builder::new();
    builder
        .header_read_timeout(None)
        .max_headers(HEADER_LINES_MAX)
        .max_buf_size(config.max_header_bytes.saturating_add(HEADER_SLACK_BYTES));
    builder
}

fn answer(
    request: Request<Incoming>,
    config: &HandshakeConfig,
    host: &impl Host,
    ending: &mut Ending,
) -> Response<Bytes> {
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts, ());
    let verdict = if header_bytes(&request) > config.max_header_bytes {
        Verdict::Refused(Refusal::HeaderTooLarge {
            limit_bytes: config.max_header_bytes,
        })
    } else {
        examine(&request, !body.is_end_stream(), config, host)
    };
    match verdict {
        Verdict::Plain => host.respond(&request),
        Verdict::Upgrade {
            subprotocol,
            response,
        } => {
            *ending = Ending::Upgrade(request, subprotocol);
            response
        }
        Verdict::Deferred { refusal, response } => {
            *ending = Ending::Deferred(refusal);
            response
        }
        Verdict::Refused(refusal) => {
            let response = refusal.response();
            *ending = Ending::Refused(refusal);
            response
        }
    }
}

/// The size of the request on the wire, up to the white space that the parser dropped.
fn header_bytes(request: &Request<()>) -> usize {
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let lines = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    target + lines.sum::<usize>()
}

/// What hyper's error means; it has written its answer already.
fn error_outcome(
    error: hyper::Error,
    first: Option<&u8>,
    config: &HandshakeConfig,
) -> Result<Option<Refusal>, HandshakeError> {
    if error.is_parse_too_large() {
        return Ok(Some(Refusal::HeaderTooLarge {
            limit_bytes: config.max_header_bytes,
        }));
    }
    Err(match first {
        Some(&TLS_HANDSHAKE) if error.is_parse() => HandshakeError::Tls,
        Some(&MQTT_CONNECT) if error.is_parse() => HandshakeError::Mqtt,
        _ if error.is_parse() => HandshakeError::Malformed(error),
        _ => HandshakeError::Disconnected(error),
    })
}

/// The time is over: whoever began a request is told so; a browser that keeps its connection for later is not to blame.
async fn time_out<S>(
    mut stream: S,
    has_begun: bool,
    has_answered: bool,
) -> Result<Outcome<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if has_begun {
        let answer = Refusal::RequestTimeout.raw_response();
        // A peer that is gone by now loses nothing.
        let _ = timeout(LINGER, stream.write_all(answer.as_bytes())).await;
        return finish(stream, Ok(Some(Refusal::RequestTimeout))).await;
    }
    if has_answered {
        return Ok(Outcome::Answered { refusal: None });
    }
    Err(HandshakeError::Silent)
}

/// Ends the stream. Closing while the peer's bytes lie unread would reset the connection, and the reset overtakes the
/// answer; so they are read and dropped for a moment.
async fn finish<S>(
    mut stream: S,
    outcome: Result<Option<Refusal>, HandshakeError>,
) -> Result<Outcome<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // The answer is given; a peer that is gone by now loses nothing.
    let _ = timeout(LINGER, linger(&mut stream)).await;
    outcome.map(|refusal| Outcome::Answered { refusal })
}

async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    let mut scratch = [0; 1024];
    let mut discarded_bytes = 0;
    while discarded_bytes < LINGER_BYTES_MAX {
        match stream.read(&mut scratch).await? {
            0 => break,
            len => discarded_bytes += len,
        }
    }
    Ok(())
}
