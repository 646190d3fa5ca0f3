//! The task of a link: it reads and decodes until the engine says that the link has ended or moves to another shard, then sees
//! the link off.
//!
//! A link that always has more to read has its turn like others: after some reads it goes on behind those that are ready by
//! then, and what it has caused is sent before.

use super::Link;
use crate::runtime::tally::add;
use crate::runtime::worker::Worker;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::task::yield_now;
use tokio::time::timeout;
use weir_codec::Packet;
use weir_engine::{Input, Instant, Lost};
use weir_ws::{ConnectionError, Event};

/// Reads of one link in one turn; then others have theirs.
const READS_PER_TURN: usize = 8;

/// So many bytes of a packet that is not whole yet keep a connection alive.
const PROGRESS_BYTES: usize = 4096;

/// How a link's turn ended.
#[derive(PartialEq, Eq)]
enum Turn {
    /// It was read from as often as is one link's due.
    GoesOn,
    /// The link has ended or is to leave.
    IsOver,
}

/// Reads from the link until it ends or moves, then sees it off.
pub(crate) async fn drive(worker: Rc<Worker>, link: Rc<Link>) {
    while poll_fn(|cx| link.poll(&worker, cx)).await == Turn::GoesOn {
        // Behind those that are ready by then, and the flush.
        yield_now().await;
    }
    if let Some(moved) = link.take_moved() {
        let (to, moved) = moved;
        worker.send_home(to, moved);
    } else {
        let patience = worker.shared.config.timing.close;
        // On the heap, so that an open link's task does not hold room for it.
        if Box::pin(timeout(
            patience,
            poll_fn(|cx| link.poll_farewell(&worker, cx)),
        ))
        .await
        .is_err()
        {
            tracing::debug!(peer = %link.peer, "client did not close in time");
        }
    }
    worker.task_ended();
}

impl Link {
    /// Reads and decodes until there is nothing more, or enough for one turn.
    fn poll(&self, worker: &Rc<Worker>, cx: &mut Context<'_>) -> Poll<Turn> {
        self.remember(cx);
        let now = worker.now();
        for _ in 0..READS_PER_TURN {
            self.poll_unblock(worker, now, cx);
            if !self.is_over() && self.rests(worker, now, cx) {
                return Poll::Pending;
            }
            self.take_packets(worker, now);
            self.end_overrun(worker, now);
            if self.is_over() {
                return Poll::Ready(Turn::IsOver);
            }
            if self.rests(worker, now, cx) {
                return Poll::Pending;
            }
            self.paused.set(!worker.accepts_packets(self.key()));
            if self.paused.get() {
                return Poll::Pending;
            }
            if worker.is_crowded() {
                worker.wait_for_room(cx.waker().clone());
                return Poll::Pending;
            }
            match self.poll_read(worker, cx) {
                Poll::Pending => {
                    self.is_quiet();
                    return Poll::Pending;
                }
                Poll::Ready(event) => self.take_event(worker, now, event),
            }
        }
        Poll::Ready(Turn::GoesOn)
    }

    /// What the socket did not take is written on; once it is free, what waited in the engine follows.
    fn poll_unblock(&self, worker: &Rc<Worker>, now: Instant, cx: &mut Context<'_>) {
        while self.is_blocked() {
            match self.poll_flush(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => worker.flush_link(now, self),
                Poll::Ready(Err(_)) => return self.lose(worker, now, Lost::Reset),
            }
        }
    }

    fn take_packets(&self, worker: &Rc<Worker>, now: Instant) {
        let has_unread = || self.decoder.borrow().has_unread();
        while has_unread()
            && !self.is_over()
            && worker.accepts_packets(self.key())
            && !self.is_resting()
        {
            if !self.is_measured() && worker.take_encore(now, self.key(), &self.decoder) {
                continue;
            }
            let next = self.decoder.borrow_mut().next_packet();
            match next {
                Ok(Some(packet)) => {
                    let is_puback = matches!(packet, Packet::PubAck(_));
                    if matches!(packet, Packet::Publish(_)) {
                        self.book(worker, now, 1, 0);
                    }
                    worker.packet(now, self.key(), packet);
                    if is_puback {
                        worker.take_pubacks(now, self.key(), &self.decoder);
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    let connection = self.key();
                    let version = self.decoder.borrow().version();
                    return worker.handle(
                        now,
                        Input::Malformed {
                            connection,
                            error,
                            version,
                        },
                    );
                }
            }
        }
    }

    fn poll_read(
        &self,
        worker: &Rc<Worker>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Event, ConnectionError>> {
        match self.transport.borrow_mut().as_mut() {
            Some(transport) => transport.poll_event(cx, &mut worker.arena.borrow_mut()),
            None => Poll::Ready(Ok(Event::Eof)),
        }
    }

    fn take_event(&self, worker: &Rc<Worker>, now: Instant, event: Result<Event, ConnectionError>) {
        match event {
            Ok(Event::Data(bytes)) => {
                self.heard_at.set(now);
                add(&worker.counted.received_bytes, bytes.len());
                self.count_progress(worker, now, bytes.len());
                self.book(worker, now, 0, bytes.len() as u64);
                worker.read_mail();
                self.decoder.borrow_mut().push(bytes);
            }
            Ok(Event::Pong) => {
                self.heard_at.set(now);
                worker.alive(now, self.key());
                if worker.shared.config.tolerate.pong_as_keep_alive {
                    worker.heard(now, self.key());
                }
            }
            Ok(Event::PeerClosed { .. }) => self.lose(worker, now, Lost::Closed),
            Ok(Event::Eof) | Err(ConnectionError::Io(_)) => self.lose(worker, now, Lost::Reset),
            Err(ConnectionError::Protocol(violation)) => {
                let close_code = violation.close_code().into();
                let text = violation.as_str();
                self.lose(worker, now, Lost::Transport { close_code, text });
            }
            Err(_) => self.lose(worker, now, Lost::Reset),
        }
    }

    /// A large packet that is on its way counts as a sign of life, if it makes progress.
    fn count_progress(&self, worker: &Worker, now: Instant, bytes: usize) {
        let unheard = self.unheard_bytes.get() + bytes;
        if unheard >= PROGRESS_BYTES {
            worker.heard(now, self.key());
        }
        self.unheard_bytes.set(unheard % PROGRESS_BYTES);
    }

    fn lose(&self, worker: &Rc<Worker>, now: Instant, lost: Lost) {
        let connection = self.key();
        worker.handle(now, Input::Closed { connection, lost });
        // The engine may have ended the link before: then this is where its task learns of it.
        self.ended.set(true);
    }

    /// After the close frame: the last bytes leave, and what the client still sends is thrown away until it closes
    /// too. To close a socket with unread data would reset it, and the client would lose the reason.
    fn poll_farewell(&self, worker: &Rc<Worker>, cx: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(Err(_)) = self.poll_flush(cx) {
            return Poll::Ready(());
        }
        loop {
            match self.poll_read(worker, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Event::Eof) | Err(ConnectionError::Io(_))) => return Poll::Ready(()),
                // The server ends the TCP connection first (RFC 6455, 7.1.1).
                Poll::Ready(Ok(Event::PeerClosed { .. })) => {
                    if self.poll_shutdown(cx).is_ready() {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => {}
            }
        }
    }
}
