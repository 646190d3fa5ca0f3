//! Listening sockets: they accept connections and deal them out to the shards.
//!
//! Nothing is read here, so no client can hold up another one's accept. A unix socket that a broker left behind is taken
//! over, one that somebody listens on is not; it is removed at the end.

use super::Shared;
use super::mailbox::{Arrival, Mail, Mailboxes};
use super::peer::Peer;
use super::stream::Socket;
use crate::config::{Bind, Listener};
use socket2::{Domain, SockAddr, Type};
use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, UnixListener};

/// Connections the kernel holds for us until they are accepted.
const BACKLOG: u32 = 4096;

/// Rest after the operating system refused to accept: it is out of something.
const REST: Duration = Duration::from_millis(100);

/// A socket that listens.
pub(crate) struct Listening {
    door: Door,
    index: usize,
    scheme: &'static str,
}

enum Door {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, SocketFile),
}

/// The file of a unix socket, removed with its listener.
struct SocketFile(PathBuf);

impl Listening {
    /// Listens where `listener` says; with port 0 the operating system chooses one.
    pub(crate) fn bind(index: usize, listener: &Listener) -> io::Result<Self> {
        let door = match &listener.bind {
            Bind::Tcp(address) => bind_tcp(*address)?,
            Bind::Unix(path) => bind_unix(path, listener.socket_mode)?,
        };
        Ok(Self {
            door,
            index,
            scheme: listener.protocol.scheme(),
        })
    }

    /// Accepts connections and deals them out to the shards in turn.
    pub(crate) async fn accept(self, shared: Arc<Shared>, mailboxes: Mailboxes) {
        for turn in 0.. {
            let (socket, peer) = match self.door.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, listener = %self, "can't accept a connection");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            match shared.doorkeeper.admit() {
                Ok(place) => {
                    let arrival = Arrival {
                        socket,
                        peer,
                        listener: self.index,
                        place,
                    };
                    mailboxes.send(turn % mailboxes.len(), Mail::Accepted(Box::new(arrival)));
                }
                Err(refusal) => {
                    shared.tally.refused(refusal.label());
                    tracing::warn!(%peer, "closed without an answer: {refusal}");
                }
            }
        }
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.door {
            Door::Tcp(_, address) => write!(out, "{}://{address}", self.scheme),
            Door::Unix(_, SocketFile(path)) => {
                write!(out, "{}://unix:{}", self.scheme, path.display())
            }
        }
    }
}

impl Door {
    /// The next connection, not yet in any runtime.
    async fn accept(&self) -> io::Result<(Socket, Peer)> {
        let (mut socket, peer) = match self {
            Self::Tcp(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                (Socket::Tcp(stream), Peer::Socket(peer))
            }
            Self::Unix(listener, _) => (Socket::Unix(listener.accept().await?.0), Peer::Unix),
        };
        socket.park()?;
        Ok((socket, peer))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Door> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restarted broker gets its port back at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // Small packets leave at once; what is accepted has this from the listener.
    socket.set_nodelay(true)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok(Door::Tcp(listener, address))
}

/// Nobody can connect before the permissions are set: it does not listen until then.
fn bind_unix(path: &Path, mode: u32) -> io::Result<Door> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    remove_abandoned(path)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile(path.to_owned());
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok(Door::Unix(UnixListener::from_std(socket.into())?, file))
}

fn remove_abandoned(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        return fs::remove_file(path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_accepted_does_not_wait_for_more_to_send() {
        let door = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let Door::Tcp(_, address) = &door else {
            panic!("it was just made")
        };
        let _client = std::net::TcpStream::connect(address).unwrap();
        let (Socket::ParkedTcp(stream), _) = door.accept().await.unwrap() else {
            panic!("it is TCP")
        };
        assert!(stream.nodelay().unwrap());
    }
}
