//! Where a listener listens: an IP address with a port, or the path of a unix socket.
//!
//! Two listeners on one place are found here, where the file's lines are known, rather than by the operating system at
//! the start. Port 0 (a free port, printed when it is open) can stand twice.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::error::AddressFault;

/// What the path of a unix socket begins with in the file.
const UNIX: &str = "unix:";

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    /// An address; port 0 asks the operating system for a free one.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl Bind {
    /// Reads `127.0.0.1:8083`, `[::1]:8083` or `unix:/run/weir/ws.sock`.
    ///
    /// # Errors
    /// Which part of it is missing or wrong.
    pub(super) fn parse(text: &str) -> Result<Self, AddressFault> {
        match text.strip_prefix(UNIX) {
            Some(path) if Path::new(path).is_absolute() && !path.ends_with('/') => {
                Ok(Self::Unix(path.into()))
            }
            Some(_) => Err(AddressFault::NotAPath),
            None => parse_bind(text).map(Self::Tcp),
        }
    }

    /// Whether only this machine can reach it.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Whether the operating system would refuse the second of two.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) => clash(*one, *other),
            _ => self == other,
        }
    }

    /// Whether it is all interfaces of the machine.
    pub(super) fn is_everywhere(&self) -> bool {
        matches!(self, Self::Tcp(address) if address.ip().is_unspecified())
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => write!(out, "{UNIX}{}", path.display()),
        }
    }
}

/// Reads an address such as `127.0.0.1:8083` or `[::1]:8083`.
///
/// # Errors
/// Which part of it is missing or wrong.
pub(crate) fn parse_bind(text: &str) -> Result<SocketAddr, AddressFault> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse() {
        return Err(AddressFault::NoPort(ip));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return Err(AddressFault::BadPort(port.into()));
    }
    Err(AddressFault::NotAnIp(host.into()))
}

fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = one.ip().is_unspecified() || other.ip().is_unspecified();
    let same_family = one.is_ipv4() == other.is_ipv4();
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || (covers && same_family))
}
