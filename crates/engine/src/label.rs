//! One word for each end, for metrics.
//!
//! A label names a sort of end, never a client, and there are few of them: a metric of which clients choose the labels
//! grows with them. Whoever looks at a dashboard finds the same words in the book's table of refusals.

use crate::end::{End, Lost, Refusal, Violation};
use weir_codec::{DecodeError, ReasonCode};

impl End {
    /// The word for this end in metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.label(),
            Self::Malformed(DecodeError::ConnectExpected(_)) => "connect_expected",
            Self::Malformed(DecodeError::UnsupportedProtocolVersion(_)) => "unsupported_version",
            Self::Malformed(error) => match error.reason_code() {
                ReasonCode::PacketTooLarge => "packet_too_large",
                _ => "malformed_packet",
            },
            Self::Violation(violation) => violation.label(),
            Self::Disconnected(ReasonCode::DisconnectWithWillMessage) => "disconnected_with_will",
            Self::Disconnected(_) => "disconnected",
            Self::Lost(Lost::Closed) => "closed",
            Self::Lost(Lost::Reset) => "lost",
            Self::Lost(Lost::Transport { .. }) => "websocket_violation",
            Self::Lost(Lost::Unresponsive) => "unresponsive",
            Self::TakenOver => "taken_over",
            Self::KeepAliveTimeout => "keep_alive_timeout",
            Self::ConnectTimeout => "connect_timeout",
            Self::QueueFull => "queue_full",
            Self::StoreFull => "store_full",
            Self::RetainedFull => "retained_full",
            Self::AnswerTooLarge => "answer_too_large",
            Self::CredentialsExpired => "credentials_expired",
            Self::ReauthenticationRefused(_) => "renewal_refused",
            Self::PermissionWithdrawn => "permission_withdrawn",
            Self::RateExceeded => "rate_exceeded",
            Self::Shutdown => "shutdown",
        }
    }
}

impl Refusal {
    const fn label(self) -> &'static str {
        match self {
            Self::ClientIdInvalid => "client_id_invalid",
            Self::BadCredentials => "bad_credentials",
            Self::NotAuthorized => "not_authorized",
            Self::WillNotAuthorized => "will_not_authorized",
            Self::WillTopicInvalid => "will_topic_invalid",
            Self::BadAuthenticationMethod => "bad_authentication_method",
            Self::AuthenticationUnavailable => "authentication_unavailable",
            Self::CredentialsExpired => "credentials_expired",
            Self::AnonymousNotAllowed => "credentials_missing",
            Self::ClientIdOfAnother => "client_id_of_another",
            Self::TooManySessions => "too_many_sessions",
            Self::StoreFull => "store_full",
            Self::TooManyOfUser => "too_many_of_user",
            Self::UserTooFast => "user_too_fast",
            Self::TooManyFailedLogins { .. } => "too_many_failed_logins",
            Self::Contested { .. } => "contested",
        }
    }
}

impl Violation {
    const fn label(self) -> &'static str {
        match self {
            Self::SecondConnect => "second_connect",
            Self::Unexpected(_) => "packet_not_expected",
            Self::UnexpectedAuth => "auth_not_expected",
            Self::AuthenticationMethodChanged => "authentication_method_changed",
            Self::ReceiveMaximumExceeded => "receive_maximum_exceeded",
            Self::TopicAliasTooLarge => "topic_alias_too_large",
            Self::TopicAliasUnknown => "topic_alias_unknown",
            Self::SessionExpiryRaised => "session_expiry_raised",
            Self::PublishNotAuthorized => "publish_not_authorized",
            Self::TopicTooDeep => "topic_too_deep",
        }
    }
}
