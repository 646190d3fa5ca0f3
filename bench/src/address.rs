//! Where a broker listens: `ws://HOST:PORT/PATH`, `wss://HOST:PORT/PATH` or `mqtt://HOST:PORT`.

use crate::trust;
use std::io;
use std::str::FromStr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// A stream to a broker.
pub(crate) type Stream = Box<dyn Duplex>;

/// Bytes in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

/// The address of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Host and port.
    pub(crate) authority: String,
    /// The path of the WebSocket; `None`: MQTT over plain TCP.
    pub(crate) path: Option<String>,
    is_tls: bool,
    /// How much the kernel may hold of what comes in, if that is to be little.
    receive_bytes: Option<u32>,
}

impl Address {
    /// Opens a stream, without Nagle's delay.
    pub(crate) async fn open(&self) -> io::Result<Stream> {
        let stream = match self.receive_bytes {
            None => TcpStream::connect(&self.authority).await?,
            Some(bytes) => self.open_narrow(bytes).await?,
        };
        stream.set_nodelay(true)?;
        if self.is_tls {
            return Ok(Box::new(trust::anybody(stream).await?));
        }
        Ok(Box::new(stream))
    }

    /// The same, for somebody who does not read: the kernel holds next to nothing for them.
    pub(crate) fn narrow(&self) -> Self {
        Self {
            receive_bytes: Some(4096),
            ..self.clone()
        }
    }

    async fn open_narrow(&self, receive_bytes: u32) -> io::Result<TcpStream> {
        let mut found = lookup_host(&self.authority).await?;
        let address = found.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_recv_buffer_size(receive_bytes)?;
        socket.connect(address).await
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "ws://HOST:PORT/PATH, wss://HOST:PORT/PATH or mqtt://HOST:PORT";
        let (scheme, rest) = text.split_once("://").ok_or(wrong)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self {
            authority: authority.to_owned(),
            path: match scheme {
                "ws" | "wss" => Some(format!("/{path}")),
                "mqtt" => None,
                _ => return Err(wrong),
            },
            is_tls: scheme == "wss",
            receive_bytes: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |text: &str| {
            let address: Address = text.parse().unwrap();
            (address.authority, address.path, address.is_tls)
        };
        let path = |path: &str| Some(path.to_owned());
        assert_eq!(read("ws://h:1/mqtt"), ("h:1".into(), path("/mqtt"), false));
        assert_eq!(read("wss://h:1"), ("h:1".into(), path("/"), true));
        assert_eq!(read("mqtt://h:1/"), ("h:1".into(), None, false));
        assert!("http://h:1".parse::<Address>().is_err());
    }
}
