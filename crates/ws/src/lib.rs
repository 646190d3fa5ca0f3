//! The WebSocket transport: HTTP upgrade, `Sec-WebSocket-Protocol` negotiation, frames and close codes; and the same
//! without WebSocket, for peers that speak over the bare stream.
//!
//! [`handshake`] answers HTTP on a fresh stream until it becomes a WebSocket; [`Connection`] then moves bytes. The
//! receiving side is a byte stream, because MQTT may split and pack packets over WebSocket messages as it likes
//! ([MQTT-6.0.0-2], [MQTT-4.2-1]): frame borders are forgotten, and nothing is gathered but headers and control frames.
//! The sending side makes one message out of everything that is ready.
//!
//! Nothing here knows MQTT packets, sessions or time: deadlines are the caller's, who drops a future that took too long.
//! What must always hold: no peer can make this crate panic or allocate more than a fixed amount, and every refusal
//! reaches the peer as an HTTP status with a body, or as a close code.

mod arena;
mod connection;
mod error;
pub mod frame;
mod handshake;
mod negotiate;
mod origin;
mod outbox;
mod raw;
mod refusal;
mod utf8;

pub use connection::{Connection, Event};
pub use error::ConnectionError;
pub use handshake::{Accepted, HandshakeConfig, HandshakeError, Host, Outcome, handshake};
pub use negotiate::{RefuseAfterUpgrade, Subprotocol};
pub use origin::{AllowedOrigin, OriginFault};
pub use outbox::Piece;
pub use raw::RawConnection;
pub use refusal::Refusal;
pub use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
