//! One client's link: its transport, its decoder, and the task that reads from it.
//!
//! Writing is the worker's: its flush writes for all links at once, and only what a socket does not take at that moment is left
//! to the link's own task, which is woken when the socket takes more.
//!
//! No borrow is held while the engine is called, since its effects come back to the link.

mod pacing;
mod task;

pub(super) use task::drive;

use super::crowd::Seat;
use super::doorkeeper::Admission;
use super::mailbox::Moved;
use super::pace::Pace;
use super::peer::Peer;
use super::stream::Socket;
use super::transport::Transport;
use super::worker::Worker;
use crate::config::Limits;
use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};
use weir_auth::Presented;
use weir_codec::{Connect, Decoder, Output, Segment, Utf8};
use weir_engine::{ConnectionKey, End, Instant, Lost, ShardId, Welcome};
use weir_ws::CloseCode;

/// A client's transport on this shard.
pub(crate) struct Link {
    key: Cell<ConnectionKey>,
    peer: Peer,
    /// What CONNECT said, and what the client is called once it is accepted.
    client_id: RefCell<Option<Utf8>>,
    is_accepted: Cell<bool>,
    admission: RefCell<Option<Admission>>,
    /// Among the connections of its user, where those are counted.
    seat: RefCell<Option<Seat<Utf8>>>,
    /// `None` where nothing is limited.
    pace: RefCell<Option<Box<Pace>>>,
    /// `None` once it has left for another shard.
    transport: RefCell<Option<Transport>>,
    /// What the client showed before its CONNECT, until somebody judges it.
    presented: RefCell<Option<Box<Presented>>>,
    decoder: RefCell<Decoder>,
    waker: RefCell<Option<Waker>>,
    leaving: RefCell<Option<Leaving>>,
    ended: Cell<bool>,
    probed: Cell<bool>,
    /// Not read from until something is transmitted.
    paused: Cell<bool>,
    unheard_bytes: Cell<usize>,
    heard_at: Cell<Instant>,
    sent_at: Cell<Instant>,
}

/// Where a link is to go.
struct Leaving {
    to: ShardId,
    connect: Box<Connect>,
    deadline: Instant,
}

impl Link {
    pub(crate) fn new(
        transport: Transport,
        admission: Admission,
        peer: Peer,
        presented: Option<Box<Presented>>,
        decoder: Decoder,
    ) -> Self {
        Self {
            key: Cell::default(),
            peer,
            client_id: RefCell::default(),
            is_accepted: Cell::new(false),
            admission: RefCell::new(Some(admission)),
            seat: RefCell::default(),
            pace: RefCell::default(),
            transport: RefCell::new(Some(transport)),
            presented: RefCell::new(presented),
            decoder: RefCell::new(decoder),
            waker: RefCell::default(),
            leaving: RefCell::default(),
            ended: Cell::new(false),
            probed: Cell::new(false),
            paused: Cell::new(false),
            unheard_bytes: Cell::new(0),
            heard_at: Cell::default(),
            sent_at: Cell::default(),
        }
    }

    /// The engine knows the link under `key` from now on, and what it sends is measured.
    pub(crate) fn begin(&self, key: ConnectionKey, now: Instant, limits: &Limits) {
        self.key.set(key);
        self.measure(limits);
        self.heard_at.set(now);
        self.sent_at.set(now);
    }

    pub(crate) fn key(&self) -> ConnectionKey {
        self.key.get()
    }

    /// This client id is being judged.
    pub(crate) fn judged_as(&self, client_id: &Utf8) {
        *self.client_id.borrow_mut() = Some(client_id.clone());
    }

    /// CONNECT was accepted.
    pub(crate) fn accepted(&self, welcome: &Welcome, max_packet_bytes: u32) {
        self.decoder
            .borrow_mut()
            .set_max_packet_bytes(max_packet_bytes);
        *self.client_id.borrow_mut() = Some(welcome.client_id.clone());
        self.is_accepted.set(true);
        tracing::info!(
            client = welcome.client_id.as_str(),
            peer = %self.peer,
            user = welcome.user.as_deref(),
            version = %welcome.version,
            keep_alive = welcome.keep_alive_seconds,
            session_present = welcome.session_present,
            "connected"
        );
    }

    /// What the client showed before its CONNECT; it is judged once.
    pub(crate) fn take_presented(&self) -> Option<Box<Presented>> {
        self.presented.borrow_mut().take()
    }

    /// The link's home is another shard; its task takes it there.
    pub(crate) fn leave(&self, to: ShardId, connect: Box<Connect>, deadline: Instant) {
        *self.leaving.borrow_mut() = Some(Leaving {
            to,
            connect,
            deadline,
        });
        self.wake();
    }

    /// Sends `output` as one WebSocket message, as far as the socket takes it.
    pub(crate) fn send(&self, now: Instant, output: &Output, segment: &Segment) {
        if output.is_empty() {
            return;
        }
        self.sent_at.set(now);
        self.write(|transport, cx| transport.send(cx, output, segment));
    }

    /// It may be read from again, if it was not; returns whether it was not.
    pub(crate) fn resume(&self) -> bool {
        let was_paused = self.paused.get();
        if was_paused {
            self.wake();
        }
        was_paused
    }

    pub(crate) fn ping(&self, now: Instant) {
        self.sent_at.set(now);
        self.write(|transport, _| transport.ping());
    }

    /// Sends the last bytes, then the close frame that says why; logs it, once.
    pub(crate) fn close(&self, now: Instant, output: &Output, segment: &Segment, end: End) {
        self.send(now, output, segment);
        self.ended.set(true);
        // Whoever takes its place need not wait until it has closed.
        self.seat.take();
        self.log_end(end);
        // A transport that is gone, or that the client has closed, is not told anything.
        if !matches!(end, End::Lost(Lost::Closed | Lost::Reset)) {
            let text = end.to_string();
            self.write(|transport, _| transport.close(CloseCode::from(end.close_code()), &text));
        }
        self.wake();
    }

    /// Whether the socket has not taken all it was given.
    pub(crate) fn is_blocked(&self) -> bool {
        let transport = self.transport.borrow();
        transport.as_ref().is_none_or(Transport::is_blocked)
    }

    /// Whether a client that lives is heard of, whatever it has to say.
    pub(crate) fn has_pings(&self) -> bool {
        self.transport
            .borrow()
            .as_ref()
            .is_some_and(Transport::has_pings)
    }

    /// From now on somebody looks closely after the peer, or does not; whether they did before.
    pub(crate) fn set_probed(&self, is_probed: bool) -> bool {
        self.probed.replace(is_probed)
    }

    /// Does something with a socket that has nothing above it; one that refuses is found out by reading from it.
    pub(crate) fn with_bare_socket(&self, act: impl FnOnce(&Socket) -> std::io::Result<()>) {
        let transport = self.transport.borrow();
        if let Some(socket) = transport.as_ref().and_then(Transport::bare_socket) {
            let _ = act(socket);
        }
    }

    /// How long nothing was heard.
    pub(crate) fn silent_millis(&self, now: Instant) -> u64 {
        now.millis_since(self.heard_at.get())
    }

    /// How long one of the directions has had no traffic.
    pub(crate) fn idle_millis(&self, now: Instant) -> u64 {
        now.millis_since(self.heard_at.get().min(self.sent_at.get()))
    }

    /// Where it came in; known until its CONNECT is judged.
    pub(crate) fn listener(&self) -> Option<usize> {
        let presented = self.presented.borrow();
        presented.as_ref().map(|presented| presented.listener)
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn log_end(&self, end: End) {
        let peer = self.peer;
        let code = end.reason_code() as u8;
        // As strings, not displayed: a client id may contain what would forge a log line.
        let client_id = self.client_id.borrow();
        let client = client_id.as_deref();
        match (self.is_accepted.get(), end) {
            (true, End::Disconnected(_)) => tracing::info!(client, %peer, "disconnected: {end}"),
            (true, _) => tracing::info!(client, %peer, code, "disconnected: {end}"),
            (false, _) => tracing::info!(client, %peer, code, "not connected: {end}"),
        }
    }

    /// Sends or queues something and flushes; if the socket does not take all of it, the link's task sees to the rest.
    fn write(&self, send: impl FnOnce(&mut Transport, &mut Context<'_>)) {
        let mut transport = self.transport.borrow_mut();
        let Some(transport) = transport.as_mut() else {
            return;
        };
        let cx = &mut Context::from_waker(Waker::noop());
        send(transport, cx);
        if !matches!(transport.poll_flush(cx), Poll::Ready(Ok(()))) {
            // Not done, or failed: in both cases the link's task finds out.
            self.wake();
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.transport.borrow_mut().as_mut() {
            Some(transport) => transport.poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.transport.borrow_mut().as_mut() {
            Some(transport) => transport.poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn is_over(&self) -> bool {
        self.ended.get() || self.leaving.borrow().is_some()
    }

    fn remember(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match waker.as_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }

    /// Everything that goes along to the link's home shard.
    fn take_moved(&self) -> Option<(ShardId, Moved)> {
        let leaving = self.leaving.borrow_mut().take()?;
        let transport = self.transport.borrow_mut().take()?;
        let moved = Moved {
            transport: transport.park().ok()?,
            decoder: std::mem::replace(&mut *self.decoder.borrow_mut(), Decoder::server(0)),
            peer: self.peer,
            admission: self.admission.borrow_mut().take()?,
            presented: self.take_presented(),
            connect: leaving.connect,
            deadline: leaving.deadline,
        };
        Some((leaving.to, moved))
    }
}

#[cfg(test)]
mod tests;
