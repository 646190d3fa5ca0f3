//! One shard's thread: the engine's shard, the links of its clients, and the turn.
//!
//! A turn: every socket that is ready is read and its packets go through the engine; then, once, everything that became
//! dirty is flushed, each connection with one WebSocket message and one write, and each other shard gets one batch.

mod entrance;
mod flush;

use super::Shared;
use super::authenticate;
use super::contest;
use super::ending;
use super::link::Link;
use super::mailbox::{Mail, Mailbox, Mailboxes};
use super::post::Post;
use super::storage::Storage;
use super::sweep;
use super::tally::{Counted, Report, add};
use crate::notify::Heart;
use bytes::BytesMut;
use slotmap::SecondaryMap;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;
use tokio::runtime::LocalOptions;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{JoinSet, spawn_local, unconstrained};
use tokio::time::sleep_until;
use weir_auth::Pending;
use weir_codec::{Decoder, Output, PIECE_BYTES, Packet, Utf8};
use weir_engine::{ConnectionKey, Effect, End, Input, Instant, Lost, Settings, Shard, ShardId};
use weir_store::Recovered;

/// How often a link that waits for other shards looks again.
pub(super) const CROWD_PAUSE: Duration = Duration::from_millis(1);

/// What a worker is started with.
pub(crate) struct Start {
    pub(crate) shard: usize,
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    pub(crate) shared: Arc<Shared>,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) heart: Heart,
    pub(crate) storage: Option<Storage>,
    /// What lasted.
    pub(crate) restored: Option<Arc<Recovered>>,
    /// Told when the shard is ready for its first connection, and when nothing is under way after its last.
    pub(crate) settled: UnboundedSender<()>,
}

/// One shard and everything around it. It never leaves its thread.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(super) shard: RefCell<Shard>,
    links: RefCell<SecondaryMap<ConnectionKey, Rc<Link>>>,
    /// Room that reads of all connections share.
    pub(crate) arena: RefCell<BytesMut>,
    /// What is handed out by the shard to be sent; what was sent before lends its memory.
    output: RefCell<Output>,
    mailbox: RefCell<Mailbox>,
    pub(super) post: Post,
    flush: flush::Due,
    /// When the clock was read last.
    told_at: Cell<Instant>,
    timer: Notify,
    timer_at: Cell<Option<Instant>>,
    /// Woken when the last link is gone.
    pub(super) emptied: Notify,
    pub(crate) counted: Counted,
    /// The tasks that accept connections.
    pub(super) accepting: RefCell<JoinSet<()>>,
    /// Links that still have a task, those that are closing included.
    pub(super) tasks: Cell<usize>,
    /// Whether nobody is let in any more.
    pub(super) is_ending: Cell<bool>,
    pub(super) settled: UnboundedSender<()>,
    /// Enhanced authentications that await their client's answer.
    pub(crate) pending: RefCell<HashMap<ConnectionKey, Pending>>,
    /// Links that are not read from since another shard has more than enough to do.
    crowd: RefCell<Vec<Waker>>,
    heart: RefCell<Option<Heart>>,
}

/// Runs a shard until it is told to stop.
pub(crate) fn run(start: Start, mailbox: Mailbox) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, shard = start.shard, "can't start a runtime");
            return;
        }
    };
    let Start {
        shard,
        seed,
        settings,
        shared,
        mailboxes,
        heart,
        storage,
        restored,
        settled,
    } = start;
    let shards = u16::try_from(mailboxes.len()).unwrap_or(u16::MAX);
    let id = ShardId(u16::try_from(shard).unwrap_or(u16::MAX));
    let mut engine = Shard::new(id, shards, settings, seed);
    if let Some(it) = restored {
        engine.restore(shared.clock.now(), &it.records, &it.parked, it.next_number);
    }
    let worker = Rc::new(Worker {
        index: shard,
        shared,
        shard: RefCell::new(engine),
        mailbox: RefCell::new(mailbox),
        post: Post::new(id, mailboxes, storage),
        links: RefCell::new(SecondaryMap::new()),
        output: RefCell::default(),
        arena: RefCell::new(BytesMut::with_capacity(PIECE_BYTES)),
        flush: flush::Due::default(),
        told_at: Cell::default(),
        timer: Notify::new(),
        timer_at: Cell::new(None),
        emptied: Notify::new(),
        counted: Counted::default(),
        accepting: RefCell::default(),
        tasks: Cell::new(0),
        is_ending: Cell::new(false),
        settled,
        pending: RefCell::default(),
        crowd: RefCell::default(),
        heart: RefCell::new(Some(heart)),
    });
    runtime.block_on(live(worker));
}

async fn live(worker: Rc<Worker>) {
    // It writes to however many there are: tokio would stop it, and take their sockets for full.
    spawn_local(unconstrained(flush::run(Rc::clone(&worker))));
    spawn_local(sweep::run(Rc::clone(&worker)));
    // What restoring the shard asked of others.
    worker.after(worker.now());
    spawn_local(entrance::begin(Rc::clone(&worker)));
    while let Some(mail) = poll_fn(|cx| worker.mailbox.borrow_mut().poll_receive(cx)).await {
        worker.open_mail(mail);
    }
    // What the last mail changed lasts.
    worker.post.flush();
    if let Some(heart) = worker.heart.borrow_mut().take() {
        heart.retire();
    }
}

/// Tells the shard when its next timeout has come.
async fn alarm(worker: Rc<Worker>) {
    loop {
        let next = worker.shard.borrow().next_timeout();
        worker.timer_at.set(next);
        match next {
            None => worker.timer.notified().await,
            Some(at) => {
                tokio::select! {
                    () = worker.timer.notified() => {}
                    () = sleep_until(worker.shared.clock.system(at)) => worker.handle(worker.now(), Input::Timeout),
                }
            }
        }
    }
}

impl Worker {
    pub(crate) fn now(&self) -> Instant {
        self.told_at.set(self.shared.clock.now());
        self.told_at.get()
    }

    /// Reads what has come from other shards, so that it is older than what a client says next.
    pub(crate) fn read_mail(self: &Rc<Self>) {
        let waiting = self.mailbox.borrow().len();
        for _ in 0..waiting {
            let mail = self.mailbox.borrow_mut().try_receive();
            if let Some(mail) = mail {
                self.open_mail(mail);
            }
        }
    }

    fn open_mail(self: &Rc<Self>, mail: Mail) {
        let now = self.now();
        match mail {
            Mail::Listen(_) | Mail::Accepted(_) | Mail::Moved(_) if self.is_ending.get() => {}
            Mail::Listen(listening) => self.listen(*listening),
            Mail::Accepted(arrival) => self.welcome(*arrival),
            Mail::Moved(moved) => self.adopt(*moved),
            Mail::Remote { from, batch, .. } => {
                for remote in batch {
                    self.handle(now, Input::Remote { from, remote });
                }
            }
            Mail::PermissionsChanged => self.handle(now, Input::PermissionsChanged),
            Mail::Stored(ticket) => self.handle(now, Input::Stored { ticket }),
            Mail::StoreFull(is_full) => self.handle(now, Input::StoreFull(is_full)),
            Mail::Loaded(session, messages) => {
                self.handle(now, Input::Loaded { session, messages });
            }
            Mail::Shutdown => {
                spawn_local(ending::run(Rc::clone(self)));
            }
            // The mailbox keeps it: it ends with it.
            Mail::End => {}
        }
    }

    /// Hands an input to the shard and carries out what it asks for.
    pub(crate) fn handle(self: &Rc<Self>, now: Instant, input: Input) {
        self.shard.borrow_mut().handle(now, input);
        self.after(now);
    }

    pub(crate) fn packet(self: &Rc<Self>, now: Instant, connection: ConnectionKey, packet: Packet) {
        self.handle(now, Input::Packet { connection, packet });
    }

    /// Hands over the next packets if they only go on with what the client published last; returns whether they do.
    pub(crate) fn take_encore(
        self: &Rc<Self>,
        now: Instant,
        key: ConnectionKey,
        decoder: &RefCell<Decoder>,
    ) -> bool {
        let taken = {
            let (mut shard, mut decoder) = (self.shard.borrow_mut(), decoder.borrow_mut());
            let Some((topic, most_bytes)) = shard.encore_of(key) else {
                return false;
            };
            let Some(run) = decoder.run(topic, most_bytes) else {
                return false;
            };
            let taken = shard.handle_encore(now, key, run);
            let taken_bytes = run.first(taken).bytes().len();
            decoder.skip(taken_bytes);
            taken
        };
        if taken > 0 {
            self.after(now);
        }
        taken > 0
    }

    /// Hands over the PUBACKs that follow the one before.
    pub(crate) fn take_pubacks(
        self: &Rc<Self>,
        now: Instant,
        key: ConnectionKey,
        decoder: &RefCell<Decoder>,
    ) {
        let taken = {
            let (mut shard, mut decoder) = (self.shard.borrow_mut(), decoder.borrow_mut());
            decoder.next_pubacks(|acks| shard.handle_pubacks(now, key, acks))
        };
        if taken > 0 {
            self.after(now);
        }
    }

    pub(crate) fn heard(&self, now: Instant, connection: ConnectionKey) {
        self.shard.borrow_mut().heard(now, connection);
    }

    pub(crate) fn alive(&self, now: Instant, connection: ConnectionKey) {
        self.shard.borrow_mut().alive(now, connection);
    }

    /// Whether this connection may be read from now.
    pub(crate) fn accepts_packets(&self, connection: ConnectionKey) -> bool {
        self.shard.borrow().accepts_packets(connection)
    }

    /// Whether somebody is connected with this client id.
    pub(crate) fn is_connected(&self, client_id: &Utf8) -> bool {
        self.shard.borrow().is_connected(client_id)
    }

    pub(crate) fn is_crowded(&self) -> bool {
        self.post.is_crowded()
    }

    /// Wakes this link when the other shards have caught up.
    pub(crate) fn wait_for_room(self: &Rc<Self>, waker: Waker) {
        let mut crowd = self.crowd.borrow_mut();
        crowd.push(waker);
        if crowd.len() == 1 {
            let worker = Rc::clone(self);
            spawn_local(async move {
                while worker.is_crowded() {
                    tokio::time::sleep(CROWD_PAUSE).await;
                }
                worker.crowd.take().into_iter().for_each(Waker::wake);
            });
        }
    }

    pub(crate) fn link(&self, key: ConnectionKey) -> Option<Rc<Link>> {
        self.links.borrow().get(key).cloned()
    }

    /// A sign of life.
    pub(crate) fn beat(&self) {
        if let Some(heart) = &*self.heart.borrow() {
            heart.beat();
        }
    }

    pub(crate) fn links(&self) -> Vec<Rc<Link>> {
        self.links.borrow().values().cloned().collect()
    }

    pub(crate) fn report(&self) {
        let report = Report {
            stats: self.shard.borrow().stats(),
            traffic: self.counted.traffic(),
        };
        self.shared.report(self.index, report);
    }

    /// The link's task is over.
    pub(crate) fn task_ended(&self) {
        self.tasks.set(self.tasks.get() - 1);
        if self.tasks.get() == 0 {
            self.emptied.notify_one();
        }
    }

    /// After anything was told to the shard: its effects, its flush, its alarm.
    fn after(self: &Rc<Self>, now: Instant) {
        let (is_dirty, next) = loop {
            let mut shard = self.shard.borrow_mut();
            let Some(effect) = shard.poll_effect() else {
                break (shard.is_dirty(), shard.next_timeout());
            };
            // It may come back to the shard.
            drop(shard);
            self.carry_out(now, effect);
        };
        if is_dirty || self.post.is_waiting() {
            self.flush.soon();
        }
        let armed = self.timer_at.get();
        if next.is_some_and(|next| armed.is_none_or(|armed| next < armed)) {
            self.timer_at.set(next);
            self.timer.notify_one();
        }
    }

    fn carry_out(self: &Rc<Self>, now: Instant, effect: Effect) {
        match effect {
            Effect::Authenticate {
                connection,
                credentials,
            } => authenticate::judge(self, connection, credentials),
            Effect::Respond { connection, data } => authenticate::respond(self, connection, data),
            Effect::Move {
                connection,
                to,
                connect,
                deadline,
            } => {
                if let Some(link) = self.links.borrow_mut().remove(connection) {
                    link.leave(to, connect, deadline);
                }
            }
            Effect::Contested {
                client_id,
                holder,
                newcomer,
                is_news,
            } => contest::ask(self, &client_id, (holder, newcomer), is_news),
            Effect::Accepted {
                connection,
                welcome,
            } => {
                add(&self.counted.accepted, 1);
                if let Some(link) = self.links.borrow().get(connection) {
                    link.accepted(&welcome, self.shared.config.limits.max_packet_bytes);
                }
            }
            Effect::Forward { to, remote } => self.post.forward(to, remote),
            Effect::Report { client_id, report } => {
                tracing::info!(client = client_id.as_str(), "{report}");
            }
            Effect::Store {
                ticket,
                changes,
                links,
            } => self.post.store(ticket, changes, links),
            Effect::Load { session, messages } => self.post.load(session, messages),
            Effect::Close { connection, end } => self.close(now, connection, end),
        }
    }

    /// Sends a connection's last bytes and closes it; the engine can forget it.
    fn close(self: &Rc<Self>, now: Instant, key: ConnectionKey, end: End) {
        self.shared.tally.ended(&end);
        let link = self.links.borrow_mut().remove(key);
        self.pending.borrow_mut().remove(&key);
        if let Some(link) = link {
            let mut output = Output::new();
            self.transmit(now, key, &mut output);
            add(&self.counted.sent_bytes, output.len());
            link.close(now, &output, self.shard.borrow().segment(), end);
        }
        let lost = Lost::Closed;
        self.shard.borrow_mut().handle(
            now,
            Input::Closed {
                connection: key,
                lost,
            },
        );
    }
}
