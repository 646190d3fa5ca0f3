//! Where a client is, from the mouth of a proxy: the PROXY protocol in front of everything else, or headers of HTTP.
//!
//! Only what a trusted proxy says counts; who that is, the caller knows. The PROXY header is read to its last byte and no
//! further, since what follows belongs to TLS or HTTP. X-Forwarded-For is read from its end: each proxy adds the
//! address it saw, so the last one that is not a trusted proxy's is the client's, and what stands before it is
//! the client's own invention.

use super::peer::Peer;
use crate::config::TrustedProxies;
use http::HeaderMap;
use ppp::{HeaderResult, v1, v2};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What version 2 begins with, and version 1 can't.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1.
const LINE_BYTES_MAX: usize = 107;

/// The longest header of version 2 that is read: addresses of 216 bytes, and room for what proxies append.
const BLOCK_BYTES_MAX: usize = 4096;

/// Why a PROXY header can't be read.
#[derive(Debug)]
pub(crate) enum ProxyFault {
    /// There is none: something else came.
    Absent,
    /// It is begun and then goes wrong.
    Malformed,
    /// It announces more bytes than any proxy needs.
    TooLong,
    /// The connection ended in it.
    Lost(io::Error),
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => {
                out.write_str("no PROXY header, which `proxy_protocol` of this listener demands")
            }
            Self::Malformed => out.write_str("malformed PROXY header"),
            Self::TooLong => write!(out, "PROXY header of more than {BLOCK_BYTES_MAX} bytes"),
            Self::Lost(error) => write!(out, "lost within the PROXY header: {error}"),
        }
    }
}

impl From<io::Error> for ProxyFault {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// Reads a PROXY header: the client's address, or `None` where the proxy speaks for itself, as in a health check.
///
/// # Errors
/// There is no whole header of version 1 or 2.
pub(crate) async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, ProxyFault> {
    let mut header = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut header).await?;
    if &header[..] == SIGNATURE {
        read_block(stream, &mut header).await?;
    } else if header.starts_with(b"PROXY ") {
        read_line(stream, &mut header).await?;
    } else {
        return Err(ProxyFault::Absent);
    }
    match HeaderResult::parse(&header) {
        HeaderResult::V1(Ok(header)) => Ok(source_v1(header.addresses)),
        HeaderResult::V2(Ok(header)) if header.command == v2::Command::Local => Ok(None),
        HeaderResult::V2(Ok(header)) => Ok(source_v2(header.addresses)),
        _ => Err(ProxyFault::Malformed),
    }
}

async fn read_block(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut Vec<u8>,
) -> Result<(), ProxyFault> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await?;
    header.extend_from_slice(&fixed);
    let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if length > BLOCK_BYTES_MAX {
        return Err(ProxyFault::TooLong);
    }
    let start = header.len();
    header.resize(start + length, 0);
    stream.read_exact(&mut header[start..]).await?;
    Ok(())
}

async fn read_line(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut Vec<u8>,
) -> Result<(), ProxyFault> {
    while !header.ends_with(b"\r\n") {
        if header.len() == LINE_BYTES_MAX {
            return Err(ProxyFault::Malformed);
        }
        header.push(stream.read_u8().await?);
    }
    Ok(())
}

fn source_v1(addresses: v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
        v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
        v1::Addresses::Unknown => None,
    }
}

fn source_v2(addresses: v2::Addresses) -> Option<SocketAddr> {
    match addresses {
        v2::Addresses::IPv4(ip) => Some((ip.source_address, ip.source_port).into()),
        v2::Addresses::IPv6(ip) => Some((ip.source_address, ip.source_port).into()),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    }
}

/// Where the client of this request is, if `peer` is a trusted proxy and says it.
pub(crate) fn forwarded(headers: &HeaderMap, peer: Peer, trusted: &TrustedProxies) -> Option<Peer> {
    if !trusted.contain(peer.ip()) {
        return None;
    }
    let client = if headers.contains_key("x-forwarded-for") {
        forwarded_for(headers, trusted)
    } else {
        let real = headers.get("x-real-ip");
        real.and_then(|value| address(value.to_str().ok()?))
    };
    client.map(Peer::Address)
}

/// The last address that no trusted proxy has; of a request within the trusted networks, the first. What is before it was
/// written by the client, and may be anything.
fn forwarded_for(headers: &HeaderMap, trusted: &TrustedProxies) -> Option<IpAddr> {
    let lines = headers.get_all("x-forwarded-for").into_iter().rev();
    let mut client = None;
    for hop in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
        let hop = address(std::str::from_utf8(hop).ok()?.trim())?;
        client = Some(hop);
        if !trusted.contain(Some(hop)) {
            break;
        }
    }
    client
}

/// An address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(with_port)
}

/// Whether a proxy says that the client's own connection is encrypted.
pub(crate) fn says_encrypted(headers: &HeaderMap) -> bool {
    let scheme = headers.get("x-forwarded-proto");
    scheme.is_some_and(|value| matches!(value.as_bytes(), b"https" | b"wss"))
}

#[cfg(test)]
mod tests;
