//! Who is at the other end, as far as addresses say.
//!
//! It is what the log shows and what limits count. Behind a trusted proxy it is the client, not the proxy.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The other end of a TCP connection, ours or the proxy's.
    Socket(SocketAddr),
    /// What a proxy says in a header, which has no port.
    Address(IpAddr),
    /// The other end of a unix socket.
    Unix,
}

impl Peer {
    /// Its address, if it has one; an IPv4 address in IPv6 clothes is one of IPv4.
    pub(crate) fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Socket(address) => Some(address.ip().to_canonical()),
            Self::Address(ip) => Some(ip.to_canonical()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(out),
            Self::Address(ip) => ip.fmt(out),
            Self::Unix => out.write_str("unix"),
        }
    }
}
