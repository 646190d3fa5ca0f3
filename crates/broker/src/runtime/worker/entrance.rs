//! How a connection becomes a link of this shard: at the door after its handshake, or from the shard that it came to first.
//!
//! A listener's shard accepts and deals out what comes to all shards in turn. Nothing is read there before it is dealt
//! out, so no client can hold up another one's accept.
//!
//! A client is at home on one shard, which its CONNECT tells. What was read of it before moves along, so nothing is lost and
//! nothing read twice.

use super::super::arrival;
use super::super::link::{self, Link};
use super::super::listener::{Gate, Listening};
use super::super::mailbox::{Arrival, Mail, Moved};
use super::{CROWD_PAUSE, Worker, alarm};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::{spawn_local, yield_now};
use tokio::time::{self, sleep};
use weir_codec::Packet;
use weir_engine::{Instant, ShardId};

/// Rest after the operating system refused to accept: it is out of something.
const REST: Duration = Duration::from_millis(100);

/// How long that is not said again.
const SILENCE: Duration = Duration::from_secs(60);

/// Lets time begin, and the first connection in, when every shard knows what the others restored.
pub(super) async fn begin(worker: Rc<Worker>) {
    while !worker.shard.borrow().is_settled() {
        sleep(CROWD_PAUSE).await;
    }
    let _ = worker.settled.send(());
    alarm(worker).await;
}

/// Accepts connections and deals them out to the shards in turn, this one first.
async fn accept(worker: Rc<Worker>, gate: Gate, (listener, name): (usize, String)) {
    let mut next_word = time::Instant::now();
    for turn in worker.index.. {
        let (socket, peer) = match gate.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if next_word <= time::Instant::now() {
                    tracing::warn!(%error, listener = name, "can't accept a connection");
                    next_word = time::Instant::now() + SILENCE;
                }
                sleep(REST).await;
                continue;
            }
        };
        match worker.shared.doorkeeper.admit() {
            Ok(place) => {
                let arrival = Arrival {
                    socket,
                    peer,
                    listener,
                    place,
                };
                worker.deal(turn, arrival);
            }
            Err(refusal) => {
                worker.shared.tally.refused(refusal.label());
                tracing::warn!(%peer, "closed without an answer: {refusal}");
            }
        }
    }
}

/// The handshake of a new connection.
async fn meet(worker: Rc<Worker>, arrival: Arrival) -> Option<Rc<Link>> {
    let patience = worker.shared.config.timing.handshake;
    let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    // One deadline for all of it: from the PROXY header to the CONNECT.
    let deadline = worker.now().plus_millis(patience);
    let until = worker.shared.clock.system(deadline);
    let arrived = arrival::receive(&worker.shared, arrival, until).await?;
    if worker.is_ending.get() {
        return None;
    }
    let link = Link::new(
        arrived.transport,
        arrived.admission,
        arrived.peer,
        Some(arrived.presented),
        worker.decoder(),
    );
    Some(worker.open(link, deadline))
}

impl Worker {
    /// Accepts from this socket until the shard ends.
    pub(super) fn listen(self: &Rc<Self>, listening: Listening) {
        let (index, name) = (listening.index, listening.to_string());
        match listening.settle() {
            Ok(gate) => {
                let accepting = accept(Rc::clone(self), gate, (index, name));
                self.accepting.borrow_mut().spawn_local(accepting);
            }
            Err(error) => tracing::error!(%error, listener = name, "can't wait for connections"),
        }
    }

    /// Begins with a new connection.
    pub(super) fn welcome(self: &Rc<Self>, arrival: Arrival) {
        let worker = Rc::clone(self);
        // On the heap by itself: of the handshake nothing stays in the link's task.
        let meeting = Box::pin(meet(Rc::clone(self), arrival));
        spawn_local(async move {
            let link = meeting.await;
            if let Some(link) = link {
                link::drive(worker, link).await;
            }
        });
    }

    fn deal(self: &Rc<Self>, turn: usize, mut arrival: Arrival) {
        let to = turn % self.post.shards();
        if to == self.index {
            return self.welcome(arrival);
        }
        match arrival.socket.park() {
            Ok(()) => self.post.deal(to, arrival),
            Err(error) => {
                tracing::warn!(%error, peer = %arrival.peer, "can't hand a connection over");
            }
        }
    }

    /// Takes a link's transport away to its home shard.
    pub(crate) fn send_home(&self, to: ShardId, moved: Moved) {
        self.post.send(to, Mail::Moved(Box::new(moved)));
    }

    fn decoder(&self) -> weir_codec::Decoder {
        weir_codec::Decoder::server(self.shared.config.limits.max_unauthenticated_packet_bytes)
    }

    /// The shard knows the link from now on; somebody has to drive it.
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
        let worker = Rc::clone(self);
        spawn_local(async move {
            // Mail may overtake what sockets have to tell: the end of this client's connection before is heard first.
            yield_now().await;
            worker.packet(worker.now(), link.key(), Packet::Connect(moved.connect));
            link::drive(worker, link).await;
        });
    }
}
