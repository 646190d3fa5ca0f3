//! Messages that wait for a client that is away leave the memory, and come back with it.
//!
//! A queued message is *parked* once the store has said that it is kept: what stays is its number and what it counts. When
//! the client takes messages again they are asked for in the order of the queue, some at a time, and what came since
//! waits behind them as ever.

use crate::id::{MessageNumber, SessionKey, StoreTicket};
use crate::inflight::Sequence;
use crate::message::Message;
use crate::roster::Roster;
use crate::time::Instant;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What is on its way between the queues and the store.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    /// The sessions that may park up to a sequence, once the store has kept what was asked with the mark.
    kept_soon: VecDeque<(u64, SessionKey, Sequence)>,
    /// What is to be loaded.
    asked: Vec<(SessionKey, Vec<MessageNumber>)>,
}

impl Parking {
    /// The session may park up to this sequence when this mark's step is kept.
    pub(crate) fn note(&mut self, mark: u64, session: SessionKey, up_to: Sequence) {
        self.kept_soon.push_back((mark, session, up_to));
    }

    /// What is to be loaded.
    pub(crate) fn take_asked(&mut self) -> Vec<(SessionKey, Vec<MessageNumber>)> {
        core::mem::take(&mut self.asked)
    }
}

impl Roster {
    /// The session's client has gone: what waits for it is parked when it is kept.
    pub(crate) fn park_later(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        if session.number.is_some()
            && !session.queue.is_empty()
            && let Some(up_to) = Sequence::new(session.last_sequence)
        {
            self.parking.note(self.journal.mark, key, up_to);
        }
    }

    /// Everything up to this ticket is kept: sessions whose clients are away park what waits for them.
    pub(crate) fn park(&mut self, ticket: StoreTicket) {
        let kept_soon = &mut self.parking.kept_soon;
        while let Some(&(mark, key, up_to)) = kept_soon.front()
            && mark <= ticket.0
        {
            kept_soon.pop_front();
            if let Some(session) = self.sessions.get_mut(key)
                && session.connection.is_none()
            {
                session.queue.park(up_to);
            }
        }
    }

    /// Asks for what the session takes next, if it is parked.
    pub(crate) fn load(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            let numbers = session.queue.next_to_load();
            if !numbers.is_empty() {
                self.parking.asked.push((key, numbers));
            }
        }
    }

    /// Takes what was asked for into the session's queue, unless the session may not receive it any more, and sends what
    /// can be sent. Whose client has gone again needs nothing.
    pub(crate) fn loaded(
        &mut self,
        key: SessionKey,
        messages: Vec<(MessageNumber, Option<Arc<Message>>)>,
        now: Instant,
    ) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        session.queue.has_loaded();
        let Some(connection) = session.connection else {
            return;
        };
        for (number, message) in messages {
            self.stats.dropped.damaged += u64::from(message.is_none());
            let may = |message: &Arc<Message>| {
                session.permissions.may_receive(&message.topic) || fault!(QueueKeepsDenied)
            };
            let gone = session.queue.loaded(number, message.filter(may));
            self.journal.delete_delivery(session.number, gone);
        }
        self.pump(connection, now);
    }
}
