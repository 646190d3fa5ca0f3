//! From bytes in pieces of any size to packets.
//!
//! The borders of the pieces mean nothing [MQTT-6.0.0-2]. A packet that lies whole in one piece is sliced out of it; only
//! a packet that straddles pieces is copied together, into memory that ends up as large as the packet. Before it is whole no
//! more is reserved than as much again as has arrived, whatever length was announced. What the fixed header alone can tell
//! (type, flags, direction, size) is checked as soon as it is there, before the body arrives.
//!
//! ```text
//!             +-- whole in the current piece --> slice --+
//!   push ---> |                                          +--> decode --> Packet
//!             +-- straddles ---> gather until complete --+
//!                                    any fault: failed for good
//! ```

use crate::{
    Ack, Connect, DecodeError, Packet, PacketId, PacketType, PubAcks, Run, TopicName, Version,
    ack::PUBACK_BYTES,
    packet::Source,
    reader::Reader,
    varint::{self, Varint},
};
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use bytes::{Buf, Bytes};

/// The most that should be pushed into a [`Decoder`] at once. A larger packet then lies in memory of its own, which whoever
/// keeps a part of it may well keep; a smaller one may pin that much.
pub const PIECE_BYTES: usize = 64 << 10;

/// Decodes the packets of one connection. After an error it stays failed: where the next packet begins is unknown.
#[derive(Debug)]
pub struct Decoder {
    /// The piece being read.
    current: Bytes,
    /// Pieces that were pushed before `current` was used up.
    pushed: VecDeque<Bytes>,
    /// The beginning of a packet that straddles pieces.
    gathered: Vec<u8>,
    max_packet_bytes: u32,
    version: Option<Version>,
    expects: Expects,
    failed: Option<DecodeError>,
}

/// What may come next, by who receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    /// A server before the CONNECT.
    Connect,
    /// A server after it.
    ClientPackets,
    /// A client.
    ServerPackets,
}

/// The fixed header of a packet whose size is known.
#[derive(Clone, Copy)]
struct FixedHeader {
    first: u8,
    packet: PacketType,
    header_bytes: usize,
    packet_bytes: usize,
}

impl Decoder {
    /// A server's decoder. The first packet must be a CONNECT [MQTT-3.1.0-1]; it decides the version.
    /// `max_packet_bytes` limits whole packets, fixed header included.
    pub fn server(max_packet_bytes: u32) -> Self {
        Self::new(None, Expects::Connect, max_packet_bytes)
    }

    /// A client's decoder for the version that the client asked for in its CONNECT.
    pub fn client(version: Version, max_packet_bytes: u32) -> Self {
        Self::new(Some(version), Expects::ServerPackets, max_packet_bytes)
    }

    fn new(version: Option<Version>, expects: Expects, max_packet_bytes: u32) -> Self {
        Self {
            current: Bytes::new(),
            pushed: VecDeque::new(),
            gathered: Vec::new(),
            max_packet_bytes,
            version,
            expects,
            failed: None,
        }
    }

    /// Changes the largest packet accepted, in bytes, from the next packet on.
    pub fn set_max_packet_bytes(&mut self, max_packet_bytes: u32) {
        self.max_packet_bytes = max_packet_bytes;
    }

    /// The version of the connection. A server knows it from the moment it has read the protocol level of a CONNECT,
    /// even if that CONNECT turned out to be faulty later on: so that the refusal can be written in the client's
    /// language.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Takes in bytes as they arrived, [`PIECE_BYTES`] at most.
    pub fn push(&mut self, bytes: Bytes) {
        if self.failed.is_some() || bytes.is_empty() {
            return;
        }
        if self.current.is_empty() {
            self.current = bytes;
        } else {
            self.pushed.push_back(bytes);
        }
    }

    /// The next packet, or `None` if more bytes are needed for it.
    ///
    /// # Errors
    /// What is wrong with the received bytes; the same again at every later call.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, DecodeError> {
        if let Some(fault) = self.failed {
            return Err(fault);
        }
        if let Some(packet) = self.plain_ack() {
            return Ok(Some(packet));
        }
        let decoded = match self.next_frame() {
            Ok(Some((header, frame))) => self.decode(header, frame).map(Some),
            Ok(None) => Ok(None),
            Err(fault) => Err(fault),
        };
        if let Err(fault) = decoded {
            self.fail(fault);
        }
        decoded
    }

    /// Whether there is something that was not looked at for packets yet.
    #[inline]
    pub fn has_unread(&self) -> bool {
        !self.current.is_empty() || !self.pushed.is_empty()
    }

    /// The packets that come next and only go on with `topic`, none of more than `most_bytes`, as far as they lie whole in one
    /// piece; `None`: there are none. So they need not be looked at in full. Whoever took some of them
    /// [says so](Decoder::skip); all others still come next. What else comes, or is wrong with it, [`Decoder::next_packet`]
    /// finds out.
    #[inline]
    pub fn run(&self, topic: &TopicName, most_bytes: usize) -> Option<Run<'_>> {
        if !self.gathered.is_empty() || self.expects == Expects::Connect {
            return None;
        }
        let max_packet_bytes = usize::try_from(self.max_packet_bytes).ok()?;
        let most_bytes = most_bytes.min(max_packet_bytes);
        let run = Run::of(&self.current, topic, self.version?, most_bytes);
        (!run.is_empty()).then_some(run)
    }

    /// So many bytes at the front of the [run](Decoder::run) that comes next are done with.
    #[inline]
    pub fn skip(&mut self, run_bytes: usize) {
        self.current.advance(run_bytes.min(self.current.len()));
    }

    /// Shows the PUBACKs that come next, as far as they lie in one piece and say nothing but which: the first of them, as many
    /// as `takes` says, are done with. Returns how many were taken.
    #[inline]
    pub fn next_pubacks(&mut self, takes: impl FnOnce(PubAcks<'_>) -> usize) -> usize {
        let is_expected = self.expects != Expects::Connect
            && self.gathered.is_empty()
            && self.max_packet_bytes as usize >= PUBACK_BYTES;
        let acks = PubAcks(&self.current);
        if !is_expected || acks.is_empty() {
            return 0;
        }
        let taken = takes(acks);
        self.current.advance(taken * PUBACK_BYTES);
        taken
    }

    /// The bytes that were pushed and have not become packets yet.
    pub fn buffered_bytes(&self) -> usize {
        let pushed: usize = self.pushed.iter().map(Bytes::len).sum();
        self.gathered.len() + self.current.len() + pushed
    }

    /// The next packet if it acknowledges and says nothing but which, as nearly all that do: it need not be cut out.
    #[inline]
    fn plain_ack(&mut self) -> Option<Packet> {
        let &[first, 2, ref id @ ..] = self.current.first_chunk::<4>()? else {
            return None;
        };
        let ack = Ack::success(PacketId::new(u16::from_be_bytes(*id))?);
        let packet = match first {
            0x40 => Packet::PubAck(ack),
            0x50 => Packet::PubRec(ack),
            0x62 => Packet::PubRel(ack),
            0x70 => Packet::PubComp(ack),
            _ => return None,
        };
        let is_expected = self.expects != Expects::Connect && self.max_packet_bytes >= 4;
        if !is_expected || !self.gathered.is_empty() {
            return None;
        }
        self.current.advance(4);
        Some(packet)
    }

    /// Remembers the fault and lets go of all bytes.
    fn fail(&mut self, fault: DecodeError) {
        self.failed = Some(fault);
        self.current = Bytes::new();
        self.pushed = VecDeque::new();
        self.gathered = Vec::new();
    }

    /// The bytes of the next whole packet.
    fn next_frame(&mut self) -> Result<Option<(FixedHeader, Bytes)>, DecodeError> {
        loop {
            if self.current.is_empty() {
                match self.pushed.pop_front() {
                    Some(piece) => self.current = piece,
                    None => return Ok(None),
                }
            }
            if self.gathered.is_empty() {
                match self.fixed_header(&self.current)? {
                    Some(header) if header.packet_bytes <= self.current.len() => {
                        return Ok(Some((header, self.current.split_to(header.packet_bytes))));
                    }
                    // The packet straddles pieces. What is here is copied at once, although more might come: a slow peer
                    // must not pin the large buffer it was read into with a few bytes.
                    _ => self
                        .gathered
                        .extend_from_slice(&core::mem::take(&mut self.current)),
                }
                continue;
            }
            if let Some(complete) = self.gather()? {
                return Ok(Some(complete));
            }
        }
    }

    /// Moves bytes of the current piece behind the gathered ones, up to the end of the packet at most.
    fn gather(&mut self) -> Result<Option<(FixedHeader, Bytes)>, DecodeError> {
        let header = self.fixed_header(&self.gathered)?;
        let missing = match header {
            Some(header) => header.packet_bytes.saturating_sub(self.gathered.len()),
            // The remaining length goes on for at least one byte.
            None => 1,
        };
        let taken = self.current.split_to(missing.min(self.current.len()));
        self.make_room(taken.len(), header.map(|it| it.packet_bytes));
        self.gathered.extend_from_slice(&taken);
        match self.fixed_header(&self.gathered)? {
            Some(header) if header.packet_bytes == self.gathered.len() => {
                // The next straddling packet begins with a new buffer, so an idle connection holds none.
                Ok(Some((header, core::mem::take(&mut self.gathered).into())))
            }
            _ => Ok(None),
        }
    }

    /// Room for `more` gathered bytes, and beyond them for as many as there are already, but not for more than the packet has.
    fn make_room(&mut self, more: usize, packet_bytes: Option<usize>) {
        let gathered = &mut self.gathered;
        let needed = gathered.len() + more;
        if needed > gathered.capacity() {
            let ample = packet_bytes.map_or(needed, |it| it.min(2 * needed));
            gathered.reserve_exact(ample.max(needed) - gathered.len());
        }
    }

    /// The fixed header at the front of `bytes`, `None` if it is not complete. Checks all it says.
    #[inline]
    fn fixed_header(&self, bytes: &[u8]) -> Result<Option<FixedHeader>, DecodeError> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let packet = self.check_first(first)?;
        match varint::read(rest) {
            Varint::Incomplete => Ok(None),
            // [MQTT-1.5.5-1]
            Varint::Malformed => Err(DecodeError::RemainingLength),
            Varint::Value(remaining, len) => {
                let header_bytes = 1 + len;
                let packet_bytes = usize::try_from(remaining)
                    .unwrap_or(usize::MAX)
                    .saturating_add(header_bytes);
                // [MQTT-3.2.2-15] the limit counts the whole packet; it is checked before the body arrives.
                if u32::try_from(packet_bytes).unwrap_or(u32::MAX) > self.max_packet_bytes {
                    return Err(DecodeError::PacketTooLarge);
                }
                Ok(Some(FixedHeader {
                    first,
                    packet,
                    header_bytes,
                    packet_bytes,
                }))
            }
        }
    }

    /// Checks the first byte of a packet: its type, its flags, and whether it may come now.
    #[inline]
    fn check_first(&self, first: u8) -> Result<PacketType, DecodeError> {
        let packet = PacketType::of(first).ok_or(DecodeError::ReservedPacketType(0))?;
        if packet == PacketType::Auth
            && matches!(self.version, Some(Version::V3_1 | Version::V3_1_1))
        {
            return Err(DecodeError::ReservedPacketType(packet as u8));
        }
        self.check_direction(packet)?;
        let flags = first & 0x0f;
        if packet == PacketType::Publish {
            // [MQTT-3.3.1-4]
            return if flags & 0b0110 == 0b0110 {
                Err(DecodeError::PublishQos)
            } else {
                Ok(packet)
            };
        }
        // 3.1 lets a sender set DUP when it repeats a PUBREL, SUBSCRIBE or UNSUBSCRIBE, and says of no flag that a
        // wrong one is to end the connection: clients in wide use send an UNSUBSCRIBE of QoS 0.
        let ignored = if self.version == Some(Version::V3_1) && packet.fixed_flags() != 0 {
            0b1010
        } else {
            0
        };
        // [MQTT-2.1.3-1], [MQTT3-2.2.2-1], [MQTT3-2.2.2-2]; [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1],
        // [MQTT-3.14.1-1], [MQTT-3.15.1-1]
        if flags & !ignored != packet.fixed_flags() & !ignored {
            return Err(DecodeError::FixedHeaderFlags(packet));
        }
        Ok(packet)
    }

    /// Checks that the other side may send such a packet, and now.
    #[inline]
    fn check_direction(&self, packet: PacketType) -> Result<(), DecodeError> {
        let expected = match (self.expects, packet) {
            (Expects::Connect, PacketType::Connect) => true,
            // [MQTT-3.1.0-1]
            (Expects::Connect, _) => return Err(DecodeError::ConnectExpected(packet)),
            // [MQTT-3.1.0-2]
            (Expects::ClientPackets, PacketType::Connect) => {
                return Err(DecodeError::SecondConnect);
            }
            (
                Expects::ClientPackets,
                PacketType::ConnAck
                | PacketType::SubAck
                | PacketType::UnsubAck
                | PacketType::PingResp,
            )
            | (
                Expects::ServerPackets,
                PacketType::Connect
                | PacketType::Subscribe
                | PacketType::Unsubscribe
                | PacketType::PingReq,
            ) => false,
            // Only since 5.0 does a server say why it closes.
            (Expects::ServerPackets, PacketType::Disconnect) => self.version == Some(Version::V5),
            _ => true,
        };
        if expected {
            Ok(())
        } else {
            Err(DecodeError::UnexpectedPacket(packet))
        }
    }

    /// Decodes one whole packet.
    #[inline]
    fn decode(&mut self, header: FixedHeader, mut frame: Bytes) -> Result<Packet, DecodeError> {
        frame.advance(header.header_bytes);
        let reader = Reader::new(header.packet, frame);
        let source = match (self.expects, self.version) {
            (Expects::Connect, _) | (_, None) => {
                let connect = Connect::decode(reader, &mut self.version)?;
                self.expects = Expects::ClientPackets;
                return Ok(Packet::Connect(Box::new(connect)));
            }
            (expects, Some(version)) => Source {
                version,
                from_server: expects == Expects::ServerPackets,
            },
        };
        Packet::decode(header.first, reader, source)
    }
}

#[cfg(test)]
mod tests;
