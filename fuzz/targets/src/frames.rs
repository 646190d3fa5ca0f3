//! The WebSocket frame reader: any bytes, in any pieces.
//!
//! No panic; the same data, the same control frames and the same violation however the bytes are cut; nothing kept of
//! data, and of a control frame no more than 125 bytes.

use allocation_counter::measure;
use weir_ws::frame::{FrameReader, Item, MessageKind, TextFrames, Violation};

use crate::choices::Choices;

/// What the reader may hold for a control frame, and this target for what it is handed.
const CEILING: u64 = 4 << 10;
const CEILING_PER_BYTE: u64 = 80;

/// What a peer sent, with the pieces of data joined.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    data: Vec<u8>,
    message_ends: Vec<(usize, MessageKind)>,
    others: Vec<Item>,
    violation: Option<Violation>,
}

/// Reads `data` after two choices: whether text is welcome, and how the bytes are cut.
pub fn frames(data: &[u8]) {
    let mut choices = Choices::new(data);
    let text = choices.of(&[TextFrames::Refused, TextFrames::Accepted]);
    let cut = usize::from(choices.byte()) + 1;
    let bytes = choices.rest();
    let mut whole = Heard::default();
    let heap = measure(|| whole = heard(text, bytes, bytes.len().max(1)));
    let ceiling = CEILING + CEILING_PER_BYTE * bytes.len() as u64;
    assert!(
        heap.bytes_max <= ceiling,
        "{} bytes for {}",
        heap.bytes_max,
        bytes.len()
    );
    let mut pieces = heard(text, bytes, cut);
    if whole.violation == Some(Violation::TextNotUtf8) {
        // Of such a message more or less may have been handed out before.
        whole.data.clear();
        pieces.data.clear();
    }
    assert_eq!(whole, pieces, "cut into pieces of {cut}");
}

fn heard(text: TextFrames, bytes: &[u8], piece_bytes: usize) -> Heard {
    let mut reader = FrameReader::new(text);
    let mut heard = Heard::default();
    for piece in bytes.chunks(piece_bytes) {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        while !rest.is_empty() {
            let step = match reader.read(rest) {
                Ok(step) => step,
                Err(violation) => {
                    let code = u16::from(violation.close_code());
                    assert!(matches!(code, 1002 | 1003 | 1007), "{violation:?}: {code}");
                    heard.violation = Some(violation);
                    return heard;
                }
            };
            assert!(step.used_bytes > 0 && step.used_bytes <= rest.len());
            assert!(step.item.is_some() || step.used_bytes == rest.len());
            if let Some(item) = step.item
                && heard.take(item, rest)
            {
                return heard;
            }
            rest = &mut rest[step.used_bytes..];
        }
    }
    heard
}

impl Heard {
    /// Whether this was the end.
    fn take(&mut self, item: Item, input: &[u8]) -> bool {
        match item {
            Item::Data {
                range,
                kind,
                ends_message,
            } => {
                self.data.extend_from_slice(&input[range]);
                if ends_message {
                    self.message_ends.push((self.data.len(), kind));
                }
                false
            }
            Item::Ping(payload) => {
                assert!(payload.len() <= 125);
                self.others.push(Item::Ping(payload));
                false
            }
            Item::Pong => {
                self.others.push(Item::Pong);
                false
            }
            Item::Close(close) => {
                assert!(close.reason.len() <= 123);
                self.others.push(Item::Close(close));
                true
            }
        }
    }
}
