//! What threads send to each other: listening sockets from the main thread, connections and batches of messages between
//! shards.
//!
//! Mail arrives in the order it was sent, one wake a batch, and is read before what clients sent after it: a shard tells the
//! others before it acknowledges, so whoever acts on an acknowledgement meets its effects on every shard. A mailbox that is
//! over its bytes is never refused mail, since that would lose messages; instead shards stop reading from publishers until it
//! is below again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use weir_auth::Presented;
use weir_codec::{Connect, Decoder};
use weir_engine::{Instant, Message, MessageNumber, Remote, SessionKey, ShardId, StoreTicket};

use super::doorkeeper::{Admission, Place};
use super::listener::Listening;
use super::peer::Peer;
use super::stream::Socket;
use super::transport::Transport;

/// Above this, publishers are not read from.
const CROWDED_BYTES: usize = 16 << 20;

/// Something for a shard's thread.
pub(crate) enum Mail {
    /// A socket to accept from.
    Listen(Box<Listening>),
    /// A client's connection, to begin its handshake.
    Accepted(Box<Arrival>),
    /// A client whose CONNECT belongs to this shard.
    Moved(Box<Moved>),
    /// What another shard says.
    Remote {
        from: ShardId,
        batch: Vec<Remote>,
        cost_bytes: usize,
    },
    /// What clients may do may have changed.
    PermissionsChanged,
    /// What was to be kept is, up to this ticket.
    Stored(StoreTicket),
    /// The store has no room, or has room again.
    StoreFull(bool),
    /// What a session asked for, read back.
    Loaded(SessionKey, Vec<(MessageNumber, Option<Arc<Message>>)>),
    /// End all connections, and say when nothing is under way any more.
    Shutdown,
    /// Nothing is under way in any shard: stop.
    End,
}

/// A connection for the shard that begins with it; parked on its way to another.
pub(crate) struct Arrival {
    pub(crate) socket: Socket,
    pub(crate) peer: Peer,
    pub(crate) listener: usize,
    pub(crate) place: Place,
}

/// A client on its way to its home shard.
pub(crate) struct Moved {
    /// Parked.
    pub(crate) transport: Transport,
    pub(crate) decoder: Decoder,
    pub(crate) peer: Peer,
    pub(crate) admission: Admission,
    pub(crate) presented: Option<Box<Presented>>,
    pub(crate) connect: Box<Connect>,
    pub(crate) deadline: Instant,
}

/// A shard's own mailbox.
pub(crate) struct Mailbox {
    mail: UnboundedReceiver<Mail>,
    waiting_bytes: Arc<AtomicUsize>,
    is_closed: bool,
}

impl Mailbox {
    /// The next mail; `None` once the shard is to stop.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Mail>> {
        if self.is_closed {
            return Poll::Ready(None);
        }
        let mail = ready!(self.mail.poll_recv(cx));
        Poll::Ready(self.take(mail))
    }

    /// Mail that has come already; `None` as well when the shard is to stop.
    pub(crate) fn try_receive(&mut self) -> Option<Mail> {
        let mail = self.mail.try_recv().ok();
        self.take(mail)
    }

    /// How many have come and are not read yet.
    pub(crate) fn len(&self) -> usize {
        self.mail.len()
    }

    fn take(&mut self, mail: Option<Mail>) -> Option<Mail> {
        match &mail {
            Some(Mail::Remote { cost_bytes, .. }) => {
                self.waiting_bytes.fetch_sub(*cost_bytes, Ordering::Relaxed);
            }
            Some(Mail::End) => self.is_closed = true,
            _ => {}
        }
        mail.filter(|_| !self.is_closed)
    }
}

/// The mailboxes of all shards, to send to.
#[derive(Clone)]
pub(crate) struct Mailboxes {
    slots: Arc<[Slot]>,
}

struct Slot {
    mail: UnboundedSender<Mail>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Mailboxes {
    /// Mailboxes for `shards` shards, and each one's own end.
    pub(crate) fn new(shards: usize) -> (Self, Vec<Mailbox>) {
        let (slots, owners): (Vec<_>, Vec<_>) = (0..shards)
            .map(|_| {
                let (sender, mail) = unbounded_channel();
                let waiting_bytes = Arc::<AtomicUsize>::default();
                let slot = Slot {
                    mail: sender,
                    waiting_bytes: Arc::clone(&waiting_bytes),
                };
                (
                    slot,
                    Mailbox {
                        mail,
                        waiting_bytes,
                        is_closed: false,
                    },
                )
            })
            .unzip();
        (
            Self {
                slots: slots.into(),
            },
            owners,
        )
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Mail to a shard that has ended goes nowhere: everybody is about to end.
    pub(crate) fn send(&self, to: usize, mail: Mail) {
        if let Some(slot) = self.slots.get(to) {
            if let Mail::Remote { cost_bytes, .. } = &mail {
                slot.waiting_bytes.fetch_add(*cost_bytes, Ordering::Relaxed);
            }
            let _ = slot.mail.send(mail);
        }
    }

    pub(crate) fn to_all(&self, mail: impl Fn() -> Mail) {
        (0..self.len()).for_each(|to| self.send(to, mail()));
    }

    /// Whether some shard has more to read than it should.
    pub(crate) fn is_crowded(&self) -> bool {
        let crowded = |slot: &Slot| slot.waiting_bytes.load(Ordering::Relaxed) > CROWDED_BYTES;
        self.slots.len() > 1 && self.slots.iter().any(crowded)
    }
}
