//! Everybody is let in and may do everything.
//!
//! Meant for a broker on loopback and for trying things out. A user name and password are accepted and ignored, since
//! clients are often configured with some.

use crate::{Judging, Provider, Verdict};
use std::sync::Arc;
use weir_engine::{AllowAll, Credentials, Grant};

/// Lets everybody in.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

impl Provider for Anonymous {
    fn authenticate<'a>(&'a self, _: &'a Credentials) -> Judging<'a> {
        let grant = Grant::new(Arc::new(AllowAll));
        Box::pin(std::future::ready(Verdict::Granted(grant)))
    }
}
