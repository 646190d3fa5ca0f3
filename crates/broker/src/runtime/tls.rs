//! TLS of a listener: its certificate as of now, which is replaced when the files are.
//!
//! A connection takes the configuration that is current at its handshake and keeps it, so a renewal disconnects nobody.
//! What must hold: there is always a configuration that worked; new files replace it as a whole or not at all.
//!
//! Versions and cipher suites are the library's: TLS 1.2 and 1.3, forward secrecy and AEAD only. Sessions are resumed
//! with tickets, so that a page that comes back costs little; not where clients have certificates, since a resumed
//! session would not be looked up in the revocation lists.

mod identity;
mod keeper;
mod load;
mod scratch;
mod session;
mod stream;

pub(crate) use identity::identify;
pub(crate) use keeper::Keeper;
pub(crate) use load::TlsFault;
pub(crate) use stream::TlsStream;

use crate::config::{CertificateField, Listener, Protocol};
use load::{Loaded, Sources};
use rustls::ServerConfig;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

/// The TLS of one listener.
pub(crate) struct Tls {
    recipe: load::Recipe,
    current: RwLock<Arc<Loaded>>,
    /// The files that were found unusable, and what is wrong with them; told once.
    broken: Mutex<Option<Broken>>,
}

struct Broken {
    sources: Result<Sources, String>,
    is_told: bool,
}

impl Tls {
    /// Reads the files of a listener, if it has TLS.
    ///
    /// # Errors
    /// Which file can't be used, and why.
    pub(crate) fn of(listener: &Listener) -> Result<Option<Self>, TlsFault> {
        let Some(certificates) = &listener.certificates else {
            return Ok(None);
        };
        let alpn = match listener.protocol {
            Protocol::Ws | Protocol::Wss => "http/1.1",
            Protocol::Mqtt | Protocol::Mqtts => "mqtt",
        };
        let recipe = load::Recipe::new(certificates.clone(), alpn)?;
        let loaded = recipe.load(Sources::read(certificates)?)?;
        Ok(Some(Self {
            recipe,
            current: RwLock::new(Arc::new(loaded)),
            broken: Mutex::default(),
        }))
    }

    /// What the next handshake is done with.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().server)
    }

    /// When the certificate ends.
    pub(crate) fn not_after(&self) -> SystemTime {
        self.current().not_after
    }

    /// Which field of a client's certificate is its user name.
    pub(crate) fn username_field(&self) -> Option<CertificateField> {
        let clients = self.recipe.certificates.clients.as_ref();
        clients.map(|clients| clients.username)
    }

    /// Reads the files, and takes them if they are new and whole.
    fn refresh(&self) {
        let sources = match Sources::read(&self.recipe.certificates) {
            Ok(sources) => sources,
            Err(fault) => return self.note_broken(Err(fault.to_string()), &fault),
        };
        if sources == self.current().sources {
            *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = None;
            return;
        }
        match self.recipe.load(sources.clone()) {
            Ok(loaded) => self.replace(loaded),
            Err(fault) => self.note_broken(Ok(sources), &fault),
        }
    }

    fn replace(&self, loaded: Loaded) {
        let file = self.recipe.certificates.certificate_file.display();
        tracing::info!(%file, expires = %loaded.expiry(), "new certificate in use");
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Certificate and key are replaced one after the other: only what is still wrong at the next look is told of.
    fn note_broken(&self, sources: Result<Sources, String>, fault: &TlsFault) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *broken {
            Some(known) if known.sources == sources => {
                if !known.is_told {
                    known.is_told = true;
                    tracing::error!(
                        "the new certificate can't be used, the old one stays: {fault}"
                    );
                }
            }
            _ => {
                let is_told = false;
                *broken = Some(Broken { sources, is_told });
            }
        }
    }

    fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}
