//! Listening sockets: opened by the main thread, accepted from on the shard that has them.
//!
//! A unix socket that a broker left behind is taken over, one that somebody listens on is not; it is removed at the end.

use super::peer::Peer;
use super::stream::Socket;
use crate::config::{Bind, Listener};
use socket2::{Domain, SockAddr, Type};
use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::{self, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener};

/// Connections the kernel holds for us until they are accepted.
const BACKLOG: i32 = 4096;

/// A socket that listens, in no runtime yet.
pub(crate) struct Listening {
    door: Door,
    /// Its place in the configuration.
    pub(crate) index: usize,
    scheme: &'static str,
}

enum Door {
    Tcp(net::TcpListener, SocketAddr),
    Unix(unix::UnixListener, SocketFile),
}

/// A socket that listens, in the runtime of its shard.
pub(crate) struct Gate {
    listener: Accepting,
    /// Removed when nobody accepts any more.
    _file: Option<SocketFile>,
}

enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
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

    /// Enters this thread's runtime.
    pub(crate) fn settle(self) -> io::Result<Gate> {
        let (listener, file) = match self.door {
            Door::Tcp(listener, _) => (Accepting::Tcp(TcpListener::from_std(listener)?), None),
            Door::Unix(listener, file) => {
                let listener = UnixListener::from_std(listener)?;
                (Accepting::Unix(listener), Some(file))
            }
        };
        Ok(Gate {
            listener,
            _file: file,
        })
    }
}

impl Gate {
    /// The next connection, in this thread's runtime.
    pub(crate) async fn accept(&self) -> io::Result<(Socket, Peer)> {
        Ok(match &self.listener {
            Accepting::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                (Socket::Tcp(stream), Peer::Socket(peer))
            }
            Accepting::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                (Socket::Unix(stream), Peer::Unix)
            }
        })
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

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Door> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restarted broker gets its port back at once.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    // Small packets leave at once; what is accepted has this from the listener.
    socket.set_tcp_nodelay(true)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = net::TcpListener::from(socket);
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
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(Door::Unix(socket.into(), file))
}

fn remove_abandoned(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && unix::UnixStream::connect(path).is_err() {
        return fs::remove_file(path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_does_not_wait_for_more_to_send() {
        let door = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let Door::Tcp(listener, address) = &door else {
            panic!("it was just made")
        };
        let _client = std::net::TcpStream::connect(address).unwrap();
        // On loopback a connection is there as soon as its client knows.
        let (stream, _) = listener.accept().unwrap();
        assert!(stream.nodelay().unwrap());
    }
}
