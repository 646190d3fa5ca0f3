//! The packet decoder: any bytes, in any pieces, to either side, in every version.
//!
//! No panic; the same packets and the same fault however the bytes are cut; what decodes can be encoded and decodes to
//! itself; and a ceiling on what is allocated: in proportion to the bytes that came, never to what they announce.

use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use weir_codec::{DecodeError, Decoder, Packet, Version};

use crate::choices::Choices;

/// Live bytes of the heap for each byte of input, at most: a packet of two bytes becomes a `Packet`.
const CEILING_PER_BYTE: u64 = 200;
/// The same for any input.
const CEILING: u64 = 8 << 10;

/// Decodes `data` after three choices: the side and version, the packet limit, how the bytes are cut.
pub fn decoder(data: &[u8]) {
    let mut choices = Choices::new(data);
    let side = choices.below(4);
    let limit = choices.of(&[1 << 20, 127, 16 << 10, u32::MAX]);
    let cut = usize::from(choices.byte());
    let bytes = choices.rest();
    let mut whole = (Vec::new(), None);
    let heap = measure(|| whole = decoded(new(side, limit), bytes, bytes.len()));
    let ceiling = CEILING + CEILING_PER_BYTE * bytes.len() as u64;
    assert!(
        heap.bytes_max <= ceiling,
        "{} bytes for {}",
        heap.bytes_max,
        bytes.len()
    );
    let pieces = decoded(new(side, limit), bytes, cut + 1);
    assert_eq!(whole, pieces, "cut into pieces of {}", cut + 1);
    let version = version_of(side, &whole.0);
    for packet in &whole.0 {
        comes_back(packet, version, side == 0);
    }
}

fn new(side: usize, limit: u32) -> Decoder {
    match side {
        0 => Decoder::server(limit),
        side => Decoder::client(Version::ALL[side - 1], limit),
    }
}

/// The version of a server's connection stands in its CONNECT.
fn version_of(side: usize, packets: &[Packet]) -> Version {
    match (side, packets.first()) {
        (0, Some(Packet::Connect(connect))) => connect.version,
        (0, _) => Version::V5,
        (side, _) => Version::ALL[side - 1],
    }
}

/// All packets, and the fault that ended them.
fn decoded(
    mut decoder: Decoder,
    bytes: &[u8],
    piece_bytes: usize,
) -> (Vec<Packet>, Option<DecodeError>) {
    let mut packets = Vec::new();
    for piece in bytes.chunks(piece_bytes.max(1)) {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next_packet() {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(decoder.next_packet(), Err(fault), "a fault is final");
                    assert_eq!(decoder.buffered_bytes(), 0, "a fault lets go of all bytes");
                    assert!(fault.reason_code().is_error(), "{fault:?}");
                    return (packets, Some(fault));
                }
            }
        }
    }
    assert!(decoder.buffered_bytes() <= bytes.len());
    (packets, None)
}

/// Encoded and decoded again, a packet is itself.
fn comes_back(packet: &Packet, version: Version, to_server: bool) {
    let mut bytes = BytesMut::new();
    packet
        .encode(version, &mut bytes)
        .expect("what was decoded can be encoded");
    assert_eq!(packet.encoded_bytes(version), Ok(bytes.len()));
    let mut decoder = Decoder::client(version, u32::MAX);
    if to_server {
        decoder = Decoder::server(u32::MAX);
        if !matches!(packet, Packet::Connect(_)) {
            decoder.push(Bytes::from_static(connect(version)));
            assert!(matches!(decoder.next_packet(), Ok(Some(_))));
        }
    }
    decoder.push(bytes.freeze());
    assert_eq!(decoder.next_packet().as_ref(), Ok(&Some(packet.clone())));
    assert_eq!(decoder.buffered_bytes(), 0);
}

const fn connect(version: Version) -> &'static [u8] {
    match version {
        Version::V3_1 => b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a",
        Version::V3_1_1 => b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a",
        Version::V5 => b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01a",
    }
}
