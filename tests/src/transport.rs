//! What carries a client's packets to a broker: WebSocket or not, TLS or not, TCP or a unix socket.
//!
//! The environment variable `WEIR_TRANSPORT` chooses what brokers without a listener of their own listen on, so the same
//! tests run over each. [`Stream`] is the byte stream below, whatever it is.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::broker::Endpoint;
use crate::certificates::{Authority, Identity};
use crate::folder;

/// How a client speaks to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// MQTT over WebSocket.
    Ws,
    /// The same over TLS.
    Wss,
    /// MQTT over TCP.
    Mqtt,
    /// The same over TLS.
    Mqtts,
}

/// A byte stream.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

/// Any byte stream.
pub type Stream = Box<dyn Io>;

impl Transport {
    /// The transport of this scheme.
    ///
    /// # Panics
    /// When there is none.
    pub fn of(scheme: &str) -> Self {
        match scheme {
            "ws" => Self::Ws,
            "wss" => Self::Wss,
            "mqtt" => Self::Mqtt,
            "mqtts" => Self::Mqtts,
            other => panic!("no transport {other}"),
        }
    }

    /// Whether there is a WebSocket around the packets.
    pub fn has_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// Opens the byte stream to a listener; its certificate has to be of the harness's authority.
    pub async fn connect(self, endpoint: &Endpoint) -> Stream {
        match self {
            Self::Ws | Self::Mqtt => clear(endpoint).await,
            Self::Wss => tls(endpoint, trusting("http/1.1"))
                .await
                .expect("a TLS handshake"),
            Self::Mqtts => tls(endpoint, trusting("mqtt"))
                .await
                .expect("a TLS handshake"),
        }
    }
}

/// The listener that a broker gets where a test asks for none.
pub(crate) fn default_listener() -> String {
    let asked = std::env::var("WEIR_TRANSPORT").unwrap_or_else(|_| "ws".into());
    match asked.as_str() {
        "ws" | "mqtt" => format!("[[listener]]\nbind = \"127.0.0.1:0\"\nprotocol = \"{asked}\"\n"),
        "wss" | "mqtts" => {
            let files = tls_keys(&Authority::shared().server(1), &folder());
            format!("[[listener]]\nbind = \"127.0.0.1:0\"\nprotocol = \"{asked}\"\n{files}")
        }
        "unix" => format!(
            "[[listener]]\nbind = \"unix:{}\"\n",
            folder().join("weir.sock").display()
        ),
        other => panic!("WEIR_TRANSPORT={other}: write ws, wss, mqtt, mqtts or unix"),
    }
}

/// Writes a server's certificate into a folder, and gives the keys of a listener that uses it.
pub fn tls_keys(identity: &Identity, folder: &Path) -> String {
    let (certificate, key) = (folder.join("fullchain.pem"), folder.join("privkey.pem"));
    fs::write(&certificate, &identity.certificate).expect("a temporary file");
    fs::write(&key, &identity.key).expect("a temporary file");
    let (certificate, key) = (certificate.display(), key.display());
    format!("certificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n")
}

/// A client configuration that trusts the harness's authority and offers this protocol.
pub fn trusting(alpn: &str) -> ClientConfig {
    let mut config = Authority::shared().client_config();
    config.alpn_protocols = vec![alpn.into()];
    config
}

/// Opens a connection and a TLS session in it.
///
/// # Errors
/// The handshake's.
pub async fn tls(endpoint: &Endpoint, config: ClientConfig) -> std::io::Result<Stream> {
    static NAME: OnceLock<ServerName<'static>> = OnceLock::new();
    let name = NAME.get_or_init(|| ServerName::try_from("localhost").expect("a name"));
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector
        .connect(name.clone(), clear(endpoint).await)
        .await?;
    Ok(Box::new(stream))
}

/// Opens a connection.
pub async fn clear(endpoint: &Endpoint) -> Stream {
    match endpoint {
        Endpoint::Tcp(address) => {
            let stream = TcpStream::connect(address).await.expect("a connection");
            stream.set_nodelay(true).expect("an open socket");
            Box::new(stream)
        }
        Endpoint::Unix(path) => Box::new(UnixStream::connect(path).await.expect("a connection")),
    }
}
