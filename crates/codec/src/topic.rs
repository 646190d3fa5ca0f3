//! Topic names: where a message is published to.
//!
//! A [`TopicName`] is at least one character long [MQTT-4.7.3-1] and holds no wildcard characters [MQTT-3.3.2-2]. It is a
//! slice of the packet it came in; [`TopicName::detached`] makes a copy for names that are kept.

use crate::{Utf8, utf8::StringError};
use bytes::Bytes;
use core::{borrow::Borrow, fmt};

/// A topic name, validated.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Utf8);

impl TopicName {
    /// The whole name.
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The levels, from left to right: what stands between the `/` separators. Never none; each may be empty.
    pub fn levels(&self) -> core::str::Split<'_, char> {
        self.as_str().split('/')
    }

    /// How many [levels](Self::levels) it has.
    #[must_use]
    pub fn depth(&self) -> usize {
        let separators = self.as_str().bytes().filter(|byte| *byte == b'/');
        separators.count() + 1
    }

    /// A copy that pins no larger buffer.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(self.0.detached())
    }

    /// The same name where its bytes have been copied to.
    pub(crate) fn copied_to(&self, bytes: Bytes) -> Self {
        debug_assert_eq!(self.as_str().as_bytes(), bytes);
        Utf8::try_from(bytes).map_or_else(|_| self.detached(), Self)
    }

    /// The name as a string value, shared.
    pub fn as_utf8(&self) -> &Utf8 {
        &self.0
    }
}

impl TryFrom<Utf8> for TopicName {
    type Error = TopicError;

    #[inline]
    fn try_from(text: Utf8) -> Result<Self, TopicError> {
        check_name(&text).map(|()| Self(text))
    }
}

impl TryFrom<&str> for TopicName {
    type Error = TopicError;

    fn try_from(text: &str) -> Result<Self, TopicError> {
        check_name(text)?;
        Ok(Self(Utf8::try_from(text)?))
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is not a topic name or not a topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// It is empty. [MQTT-4.7.3-1]
    Empty,
    /// A topic name contains `#` or `+`. [MQTT-3.3.2-2]
    WildcardInName,
    /// `#` is not alone in the last level of the filter. [MQTT-4.7.1-1]
    MultiLevelWildcard,
    /// `+` shares its level of the filter with other characters. [MQTT-4.7.1-2]
    SingleLevelWildcard,
    /// The share name is empty. [MQTT-4.8.2-1]
    ShareNameEmpty,
    /// The share name contains `#` or `+`. [MQTT-4.8.2-2]
    ShareNameWildcard,
    /// No topic filter follows the share name. [MQTT-4.8.2-2]
    ShareWithoutFilter,
    /// It is not a UTF-8 Encoded String at all.
    Text(StringError),
}

impl From<StringError> for TopicError {
    fn from(fault: StringError) -> Self {
        Self::Text(fault)
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::WildcardInName => "contains a wildcard",
            Self::MultiLevelWildcard => "has a '#' that is not alone in the last level",
            Self::SingleLevelWildcard => "has a '+' that is not alone in its level",
            Self::ShareNameEmpty => "has an empty share name",
            Self::ShareNameWildcard => "has a wildcard in its share name",
            Self::ShareWithoutFilter => "has no filter after its share name",
            Self::Text(fault) => return fault.fmt(f),
        })
    }
}

impl core::error::Error for TopicError {}

/// The rules of a topic name that a UTF-8 Encoded String does not have.
#[inline]
pub(crate) fn check_name(text: &str) -> Result<(), TopicError> {
    // [MQTT-4.7.3-1]
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    // [MQTT-3.3.2-2], [MQTT-4.7.0-1]; a fold without an early exit compiles to vector instructions.
    let wildcard = |found, &byte| found | (byte == b'#') | (byte == b'+');
    if text.as_bytes().iter().fold(false, wildcard) {
        return Err(TopicError::WildcardInName);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<TopicName, TopicError> {
        TopicName::try_from(text)
    }

    /// [MQTT-4.7.3-1]
    #[test]
    fn a_topic_name_has_at_least_one_character() {
        assert_eq!(name(""), Err(TopicError::Empty));
        assert!(name("/").is_ok());
    }

    /// [MQTT-3.3.2-2], [MQTT-4.7.0-1]
    #[test]
    fn wildcards_are_refused_anywhere_in_a_name() {
        for text in ["#", "+", "a/+/b", "a#", "é+"] {
            assert_eq!(name(text), Err(TopicError::WildcardInName), "{text}");
        }
    }

    #[test]
    fn levels_may_be_empty() {
        let topic = name("/a//b").unwrap();
        assert!(topic.levels().eq(["", "a", "", "b"]));
        assert_eq!(topic.depth(), 4);
    }
}
