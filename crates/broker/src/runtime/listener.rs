//! Listening sockets, and who is let through the door.
//!
//! A connection above a limit is answered with an HTTP 503 or 429 that says so, instead of a silent close.

use super::Shared;
use super::mailbox::{Arrival, Mail, Mailboxes};
use crate::config::Limits;
use dashmap::DashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections the kernel holds for us until they are accepted.
const BACKLOG: u32 = 4096;

/// Rest after the operating system refused to accept: it is out of something.
const REST: Duration = Duration::from_millis(100);

/// Clients that are told at once that there is no place; above that they are only closed.
const TURNED_AWAY: usize = 64;

/// How long such a client may take to send its request and read the answer.
const TURN_AWAY: Duration = Duration::from_secs(2);

/// A socket that listens.
pub(crate) struct Listening {
    listener: TcpListener,
    index: usize,
    address: SocketAddr,
}

impl Listening {
    /// Listens on `address`; with port 0 the operating system chooses one.
    pub(crate) fn bind(index: usize, address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // A restarted broker gets its port back at once.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            index,
            address,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections and deals them out to the shards in turn.
    pub(crate) async fn accept(self, shared: Arc<Shared>, mailboxes: Mailboxes) {
        let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
        for turn in 0.. {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, address = %self.address, "can't accept a connection");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            let admission = match shared.doorkeeper.admit(peer.ip()) {
                Ok(admission) => admission,
                Err(full) => {
                    tracing::warn!(%peer, "refused: {}", full.words().1);
                    if let Ok(turn) = Arc::clone(&turned_away).try_acquire_owned() {
                        tokio::spawn(turn_away(stream, full, turn));
                    }
                    continue;
                }
            };
            if let Ok(stream) = stream.into_std() {
                let arrival = Arrival {
                    stream,
                    peer,
                    listener: self.index,
                    admission,
                };
                mailboxes.send(turn % mailboxes.len(), Mail::Accepted(Box::new(arrival)));
            }
        }
    }
}

/// Counts who is inside, in all and from each address. Threads meet here, at the beginning and the end of a connection
/// only.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    inside: AtomicUsize,
    by_address: DashMap<IpAddr, usize>,
    max: usize,
    max_per_address: Option<NonZeroUsize>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    doorkeeper: Arc<Doorkeeper>,
    address: IpAddr,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    Broker,
    Address,
}

impl Doorkeeper {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            inside: AtomicUsize::new(0),
            by_address: DashMap::new(),
            max: limits.max_connections,
            max_per_address: limits.max_connections_per_address,
        }
    }

    /// A place, if one is left.
    fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admission, Full> {
        let before = self.inside.fetch_add(1, Ordering::Relaxed);
        let mut from_address = self.by_address.entry(address).or_insert(0);
        *from_address += 1;
        // From here on dropping gives back what was counted.
        let admission = Admission {
            doorkeeper: Arc::clone(self),
            address,
        };
        let full = self
            .max_per_address
            .is_some_and(|max| *from_address > max.get());
        drop(from_address);
        match (before < self.max, full) {
            (false, _) => Err(Full::Broker),
            (true, true) => Err(Full::Address),
            (true, false) => Ok(admission),
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.doorkeeper.inside.fetch_sub(1, Ordering::Relaxed);
        self.doorkeeper
            .by_address
            .remove_if_mut(&self.address, |_, count| {
                *count -= 1;
                *count == 0
            });
    }
}

impl Full {
    /// The status line, and the body for a person.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Broker => (
                "503 Service Unavailable",
                "This broker has as many connections as it may have.",
            ),
            Self::Address => (
                "429 Too Many Requests",
                "Your address has as many connections as it may have.",
            ),
        }
    }

    fn response(self) -> String {
        let (status, body) = self.words();
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\
             Retry-After: 5\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }
}

/// Says that there is no place, and waits a moment for the request: to close a socket with unread data would reset
/// it, and the client would not see the answer.
async fn turn_away(mut stream: TcpStream, full: Full, _turn: OwnedSemaphorePermit) {
    let answer = async {
        stream.write_all(full.response().as_bytes()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(TURN_AWAY, answer).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_when_its_connection_ends() {
        let doorkeeper = Arc::new(Doorkeeper {
            inside: AtomicUsize::new(0),
            by_address: DashMap::new(),
            max: 3,
            max_per_address: NonZeroUsize::new(2),
        });
        let [one, two] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
        let first = doorkeeper.admit(one).unwrap();
        let _second = doorkeeper.admit(one).unwrap();
        assert_eq!(doorkeeper.admit(one).err(), Some(Full::Address));
        let third = doorkeeper.admit(two).unwrap();
        assert_eq!(doorkeeper.admit(two).err(), Some(Full::Broker));
        drop(first);
        assert!(doorkeeper.admit(one).is_ok());
        drop(third);
        assert_eq!(
            doorkeeper.by_address.len(),
            1,
            "an address without connections is forgotten"
        );
    }
}
