//! From files in PEM to a configuration of rustls, or to the one fault that a person has to mend.
//!
//! Each fault names its file. What must hold: whatever is wrong is found here, not at a handshake.

use super::identity;
use crate::config::{Certificates, ClientCertificates};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::{RootCertStore, ServerConfig, version};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The suites and curves that rustls offers with ring, which is small and builds fast.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Why files can't be used.
#[derive(Debug)]
pub(crate) enum TlsFault {
    /// A file can't be read.
    Unreadable(PathBuf, io::Error),
    /// A file is not PEM.
    NotPem(PathBuf, pem::Error),
    /// A file has no certificate.
    NoCertificate(PathBuf),
    /// A file has no private key.
    NoKey(PathBuf),
    /// A file has no revocation list.
    NoList(PathBuf),
    /// A certificate can't be understood.
    Certificate(PathBuf),
    /// Certificate and key are not of each other, or of an unknown kind.
    Pair(PathBuf, PathBuf, rustls::Error),
    /// An authority's certificate or a revocation list can't be used.
    Clients(PathBuf, VerifierBuilderError),
    /// The library itself can't start.
    Library(rustls::Error),
}

/// How a configuration is made of files; what lasts longer than they do.
pub(super) struct Recipe {
    pub(super) certificates: Certificates,
    alpn: &'static str,
    tickets: Option<Arc<dyn ProducesTickets>>,
}

/// The bytes of all files.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Sources(Vec<Vec<u8>>);

/// A configuration that works.
pub(super) struct Loaded {
    pub(super) server: Arc<ServerConfig>,
    pub(super) not_after: SystemTime,
    pub(super) sources: Sources,
}

impl Sources {
    pub(super) fn read(certificates: &Certificates) -> Result<Self, TlsFault> {
        let read = |file: &PathBuf| {
            std::fs::read(file).map_err(|error| TlsFault::Unreadable(file.clone(), error))
        };
        certificates
            .files()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The bytes of the file at this place in [`Certificates::files`].
    fn file(&self, index: usize) -> &[u8] {
        self.0.get(index).map_or(&[], Vec::as_slice)
    }
}

impl Loaded {
    /// When it ends, for a person.
    pub(super) fn expiry(&self) -> String {
        match self.not_after.duration_since(SystemTime::now()) {
            Ok(left) => format!("in {} days", left.as_secs() / 86_400),
            Err(past) => format!("{} days ago", past.duration().as_secs() / 86_400),
        }
    }
}

impl Recipe {
    pub(super) fn new(certificates: Certificates, alpn: &'static str) -> Result<Self, TlsFault> {
        let tickets = match certificates.clients {
            None => Some(ring::Ticketer::new().map_err(TlsFault::Library)?),
            Some(_) => None,
        };
        Ok(Self {
            certificates,
            alpn,
            tickets,
        })
    }

    pub(super) fn load(&self, sources: Sources) -> Result<Loaded, TlsFault> {
        let (chain_file, key_file) = (
            &self.certificates.certificate_file,
            &self.certificates.key_file,
        );
        let chain = chain(chain_file, sources.file(0))?;
        let key = PrivateKeyDer::from_pem_slice(sources.file(1)).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsFault::NoKey(key_file.clone()),
            error => TlsFault::NotPem(key_file.clone(), error),
        })?;
        let not_after = chain.first().and_then(identity::not_after);
        let not_after = not_after.ok_or_else(|| TlsFault::Certificate(chain_file.clone()))?;
        let verifier = match &self.certificates.clients {
            Some(clients) => verifier(clients, &sources)?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(TlsFault::Library)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| TlsFault::Pair(chain_file.clone(), key_file.clone(), error))?;
        server.alpn_protocols = vec![self.alpn.into()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        match &self.tickets {
            Some(tickets) => server.ticketer = Arc::clone(tickets),
            None => server.send_tls13_tickets = 0,
        }
        Ok(Loaded {
            server: Arc::new(server),
            not_after,
            sources,
        })
    }
}

fn chain(file: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsFault::NotPem(file.into(), error))?;
    if chain.is_empty() {
        return Err(TlsFault::NoCertificate(file.into()));
    }
    Ok(chain)
}

/// Who vouches for clients.
fn verifier(
    clients: &ClientCertificates,
    sources: &Sources,
) -> Result<Arc<dyn ClientCertVerifier>, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(&clients.ca_file, sources.file(2))? {
        roots
            .add(certificate)
            .map_err(|_| TlsFault::Certificate(clients.ca_file.clone()))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    if let Some(file) = &clients.crl_file {
        builder = builder
            .with_crls(revocations(file, sources.file(3))?)
            .only_check_end_entity_revocation();
    }
    if !clients.required {
        builder = builder.allow_unauthenticated();
    }
    let file = clients.crl_file.as_ref().unwrap_or(&clients.ca_file);
    builder
        .build()
        .map_err(|error| TlsFault::Clients(file.clone(), error))
}

fn revocations(
    file: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsFault> {
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsFault::NotPem(file.into(), error))?;
    if lists.is_empty() {
        return Err(TlsFault::NoList(file.into()));
    }
    Ok(lists)
}

/// A certificate with so little time left is worth a warning.
pub(super) const NEARLY_OVER: Duration = Duration::from_secs(7 * 86_400);

impl TlsFault {
    /// The file that it is about, if it is about one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Unreadable(file, _)
            | Self::NotPem(file, _)
            | Self::NoCertificate(file)
            | Self::NoKey(file)
            | Self::NoList(file)
            | Self::Certificate(file)
            | Self::Pair(_, file, _)
            | Self::Clients(file, _) => Some(file),
            Self::Library(_) => None,
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(file, error) => {
                write!(out, "{}: cannot be read: {error}", file.display())
            }
            Self::NotPem(file, error) => write!(out, "{}: not PEM: {error:?}", file.display()),
            Self::NoCertificate(file) => write!(
                out,
                "{}: has no certificate (BEGIN CERTIFICATE)",
                file.display()
            ),
            Self::NoKey(file) => write!(
                out,
                "{}: has no unencrypted private key (BEGIN PRIVATE KEY)",
                file.display()
            ),
            Self::NoList(file) => write!(
                out,
                "{}: has no revocation list (BEGIN X509 CRL)",
                file.display()
            ),
            Self::Certificate(file) => {
                write!(
                    out,
                    "{}: has a certificate that can't be understood",
                    file.display()
                )
            }
            Self::Pair(certificate, key, rustls::Error::InconsistentKeys(_)) => write!(
                out,
                "{}: is not the key of the first certificate in {}",
                key.display(),
                certificate.display()
            ),
            Self::Pair(certificate, key, error) => {
                write!(out, "{}, {}: {error}", certificate.display(), key.display())
            }
            Self::Clients(file, error) => write!(out, "{}: {error}", file.display()),
            Self::Library(error) => write!(out, "TLS can't start: {error}"),
        }
    }
}

impl std::error::Error for TlsFault {}
