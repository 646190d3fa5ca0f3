//! Reading a segment frame by frame.
//!
//! Every frame is checked again: what was intact when the log was opened may have been damaged since. What was found
//! damaged then is stepped over.

use super::directory;
use super::frame::{self, FRAME_BYTES};
use super::scan::Segment;
use crate::{Doing, Position, StoreError};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Bytes that are read ahead.
const CHUNK_BYTES: usize = 1 << 20;

/// A batch that was read.
pub(super) struct Read<'a> {
    pub(super) position: Position,
    pub(super) batch: &'a [u8],
}

/// A segment that is being read.
pub(super) struct Reader<'a> {
    segment: &'a Segment,
    file: Option<File>,
    at: u64,
    chunk: Vec<u8>,
    /// Where in the file `chunk` begins.
    chunk_at: u64,
}

impl<'a> Reader<'a> {
    /// From the frame at `offset` on.
    pub(super) fn open(segment: &'a Segment, offset: u64) -> Result<Self, StoreError> {
        let is_empty = segment.header.is_none() || offset >= segment.end;
        let file = match is_empty {
            true => None,
            false => Some(directory::open(&segment.path, false)?),
        };
        Ok(Self {
            segment,
            file,
            at: offset,
            chunk: vec![],
            chunk_at: offset,
        })
    }

    /// The next batch.
    pub(super) fn next(&mut self) -> Result<Option<Read<'_>>, StoreError> {
        let Some(header) = &self.segment.header else {
            return Ok(None);
        };
        if let Some(hole) = self.segment.holes.iter().find(|it| it.start == self.at) {
            self.at = hole.end;
        }
        if self.at >= self.segment.end {
            return Ok(None);
        }
        let start = self.at;
        let expected = self.segment.base;
        self.fill(FRAME_BYTES)?;
        let len = frame::length(self.bytes()).unwrap_or(FRAME_BYTES);
        self.fill(len)?;
        self.at += len as u64;
        let skipped = usize::try_from(start - self.chunk_at).unwrap_or(usize::MAX);
        let bytes = self.chunk.get(skipped..).unwrap_or_default();
        let position = frame::position(bytes).unwrap_or(expected);
        match frame::decode(bytes, header.salt) {
            Some(frame) => Ok(Some(Read {
                position: frame.position,
                batch: frame.batch,
            })),
            None => Err(StoreError::Corrupt(self.segment.path.clone(), position)),
        }
    }

    /// What was read from `at` on.
    fn bytes(&self) -> &[u8] {
        let skipped = usize::try_from(self.at - self.chunk_at).unwrap_or(usize::MAX);
        self.chunk.get(skipped..).unwrap_or_default()
    }

    /// Reads on until there are `len` bytes from `at` on, or the segment ends.
    fn fill(&mut self, len: usize) -> Result<(), StoreError> {
        if self.bytes().len() >= len {
            return Ok(());
        }
        let left = usize::try_from(self.segment.end - self.at).unwrap_or(usize::MAX);
        self.chunk.resize(len.max(CHUNK_BYTES).min(left), 0);
        self.chunk_at = self.at;
        let read = self
            .file
            .as_ref()
            .map(|file| file.read_exact_at(&mut self.chunk, self.at));
        match read {
            Some(Err(error)) => Err(StoreError::io(Doing::Read, &self.segment.path, &error)),
            _ => Ok(()),
        }
    }
}
