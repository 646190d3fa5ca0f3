//! The byte stream below a client, whatever carries it: TCP or a unix socket, in the clear or in TLS.
//!
//! A stream belongs to the runtime of one thread. To move it to another it is parked: its socket leaves the one runtime,
//! and what TLS knows of the connection moves along untouched, until the stream settles on the other. A parked stream
//! is not read or written.
//!
//! TLS gathers what one write gives it into as few records as it fits, so one flush stays one write.

use std::io::{self, IoSlice};
use std::mem;
use std::os::unix::net::UnixStream as ParkedUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::tls::TlsStream;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Probes without an answer after which the operating system gives a connection up.
const PROBES: u32 = 3;

/// How often an urgent probe is sent.
const URGENT_INTERVAL: Duration = Duration::from_secs(1);

/// How long what was sent may stay without an acknowledgement when it is urgent.
const URGENT_TIMEOUT: Duration = Duration::from_secs(5);

fn probes(interval: Duration) -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(interval)
        .with_interval(interval)
        .with_retries(PROBES)
}

/// What bytes of a client come through.
pub(crate) enum Stream {
    Clear(Socket),
    /// On the heap: the state of TLS is ten times the size of a socket.
    Tls(Box<TlsStream<Socket>>),
}

/// What the operating system gives.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    ParkedTcp(std::net::TcpStream),
    ParkedUnix(ParkedUnixStream),
    /// Lost on its way from one runtime to another.
    Gone,
}

impl Stream {
    /// Leaves this thread's runtime.
    pub(crate) fn park(mut self) -> io::Result<Self> {
        self.socket_mut().park()?;
        Ok(self)
    }

    /// Enters this thread's runtime.
    pub(crate) fn settle(mut self) -> io::Result<Self> {
        self.socket_mut().settle()?;
        Ok(self)
    }

    fn socket_mut(&mut self) -> &mut Socket {
        match self {
            Self::Clear(socket) => socket,
            Self::Tls(stream) => stream.socket_mut(),
        }
    }

    pub(crate) fn socket(&self) -> &Socket {
        match self {
            Self::Clear(socket) => socket,
            Self::Tls(stream) => stream.socket(),
        }
    }
}

impl Socket {
    /// Leaves this thread's runtime.
    pub(crate) fn park(&mut self) -> io::Result<()> {
        *self = match mem::replace(self, Self::Gone) {
            Self::Tcp(stream) => Self::ParkedTcp(stream.into_std()?),
            Self::Unix(stream) => Self::ParkedUnix(stream.into_std()?),
            parked => parked,
        };
        Ok(())
    }

    /// Enters this thread's runtime.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        *self = match mem::replace(self, Self::Gone) {
            Self::ParkedTcp(stream) => Self::Tcp(TcpStream::from_std(stream)?),
            Self::ParkedUnix(stream) => Self::Unix(UnixStream::from_std(stream)?),
            settled => settled,
        };
        Ok(())
    }

    /// The operating system asks after a silent peer, where no protocol above does; not without an interval.
    pub(crate) fn set_keep_alive(&self, interval: Option<Duration>) -> io::Result<()> {
        let Self::Tcp(stream) = self else {
            return Ok(());
        };
        let socket = SockRef::from(stream);
        match interval {
            Some(interval) => socket.set_tcp_keepalive(&probes(interval)),
            None => socket.set_keepalive(false),
        }
    }

    /// Has the operating system find out at once whether the peer is there: if it acknowledges nothing for some seconds, not
    /// even a probe, the connection is lost. With `false` not any more.
    pub(crate) fn set_urgent(&self, is_urgent: bool) -> io::Result<()> {
        let Self::Tcp(stream) = self else {
            return Ok(());
        };
        let socket = SockRef::from(stream);
        socket.set_tcp_user_timeout(is_urgent.then_some(URGENT_TIMEOUT))?;
        match is_urgent {
            true => socket.set_tcp_keepalive(&probes(URGENT_INTERVAL)),
            false => Ok(()),
        }
    }

    /// The first byte that the peer sends, which stays to be read; `None` where that can't be done, or nothing comes.
    pub(crate) async fn first_byte(&self) -> Option<u8> {
        let mut byte = [0];
        match self {
            Self::Tcp(stream) => match stream.peek(&mut byte).await {
                Ok(1) => Some(byte[0]),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Hands a call on to whatever carries the bytes.
macro_rules! below {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Clear($stream) => $call,
            Stream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        below!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        below!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        below!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        below!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        below!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// Hands a call on to the socket, if it has one that is not parked.
macro_rules! open {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Tcp($stream) => $call,
            Socket::Unix($stream) => $call,
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        open!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        open!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        open!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        open!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        open!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_is_asked_after_urgently_and_then_as_before() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
        let socket = Socket::Tcp(stream.unwrap());
        let Socket::Tcp(stream) = &socket else {
            panic!("it was just made")
        };
        let below = SockRef::from(stream);
        let state = || {
            let timeout = below.tcp_user_timeout().unwrap();
            let is_on = below.keepalive().unwrap();
            let interval = below.tcp_keepalive_interval().unwrap().as_secs();
            (is_on, interval, timeout.map(|timeout| timeout.as_secs()))
        };
        socket
            .set_keep_alive(Some(Duration::from_secs(25)))
            .unwrap();
        assert_eq!(state(), (true, 25, None));
        socket.set_urgent(true).unwrap();
        assert_eq!(state(), (true, 1, Some(5)));
        socket.set_urgent(false).unwrap();
        socket
            .set_keep_alive(Some(Duration::from_secs(25)))
            .unwrap();
        assert_eq!(state(), (true, 25, None));
        socket.set_keep_alive(None).unwrap();
        assert!(!below.keepalive().unwrap());
    }
}
