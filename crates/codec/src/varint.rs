//! The Variable Byte Integer: seven bits a byte, low bits first, at most four bytes.
//!
//! It holds the remaining length, property lengths, property identifiers and subscription identifiers. Only the shortest
//! encoding is accepted [MQTT-1.5.5-1], so a value has exactly one form and frames can be compared byte for byte.

/// The largest value: 268,435,455.
pub(crate) const MAX: u32 = 268_435_455;

/// What the first bytes of a buffer say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Varint {
    /// A value and the number of bytes it took.
    Value(u32, usize),
    /// More bytes are needed.
    Incomplete,
    /// Longer than four bytes, or longer than necessary.
    Malformed,
}

/// Reads one variable byte integer from the front of `bytes`.
#[inline]
pub(crate) fn read(bytes: &[u8]) -> Varint {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            // [MQTT-1.5.5-1] a last byte of 0 after another byte adds nothing: the encoding was not minimal.
            let minimal = index == 0 || byte != 0;
            return if minimal {
                Varint::Value(value, index + 1)
            } else {
                Varint::Malformed
            };
        }
    }
    if bytes.len() < 4 {
        Varint::Incomplete
    } else {
        Varint::Malformed
    }
}

/// The number of bytes `value` takes. Values above [`MAX`] are the caller's to refuse.
pub(crate) const fn encoded_len(value: u32) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// The encoding of `value` in the first `len` bytes of an array.
pub(crate) const fn encode(value: u32) -> ([u8; 4], usize) {
    let len = encoded_len(value);
    let low = (value & 0x7f) as u8;
    let second = (value >> 7 & 0x7f) as u8;
    let third = (value >> 14 & 0x7f) as u8;
    let fourth = (value >> 21 & 0x7f) as u8;
    let bytes = match len {
        1 => [low, 0, 0, 0],
        2 => [low | 0x80, second, 0, 0],
        3 => [low | 0x80, second | 0x80, third, 0],
        _ => [low | 0x80, second | 0x80, third | 0x80, fourth],
    };
    (bytes, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_of_each_length_round_trip() {
        for (value, len) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (16_383, 2),
            (16_384, 3),
            (2_097_151, 3),
            (2_097_152, 4),
            (MAX, 4),
        ] {
            let (bytes, encoded) = encode(value);
            assert_eq!(encoded, len);
            assert_eq!(read(&bytes[..len]), Varint::Value(value, len));
            assert_eq!(read(&bytes[..len - 1]), Varint::Incomplete);
        }
    }

    /// [MQTT-1.5.5-1]
    #[test]
    fn a_longer_encoding_than_necessary_is_malformed() {
        assert_eq!(read(&[0x80, 0x00]), Varint::Malformed);
        assert_eq!(read(&[0xff, 0x80, 0x00]), Varint::Malformed);
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x00]), Varint::Malformed);
    }

    #[test]
    fn five_bytes_are_malformed_after_the_fourth() {
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff]), Varint::Malformed);
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x01]), Varint::Malformed);
        assert_eq!(read(&[0x80, 0x80, 0x80]), Varint::Incomplete);
    }
}
