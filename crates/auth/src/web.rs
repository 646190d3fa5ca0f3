//! The least of an HTTP client: one request on one connection, with a deadline and a limit on the answer.
//!
//! For keys and webhooks, which are asked for seldom or kept. `https` is checked against the certificates that the system
//! trusts; `http` is for the same machine and the same pod.

use crate::error::AuthError;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Where to ask.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    uri: Uri,
    host: String,
    port: u16,
    is_tls: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum WebFault {
    Connect(io::Error),
    Http(hyper::Error),
    Status(StatusCode),
    TooLarge,
    TooSlow,
}

impl Endpoint {
    pub(crate) fn parse(url: &str) -> Result<Self, AuthError> {
        let fault = |fault| AuthError::Url(url.to_owned(), fault);
        let uri: Uri = url.parse().map_err(|_| fault("not a URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(fault("begins with neither https:// nor http://")),
        };
        let host = uri.host().ok_or_else(|| fault("names no host"))?;
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            is_tls,
            uri,
        })
    }

    pub(crate) async fn get(
        &self,
        patience: Duration,
        bytes_max: usize,
    ) -> Result<Bytes, WebFault> {
        self.ask(Method::GET, Bytes::new(), patience, bytes_max)
            .await
    }

    pub(crate) async fn post_json(
        &self,
        body: Bytes,
        patience: Duration,
        bytes_max: usize,
    ) -> Result<Bytes, WebFault> {
        self.ask(Method::POST, body, patience, bytes_max).await
    }

    async fn ask(
        &self,
        method: Method,
        body: Bytes,
        patience: Duration,
        bytes_max: usize,
    ) -> Result<Bytes, WebFault> {
        let exchange = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
            let stream = stream.map_err(WebFault::Connect)?;
            let request = self.request(method, body);
            if self.is_tls {
                let stream = self.secure(stream).await.map_err(WebFault::Connect)?;
                exchange(stream, request, bytes_max).await
            } else {
                exchange(stream, request, bytes_max).await
            }
        };
        timeout(patience, exchange)
            .await
            .unwrap_or(Err(WebFault::TooSlow))
    }

    fn request(&self, method: Method, body: Bytes) -> Request<Full<Bytes>> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.uri.authority().map_or("", |authority| {
            // What stands before an @ is for us alone.
            authority.as_str().rsplit('@').next().unwrap_or_default()
        });
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        if let Ok(path) = path.parse() {
            *request.uri_mut() = path;
        }
        let headers = request.headers_mut();
        for (name, value) in [
            (HOST, host),
            (USER_AGENT, "weir"),
            (CONTENT_TYPE, "application/json"),
        ] {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        }
        request
    }

    async fn secure(
        &self,
        stream: TcpStream,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        TlsConnector::from(tls()).connect(name, stream).await
    }
}

impl fmt::Display for Endpoint {
    /// Without what may be a secret: user, password and query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        write!(
            f,
            "{scheme}://{}:{}{}",
            self.host,
            self.port,
            self.uri.path()
        )
    }
}

impl fmt::Display for WebFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Http(error) => write!(f, "no HTTP answer: {error}"),
            Self::Status(status) => write!(f, "answered with {status}"),
            Self::TooLarge => f.write_str("the answer is too large"),
            Self::TooSlow => f.write_str("no answer in time"),
        }
    }
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<Bytes, WebFault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(WebFault::Http)?;
    let connection = async {
        // How it ends is told by the answer.
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    let answer = async {
        let response = sender.send_request(request).await.map_err(WebFault::Http)?;
        if response.status() != StatusCode::OK {
            return Err(WebFault::Status(response.status()));
        }
        let mut body = Limited::new(response.into_body(), bytes_max);
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| WebFault::TooLarge)?;
            if let Ok(data) = frame.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        Ok(bytes.freeze())
    };
    tokio::select! {
        answer = answer => answer,
        () = connection => Err(WebFault::TooSlow),
    }
}

fn tls() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        // Those that can't be read are not trusted, which shows when they are needed.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    });
    Arc::clone(config)
}
