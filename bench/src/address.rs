//! Where a broker listens: `ws://HOST:PORT/PATH` or `mqtt://HOST:PORT`.

use std::io;
use std::str::FromStr;
use tokio::net::TcpStream;

/// A stream to a broker.
pub(crate) type Stream = TcpStream;

/// The address of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Host and port.
    pub(crate) authority: String,
    /// The path of the WebSocket; `None`: MQTT over plain TCP.
    pub(crate) path: Option<String>,
}

impl Address {
    /// Opens a stream, without Nagle's delay.
    pub(crate) async fn open(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(rest) = text.strip_prefix("ws://") {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            return Ok(Self {
                authority: authority.to_owned(),
                path: Some(format!("/{path}")),
            });
        }
        let authority = text
            .strip_prefix("mqtt://")
            .ok_or("ws://HOST:PORT/PATH or mqtt://HOST:PORT")?;
        Ok(Self {
            authority: authority.trim_end_matches('/').to_owned(),
            path: None,
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
            (address.authority, address.path)
        };
        let path = |path: &str| Some(path.to_owned());
        assert_eq!(read("ws://h:1/mqtt"), ("h:1".into(), path("/mqtt")));
        assert_eq!(read("ws://h:1"), ("h:1".into(), path("/")));
        assert_eq!(read("mqtt://h:1/"), ("h:1".into(), None));
        assert!("http://h:1".parse::<Address>().is_err());
    }
}
