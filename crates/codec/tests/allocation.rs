//! What decoding and writing a PUBLISH costs on the heap: nothing, but for one that straddles pieces, which takes its size. And
//! what a peer can make the decoder reserve by announcing a large packet: nothing either.
//!
//! The counts are kept per thread, because the test harness has threads of its own.

#![allow(unsafe_code)] // a global allocator can't be written without

use bytes::Bytes;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};
use weir_codec::{
    Decoder, Delivery, Output, PIECE_BYTES, Packet, PacketId, Properties, Property, Publish,
    PublishFrame, PublishHead, Segment, Version, detached,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static ALLOCATED_BYTES: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    ALLOCATED_BYTES.set(ALLOCATED_BYTES.get() + bytes);
}

// SAFETY: every call is passed on to the system's allocator as it is; the counters are plain thread-local cells, which
// neither allocate nor have a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are those of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are those of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_bytes: usize) -> *mut u8 {
        count(new_bytes);
        // SAFETY: the caller's promises are those of `GlobalAlloc::realloc`.
        unsafe { System.realloc(pointer, layout, new_bytes) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often `run` allocates, and how many bytes.
fn allocations<T>(run: impl FnOnce() -> T) -> (usize, usize, T) {
    let before = (ALLOCATIONS.get(), ALLOCATED_BYTES.get());
    let result = run();
    (
        ALLOCATIONS.get() - before.0,
        ALLOCATED_BYTES.get() - before.1,
        result,
    )
}

/// Bytes that are shared already, as those of a read buffer are.
fn shared(bytes: &[u8]) -> Bytes {
    let bytes = Bytes::from(bytes.to_vec());
    let _other = bytes.clone();
    bytes
}

const PUBLISHES: &[u8] = b"\x3d\x12\x00\x05a/b/c\x00\x07\x03\x23\x00\x01hello\
    \x30\x1c\x00\x05a/b/c\x0f\x02\x00\x00\x00\x3c\x26\x00\x01k\x00\x02vv\x01\x01hello\
    \x32\x0a\x00\x00\x00\x08\x03\x23\x00\x01ab\
    \x30\x04\x00\x01a\x00";

#[test]
fn the_counter_counts() {
    let (count, bytes, _) = allocations(|| Vec::<u8>::with_capacity(1000));
    assert_eq!((count, bytes), (1, 1000));
}

#[test]
fn decoding_a_publish_allocates_nothing() {
    let mut decoder = Decoder::client(Version::V5, 1 << 20);
    let bytes = shared(PUBLISHES);
    let range = bytes.as_ptr_range();
    let (count, _, payloads) = allocations(|| {
        decoder.push(bytes);
        let mut payloads = [const { Bytes::new() }; 4];
        for payload in &mut payloads {
            let Ok(Some(Packet::Publish(publish))) = decoder.next_packet() else {
                panic!("a PUBLISH")
            };
            // Looking into the properties allocates nothing either.
            let _ = (
                publish.properties.topic_alias(),
                publish.properties.user_properties().count(),
            );
            *payload = publish.payload;
        }
        assert_eq!(decoder.next_packet(), Ok(None));
        payloads
    });
    assert_eq!(count, 0);
    assert_eq!(payloads.concat(), b"hellohelloab");
    // They are slices of what was pushed.
    for payload in payloads.iter().filter(|payload| !payload.is_empty()) {
        assert!(range.contains(&payload.as_ptr()));
    }
}

#[test]
fn writing_a_frame_allocates_nothing() {
    for payload in [Bytes::from(vec![1; 100]), shared(&[1; 5000])] {
        let properties = Properties::from_iter([Property::UserProperty("k", "v")]);
        let head = PublishHead {
            version: Version::V5,
            topic: "a/b/c",
            topic_alias: None,
            message_expiry_interval: Some(60),
            subscription_identifiers: &[1, 2],
            properties: &properties,
        };
        let frame = PublishFrame::new(&head, &payload, true).unwrap();
        let delivery = |id| Delivery::AtLeastOnce(PacketId::new(id).unwrap());
        let mut output = Output::new();
        // The output grows to its size and keeps it.
        (1..100).for_each(|id| frame.write(false, false, delivery(id), &mut output));
        output.clear();
        let (count, _, ()) = allocations(|| {
            (1..100).for_each(|id| frame.write(false, false, delivery(id), &mut output));
        });
        assert_eq!(count, 0);
        assert_eq!(output.len(), 99 * frame.wire_bytes());
    }
}

#[test]
fn an_announced_length_reserves_nothing() {
    let mut decoder = Decoder::client(Version::V5, u32::MAX);
    let (_, bytes, ()) = allocations(|| {
        // A PUBLISH of 268,435,455 bytes, of which six arrive, in pieces.
        for piece in [&b"\x30\xff"[..], b"\xff\xff", b"\x7f", b"\x00\x01a"] {
            decoder.push(Bytes::from_static(piece));
            assert_eq!(decoder.next_packet(), Ok(None));
        }
    });
    assert!(bytes < 100, "{bytes} bytes");
    assert_eq!(decoder.buffered_bytes(), 8);
}

#[test]
fn gathering_grows_with_what_arrives() {
    let mut decoder = Decoder::client(Version::V3_1_1, u32::MAX);
    let body = Bytes::from(vec![0x61; 1 << 20]);
    decoder.push(Bytes::from_static(b"\x30\x83\x80\x40\x00\x01a"));
    let (count, bytes, ()) = allocations(|| {
        for piece in body.chunks(1000) {
            decoder.push(body.slice_ref(piece));
            decoder.next_packet().unwrap();
        }
    });
    // Doubling: the number of allocations is logarithmic, their sum linear.
    assert!(count < 30, "{count} allocations");
    assert!(bytes < 5 << 20, "{bytes} bytes");
    assert_eq!(decoder.buffered_bytes(), 0);
}

/// A PUBLISH that came in pieces of 1,000 bytes.
fn gathered(payload_bytes: usize) -> Publish {
    let payload = Bytes::from(vec![0x61; payload_bytes]);
    let properties = Properties::new();
    let head = PublishHead {
        version: Version::V3_1_1,
        topic: "a/b/c",
        topic_alias: None,
        message_expiry_interval: None,
        subscription_identifiers: &[],
        properties: &properties,
    };
    let frame = PublishFrame::new(&head, &payload, false).unwrap();
    let mut output = Output::new();
    frame.write(false, false, Delivery::AtMostOnce, &mut output);
    let bytes: Vec<u8> = output.parts(&Segment::new()).flatten().copied().collect();
    let mut decoder = Decoder::client(Version::V3_1_1, u32::MAX);
    for piece in bytes.chunks(1000) {
        decoder.push(Bytes::copy_from_slice(piece));
        if let Ok(Some(Packet::Publish(publish))) = decoder.next_packet() {
            return publish;
        }
    }
    panic!("a PUBLISH")
}

#[test]
fn a_large_message_lies_in_memory_of_its_size_and_is_kept_there() {
    for (payload_bytes, is_kept_there) in [(PIECE_BYTES - 1, false), (PIECE_BYTES, true)] {
        let publish = gathered(payload_bytes);
        let topic = publish.topic.unwrap();
        let (count, _, kept) =
            allocations(|| detached(&topic, &publish.properties, &publish.payload));
        assert_eq!(kept.2.as_ptr() == publish.payload.as_ptr(), is_kept_there);
        assert_eq!(count == 0, is_kept_there);
        drop((topic, publish.payload, publish.properties, kept.0, kept.1));
        let memory = kept.2.try_into_mut().unwrap();
        assert_eq!(memory.capacity(), payload_bytes);
    }
}
