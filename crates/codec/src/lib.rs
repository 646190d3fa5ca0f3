//! MQTT 3.1, 3.1.1 and 5.0 packets: bytes to packets and back.
//!
//! The crate knows the wire format and nothing else: no sessions, no time, no I/O. A [`Decoder`] is fed with bytes in
//! pieces of any size and answers with [`Packet`]s whose topics, payloads and property blocks are slices of those bytes.
//! It is strict: what the specifications call malformed or a protocol error is a [`DecodeError`] that knows its reason
//! code. No peer can make it panic, and none can make it reserve memory for bytes that have not arrived.
//!
//! Statement numbers such as [MQTT-3.3.1-2] are those of MQTT 5.0; a statement of 3.1.1 is written [MQTT3-3.1.2-22] where
//! it is not the statement of 5.0 with the same number.
#![no_std]
#![forbid(unsafe_code)]
#![allow(rustdoc::broken_intra_doc_links)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod ack;
mod auth;
mod connack;
mod connect;
mod decoder;
mod delivery;
mod disconnect;
mod error;
mod filter;
mod frame;
mod output;
mod packet;
mod properties;
mod property;
mod publish;
mod reader;
mod reason;
mod run;
mod segment;
mod sink;
mod subscribe;
mod topic;
mod unsubscribe;
mod utf8;
mod varint;
mod version;

pub use ack::{Ack, PubAcks};
pub use auth::Auth;
pub use connack::ConnAck;
pub use connect::{Connect, Will};
pub use decoder::{Decoder, PIECE_BYTES};
pub use delivery::{Delivery, PacketId, Qos, QosError};
pub use disconnect::Disconnect;
pub use error::{DecodeError, EncodeError};
pub use filter::TopicFilter;
pub use frame::{PublishFrame, PublishHead};
pub use output::{LINK_BYTES, Output, Piece, link_bytes_for};
pub use packet::{Packet, PacketType};
pub use properties::Properties;
pub use property::{Property, PropertyId};
pub use publish::{Publish, detached};
pub use reason::ReasonCode;
pub use run::{KeptRun, Run, RunPacket};
pub use segment::{Alike, Segment, Stretch};
pub use subscribe::{RetainHandling, SubAck, Subscribe, SubscribeFilters, SubscriptionOptions};
pub use topic::{TopicError, TopicName};
pub use unsubscribe::{UnsubAck, Unsubscribe, UnsubscribeFilters};
pub use utf8::{StringError, Utf8};
pub use version::Version;
