//! Whose word counts for where a client is: `trusted_proxies` of a listener.
//!
//! Everybody can write a header; only an address in this list is believed. The list is empty by default, so that nobody
//! is.

use std::net::IpAddr;

use ipnet::IpNet;

use super::error::Fault;
use super::section::Section;

const EXAMPLE: &str = r#"["127.0.0.1", "10.0.0.0/8"]"#;

/// The proxies that a listener believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrustedProxies {
    networks: Vec<IpNet>,
    /// Whoever may open the listener's unix socket.
    unix: bool,
}

impl TrustedProxies {
    pub(super) fn resolve(section: &Section<'_, '_>) -> Self {
        let mut proxies = Self::default();
        for text in section
            .texts("trusted_proxies", EXAMPLE)
            .unwrap_or_default()
        {
            match (*text.get_ref(), network(text.get_ref())) {
                ("unix", _) => proxies.unix = true,
                (_, Some(network)) => proxies.networks.push(network),
                (other, None) => {
                    let fault = Fault::NotANetwork(other.to_owned());
                    section.note_at(text.span(), "trusted_proxies", fault);
                }
            }
        }
        proxies
    }

    /// Whether this peer is one of them; without an address it came through a unix socket.
    pub(crate) fn contain(&self, address: Option<IpAddr>) -> bool {
        match address.map(|address| address.to_canonical()) {
            Some(address) => self
                .networks
                .iter()
                .any(|network| network.contains(&address)),
            None => self.unix,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }
}

fn network(text: &str) -> Option<IpNet> {
    let alone = |text: &str| text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(|| alone(text))
}
