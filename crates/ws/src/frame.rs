//! Reads WebSocket frames out of a byte stream, in place and without I/O.
//!
//! The reader owns what must survive between two reads: a header that is not complete, the place inside a frame, the
//! gathered payload of a control frame (125 bytes at most). Payload of data frames is unmasked where it lies and handed
//! out as it arrives, so a message may be of any length and costs no memory here, however long it says it will be.
//!
//! What must always hold: any split of the same bytes into calls gives the same data, the same control frames and the
//! same [`Violation`] (only of a text message that turns out not to be UTF-8, more or less may be handed out before); a
//! violation is found as soon as the header that commits it is complete. It is strict where RFC 6455 says MUST, minimal
//! length encoding (5.2) included.

use std::fmt;
use std::io::Cursor;
use std::ops::Range;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use crate::utf8::{InvalidUtf8, Utf8Stream};

/// The longest header of a frame, with a 64-bit length and a mask.
const HEADER_BYTES_MAX: usize = 14;
/// The longest payload of a control frame (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: u64 = 125;

/// The frame reader of one connection, on the side of the server. See the [module](self).
///
/// ```text
///            header complete, payload expected
///  [header] ----------------------------------> [payload]   `message` is Some while a fragmented
///     ^  \______ empty frame: item at once         |        message is open, across both states
///     |_____________ last payload byte ____________|
/// ```
#[derive(Debug)]
pub struct FrameReader {
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    frame: Option<Frame>,
    message: Option<MessageKind>,
    control: Vec<u8>,
    text: TextFrames,
    utf8: Utf8Stream,
}

/// Whether text messages are welcome. MQTT knows binary frames only ([MQTT-6.0.0-1]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFrames {
    /// The header of a text frame is a violation already.
    Refused,
    /// Text is data whose UTF-8 is checked while it arrives.
    Accepted,
}

/// The kind of a data message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// Any bytes.
    Binary,
    /// UTF-8.
    Text,
}

/// How far one call of [`FrameReader::read`] came.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// How many bytes of the input are done with. Without an item it is always all of them.
    pub used_bytes: usize,
    /// What was found, if anything.
    pub item: Option<Item>,
}

/// Something that a peer sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A piece of a data message, unmasked, at this place of the input. It may be empty.
    Data {
        /// Where in the input.
        range: Range<usize>,
        /// The message's kind.
        kind: MessageKind,
        /// Whether the message ends with this piece.
        ends_message: bool,
    },
    /// A ping with its payload.
    Ping(Vec<u8>),
    /// A pong; its payload says nothing that this crate needs.
    Pong,
    /// A close frame. Nothing that follows it means anything.
    Close(PeerClose),
}

/// What a close frame said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerClose {
    /// The code, unless the frame was empty.
    pub code: Option<u16>,
    /// The text for people, 123 bytes at most.
    pub reason: String,
}

/// A fault of the peer that ends the connection; [`close_code`](Self::close_code) is what to close with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// A text frame where only binary is spoken ([MQTT-6.0.0-1]).
    TextFrame,
    /// A frame from a client without a mask (RFC 6455, 5.1).
    Unmasked,
    /// RSV1, RSV2 or RSV3 without an extension that gives it a meaning.
    ReservedBit,
    /// An opcode without a meaning.
    ReservedOpcode(u8),
    /// A continuation while no message is open.
    StrayContinuation,
    /// A new data frame while a fragmented message is open.
    InterruptedMessage,
    /// A control frame in fragments.
    FragmentedControl,
    /// A control frame with more than 125 bytes.
    ControlTooLong,
    /// A 64-bit length with its top bit set.
    LengthOutOfRange,
    /// A length in more bytes than it needs (RFC 6455, 5.2).
    LengthNotMinimal,
    /// A close frame with one byte of payload.
    CloseTooShort,
    /// A close code that must not be sent.
    CloseCodeInvalid(u16),
    /// A close reason that is not UTF-8.
    CloseReasonNotUtf8,
    /// A text message that is not UTF-8.
    TextNotUtf8,
}

/// The frame whose payload is arriving.
#[derive(Debug, Clone, Copy)]
struct Frame {
    role: Role,
    is_final: bool,
    remaining: u64,
    /// Rotated so that its first byte belongs to the next payload byte.
    mask: [u8; 4],
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Data(MessageKind),
    Ping,
    Pong,
    Close,
}

impl FrameReader {
    /// A reader at the start of a connection.
    pub fn new(text: TextFrames) -> Self {
        Self {
            header: [0; HEADER_BYTES_MAX],
            header_len: 0,
            frame: None,
            message: None,
            control: Vec::new(),
            text,
            utf8: Utf8Stream::default(),
        }
    }

    /// Reads up to the next item or the end of the input, unmasking payload where it lies.
    ///
    /// # Errors
    /// The first violation. After it, and after [`Item::Close`], the reader must not be used any more.
    pub fn read(&mut self, input: &mut [u8]) -> Result<Step, Violation> {
        let mut used_bytes = 0;
        let mut frame = match self.frame.take() {
            Some(frame) => frame,
            None => match self.read_header(input, &mut used_bytes)? {
                Some(frame) => frame,
                None => {
                    return Ok(Step {
                        used_bytes,
                        item: None,
                    });
                }
            },
        };
        let available = (input.len() - used_bytes) as u64;
        let range = used_bytes..used_bytes + available.min(frame.remaining) as usize;
        let used_bytes = range.end;
        let piece = &mut input[range.clone()];
        unmask(piece, &mut frame.mask);
        frame.remaining -= piece.len() as u64;
        let item = match frame.role {
            Role::Data(kind) => self.data(piece, range, kind, frame)?,
            role => self.control(piece, role, frame.remaining == 0)?,
        };
        if frame.remaining > 0 {
            self.frame = Some(frame);
        }
        Ok(Step { used_bytes, item })
    }

    /// Completes the header with bytes from the input; `None` when they are too few.
    fn read_header(
        &mut self,
        input: &[u8],
        used_bytes: &mut usize,
    ) -> Result<Option<Frame>, Violation> {
        let kept = usize::from(self.header_len);
        let fresh = input.len().min(HEADER_BYTES_MAX - kept);
        self.header[kept..kept + fresh].copy_from_slice(&input[..fresh]);
        let mut cursor = Cursor::new(&self.header[..kept + fresh]);
        // The one fault that the parser itself can find, reading from memory, is a reserved opcode.
        let parsed = FrameHeader::parse(&mut cursor)
            .map_err(|_| Violation::ReservedOpcode(self.header[0] & 0x0F))?;
        let Some((header, length)) = parsed else {
            self.header_len = (kept + fresh) as u8;
            *used_bytes = fresh;
            return Ok(None);
        };
        let header_bytes = cursor.position() as usize;
        self.header_len = 0;
        *used_bytes = header_bytes - kept;
        self.open_frame(&header, length, header_bytes).map(Some)
    }

    fn open_frame(
        &mut self,
        header: &FrameHeader,
        length: u64,
        header_bytes: usize,
    ) -> Result<Frame, Violation> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation::ReservedBit);
        }
        let mask = header.mask.ok_or(Violation::Unmasked)?;
        if length > i64::MAX as u64 {
            return Err(Violation::LengthOutOfRange);
        }
        if header.len(length) != header_bytes {
            return Err(Violation::LengthNotMinimal);
        }
        let role = match header.opcode {
            OpCode::Control(control) => control_role(control, header.is_final, length)?,
            OpCode::Data(data) => Role::Data(self.open_data(data, header.is_final)?),
        };
        Ok(Frame {
            role,
            is_final: header.is_final,
            remaining: length,
            mask,
        })
    }

    /// The kind of message that a data frame belongs to.
    fn open_data(&mut self, opcode: Data, is_final: bool) -> Result<MessageKind, Violation> {
        let kind = match (opcode, self.message) {
            (Data::Continue, Some(open)) => open,
            (Data::Continue, None) => return Err(Violation::StrayContinuation),
            (Data::Binary | Data::Text, Some(_)) => return Err(Violation::InterruptedMessage),
            (Data::Binary, None) => MessageKind::Binary,
            (Data::Text, None) if self.text == TextFrames::Accepted => MessageKind::Text,
            (Data::Text, None) => return Err(Violation::TextFrame),
            (Data::Reserved(opcode), _) => return Err(Violation::ReservedOpcode(opcode)),
        };
        self.message = (!is_final).then_some(kind);
        Ok(kind)
    }

    fn data(
        &mut self,
        piece: &[u8],
        range: Range<usize>,
        kind: MessageKind,
        frame: Frame,
    ) -> Result<Option<Item>, Violation> {
        let ends_message = frame.is_final && frame.remaining == 0;
        if kind == MessageKind::Text {
            self.utf8.push(piece)?;
            if ends_message {
                self.utf8.finish()?;
            }
        }
        Ok(Some(Item::Data {
            range,
            kind,
            ends_message,
        }))
    }

    fn control(
        &mut self,
        piece: &[u8],
        role: Role,
        complete: bool,
    ) -> Result<Option<Item>, Violation> {
        self.control.extend_from_slice(piece);
        if !complete {
            return Ok(None);
        }
        let payload = std::mem::take(&mut self.control);
        Ok(Some(match role {
            Role::Ping => Item::Ping(payload),
            Role::Close => Item::Close(parse_close(&payload)?),
            Role::Pong | Role::Data(_) => Item::Pong,
        }))
    }
}

impl Violation {
    /// The code to close the connection with.
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::TextFrame => CloseCode::Unsupported,
            Self::CloseReasonNotUtf8 | Self::TextNotUtf8 => CloseCode::Invalid,
            _ => CloseCode::Protocol,
        }
    }

    /// What is wrong, for the close frame and the log; `Display` adds the offending value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TextFrame => "text frame: MQTT is spoken in binary frames",
            Self::Unmasked => "frame without a mask",
            Self::ReservedBit => "reserved bit set, but no extension was agreed on",
            Self::ReservedOpcode(_) => "reserved opcode",
            Self::StrayContinuation => "continuation frame without a message to continue",
            Self::InterruptedMessage => "new message inside a fragmented one",
            Self::FragmentedControl => "fragmented control frame",
            Self::ControlTooLong => "control frame longer than 125 bytes",
            Self::LengthOutOfRange => "frame length out of range",
            Self::LengthNotMinimal => "frame length in more bytes than it needs",
            Self::CloseTooShort => "close frame with half a close code",
            Self::CloseCodeInvalid(_) => "close frame with a code that must not be sent",
            Self::CloseReasonNotUtf8 => "close reason is not UTF-8",
            Self::TextNotUtf8 => "text message is not UTF-8",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::ReservedOpcode(opcode) => write!(f, ": {opcode}"),
            Self::CloseCodeInvalid(code) => write!(f, ": {code}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Violation {}

impl From<InvalidUtf8> for Violation {
    fn from(_: InvalidUtf8) -> Self {
        Self::TextNotUtf8
    }
}

fn control_role(opcode: Control, is_final: bool, length: u64) -> Result<Role, Violation> {
    if !is_final {
        return Err(Violation::FragmentedControl);
    }
    if length > CONTROL_BYTES_MAX {
        return Err(Violation::ControlTooLong);
    }
    match opcode {
        Control::Ping => Ok(Role::Ping),
        Control::Pong => Ok(Role::Pong),
        Control::Close => Ok(Role::Close),
        Control::Reserved(opcode) => Err(Violation::ReservedOpcode(opcode)),
    }
}

fn parse_close(payload: &[u8]) -> Result<PeerClose, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok(PeerClose {
                code: None,
                reason: String::new(),
            }),
            _ => Err(Violation::CloseTooShort),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !CloseCode::from(code).is_allowed() {
        return Err(Violation::CloseCodeInvalid(code));
    }
    let reason = str::from_utf8(reason).map_err(|_| Violation::CloseReasonNotUtf8)?;
    Ok(PeerClose {
        code: Some(code),
        reason: reason.to_owned(),
    })
}

/// Applies the mask and turns it, so that it fits the byte that follows.
fn unmask(piece: &mut [u8], mask: &mut [u8; 4]) {
    // In words of the mask's own size: the compiler then takes registers as wide as there are.
    let (words, rest) = piece.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(*mask)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(&*mask) {
        *byte ^= key;
    }
    mask.rotate_left(piece.len() % 4);
}

#[cfg(test)]
mod tests;
