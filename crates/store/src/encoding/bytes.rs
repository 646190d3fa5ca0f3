//! Integers and texts in bytes.
//!
//! A [`Fields`] never runs past its end: whatever is malformed is `None`.

/// Appends seven bits a byte, low bits first.
pub(super) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes behind their length.
pub(super) fn push_block(out: &mut Vec<u8>, bytes: &[u8]) {
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A cursor over encoded fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn u8(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*first))
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn narrow<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.varint()?).ok()
    }

    pub(super) fn block(&mut self) -> Option<&'a [u8]> {
        let len = self.narrow()?;
        let (block, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(block)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.block()?).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_round_trip_and_never_overflow() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::MAX - 1, u64::MAX] {
            let mut out = vec![];
            push_varint(&mut out, value);
            let mut fields = Fields(&out);
            assert_eq!(fields.varint(), Some(value));
            assert!(fields.is_empty());
            assert_eq!(Fields(&out[..out.len() - 1]).varint(), None);
        }
        assert_eq!(Fields(&[0xff; 10]).varint(), None);
        assert_eq!(Fields(&[0xff; 20]).varint(), None);
    }

    #[test]
    fn a_block_never_runs_past_the_end() {
        assert_eq!(Fields(&[3, b'a', b'b']).block(), None);
        assert_eq!(Fields(&[2, b'a', b'b', b'c']).text(), Some("ab"));
        assert_eq!(Fields(&[1, 0xff]).text(), None);
    }
}
