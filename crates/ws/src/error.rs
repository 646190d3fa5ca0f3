//! Why an open connection can not go on: the stream failed, or the peer broke the protocol.
//!
//! The faults of a peer are values of their own ([`Violation`], and before the upgrade `Refusal`), so that each can be
//! told to the peer and logged in the same words.

use std::fmt;
use std::io;

use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::frame::Violation;

/// Why a connection can not go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The stream failed; nothing more can be said to the peer.
    Io(io::Error),
    /// The peer broke the protocol; close with [`ConnectionError::close_code`] and the violation as the reason.
    Protocol(Violation),
}

impl ConnectionError {
    /// The code to close with; `None` when the stream is gone.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Io(_) => None,
            Self::Protocol(violation) => Some(violation.close_code()),
        }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "connection lost: {error}"),
            Self::Protocol(violation) => write!(f, "WebSocket protocol error: {violation}"),
        }
    }
}

impl std::error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Protocol(violation) => Some(violation),
        }
    }
}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Violation> for ConnectionError {
    fn from(violation: Violation) -> Self {
        Self::Protocol(violation)
    }
}
