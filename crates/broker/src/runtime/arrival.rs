//! The way of a connection from the door to its first packet: PROXY header, TLS, HTTP.
//!
//! Each step is taken on the shard that the connection was dealt to, all of them within one deadline, so a peer that is
//! slow or silent holds up nobody and nothing but itself. Whoever is refused on the way is told in the words of the
//! step it got to, as far as that has any, and the log says the same.

use super::Shared;
use super::doorkeeper::{Admission, Place};
use super::mailbox::Arrival;
use super::peer::Peer;
use super::proxy::{self, ProxyFault};
use super::stream::{Socket, Stream};
use super::tally;
use super::tls::{self, TlsStream};
use super::transport::Transport;
use super::turn_away::{answer_in_clear, turn_away};
use crate::config::Listener;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{Instant as Deadline, timeout_at};
use weir_admin::{Health, Metrics, Source};
use weir_auth::{ClientCertificate, Presented};
use weir_ws::{HandshakeConfig, HandshakeError, Host, Outcome, RawConnection, Refusal};

/// How long a client that is refused may take to be told so.
const TURN_AWAY: Duration = Duration::from_secs(2);

/// A client that may send packets.
pub(crate) struct Arrived {
    pub(crate) transport: Transport,
    pub(crate) admission: Admission,
    pub(crate) peer: Peer,
    pub(crate) presented: Box<Presented>,
}

/// Why a connection got no further; the peer was told what it can understand.
#[derive(Debug)]
pub(crate) enum Turned {
    /// The socket failed.
    Lost(io::Error),
    /// Not a trusted proxy, where only those may come.
    NotAProxy,
    /// No good PROXY header.
    Proxy(ProxyFault),
    /// The PROXY header did not come in time.
    ProxyTimeout,
    /// The TLS handshake failed.
    Tls(io::Error),
    /// The TLS handshake took too long.
    TlsTimeout,
    /// Refused, by HTTP, a close code or CONNACK.
    Refused(Refusal),
    /// Refused, and told nothing: too many are refused at this moment.
    Crowded(Refusal),
    /// Not a handshake of WebSocket.
    Handshake(HandshakeError),
}

/// What is known of a connection on its way.
struct Door<'a> {
    shared: &'a Shared,
    listener: &'a Listener,
    index: usize,
    peer: Cell<Peer>,
    /// What the doorkeeper said; `None` once the place is taken.
    place: RefCell<Option<Place>>,
    certificate: RefCell<Option<ClientCertificate>>,
    is_encrypted: Cell<bool>,
}

/// Sees a connection through to its first packet. `None`: it came to nothing, or was plain HTTP.
pub(crate) async fn receive(
    shared: &Shared,
    arrival: Arrival,
    deadline: Deadline,
) -> Option<Arrived> {
    let door = Door {
        shared,
        listener: shared.config.listeners.get(arrival.listener)?,
        index: arrival.listener,
        peer: Cell::new(arrival.peer),
        place: RefCell::new(Some(arrival.place)),
        certificate: RefCell::default(),
        is_encrypted: Cell::new(false),
    };
    let turned = match door.pass(arrival.socket, deadline).await {
        Ok(arrived) => return arrived,
        Err(turned) => turned,
    };
    let peer = door.peer.get();
    shared.tally.refused(turned.label());
    match turned {
        Turned::Refused(refusal) => {
            tracing::info!(%peer, status = refusal.status().as_u16(), "refused: {refusal}");
        }
        turned => tracing::info!(%peer, "not connected: {turned}"),
    }
    None
}

impl Door<'_> {
    /// `Ok(None)` is a connection that was plain HTTP.
    async fn pass(
        &self,
        mut socket: Socket,
        deadline: Deadline,
    ) -> Result<Option<Arrived>, Turned> {
        socket.settle().map_err(Turned::Lost)?;
        self.read_proxy_header(&mut socket, deadline).await?;
        self.register()?;
        let deadline = match *self.place.borrow() {
            Some(Place::Refused(..)) => deadline.min(Deadline::now() + TURN_AWAY),
            _ => deadline,
        };
        self.check_first_byte(&mut socket, deadline).await?;
        let stream = self.encrypt(socket, deadline).await?;
        if self.listener.protocol.has_websocket() {
            self.open_websocket(stream, deadline).await
        } else {
            self.open_raw(stream, deadline).await.map(Some)
        }
    }

    async fn read_proxy_header(
        &self,
        socket: &mut Socket,
        deadline: Deadline,
    ) -> Result<(), Turned> {
        if !self.listener.proxy_protocol {
            return Ok(());
        }
        if !self.listener.trusted_proxies.contain(self.peer.get().ip()) {
            return Err(Turned::NotAProxy);
        }
        match timeout_at(deadline, proxy::read_header(socket)).await {
            Ok(Ok(Some(client))) => self.peer.set(Peer::Socket(client)),
            Ok(Ok(None)) => {}
            Ok(Err(fault)) => return Err(Turned::Proxy(fault)),
            Err(_) => return Err(Turned::ProxyTimeout),
        }
        Ok(())
    }

    /// Who begins with HTTP in the clear, where it can't be understood, is told so in HTTP.
    async fn check_first_byte(
        &self,
        socket: &mut Socket,
        deadline: Deadline,
    ) -> Result<(), Turned> {
        let protocol = self.listener.protocol;
        if protocol.has_websocket() && !protocol.has_tls() {
            return Ok(());
        }
        // A peer that says nothing is dealt with at the step that it keeps waiting.
        let Ok(Some(first)) = timeout_at(deadline, socket.first_byte()).await else {
            return Ok(());
        };
        if !first.is_ascii_uppercase() {
            return Ok(());
        }
        let refusal = match protocol.has_tls() {
            true => Refusal::TlsExpected,
            false => Refusal::NotHttp,
        };
        answer_in_clear(socket, &refusal).await;
        Err(Turned::Refused(refusal))
    }

    async fn encrypt(&self, socket: Socket, deadline: Deadline) -> Result<Stream, Turned> {
        let Some(tls) = self.shared.tls.get(self.index).and_then(Option::as_ref) else {
            return Ok(Stream::Clear(socket));
        };
        let handshake = Box::pin(TlsStream::accept(tls.server(), socket));
        let stream = match timeout_at(deadline, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Turned::Tls(error)),
            Err(_) => return Err(Turned::TlsTimeout),
        };
        self.is_encrypted.set(true);
        let chain = stream.peer_certificates();
        if let (Some([certificate, ..]), Some(field)) = (chain, tls.username_field()) {
            *self.certificate.borrow_mut() = tls::identify(certificate, field);
        }
        Ok(Stream::Tls(Box::new(stream)))
    }

    async fn open_raw(&self, stream: Stream, deadline: Deadline) -> Result<Arrived, Turned> {
        let interval = self.shared.config.timing.ping_interval;
        let socket = stream.socket();
        socket.set_keep_alive(interval).map_err(Turned::Lost)?;
        let mut transport = Transport::Raw(RawConnection::new(stream));
        match self.take_place() {
            Ok(admission) => Ok(self.arrived(transport, admission, self.presented())),
            Err(refusal) => {
                turn_away(&self.shared.config, &mut transport, &refusal, deadline).await;
                Err(Turned::Refused(refusal))
            }
        }
    }

    async fn open_websocket(
        &self,
        stream: Stream,
        deadline: Deadline,
    ) -> Result<Option<Arrived>, Turned> {
        let listener = self.listener;
        let config = HandshakeConfig {
            paths: Arc::clone(&listener.paths),
            allow_missing_subprotocol: listener.allow_missing_subprotocol,
            max_header_bytes: self.shared.config.limits.max_header_bytes,
            timeout: deadline.saturating_duration_since(Deadline::now()),
            allowed_origins: Arc::clone(&listener.allowed_origins),
            refuse_after_upgrade: listener.refuse_after_upgrade,
        };
        match weir_ws::handshake(stream, &config, self).await {
            Ok(Outcome::Upgraded(accepted)) => {
                let origin_is_listed = accepted.origin_is_listed(&config.allowed_origins);
                let (parts, ()) = accepted.request.into_parts();
                let presented = Presented {
                    query: parts.uri.query().map(str::to_owned),
                    headers: parts.headers,
                    origin_is_listed,
                    ..self.presented()
                };
                let admission = self.take_place().map_err(Turned::Refused)?;
                let transport = Transport::WebSocket(accepted.connection);
                Ok(Some(self.arrived(transport, admission, presented)))
            }
            Ok(Outcome::Deferred {
                connection,
                refusal,
            }) => {
                let mut transport = Transport::WebSocket(connection);
                turn_away(&self.shared.config, &mut transport, &refusal, deadline).await;
                Err(Turned::Refused(refusal))
            }
            Ok(Outcome::Answered {
                refusal: Some(refusal),
            }) => Err(Turned::Refused(refusal)),
            Ok(Outcome::Answered { refusal: None }) => Ok(None),
            Err(error) => Err(Turned::Handshake(error)),
        }
    }

    fn arrived(&self, transport: Transport, admission: Admission, presented: Presented) -> Arrived {
        Arrived {
            transport,
            admission,
            peer: self.peer.get(),
            presented: Box::new(presented),
        }
    }

    fn presented(&self) -> Presented {
        Presented {
            listener: self.index,
            address: self.peer.get().ip(),
            is_encrypted: self.is_encrypted.get(),
            certificate: self.certificate.borrow_mut().take(),
            ..Presented::default()
        }
    }

    /// Counts the connection for its client. Behind a proxy that speaks HTTP it turns out later who that is.
    fn register(&self) -> Result<(), Turned> {
        let is_proxy = self.listener.trusted_proxies.contain(self.peer.get().ip());
        if is_proxy && self.listener.protocol.has_websocket() {
            return Ok(());
        }
        if let Err(refusal) = self.claim() {
            let refused = self.shared.doorkeeper.refuse(refusal);
            *self.place.borrow_mut() = Some(refused.map_err(Turned::Crowded)?);
        }
        Ok(())
    }

    fn claim(&self) -> Result<(), Refusal> {
        match (&mut *self.place.borrow_mut(), self.peer.get().ip()) {
            (Some(Place::Given(admission)), Some(address)) => {
                admission.claim(address, Instant::now())
            }
            _ => Ok(()),
        }
    }

    fn take_place(&self) -> Result<Admission, Refusal> {
        // Apart, so that the borrow ends here.
        let place = self.place.borrow_mut().take();
        match place {
            Some(Place::Given(admission)) => Ok(admission),
            Some(Place::Refused(refusal, escort)) => {
                *self.place.borrow_mut() = Some(Place::Refused(refusal.clone(), escort));
                Err(refusal)
            }
            None => Err(Refusal::TooManyConnections),
        }
    }
}

impl Host for &Door<'_> {
    fn respond(&self, request: &http::Request<()>) -> http::Response<bytes::Bytes> {
        match &*self.place.borrow() {
            Some(Place::Refused(refusal, _)) => refusal.response(),
            _ => weir_admin::respond(request, *self),
        }
    }

    fn admit(&self, request: &http::Request<()>) -> Result<(), Refusal> {
        if let Some(Place::Refused(refusal, _)) = &*self.place.borrow() {
            return Err(refusal.clone());
        }
        let (headers, trusted) = (request.headers(), &self.listener.trusted_proxies);
        let proxy = self.peer.get();
        if !trusted.contain(proxy.ip()) {
            return Ok(());
        }
        if proxy::says_encrypted(headers) {
            self.is_encrypted.set(true);
        }
        if let Some(client) = proxy::forwarded(headers, proxy, trusted) {
            self.peer.set(client);
        }
        self.claim()
    }
}

impl Source for Door<'_> {
    fn health(&self) -> Health {
        tally::health(self.shared)
    }

    fn metrics(&self) -> Option<Metrics> {
        let is_shown = self.listener.metrics;
        is_shown.then(|| tally::metrics(self.shared))
    }
}

impl Turned {
    /// The word for it in metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Lost(_) => "lost",
            Self::NotAProxy => "not_a_proxy",
            Self::Proxy(_) => "proxy_header",
            Self::ProxyTimeout => "proxy_timeout",
            Self::Tls(_) => "tls",
            Self::TlsTimeout => "tls_timeout",
            Self::Refused(refusal) | Self::Crowded(refusal) => refusal.label(),
            Self::Handshake(HandshakeError::Tls) => "tls_on_http",
            Self::Handshake(HandshakeError::Mqtt) => "mqtt_on_http",
            Self::Handshake(_) => "no_request",
        }
    }
}

impl fmt::Display for Turned {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(error) => write!(out, "lost before the handshake: {error}"),
            Self::NotAProxy => out.write_str(
                "not one of this listener's `trusted_proxies`, and `proxy_protocol` lets in nobody else",
            ),
            Self::Proxy(fault) => fault.fmt(out),
            Self::ProxyTimeout => out.write_str("no PROXY header in time"),
            Self::Tls(error) => write!(out, "TLS handshake failed: {error}"),
            Self::TlsTimeout => out.write_str("no TLS handshake in time"),
            Self::Refused(refusal) => refusal.fmt(out),
            Self::Crowded(refusal) => write!(out, "closed without an answer: {refusal}"),
            Self::Handshake(error) => error.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::runtime::peer::Peer;
    use std::os::fd::OwnedFd;

    #[tokio::test]
    async fn a_socket_that_fails_at_once_is_told_in_the_log() {
        let shared = Shared::of(Config::defaults()).unwrap();
        // A file can't be waited for as a socket can.
        let file = std::fs::File::open(env!("CARGO_MANIFEST_PATH")).unwrap();
        let stream = std::net::TcpStream::from(OwnedFd::from(file));
        stream.set_nonblocking(true).unwrap();
        let arrival = Arrival {
            socket: Socket::ParkedTcp(stream),
            peer: Peer::Unix,
            listener: 0,
            place: shared.doorkeeper.admit().unwrap(),
        };
        let deadline = Deadline::now() + TURN_AWAY;
        assert!(receive(&shared, arrival, deadline).await.is_none());
        assert_eq!(tally::metrics(&shared).refused, [("lost", 1)]);
    }
}
