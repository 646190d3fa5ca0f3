//! The bytes of a segment's header and of the frame around a batch.
//!
//! ```text
//! header   "weir.log"  version 4  epoch 4  base 8  salt 8  crc32c 4  0 4
//! frame    length 4  crc32c 4  epoch 4  unsynced 4  position 8  batch
//! ```
//!
//! Little-endian. The epoch grows each time the log is opened, and never shrinks within it. `unsynced` is how many of the
//! batches before had not been synced when this one was written: all older ones had, so a frame says of those before it
//! whether they may be unfinished. The checksum begins with the segment's salt, which no client knows, so that no payload
//! can pass for a frame where a damaged one is searched for the next.

use crate::{Position, StoreError};
use std::path::Path;

const MAGIC: &[u8; 8] = b"weir.log";
const VERSION: u32 = 1;

pub(super) const HEADER_BYTES: u64 = 40;
pub(super) const FRAME_BYTES: usize = 24;

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) epoch: u32,
    /// The position of its first batch.
    pub(super) base: Position,
    pub(super) salt: u64,
}

/// A frame whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) epoch: u32,
    pub(super) position: Position,
    /// Everything before this was synced when it was written.
    pub(super) durable: Position,
    pub(super) batch: &'a [u8],
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut out = Vec::with_capacity(HEADER_BYTES as usize);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.base.0.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        let mut header = [0; HEADER_BYTES as usize];
        for (to, from) in header.iter_mut().zip(out) {
            *to = from;
        }
        header
    }

    /// `None` if it is damaged.
    pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<Option<Self>, StoreError> {
        let Some(version) = bytes.strip_prefix(MAGIC).and_then(|it| u32_at(it, 0)) else {
            return Ok(None);
        };
        if version != VERSION {
            return Err(StoreError::FileVersion(path.into(), version));
        }
        Ok(Self::decode_current(bytes))
    }

    fn decode_current(bytes: &[u8]) -> Option<Self> {
        let crc = u32_at(bytes, 32)?;
        if crc32c::crc32c(bytes.get(..32)?) != crc {
            return None;
        }
        Some(Self {
            epoch: u32_at(bytes, 12)?,
            base: Position(u64_at(bytes, 16)?),
            salt: u64_at(bytes, 24)?,
        })
    }
}

/// Puts a frame around a batch.
pub(super) fn encode(
    out: &mut Vec<u8>,
    salt: u64,
    epoch: u32,
    position: Position,
    unsynced: u64,
    batch: &[u8],
) -> Result<(), StoreError> {
    let len = u32::try_from(batch.len()).map_err(|_| StoreError::TooLarge(batch.len()))?;
    let unsynced = u32::try_from(unsynced).unwrap_or(u32::MAX);
    let mut covered = [0; 16];
    for (to, from) in covered.iter_mut().zip(
        epoch
            .to_le_bytes()
            .into_iter()
            .chain(unsynced.to_le_bytes())
            .chain(position.0.to_le_bytes()),
    ) {
        *to = from;
    }
    out.clear();
    out.reserve(FRAME_BYTES + batch.len());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&checksum(salt, len, &covered, batch).to_le_bytes());
    out.extend_from_slice(&covered);
    out.extend_from_slice(batch);
    Ok(())
}

/// How long the frame at the front of `bytes` says that it is; `None` if that can't be.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    match u32_at(bytes, 0)? {
        0 => None,
        len => FRAME_BYTES.checked_add(usize::try_from(len).ok()?),
    }
}

/// The frame at the front of `bytes`, if there is an intact one.
pub(super) fn decode(bytes: &[u8], salt: u64) -> Option<Frame<'_>> {
    let bytes = bytes.get(..length(bytes)?)?;
    let (head, batch) = bytes.split_at_checked(FRAME_BYTES)?;
    let crc = checksum(salt, u32_at(head, 0)?, head.get(8..)?, batch);
    if crc != u32_at(head, 4)? {
        return None;
    }
    let position = position(head)?;
    Some(Frame {
        epoch: u32_at(head, 8)?,
        position,
        durable: Position(position.0.saturating_sub(u64::from(u32_at(head, 12)?))),
        batch,
    })
}

/// The position that the frame at the front of `bytes` claims.
pub(super) fn position(bytes: &[u8]) -> Option<Position> {
    u64_at(bytes, 16).map(Position)
}

fn checksum(salt: u64, len: u32, covered: &[u8], batch: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &len.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, covered);
    crc32c::crc32c_append(crc, batch)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
