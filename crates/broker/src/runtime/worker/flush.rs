//! The end of a turn: what there is to send goes out, once to each connection.
//!
//! It is a task of its own that is woken by the first thing to send: tokio runs it after the tasks that were ready before. When
//! nothing is left to do it does not ask the operating system who else is ready, since that is what the thread does
//! next anyhow. Whoever goes on without having waited has its next turn after everybody who is ready by then.

use super::super::link::Link;
use super::super::tally::add;
use super::Worker;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::task::yield_now;
use weir_codec::Output;
use weir_engine::{ConnectionKey, Instant};

/// Whether there is something to send at the end of the turn.
#[derive(Debug, Default)]
pub(super) struct Due {
    is_due: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Whether what was sent lets a link go on that was not waiting for its socket.
    resumes: Cell<bool>,
}

impl Due {
    /// There is.
    pub(super) fn soon(&self) {
        if !self.is_due.replace(true)
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_due.take() {
            return Poll::Ready(());
        }
        self.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

/// Flushes once a turn.
pub(super) async fn run(worker: Rc<Worker>) {
    loop {
        poll_fn(|cx| worker.flush.poll(cx)).await;
        worker.flush_all();
        if worker.flush.resumes.take() || worker.flush.is_due.get() {
            yield_now().await;
        }
    }
}

impl Worker {
    /// Sends what `link` has to send, if its socket takes it, and carries out what comes of it.
    pub(crate) fn flush_link(self: &Rc<Self>, now: Instant, link: &Link) {
        self.send_from(now, link);
        self.after(now);
    }

    fn flush_all(self: &Rc<Self>) {
        let now = self.told_at.get();
        loop {
            let dirty = self.shard.borrow_mut().poll_dirty();
            let Some(key) = dirty else {
                break;
            };
            if let Some(link) = self.links.borrow().get(key) {
                self.send_from(now, link);
            }
        }
        // The end of a turn makes work for the next one, and may end connections.
        self.after(now);
        self.post.flush();
    }

    fn send_from(&self, now: Instant, link: &Link) {
        if link.is_blocked() {
            return;
        }
        // Taken out, so that nothing is borrowed while others are called.
        let mut output = self.output.take();
        self.transmit(now, link.key(), &mut output);
        add(&self.counted.sent_bytes, output.len());
        if !output.is_empty() {
            link.send(now, &output, self.shard.borrow().segment());
            self.flush
                .resumes
                .set(self.flush.resumes.get() | link.resume());
        }
        // A large payload would stay until something is sent again.
        output.clear();
        self.output.replace(output);
    }

    /// Takes what the shard has for a client. Other shards and the store are told before the client is.
    pub(super) fn transmit(&self, now: Instant, key: ConnectionKey, output: &mut Output) {
        self.shard.borrow_mut().transmit(now, key, output);
        self.post.flush();
    }
}
