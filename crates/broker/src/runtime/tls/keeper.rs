//! The thread that looks after certificates: are the files new, does one end soon?
//!
//! It reads the files instead of watching folders: a symlink swapped by certbot, a rename by acme.sh, a mounted secret
//! and a network folder all look the same then, and a few kilobytes every two seconds cost nothing.

use super::Tls;
use super::load::NEARLY_OVER;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How often the files are read.
const LOOK: Duration = Duration::from_secs(2);

/// How often a certificate that ends soon is told of.
const REMIND: Duration = Duration::from_secs(86_400);

/// Wakes the thread; it ends with the last of these.
pub(crate) struct Keeper(Sender<()>);

impl Keeper {
    /// Starts to look after the certificates, if there are any.
    pub(crate) fn start(certificates: Vec<Arc<Tls>>) -> io::Result<Self> {
        let (sender, wakes) = channel();
        if !certificates.is_empty() {
            thread::Builder::new()
                .name("certificates".into())
                .spawn(move || keep(&certificates, &wakes))?;
        }
        Ok(Self(sender))
    }

    /// The files are to be read now.
    pub(crate) fn look(&self) {
        let _ = self.0.send(());
    }
}

fn keep(certificates: &[Arc<Tls>], wakes: &Receiver<()>) {
    let mut reminded: Option<Instant> = None;
    loop {
        if reminded.is_none_or(|at| at.elapsed() >= REMIND) {
            reminded = Some(Instant::now());
            certificates.iter().for_each(|tls| remind(tls));
        }
        if wakes.recv_timeout(LOOK) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        certificates.iter().for_each(|tls| tls.refresh());
    }
}

fn remind(tls: &Tls) {
    if tls.not_after() < SystemTime::now() + NEARLY_OVER {
        let current = tls.current();
        let file = tls.recipe.certificates.certificate_file.display();
        tracing::warn!(%file, expires = %current.expiry(), "the certificate has to be renewed");
    }
}
