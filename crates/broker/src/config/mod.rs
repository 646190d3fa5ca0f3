//! The configuration: what `broker.toml` may say, and the one resolved value that everything else reads.
//!
//! A file is read in two steps. [`document`] parses it into a dumb tree that remembers where each value stands;
//! `resolve` turns that tree into a [`Config`], in which every key has a value in its range. No other room sees a
//! missing, unchecked or textual setting. Defaults are written once, in the `resolve` functions: an empty file is
//! the defaults. A problem never hides another one: each is noted with its line, its key and a remedy, and reading
//! goes on.

mod auth;
mod bind;
mod certificates;
mod document;
mod error;
mod limits;
mod listener;
mod provider;
mod proxies;
mod rates;
#[cfg(test)]
mod reference;
mod section;
mod settings;
mod store;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::available_parallelism;

pub(crate) use auth::{Anonymous, Auth};
pub(crate) use bind::{Bind, parse_bind};
pub(crate) use certificates::{CertificateField, Certificates, ClientCertificates};
pub(crate) use error::ConfigError;
pub(crate) use limits::Limits;
pub(crate) use listener::{Listener, Protocol};
pub(crate) use provider::Provider;
pub(crate) use proxies::TrustedProxies;
pub(crate) use rates::Rates;
pub(crate) use settings::{Log, LogFormat, LogLevel, Timing, Tolerate};
pub(crate) use store::{Durability, Store};

use document::{Document, NamedFile};

/// Everything that can be configured, resolved and in range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// How many shards (threads with a runtime of their own) carry the sessions.
    pub(crate) shards: NonZeroUsize,
    /// Where clients connect; never empty, no address twice.
    pub(crate) listeners: Vec<Listener>,
    /// Bounds on everything that a peer can make grow.
    pub(crate) limits: Limits,
    /// Deadlines and intervals.
    pub(crate) timing: Timing,
    /// What is not held against clients.
    pub(crate) tolerate: Tolerate,
    /// Who may connect.
    pub(crate) auth: Auth,
    /// Where sessions and retained messages are kept.
    pub(crate) store: Store,
    /// How and how much is logged.
    pub(crate) log: Log,
    /// The files that are named in all this, and where.
    files: Vec<NamedFile>,
}

impl Config {
    /// The compiled-in defaults, which `broker.toml` spells out.
    pub(crate) fn defaults() -> Self {
        resolve(&Document::empty())
    }

    /// Reads and resolves a file.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`] if it can't be read, [`ConfigError::Invalid`] with every problem found in it.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => Self::decode(bytes, &file),
            Err(source) => Err(ConfigError::Unreadable { file, source }),
        }
    }

    /// Resolves the text of a file; `name` is what the problems call it.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every problem found, in the order of the lines.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let document = Document::parse(text, name)?;
        let config = resolve(&document);
        document.into_result(config)
    }

    /// Listens on these addresses, each once, instead of the configured ones; in everything else like the first of those.
    pub(crate) fn listen_on(&mut self, addresses: &[SocketAddr]) {
        let model = self.listeners.swap_remove(0);
        self.listeners.clear();
        for (index, &bind) in addresses.iter().enumerate() {
            if bind.port() == 0 || !addresses[..index].contains(&bind) {
                self.listeners.push(Listener {
                    bind: Bind::Tcp(bind),
                    ..model.clone()
                });
            }
        }
    }

    /// What is allowed but probably not meant, one sentence each, for the log and for `weir check`.
    pub(crate) fn notices(&self) -> Vec<String> {
        let lets_in_nobody = self.auth.providers.is_empty();
        let mut notices = Vec::new();
        for listener in &self.listeners {
            let bind = &listener.bind;
            match (self.lets_anonymous_in(listener), lets_in_nobody) {
                (true, _) if !listener.is_local() => notices.push(format!(
                    "listener {bind} can be reached from other machines and auth.anonymous is \"everywhere\": whoever reaches it may publish and subscribe"
                )),
                (false, true) => notices.push(format!(
                    "listener {bind} lets in nobody: add an [[auth.provider]], or set auth.anonymous to \"everywhere\" to let in everybody"
                )),
                _ => {}
            }
        }
        notices
    }

    /// Where a file is named: `broker.toml:12: auth.acl_file`.
    pub(crate) fn place_of(&self, file: &Path) -> Option<&str> {
        let named = self.files.iter().find(|named| named.path == file);
        named.map(|named| named.place.as_str())
    }

    /// Whether clients that say nothing of who they are are let in on this listener.
    pub(crate) fn lets_anonymous_in(&self, listener: &Listener) -> bool {
        match self.auth.anonymous {
            Anonymous::Everywhere => true,
            Anonymous::Loopback => listener.is_local(),
            Anonymous::Nowhere => false,
        }
    }

    fn decode(bytes: Vec<u8>, file: &str) -> Result<Self, ConfigError> {
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&text, file),
            Err(error) => Err(error::not_utf8(file, &error)),
        }
    }
}

fn resolve(document: &Document<'_>) -> Config {
    let shards = shards(document.top().integer("shards", 0, 0..=1024, "shards"));
    let listeners = Listener::resolve_all(document);
    let config = Config {
        shards,
        limits: Limits::resolve(&document.section("limits")),
        timing: Timing::resolve(&document.section("timing")),
        tolerate: Tolerate::resolve(&document.section("tolerate")),
        auth: Auth::resolve(document, &listeners),
        listeners,
        store: Store::resolve(&document.section("store")),
        log: Log::resolve(&document.section("log")),
        files: document.files(),
    };
    document.note_unknown_keys();
    config
}

/// Zero stands for one shard per core that this process may use.
fn shards(configured: usize) -> NonZeroUsize {
    NonZeroUsize::new(configured)
        .unwrap_or_else(|| available_parallelism().unwrap_or(NonZeroUsize::MIN))
}
