//! How a connection becomes a link of this shard: at the door after its handshake, or from the shard that it came to first.
//!
//! A client is at home on one shard, which its CONNECT tells. What was read of it before moves along, so nothing is lost and
//! nothing read twice.

use super::super::arrival;
use super::super::link::{self, Link};
use super::super::mailbox::{Arrival, Mail, Moved};
use super::Worker;
use std::rc::Rc;
use tokio::task::spawn_local;
use weir_codec::Packet;
use weir_engine::{Instant, ShardId};

/// The handshake of a new connection; then the link's own task, so that nothing of this one stays.
pub(super) async fn welcome(worker: Rc<Worker>, arrival: Arrival) {
    let patience = worker.shared.config.timing.handshake;
    let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    // One deadline for all of it: from the PROXY header to the CONNECT.
    let deadline = worker.now().plus_millis(patience);
    let until = worker.shared.clock.system(deadline);
    if let Some(arrived) = arrival::receive(&worker.shared, arrival, until).await
        && !worker.is_ending.get()
    {
        let link = Link::new(
            arrived.transport,
            arrived.admission,
            arrived.peer,
            Some(arrived.presented),
            worker.decoder(),
        );
        worker.open(link, deadline);
    }
}

impl Worker {
    /// Takes a link's transport away to its home shard.
    pub(crate) fn send_home(&self, to: ShardId, moved: Moved) {
        self.post.send(to, Mail::Moved(Box::new(moved)));
    }

    fn decoder(&self) -> weir_codec::Decoder {
        weir_codec::Decoder::server(self.shared.config.limits.max_unauthenticated_packet_bytes)
    }

    fn open(self: &Rc<Self>, link: Link, deadline: Instant) -> Rc<Link> {
        let now = self.now();
        let key = self.shard.borrow_mut().open(now, deadline);
        link.begin(key, now, &self.shared.config.limits);
        let listener = link.listener();
        if let Some(listener) = listener.and_then(|it| self.shared.config.listeners.get(it)) {
            let policy = listener.slow_reader;
            self.shard.borrow_mut().set_slow_reader(key, policy);
        }
        let link = Rc::new(link);
        self.links.borrow_mut().insert(key, Rc::clone(&link));
        self.tasks.set(self.tasks.get() + 1);
        spawn_local(link::drive(Rc::clone(self), Rc::clone(&link)));
        self.after(now);
        link
    }

    pub(super) fn adopt(self: &Rc<Self>, moved: Moved) {
        let transport = match moved.transport.settle() {
            Ok(transport) => transport,
            Err(error) => {
                return tracing::warn!(%error, peer = %moved.peer, "can't take over a connection");
            }
        };
        let link = Link::new(
            transport,
            moved.admission,
            moved.peer,
            moved.presented,
            moved.decoder,
        );
        let link = self.open(link, moved.deadline);
        self.packet(self.now(), link.key(), Packet::Connect(moved.connect));
    }
}
