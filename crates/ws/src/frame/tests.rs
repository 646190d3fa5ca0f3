//! The frame reader against frames made here byte by byte: every violation, and the promise that splits do not matter.

use super::*;
use proptest::prelude::*;

const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What a reader found, with the pieces of data that follow each other put together.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Data(Vec<u8>),
    MessageEnd(MessageKind),
    Control(Item),
    Violation(Violation),
}

fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    frame_masked(first_byte, payload, [0x37, 0xFA, 0x21, 0x3D])
}

fn frame_masked(first_byte: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first_byte];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

fn read_pieces<'a>(text: TextFrames, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Found> {
    let mut reader = FrameReader::new(text);
    let mut found = Vec::new();
    for piece in pieces {
        let mut input = piece.to_vec();
        let mut used = 0;
        while used < input.len() {
            match reader.read(&mut input[used..]) {
                Ok(Step { used_bytes, item }) => {
                    assert!(
                        item.is_some() || used + used_bytes == input.len(),
                        "stopped for nothing"
                    );
                    let ends = matches!(item, Some(Item::Close(_)));
                    note(&mut found, item, &input[used..]);
                    used += used_bytes;
                    if ends {
                        return found;
                    }
                }
                Err(violation) => {
                    found.push(Found::Violation(violation));
                    return found;
                }
            }
        }
    }
    found
}

fn note(found: &mut Vec<Found>, item: Option<Item>, input: &[u8]) {
    match item {
        Some(Item::Data {
            range,
            kind,
            ends_message,
        }) => {
            match found.last_mut() {
                Some(Found::Data(data)) => data.extend_from_slice(&input[range]),
                _ if range.is_empty() => {}
                _ => found.push(Found::Data(input[range].to_vec())),
            }
            if ends_message {
                found.push(Found::MessageEnd(kind));
            }
        }
        Some(control) => found.push(Found::Control(control)),
        None => {}
    }
}

fn read_whole(bytes: &[u8]) -> Vec<Found> {
    read_pieces(TextFrames::Refused, [bytes])
}

/// The violation in `bytes`, which must be the same when they come one by one.
fn violation(bytes: &[u8]) -> Option<Violation> {
    let of = |found: Vec<Found>| match found.into_iter().last() {
        Some(Found::Violation(violation)) => Some(violation),
        _ => None,
    };
    let whole = of(read_whole(bytes));
    assert_eq!(whole, of(read_pieces(TextFrames::Refused, bytes.chunks(1))));
    whole
}

#[test]
fn a_masked_binary_frame_is_unmasked_in_place() {
    let found = read_whole(&frame(FIN | BINARY, b"hello"));
    assert_eq!(
        found,
        [
            Found::Data(b"hello".to_vec()),
            Found::MessageEnd(MessageKind::Binary)
        ]
    );
}

#[test]
fn every_border_of_the_length_format_is_read() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 70_001] {
        let payload: Vec<u8> = (0..len).map(|index| index as u8).collect();
        let mut expected = vec![
            Found::Data(payload.clone()),
            Found::MessageEnd(MessageKind::Binary),
        ];
        if len == 0 {
            expected.remove(0);
        }
        assert_eq!(
            read_whole(&frame(FIN | BINARY, &payload)),
            expected,
            "{len} bytes"
        );
    }
}

#[test]
fn payload_is_given_out_before_the_frame_is_complete_and_reserves_nothing() {
    let mut header = vec![FIN | BINARY, 0x80 | 127];
    header.extend((i64::MAX as u64).to_be_bytes());
    header.extend([0, 0, 0, 0]);
    header.extend(b"the beginning");
    assert_eq!(
        read_whole(&header),
        [Found::Data(b"the beginning".to_vec())]
    );
}

#[test]
fn control_frames_stand_between_fragments() {
    let bytes = [
        frame(BINARY, b"one "),
        frame(FIN | PING, b"still there?"),
        frame(0, b""),
        frame(FIN | PONG, b""),
        frame(FIN, b"two"),
    ]
    .concat();
    let expected = [
        Found::Data(b"one ".to_vec()),
        Found::Control(Item::Ping(b"still there?".to_vec())),
        Found::Control(Item::Pong),
        Found::Data(b"two".to_vec()),
        Found::MessageEnd(MessageKind::Binary),
    ];
    assert_eq!(read_whole(&bytes), expected);
}

/// [MQTT-6.0.0-1]: text, where only binary is spoken, among others.
#[test]
fn faults_of_the_header_are_named() {
    let long_control = [0u8; 126];
    let cases: &[(Vec<u8>, Violation)] = &[
        (frame(FIN | TEXT, b"x"), Violation::TextFrame),
        (frame(TEXT, b""), Violation::TextFrame),
        (vec![FIN | BINARY, 1, b'x'], Violation::Unmasked),
        (vec![FIN | CLOSE, 0], Violation::Unmasked),
        (frame(FIN | 0x40 | BINARY, b"x"), Violation::ReservedBit),
        (frame(FIN | 0x20 | BINARY, b"x"), Violation::ReservedBit),
        (frame(FIN | 0x10 | PING, b"x"), Violation::ReservedBit),
        (frame(FIN | 3, b""), Violation::ReservedOpcode(3)),
        (frame(FIN | 7, b"x"), Violation::ReservedOpcode(7)),
        (frame(FIN | 11, b""), Violation::ReservedOpcode(11)),
        (frame(FIN | 15, b"x"), Violation::ReservedOpcode(15)),
        (frame(FIN, b"x"), Violation::StrayContinuation),
        (frame(0, b"x"), Violation::StrayContinuation),
        (
            [frame(BINARY, b"x"), frame(FIN | BINARY, b"y")].concat(),
            Violation::InterruptedMessage,
        ),
        (
            [frame(BINARY, b"x"), frame(FIN, b"y"), frame(FIN, b"z")].concat(),
            Violation::StrayContinuation,
        ),
        (frame(PING, b"x"), Violation::FragmentedControl),
        (frame(CLOSE, b""), Violation::FragmentedControl),
        (frame(FIN | PING, &long_control), Violation::ControlTooLong),
        (frame(FIN | CLOSE, &long_control), Violation::ControlTooLong),
        (
            vec![FIN | BINARY, 0xFE, 0, 125, 0, 0, 0, 0],
            Violation::LengthNotMinimal,
        ),
        (
            vec![FIN | BINARY, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0],
            Violation::LengthNotMinimal,
        ),
        (
            vec![FIN | BINARY, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Violation::LengthOutOfRange,
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(violation(bytes), Some(*expected), "{bytes:02x?}");
    }
}

#[test]
fn faults_of_the_close_frame_are_named() {
    assert_eq!(
        violation(&frame(FIN | CLOSE, &[3])),
        Some(Violation::CloseTooShort)
    );
    assert_eq!(
        violation(&frame(FIN | CLOSE, b"\x03\xE8\xFF")),
        Some(Violation::CloseReasonNotUtf8)
    );
    for code in [
        0, 999, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 5000, 65_535_u16,
    ] {
        let bytes = frame(FIN | CLOSE, &code.to_be_bytes());
        assert_eq!(violation(&bytes), Some(Violation::CloseCodeInvalid(code)));
    }
}

#[test]
fn allowed_close_codes_are_handed_on_with_their_reason() {
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1011, 3000, 3999, 4000, 4999_u16,
    ] {
        let payload = [&code.to_be_bytes()[..], "tschüß".as_bytes()].concat();
        let close = PeerClose {
            code: Some(code),
            reason: "tschüß".to_owned(),
        };
        assert_eq!(
            read_whole(&frame(FIN | CLOSE, &payload)),
            [Found::Control(Item::Close(close))]
        );
    }
    let silent = PeerClose {
        code: None,
        reason: String::new(),
    };
    assert_eq!(
        read_whole(&frame(FIN | CLOSE, b"")),
        [Found::Control(Item::Close(silent))]
    );
}

#[test]
fn close_codes_fit_the_fault() {
    assert_eq!(Violation::TextFrame.close_code(), CloseCode::Unsupported);
    assert_eq!(Violation::TextNotUtf8.close_code(), CloseCode::Invalid);
    assert_eq!(
        Violation::CloseReasonNotUtf8.close_code(),
        CloseCode::Invalid
    );
    assert_eq!(Violation::Unmasked.close_code(), CloseCode::Protocol);
}

#[test]
fn text_is_checked_across_fragments_where_it_is_accepted() {
    let euro = "€".as_bytes();
    let good = [
        frame(TEXT, &euro[..1]),
        frame(FIN | PING, b"\xFF"),
        frame(FIN, &euro[1..]),
    ]
    .concat();
    let found = read_pieces(TextFrames::Accepted, [&good[..]]);
    assert_eq!(found.last(), Some(&Found::MessageEnd(MessageKind::Text)));
    let cut = [frame(TEXT, &euro[..1]), frame(FIN, &euro[1..2])].concat();
    assert_eq!(
        read_pieces(TextFrames::Accepted, [&cut[..]]).last(),
        Some(&Found::Violation(Violation::TextNotUtf8))
    );
}

#[test]
fn text_that_can_not_become_valid_fails_before_its_end() {
    let bytes = frame(TEXT, b"fine so far \xED\xA0 and more that never comes");
    let found = read_pieces(TextFrames::Accepted, [&bytes[..6 + 14]]);
    assert_eq!(found, [Found::Violation(Violation::TextNotUtf8)]);
}

#[test]
fn a_reader_between_frames_holds_no_heap() {
    let mut reader = FrameReader::new(TextFrames::Refused);
    let mut bytes = frame(FIN | PING, b"ping");
    assert!(matches!(
        reader.read(&mut bytes),
        Ok(Step {
            item: Some(Item::Ping(_)),
            ..
        })
    ));
    assert_eq!(reader.control.capacity(), 0);
}

/// How much of a text message is given out before it turns out not to be UTF-8 is not promised.
fn without_failed_text(mut found: Vec<Found>) -> Vec<Found> {
    if found.last() == Some(&Found::Violation(Violation::TextNotUtf8)) {
        let end = found
            .iter()
            .rposition(|found| matches!(found, Found::MessageEnd(_)));
        let mut index = 0;
        found.retain(|found| {
            index += 1;
            !matches!(found, Found::Data(_)) || end.is_some_and(|end| index <= end)
        });
    }
    found
}

/// One message in fragments with control frames between them, as bytes.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let fragment = (
        prop::collection::vec(any::<u8>(), 0..300),
        any::<[u8; 4]>(),
        any_controls(),
    );
    prop::collection::vec(fragment, 1..5).prop_map(|fragments| {
        let last = fragments.len() - 1;
        let bytes = fragments
            .into_iter()
            .enumerate()
            .map(|(index, (payload, mask, controls))| {
                let opcode = if index == 0 { BINARY } else { 0 };
                let fin = if index == last { FIN } else { 0 };
                [frame_masked(fin | opcode, &payload, mask), controls].concat()
            });
        bytes.collect::<Vec<_>>().concat()
    })
}

fn any_controls() -> impl Strategy<Value = Vec<u8>> {
    let control = (
        prop::sample::select(vec![PING, PONG]),
        prop::collection::vec(any::<u8>(), 0..30),
        any::<[u8; 4]>(),
    );
    prop::collection::vec(control, 0..3).prop_map(|controls| {
        let bytes = controls
            .into_iter()
            .map(|(opcode, payload, mask)| frame_masked(FIN | opcode, &payload, mask));
        bytes.collect::<Vec<_>>().concat()
    })
}

/// A stream that ends well, in a close frame, or in a fault.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let ending = prop_oneof![
        Just(Vec::new()),
        Just(frame(FIN | CLOSE, b"\x03\xE8bye")),
        Just(frame(FIN | TEXT, b"text")),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    (prop::collection::vec(any_message(), 0..4), ending)
        .prop_map(|(messages, ending)| [messages.concat(), ending].concat())
}

fn split_at_lens<'a>(mut bytes: &'a [u8], lens: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for len in lens.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*len).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_split_gives_the_same_trace(
        bytes in any_stream(),
        lens in prop::collection::vec(prop_oneof![1usize..20, 1usize..400], 1..20),
        text in prop::sample::select(vec![TextFrames::Refused, TextFrames::Accepted]),
    ) {
        let read_pieces = |text, pieces: Vec<&[u8]>| without_failed_text(read_pieces(text, pieces));
        let whole = read_pieces(text, vec![&bytes[..]]);
        prop_assert_eq!(&read_pieces(text, split_at_lens(&bytes, &lens)), &whole);
        prop_assert_eq!(&read_pieces(text, bytes.chunks(1).collect()), &whole);
    }

    #[test]
    fn the_data_is_what_the_frames_carry(
        messages in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..4), 1..6),
        lens in prop::collection::vec(1usize..300, 1..10),
    ) {
        let mut bytes = Vec::new();
        for message in &messages {
            for (index, payload) in message.iter().enumerate() {
                let opcode = if index == 0 { BINARY } else { 0 };
                let fin = if index + 1 == message.len() { FIN } else { 0 };
                bytes.extend(frame(fin | opcode, payload));
            }
        }
        let found = read_pieces(TextFrames::Refused, split_at_lens(&bytes, &lens));
        let data: Vec<u8> = found.iter().flat_map(|found| match found {
            Found::Data(data) => data.clone(),
            _ => Vec::new(),
        }).collect();
        prop_assert_eq!(data, messages.concat().concat());
        let ends = found.iter().filter(|found| matches!(found, Found::MessageEnd(_))).count();
        prop_assert_eq!(ends, messages.len());
    }
}
