//! UTF-8 validation of a stream that arrives in pieces.
//!
//! It owns at most three bytes of a character that is not complete yet. What must hold: a fault is reported at the first
//! byte after which no continuation could be valid, not at the end of the message, because RFC 6455 lets an endpoint
//! fail early and a long message should not be carried on for nothing.

/// The sequence was not, and can not become, valid UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvalidUtf8;

/// The beginning of a character whose rest has not arrived yet.
#[derive(Debug, Default)]
pub(crate) struct Utf8Stream {
    partial: [u8; 4],
    partial_len: u8,
}

impl Utf8Stream {
    /// Takes the next piece of the text.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), InvalidUtf8> {
        let rest = self.complete_partial(piece)?;
        match str::from_utf8(rest) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(InvalidUtf8),
            Err(error) => {
                // An incomplete character is at most three bytes long, and only stands at the end.
                let tail = &rest[error.valid_up_to()..];
                self.partial[..tail.len()].copy_from_slice(tail);
                self.partial_len = tail.len() as u8;
                Ok(())
            }
        }
    }

    /// The text is over: no character may be left incomplete.
    pub(crate) fn finish(&mut self) -> Result<(), InvalidUtf8> {
        match std::mem::take(&mut self.partial_len) {
            0 => Ok(()),
            _ => Err(InvalidUtf8),
        }
    }

    /// Feeds byte by byte until the kept character is complete, and returns what follows it.
    fn complete_partial<'a>(&mut self, mut piece: &'a [u8]) -> Result<&'a [u8], InvalidUtf8> {
        while self.partial_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                break;
            };
            piece = rest;
            self.partial[usize::from(self.partial_len)] = byte;
            self.partial_len += 1;
            match str::from_utf8(&self.partial[..usize::from(self.partial_len)]) {
                Ok(_) => self.partial_len = 0,
                Err(error) if error.error_len().is_some() => return Err(InvalidUtf8),
                Err(_) => {}
            }
        }
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pieces: &[&[u8]]) -> Result<(), InvalidUtf8> {
        let mut stream = Utf8Stream::default();
        pieces.iter().try_for_each(|piece| stream.push(piece))?;
        stream.finish()
    }

    #[test]
    fn a_surrogate_fails_at_its_second_byte() {
        let mut stream = Utf8Stream::default();
        assert_eq!(stream.push(&[0xED]), Ok(()));
        assert_eq!(stream.push(&[0xA0]), Err(InvalidUtf8));
    }

    #[test]
    fn a_code_point_above_the_range_fails_at_its_second_byte() {
        let mut stream = Utf8Stream::default();
        assert_eq!(stream.push(&[b'a', 0xF4]), Ok(()));
        assert_eq!(stream.push(&[0x90]), Err(InvalidUtf8));
    }

    #[test]
    fn a_character_cut_by_the_end_fails_only_there() {
        assert_eq!(check(&["ä€".as_bytes()]), Ok(()));
        assert_eq!(check(&[&"€".as_bytes()[..2]]), Err(InvalidUtf8));
    }

    proptest! {
        #[test]
        fn any_split_agrees_with_the_whole(
            text in prop_oneof![
                any::<String>().prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..40),
                prop::collection::vec(prop::sample::select(vec![0x61, 0x80, 0x9F, 0xC3, 0xE2, 0x82, 0xAC, 0xED, 0xF0, 0xF4]), 0..12),
            ],
            piece_len in 1usize..6,
        ) {
            let pieces: Vec<&[u8]> = text.chunks(piece_len).collect();
            prop_assert_eq!(check(&pieces).is_ok(), str::from_utf8(&text).is_ok());
        }
    }
}
