//! Why a connection ended: one value for the client, the log and the tests.
//!
//! No connection ends without an [`End`]. From it come the reason code of the CONNACK or DISCONNECT, the WebSocket close
//! code and text, and the words of the log line, so that these can never tell different stories.

use core::fmt;
use weir_codec::{DecodeError, ReasonCode};

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// CONNECT was answered with a CONNACK that refuses.
    Refused(Refusal),
    /// The client sent bytes that are not MQTT [MQTT-4.13.1-1].
    Malformed(DecodeError),
    /// The client sent well-formed packets that break the protocol.
    Violation(Violation),
    /// The client sent DISCONNECT, with this reason.
    Disconnected(ReasonCode),
    /// The transport ended without a DISCONNECT.
    Lost(Lost),
    /// Another connection uses the same client id [MQTT-3.1.4-3].
    TakenOver,
    /// Nothing was heard for one and a half times the Keep Alive [MQTT-3.1.2-22].
    KeepAliveTimeout,
    /// No CONNECT came in time (section 3.1.4).
    ConnectTimeout,
    /// The session's queue is full: the client reads more slowly than messages for it arrive.
    QueueFull,
    /// The store has no room for what the client publishes, and 3.x has no other way to say so.
    StoreFull,
    /// A retained message could not be stored since the limit is reached, and 3.x has no other way to say so.
    RetainedFull,
    /// An answer that must be given is larger than the client's Maximum Packet Size [MQTT-3.1.2-24].
    AnswerTooLarge,
    /// The client's credentials have expired.
    CredentialsExpired,
    /// The client authenticated again and was refused [MQTT-4.12.1-2].
    ReauthenticationRefused(Refusal),
    /// A subscription of the client is not allowed any more, or the client itself.
    PermissionWithdrawn,
    /// The client has sent more than it may for a long time, although it was read from no faster than that.
    RateExceeded,
    /// The server is shutting down.
    Shutdown,
}

/// Why a CONNECT was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An empty Client Identifier with Clean Session 0 [MQTT3-3.1.3-8], or one that 3.1 does not allow.
    ClientIdInvalid,
    /// User name and password are wrong or missing.
    BadCredentials,
    /// The client is known and may not connect.
    NotAuthorized,
    /// The will's topic may not be published to by this client.
    WillNotAuthorized,
    /// The will's topic has more levels than the server takes.
    WillTopicInvalid,
    /// Enhanced authentication with a method the server does not have [MQTT-4.12.0-1].
    BadAuthenticationMethod,
    /// Authentication could not be carried out.
    AuthenticationUnavailable,
    /// The credentials have expired.
    CredentialsExpired,
    /// The client said nothing of who it is, where that is not enough.
    AnonymousNotAllowed,
    /// The session of this client id was begun by another user.
    ClientIdOfAnother,
    /// The server holds as many sessions as it is configured for.
    TooManySessions,
    /// The store has no room for a session that lasts.
    StoreFull,
    /// The user has as many connections as it may have.
    TooManyOfUser,
    /// The user began more connections within a second than it may.
    UserTooFast,
    /// Too many logins failed, of this user or from its address, to look at another one yet.
    TooManyFailedLogins {
        /// How long to wait.
        retry_seconds: u32,
    },
    /// Another connection has the client id and keeps it, after too many takeovers.
    Contested {
        /// How long to leave it alone.
        retry_seconds: u32,
    },
}

/// A rule of the protocol that a client broke with a well-formed packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A second CONNECT [MQTT-3.1.0-2].
    SecondConnect,
    /// A packet of this name before the connection was accepted, or one only a server sends.
    Unexpected(&'static str),
    /// AUTH without enhanced authentication [MQTT-4.12.0-7], or at a moment when none is due.
    UnexpectedAuth,
    /// AUTH with another method than CONNECT's [MQTT-4.12.1-1].
    AuthenticationMethodChanged,
    /// More QoS 1 and 2 messages unacknowledged than our Receive Maximum [MQTT-3.3.4-7].
    ReceiveMaximumExceeded,
    /// A Topic Alias that is 0 or above our Topic Alias Maximum [MQTT-3.3.2-9].
    TopicAliasTooLarge,
    /// A Topic Alias that stands for no topic yet.
    TopicAliasUnknown,
    /// DISCONNECT raised a Session Expiry Interval that was 0 (section 3.14.2.2.2).
    SessionExpiryRaised,
    /// A publish that this client may not make, where 3.x has no other way to say so [MQTT3-3.3.5-2].
    PublishNotAuthorized,
    /// A topic name with more levels than the server takes.
    TopicTooDeep,
}

/// How a transport ended without a DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The WebSocket was closed by the client.
    Closed,
    /// The connection was reset, or ended without a WebSocket close.
    Reset,
    /// The WebSocket protocol was broken; the close code says how.
    Transport {
        /// The WebSocket close code.
        close_code: u16,
        /// What was wrong, in a few words.
        text: &'static str,
    },
    /// Neither data nor an answer to a WebSocket ping came.
    Unresponsive,
}

impl End {
    /// The reason code for CONNACK or DISCONNECT.
    #[must_use]
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Refused(refusal) => refusal.reason_code(),
            Self::Malformed(error) => error.reason_code(),
            Self::Violation(violation) => violation.reason_code(),
            Self::Disconnected(reason) => *reason,
            Self::Lost(_) => ReasonCode::UnspecifiedError,
            Self::TakenOver => ReasonCode::SessionTakenOver,
            Self::KeepAliveTimeout => ReasonCode::KeepAliveTimeout,
            Self::ConnectTimeout => ReasonCode::MaximumConnectTime,
            Self::QueueFull | Self::RetainedFull | Self::StoreFull => ReasonCode::QuotaExceeded,
            Self::AnswerTooLarge => ReasonCode::PacketTooLarge,
            // "The maximum connection time authorized for this connection has been exceeded."
            Self::CredentialsExpired => ReasonCode::MaximumConnectTime,
            Self::ReauthenticationRefused(Refusal::BadAuthenticationMethod) => {
                ReasonCode::BadAuthenticationMethod
            }
            Self::ReauthenticationRefused(_) | Self::PermissionWithdrawn => {
                ReasonCode::NotAuthorized
            }
            Self::RateExceeded => ReasonCode::MessageRateTooHigh,
            Self::Shutdown => ReasonCode::ServerShuttingDown,
        }
    }

    /// The WebSocket close code (RFC 6455 section 7.4.1).
    #[must_use]
    pub const fn close_code(&self) -> u16 {
        match self {
            Self::Disconnected(_) | Self::Lost(Lost::Closed) => 1000,
            Self::Shutdown => 1001,
            Self::Malformed(error) if matches!(error.reason_code(), ReasonCode::PacketTooLarge) => {
                1009
            }
            Self::AnswerTooLarge => 1009,
            Self::Malformed(_) | Self::Violation(_) => 1002,
            Self::Lost(Lost::Transport { close_code, .. }) => *close_code,
            // Codes of our own, 4000 and the reason code, so that a page knows not to come back at once.
            Self::TakenOver => 4142,
            Self::RateExceeded => 4150,
            Self::Refused(
                Refusal::Contested { .. }
                | Refusal::UserTooFast
                | Refusal::TooManyFailedLogins { .. },
            ) => 4159,
            Self::Refused(Refusal::TooManyOfUser) => 4151,
            Self::Refused(_)
            | Self::KeepAliveTimeout
            | Self::ConnectTimeout
            | Self::QueueFull
            | Self::RetainedFull
            | Self::CredentialsExpired
            | Self::ReauthenticationRefused(_)
            | Self::PermissionWithdrawn
            | Self::StoreFull
            | Self::Lost(Lost::Reset | Lost::Unresponsive) => 1008,
        }
    }

    /// Whether the client is told with a DISCONNECT (5.0) or CONNACK before the transport closes.
    pub(crate) const fn is_ours(&self) -> bool {
        !matches!(self, Self::Disconnected(_) | Self::Lost(_))
    }

    /// Whether the will is published: on every end but a DISCONNECT with reason 0x00 [MQTT-3.14.4-3].
    pub(crate) const fn publishes_will(&self) -> bool {
        !matches!(self, Self::Disconnected(ReasonCode::Success))
    }

    /// Whether the client is at fault.
    pub(crate) const fn is_fault(&self) -> bool {
        matches!(
            self,
            Self::Refused(_)
                | Self::ReauthenticationRefused(_)
                | Self::Malformed(_)
                | Self::Violation(_)
                | Self::Lost(Lost::Transport { .. })
        )
    }
}

impl Refusal {
    /// How long to stay away, where that is all that is asked.
    pub(crate) const fn retry_seconds(self) -> Option<u32> {
        match self {
            Self::Contested { retry_seconds } | Self::TooManyFailedLogins { retry_seconds } => {
                Some(retry_seconds)
            }
            Self::UserTooFast => Some(1),
            _ => None,
        }
    }

    const fn reason_code(self) -> ReasonCode {
        match self {
            Self::ClientIdInvalid => ReasonCode::ClientIdentifierNotValid,
            Self::BadCredentials => ReasonCode::BadUserNameOrPassword,
            Self::NotAuthorized
            | Self::WillNotAuthorized
            | Self::CredentialsExpired
            | Self::AnonymousNotAllowed
            | Self::ClientIdOfAnother => ReasonCode::NotAuthorized,
            Self::WillTopicInvalid => ReasonCode::TopicNameInvalid,
            Self::BadAuthenticationMethod => ReasonCode::BadAuthenticationMethod,
            Self::AuthenticationUnavailable => ReasonCode::ServerUnavailable,
            Self::TooManySessions | Self::TooManyOfUser | Self::StoreFull => {
                ReasonCode::QuotaExceeded
            }
            Self::Contested { .. } | Self::UserTooFast | Self::TooManyFailedLogins { .. } => {
                ReasonCode::ConnectionRateExceeded
            }
        }
    }
}

impl Violation {
    const fn reason_code(self) -> ReasonCode {
        match self {
            Self::SecondConnect
            | Self::Unexpected(_)
            | Self::UnexpectedAuth
            | Self::TopicAliasUnknown
            | Self::SessionExpiryRaised => ReasonCode::ProtocolError,
            Self::AuthenticationMethodChanged => ReasonCode::BadAuthenticationMethod,
            Self::ReceiveMaximumExceeded => ReasonCode::ReceiveMaximumExceeded,
            Self::TopicAliasTooLarge => ReasonCode::TopicAliasInvalid,
            Self::PublishNotAuthorized => ReasonCode::NotAuthorized,
            Self::TopicTooDeep => ReasonCode::TopicNameInvalid,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::Malformed(error) => error.fmt(f),
            Self::Violation(violation) => violation.fmt(f),
            Self::Disconnected(ReasonCode::Success) => f.write_str("client disconnected"),
            Self::Disconnected(reason) => write!(f, "client disconnected: {reason}"),
            Self::Lost(lost) => lost.fmt(f),
            Self::TakenOver => f.write_str("session taken over by a new connection"),
            Self::KeepAliveTimeout => f.write_str("keep alive timeout"),
            Self::ConnectTimeout => f.write_str("no CONNECT in time"),
            Self::QueueFull => f.write_str("queue full: client reads too slowly"),
            Self::RetainedFull => f.write_str("retained message limit reached"),
            Self::StoreFull => f.write_str("no room in the store"),
            Self::AnswerTooLarge => {
                f.write_str("answer larger than the client's maximum packet size")
            }
            Self::CredentialsExpired => f.write_str("credentials expired"),
            Self::ReauthenticationRefused(refusal) => write!(f, "refused again: {refusal}"),
            Self::PermissionWithdrawn => f.write_str("permission withdrawn"),
            Self::RateExceeded => f.write_str("more is sent than may be, for too long"),
            Self::Shutdown => f.write_str("server shutting down"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contested { retry_seconds } => {
                return write!(
                    f,
                    "client identifier in use by another connection; leave it alone for {retry_seconds} seconds"
                );
            }
            Self::TooManyFailedLogins { retry_seconds } => {
                return write!(
                    f,
                    "too many failed logins; try again in {retry_seconds} seconds"
                );
            }
            Self::TooManyOfUser => "the user has as many connections as it may have",
            Self::UserTooFast => "the user began too many connections; try again in a second",
            Self::ClientIdInvalid => "client identifier not valid",
            Self::BadCredentials => "bad user name or password",
            Self::NotAuthorized => "not authorized",
            Self::WillNotAuthorized => "not authorized to publish the will",
            Self::WillTopicInvalid => "will topic has too many levels",
            Self::BadAuthenticationMethod => "authentication method not supported",
            Self::AuthenticationUnavailable => "authentication unavailable",
            Self::CredentialsExpired => "credentials expired",
            Self::AnonymousNotAllowed => "credentials missing",
            Self::ClientIdOfAnother => "client identifier belongs to another user",
            Self::TooManySessions => "too many sessions",
            Self::StoreFull => "no room in the store",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecondConnect => f.write_str("second CONNECT"),
            Self::Unexpected(packet) => write!(f, "{packet} not expected here"),
            Self::UnexpectedAuth => f.write_str("AUTH not expected here"),
            Self::AuthenticationMethodChanged => {
                f.write_str("AUTH with another method than CONNECT")
            }
            Self::ReceiveMaximumExceeded => f.write_str("receive maximum exceeded"),
            Self::TopicAliasTooLarge => f.write_str("topic alias above the maximum"),
            Self::TopicAliasUnknown => f.write_str("topic alias not set"),
            Self::SessionExpiryRaised => f.write_str("session expiry interval raised from zero"),
            Self::PublishNotAuthorized => f.write_str("not authorized to publish"),
            Self::TopicTooDeep => f.write_str("topic name has too many levels"),
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed without DISCONNECT",
            Self::Reset => "connection lost",
            Self::Transport { text, .. } => text,
            Self::Unresponsive => "no answer to ping",
        })
    }
}
