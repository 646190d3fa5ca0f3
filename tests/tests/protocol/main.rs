//! The broker's behaviour as a client sees it, packet by packet, over real sockets.
//!
//! One module for each subject; one program for all of them, so that they run beside each other: most of
//! these tests wait for a peer or a clock. Every test starts a broker of its own.

mod aliases;
mod connect;
mod durable;
mod expiry;
mod frames;
mod handshake;
mod hostile;
mod keep_alive;
mod limits;
mod properties;
mod qos;
mod reconnections;
mod retained;
mod sessions;
mod shared;
mod shortage;
mod shutdown;
mod slow_readers;
mod subscriptions;
mod takeover;
mod transports;
mod wills;
