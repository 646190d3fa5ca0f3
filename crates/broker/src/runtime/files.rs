//! The files that the configuration names: certificates, and what authentication needs.
//!
//! They are opened together, so that whoever has to mend them is told of everything that is wrong
//! with them at once, and where in the configuration each is named.

use super::authenticate::chain;
use super::tls::Tls;
use crate::config::Config;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use weir_auth::{AuthError, Chain};

/// What became of them.
pub(crate) struct Files {
    pub(super) providers: Chain,
    /// Of each listener that has TLS.
    pub(super) tls: Vec<Option<Arc<Tls>>>,
}

/// What is wrong with files, a line each; never empty.
#[derive(Debug)]
pub(crate) struct Unusable {
    lines: Vec<String>,
    has_to_be_edited: bool,
}

impl Unusable {
    /// Whether one of them was read and says something that can't be: that does not pass by itself.
    pub(crate) fn has_to_be_edited(&self) -> bool {
        self.has_to_be_edited
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

/// Opens all of them.
///
/// # Errors
/// All that can't be used.
pub(crate) fn open(config: &Config) -> Result<Files, Unusable> {
    let (mut tls, mut tls_faults) = (Vec::new(), Vec::new());
    for listener in &config.listeners {
        match Tls::of(listener) {
            Ok(of_listener) => tls.push(of_listener.map(Arc::new)),
            Err(fault) => tls_faults.push(fault),
        }
    }
    let auth_errors = match chain(config) {
        Ok(providers) if tls_faults.is_empty() => return Ok(Files { providers, tls }),
        chain => chain.err().unwrap_or_default(),
    };
    let of_tls = tls_faults
        .iter()
        .map(|fault| line(config, fault.file(), fault));
    let of_auth = auth_errors
        .iter()
        .map(|error| line(config, error.file(), error));
    Err(Unusable {
        lines: of_tls.chain(of_auth).collect(),
        has_to_be_edited: auth_errors
            .iter()
            .any(|error| matches!(error, AuthError::Line(..) | AuthError::File(..))),
    })
}

fn line(config: &Config, file: Option<&Path>, fault: &dyn fmt::Display) -> String {
    match file.and_then(|file| config.place_of(file)) {
        Some(place) => format!("{place}: {fault}"),
        None => fault.to_string(),
    }
}
