//! The small sections: `[timing]`, `[tolerate]` and `[log]`.
//!
//! Where zero means "never" or "not set" in the file, the resolved value says so with its type, so that nobody sleeps for
//! zero seconds by accident.

use std::num::NonZeroU16;
use std::time::Duration;

use super::section::Section;

/// Deadlines and intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// From the accepted TCP connection to the accepted CONNECT.
    pub(crate) handshake: Duration,
    /// After how long without traffic a client is sent a WebSocket ping; `None` for never.
    pub(crate) ping_interval: Option<Duration>,
    /// The Server Keep Alive of CONNACK, in seconds; `None` leaves the client's Keep Alive as it is.
    pub(crate) server_keep_alive_seconds: Option<NonZeroU16>,
    /// How long a closed connection may take to take its last bytes and to answer the close.
    pub(crate) close: Duration,
    /// How long all connections together may take when the broker stops.
    pub(crate) shutdown: Duration,
}

/// Deviations of clients in wide use that are not held against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tolerate {
    /// A client id of more than 23 characters in MQTT 3.1.
    pub(crate) long_3_1_client_ids: bool,
    /// More QoS 2 messages unacknowledged than the Receive Maximum.
    pub(crate) receive_maximum_exceeded: bool,
    /// WebSocket pongs instead of PINGREQ.
    pub(crate) pong_as_keep_alive: bool,
}

/// How and how much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// For people or for programs.
    pub(crate) format: LogFormat,
    /// The least severe lines that are written.
    pub(crate) level: LogLevel,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people; in colour on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// The severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogLevel {
    /// The broker can't do what it should.
    Error,
    /// Something is not as it should be, and the broker goes on.
    Warn,
    /// One line for each connect, refusal and disconnect.
    Info,
    /// Each packet's name.
    Debug,
    /// Everything.
    Trace,
}

impl Timing {
    pub(super) fn resolve(section: &Section<'_, '_>) -> Self {
        Self {
            handshake: seconds(section, "handshake_seconds", 10, 1, 300),
            ping_interval: Some(seconds(section, "ping_interval_seconds", 25, 0, 3600))
                .filter(|interval| !interval.is_zero()),
            server_keep_alive_seconds: NonZeroU16::new(section.integer(
                "server_keep_alive_seconds",
                0,
                0..=65_535,
                "seconds",
            )),
            close: seconds(section, "close_seconds", 2, 1, 60),
            shutdown: seconds(section, "shutdown_seconds", 10, 1, 600),
        }
    }
}

impl Tolerate {
    pub(super) fn resolve(section: &Section<'_, '_>) -> Self {
        Self {
            long_3_1_client_ids: section.boolean("long_3_1_client_ids", true),
            receive_maximum_exceeded: section.boolean("receive_maximum_exceeded", false),
            pong_as_keep_alive: section.boolean("pong_as_keep_alive", false),
        }
    }
}

impl Log {
    pub(super) fn resolve(section: &Section<'_, '_>) -> Self {
        use LogLevel::{Debug, Error, Info, Trace, Warn};
        Self {
            format: section.word(
                "format",
                LogFormat::Text,
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            ),
            level: section.word(
                "level",
                Info,
                &[
                    ("error", Error),
                    ("warn", Warn),
                    ("info", Info),
                    ("debug", Debug),
                    ("trace", Trace),
                ],
            ),
        }
    }
}

fn seconds(
    section: &Section<'_, '_>,
    key: &'static str,
    default: u64,
    min: i64,
    max: i64,
) -> Duration {
    Duration::from_secs(section.integer(key, default, min..=max, "seconds"))
}
