//! The UTF-8 Encoded String: validated once, kept as a slice of the bytes it came in.
//!
//! A [`Utf8`] always holds well-formed UTF-8 [MQTT-1.5.4-1] without U+0000 [MQTT-1.5.4-2] of at most 65,535 bytes
//! [MQTT-4.7.3-3]. A byte order mark is an ordinary character and is kept [MQTT-1.5.4-3].

use alloc::string::String;
use bytes::Bytes;
use bytestring::ByteString;
use core::{borrow::Borrow, fmt, ops::Deref};

/// A UTF-8 Encoded String. Cloning counts a reference and copies nothing.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Utf8(ByteString);

impl Utf8 {
    /// A string that lives as long as the program. U+0000 and more than 65,535 bytes must not be in it; what breaks that
    /// rule becomes the empty string.
    pub fn from_static(text: &'static str) -> Self {
        match check(text.as_bytes()) {
            Ok(()) => Self(ByteString::from_static(text)),
            Err(_) => Self::default(),
        }
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes of the text, shared.
    pub fn as_bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }

    /// A copy that pins no larger buffer, for text that is kept longer than the packet it came in.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(ByteString::from(self.as_str()))
    }

    /// Takes over text that may still break the rules `str` does not know.
    pub(crate) fn checked(text: ByteString) -> Result<Self, StringError> {
        check(text.as_bytes()).map(|()| Self(text))
    }
}

impl Deref for Utf8 {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Utf8 {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Utf8 {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq<str> for Utf8 {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Utf8 {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl TryFrom<Bytes> for Utf8 {
    type Error = StringError;

    #[inline]
    fn try_from(bytes: Bytes) -> Result<Self, StringError> {
        check(&bytes)?;
        match ByteString::try_from(bytes) {
            Ok(text) => Ok(Self(text)),
            Err(_) => Err(StringError::NotUtf8),
        }
    }
}

impl TryFrom<&str> for Utf8 {
    type Error = StringError;

    fn try_from(text: &str) -> Result<Self, StringError> {
        check(text.as_bytes())?;
        Ok(Self(ByteString::from(text)))
    }
}

impl TryFrom<String> for Utf8 {
    type Error = StringError;

    fn try_from(text: String) -> Result<Self, StringError> {
        Self::checked(ByteString::from(text))
    }
}

impl fmt::Debug for Utf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Utf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// Why bytes are not a UTF-8 Encoded String.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringError {
    /// The bytes are not well-formed UTF-8. [MQTT-1.5.4-1]
    NotUtf8,
    /// The text contains U+0000. [MQTT-1.5.4-2]
    Nul,
    /// The text is longer than 65,535 bytes, which its length field cannot say.
    TooLong,
}

impl fmt::Display for StringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "not well-formed UTF-8",
            Self::Nul => "contains U+0000",
            Self::TooLong => "longer than 65,535 bytes",
        })
    }
}

impl core::error::Error for StringError {}

/// The rules that `str` itself does not guarantee.
#[inline]
fn check(bytes: &[u8]) -> Result<(), StringError> {
    if bytes.len() > usize::from(u16::MAX) {
        return Err(StringError::TooLong);
    }
    // [MQTT-1.5.4-2], [MQTT-4.7.3-2]. U+0000 is the only character whose encoding contains a zero byte.
    if bytes.contains(&0) {
        return Err(StringError::Nul);
    }
    Ok(())
}

/// `bytes` as text, if it obeys the rules of a UTF-8 Encoded String.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Result<&str, StringError> {
    check(bytes)?;
    core::str::from_utf8(bytes).map_err(|_| StringError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn decode(bytes: &'static [u8]) -> Result<Utf8, StringError> {
        Utf8::try_from(Bytes::from_static(bytes))
    }

    /// [MQTT-1.5.4-1]
    #[test]
    fn ill_formed_utf8_and_surrogates_are_refused() {
        assert_eq!(decode(b"a\xff"), Err(StringError::NotUtf8));
        assert_eq!(decode(b"\xed\xa0\x80"), Err(StringError::NotUtf8));
        assert_eq!(decode(b"\xc0\x80"), Err(StringError::NotUtf8));
    }

    /// [MQTT-1.5.4-2], [MQTT-4.7.3-2]
    #[test]
    fn the_nul_character_is_refused() {
        assert_eq!(decode(b"a\0b"), Err(StringError::Nul));
    }

    /// [MQTT-1.5.4-3]
    #[test]
    fn a_byte_order_mark_is_kept() {
        assert_eq!(decode(b"\xef\xbb\xbfa").unwrap().as_str(), "\u{feff}a");
    }

    /// [MQTT-4.7.3-3]
    #[test]
    fn the_longest_string_has_65535_bytes() {
        assert!(Utf8::try_from(Bytes::from(vec![b'a'; 65_535])).is_ok());
        assert_eq!(
            Utf8::try_from(Bytes::from(vec![b'a'; 65_536])),
            Err(StringError::TooLong)
        );
    }
}
