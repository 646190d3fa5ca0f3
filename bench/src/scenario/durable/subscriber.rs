//! The receiving end: persistent sessions that come, go, and come back.

use super::{Account, client_id, topic_name};
use crate::address::Address;
use crate::client::{Hello, Receiver, Sender, resume};
use crate::packets::{self, DISCONNECT, Level, ack, incoming, kind};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a broker may take to send what waits, or to close after DISCONNECT.
const PATIENCE: Duration = Duration::from_secs(10);

/// A session's client, and what it has still to acknowledge.
pub(super) struct Client {
    sender: Sender,
    receiver: Receiver,
    acks: Vec<u8>,
}

/// Makes every session, each with its subscription, and leaves it.
pub(crate) async fn enroll(address: &Address, sessions: usize, at_a_time: usize) -> io::Result<()> {
    let address = address.clone();
    side_by_side(sessions, at_a_time, move |session| {
        let address = address.clone();
        async move { subscribe(&address, session).await?.leave().await }
    })
    .await
}

/// Lets every session come back for what waits, until it has come or nothing comes any more.
pub(crate) async fn drain(
    address: &Address,
    account: &Rc<Account>,
    at_a_time: usize,
) -> io::Result<()> {
    let (address, account) = (address.clone(), Rc::clone(account));
    side_by_side(account.sessions(), at_a_time, move |session| {
        let (address, account) = (address.clone(), Rc::clone(&account));
        async move {
            let mut client = come_back(&address, &account, session).await?;
            while !account.is_complete(session) || !client.acks.is_empty() {
                match timeout(PATIENCE, client.turn(&account, session)).await {
                    Ok(done) => done?,
                    Err(_) => break,
                }
            }
            client.leave().await
        }
    })
    .await
}

async fn side_by_side<F: Future<Output = io::Result<()>> + 'static>(
    sessions: usize,
    at_a_time: usize,
    visit: impl Fn(usize) -> F,
) -> io::Result<()> {
    let mut tasks = JoinSet::new();
    for session in 0..sessions {
        if tasks.len() >= at_a_time
            && let Some(done) = tasks.join_next().await
        {
            done??;
        }
        tasks.spawn_local(visit(session));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Connects and subscribes to the session's own topic.
pub(super) async fn subscribe(address: &Address, session: usize) -> io::Result<Client> {
    let hello = client_id(session);
    let mut client = open(address, &hello, |_, _| {}).await?;
    let topic = topic_name(session);
    let subscribe = packets::subscribe(Level::V3_1_1, [topic.as_str()].into_iter(), 1);
    client.sender.send(&subscribe).await?;
    let suback = client.receiver.expect(kind::SUBACK).await?;
    match suback.last() {
        Some(1) => Ok(client),
        code => Err(io::Error::other(format!("SUBACK {code:?}"))),
    }
}

/// Accounts for what arrives, and acknowledges it, as long as the connection lasts.
pub(super) async fn receive(account: Rc<Account>, session: usize, mut client: Client) {
    while client.turn(&account, session).await.is_ok() {}
}

impl Client {
    /// Acknowledges what has come; if there is nothing, waits for more.
    async fn turn(&mut self, account: &Account, session: usize) -> io::Result<()> {
        if self.acks.is_empty() {
            let acks = &mut self.acks;
            let visit = |first: u8, body: &[u8]| take(account, session, first, body, acks);
            self.receiver.receive(visit).await?;
        }
        if !self.acks.is_empty() {
            self.sender.send(&self.acks).await?;
        }
        self.acks.clear();
        Ok(())
    }

    async fn leave(mut self) -> io::Result<()> {
        self.sender.send(&DISCONNECT).await?;
        let closed = timeout(PATIENCE, self.receiver.ignore()).await;
        closed.map_err(|_| io::Error::other("the broker did not close after DISCONNECT"))
    }
}

/// Messages may come in one piece with CONNACK.
async fn come_back(address: &Address, account: &Account, session: usize) -> io::Result<Client> {
    let mut acks = Vec::new();
    let visit = |first: u8, body: &[u8]| take(account, session, first, body, &mut acks);
    let client = open(address, &client_id(session), visit).await?;
    Ok(Client { acks, ..client })
}

async fn open(
    address: &Address,
    client_id: &str,
    visit: impl FnMut(u8, &[u8]),
) -> io::Result<Client> {
    let hello = Hello {
        clean: false,
        ..Hello::new(client_id)
    };
    let (sender, receiver) = resume(address, hello, visit).await?;
    Ok(Client {
        sender,
        receiver,
        acks: Vec::new(),
    })
}

fn take(account: &Account, session: usize, first: u8, body: &[u8], acks: &mut Vec<u8>) {
    if first & 0xf0 != kind::PUBLISH {
        return;
    }
    if let Some(publish) = incoming(Level::V3_1_1, first, body) {
        if publish.qos == 1 {
            acks.extend_from_slice(&ack(kind::PUBACK, publish.packet_id));
        }
        account.arrive(session, publish.payload);
    }
}
