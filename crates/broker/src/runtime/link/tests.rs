//! The way from the socket to the packets, as a link walks it: WebSocket frames, then the decoder.
//!
//! Whatever the borders (packets cut into messages and messages into fragments, control frames in between, everything cut
//! into TCP segments), the same packets come out in the same order.

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weir_codec::{
    Connect, Decoder, Delivery, Packet, PacketId, Properties, Property, Publish, Qos, Subscribe,
    SubscribeFilters, SubscriptionOptions, TopicName, Utf8, Version,
};
use weir_ws::{Connection, Event};

/// A socket whose every read gives one segment, and which swallows what is written.
struct Segments(VecDeque<Bytes>);

impl AsyncRead for Segments {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut segment) = self.0.pop_front() {
            let now = segment.split_to(segment.len().min(buf.remaining()));
            buf.put_slice(&now);
            if !segment.is_empty() {
                self.0.push_front(segment);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Segments {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// All packets that come out of these segments.
fn trace(segments: VecDeque<Bytes>) -> Vec<Packet> {
    let mut connection = Connection::new(Segments(segments), &[]);
    let mut decoder = Decoder::server(1 << 20);
    let mut arena = BytesMut::with_capacity(1 << 10);
    let mut packets = Vec::new();
    let cx = &mut Context::from_waker(Waker::noop());
    loop {
        match connection.poll_event(cx, &mut arena) {
            Poll::Ready(Ok(Event::Data(bytes))) => decoder.push(bytes),
            Poll::Ready(Ok(Event::Eof)) => return packets,
            Poll::Ready(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
        while let Some(packet) = decoder.next_packet().unwrap() {
            packets.push(packet);
        }
    }
}

/// One frame as a client sends it.
fn frame(opcode: u8, is_final: bool, payload: &[u8], mask: [u8; 4], out: &mut BytesMut) {
    out.put_u8(opcode | if is_final { 0x80 } else { 0 });
    match payload.len() {
        short @ 0..=125 => out.put_u8(0x80 | short as u8),
        medium @ 126..=0xffff => {
            out.put_u8(0x80 | 126);
            out.put_u16(medium as u16);
        }
        long => {
            out.put_u8(0x80 | 127);
            out.put_u64(long as u64);
        }
    }
    out.put_slice(&mask);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
}

/// How one piece of the stream is sent: its length, whether it ends its message, whether a ping follows, its mask.
type Piece = (usize, bool, bool, [u8; 4]);

/// `stream` in frames, as `pieces` say (over and over).
fn frames(stream: &[u8], pieces: &[Piece]) -> BytesMut {
    let mut out = BytesMut::new();
    let mut rest = stream;
    let mut opcode = 0x2;
    for (length, ends, ping, mask) in pieces.iter().cycle() {
        let (piece, after) = rest.split_at((*length).min(rest.len()));
        let is_final = *ends || after.is_empty();
        frame(opcode, is_final, piece, *mask, &mut out);
        opcode = if is_final { 0x2 } else { 0x0 };
        if *ping {
            frame(0x9, true, b"there?", *mask, &mut out);
        }
        rest = after;
        if rest.is_empty() {
            return out;
        }
    }
    out
}

fn segments(mut stream: BytesMut, lengths: &[usize]) -> VecDeque<Bytes> {
    let lengths = lengths.iter().cycle();
    let mut segments = VecDeque::new();
    for length in lengths {
        if stream.is_empty() {
            break;
        }
        segments.push_back(stream.split_to((*length).min(stream.len())).freeze());
    }
    segments
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let id = (1..=u16::MAX).prop_map(|id| PacketId::new(id).unwrap());
    let payload = prop::collection::vec(any::<u8>(), 0..3000).prop_map(Bytes::from);
    let publish = (
        "[a-z]{1,8}(/[a-zé]{0,5}){0,3}",
        payload,
        id.clone(),
        0..3_u8,
        any::<bool>(),
    );
    let publish = publish.prop_map(|(topic, payload, id, qos, retain)| {
        let mut properties = Properties::default();
        properties.push(Property::UserProperty("from", &topic));
        Packet::Publish(Publish {
            dup: false,
            retain,
            delivery: match qos {
                0 => Delivery::AtMostOnce,
                1 => Delivery::AtLeastOnce(id),
                _ => Delivery::ExactlyOnce(id),
            },
            topic: Some(TopicName::try_from(topic.as_str()).unwrap()),
            payload,
            properties,
        })
    });
    let subscribe = ("[a-z]{1,4}/(#|[+]|x)", id).prop_map(|(filter, packet_id)| {
        let options = SubscriptionOptions {
            qos: Qos::ExactlyOnce,
            ..SubscriptionOptions::default()
        };
        Packet::Subscribe(Subscribe {
            packet_id,
            filters: SubscribeFilters::new([(filter.as_str(), options)]).unwrap(),
            properties: Properties::default(),
        })
    });
    prop_oneof![3 => publish, 1 => subscribe, 1 => Just(Packet::PingReq)]
}

fn connect() -> Packet {
    Packet::Connect(Box::new(Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive_seconds: 60,
        client_id: Utf8::from_static("c"),
        will: None,
        username: None,
        password: None,
        properties: Properties::default(),
    }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// [MQTT-6.0.0-2], 3.1.1 and 5.0: packets need not be aligned to frames.
    #[test]
    fn the_same_packets_come_out_whatever_the_borders(
        packets in prop::collection::vec(any_packet(), 0..12),
        pieces in prop::collection::vec((0..200_usize, any::<bool>(), any::<bool>(), any::<[u8; 4]>()), 1..8),
        lengths in prop::collection::vec(1..400_usize, 1..8),
    ) {
        // A client whose frames are all empty never gets anywhere.
        prop_assume!(pieces.iter().any(|(length, ..)| *length > 0));
        let sent: Vec<_> = std::iter::once(connect()).chain(packets).collect();
        let mut stream = BytesMut::new();
        for packet in &sent {
            packet.encode(Version::V5, &mut stream).unwrap();
        }
        let received = trace(segments(frames(&stream, &pieces), &lengths));
        prop_assert_eq!(received, sent);
    }
}
