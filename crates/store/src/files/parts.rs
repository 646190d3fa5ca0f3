//! Parts of batches, read alone, here and there in the segments.
//!
//! A batch is found from the mark before it, frame by frame; what is read next is often near what was read last, so that a
//! window of what was read is kept, and grows while reading goes on from it. It can't be stale: what is before a segment's
//! end is never written again.

use super::directory;
use super::frame::{self, FRAME_BYTES};
use super::scan::Segment;
use crate::{Doing, Position, StoreError};
use std::collections::VecDeque;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

/// The least and the most that is read into the window, in bytes.
const WINDOW_BYTES: (usize, usize) = (4 << 10, 64 << 10);

/// Files that are kept open.
const FILES: usize = 16;

/// A reader of parts.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// By the position that the segment begins at, those used last in front.
    files: VecDeque<(Position, File)>,
    window: Window,
    found: Option<Found>,
}

/// What was read last.
#[derive(Debug, Default)]
struct Window {
    segment: Position,
    /// Where in the file it begins.
    at: u64,
    bytes: Vec<u8>,
}

/// The frame that was looked for last.
#[derive(Clone, Copy, Debug)]
struct Found {
    segment: Position,
    position: Position,
    /// Where in the file its batch begins, and where it ends.
    start: u64,
    end: u64,
}

impl Parts {
    /// Fills `out` with what stands `offset` bytes into the batch at `at`, which is in this segment if it is anywhere.
    pub(super) fn read(
        &mut self,
        segment: &Segment,
        at: Position,
        offset: usize,
        out: &mut [u8],
    ) -> Result<(), StoreError> {
        let found = self.find(segment, at)?;
        self.found = Some(found);
        let start = found.start + offset as u64;
        if start + out.len() as u64 > found.end {
            return Err(corrupt(segment, at));
        }
        self.fill(segment, at, start, out)
    }

    /// The segment is going to be removed.
    pub(super) fn forget(&mut self, segment: &Segment) {
        self.files.retain(|(base, _)| *base != segment.base);
    }

    /// Walks to the frame of the batch at `at`.
    fn find(&mut self, segment: &Segment, at: Position) -> Result<Found, StoreError> {
        let near = self.found.filter(|it| it.segment == segment.base);
        if let Some(found) = near.filter(|it| it.position == at) {
            return Ok(found);
        }
        let mark = segment.marks.before(at);
        let mark = mark.ok_or_else(|| corrupt(segment, at))?;
        let (mut position, mut next) = match near {
            Some(found) if (mark.position..at).contains(&found.position) => {
                (Position(found.position.0 + 1), found.end)
            }
            _ => (mark.position, mark.offset),
        };
        loop {
            let mut head = [0; FRAME_BYTES];
            self.fill(segment, at, next, &mut head)?;
            let len = frame::length(&head).filter(|_| frame::position(&head) == Some(position));
            let len = len.ok_or_else(|| corrupt(segment, at))?;
            let (start, end) = (next + FRAME_BYTES as u64, next + len as u64);
            if position == at {
                return Ok(Found {
                    segment: segment.base,
                    position,
                    start,
                    end,
                });
            }
            (position.0, next) = (position.0 + 1, end);
        }
    }

    /// Fills `out` with the bytes of the file from `start` on.
    fn fill(
        &mut self,
        segment: &Segment,
        at: Position,
        start: u64,
        out: &mut [u8],
    ) -> Result<(), StoreError> {
        if self.window.copy(segment.base, start, out) {
            return Ok(());
        }
        let left = usize::try_from(segment.end.saturating_sub(start)).unwrap_or(usize::MAX);
        if out.len() > left {
            return Err(corrupt(segment, at));
        }
        let read = match out.len() > WINDOW_BYTES.1 {
            true => self.file(segment)?.read_exact_at(out, start),
            false => {
                let mut window = std::mem::take(&mut self.window);
                let len = window.next_len(segment.base, start);
                window.bytes.resize(len.max(out.len()).min(left), 0);
                (window.segment, window.at) = (segment.base, start);
                let read = self.file(segment)?.read_exact_at(&mut window.bytes, start);
                if read.is_ok() {
                    window.copy(segment.base, start, out);
                    self.window = window;
                }
                read
            }
        };
        read.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => corrupt(segment, at),
            _ => StoreError::io(Doing::Read, &segment.path, &error),
        })
    }

    fn file(&mut self, segment: &Segment) -> Result<&File, StoreError> {
        let known = self
            .files
            .iter()
            .position(|(base, _)| *base == segment.base);
        let file = match known.and_then(|it| self.files.remove(it)) {
            Some(file) => file,
            None => (segment.base, directory::open(&segment.path, false)?),
        };
        self.files.truncate(FILES - 1);
        self.files.push_front(file);
        match self.files.front() {
            Some((_, file)) => Ok(file),
            None => Err(corrupt(segment, segment.base)),
        }
    }
}

impl Window {
    /// Copies what stands at `start` in the file; false if it was not read.
    fn copy(&self, segment: Position, start: u64, out: &mut [u8]) -> bool {
        let skipped = start
            .checked_sub(self.at)
            .filter(|_| segment == self.segment);
        let skipped = skipped.and_then(|it| usize::try_from(it).ok());
        skipped
            .and_then(|it| crate::log::copy_part(&self.bytes, it, out))
            .is_some()
    }

    /// How much to read at `start`: more if that goes on near the end of what was read.
    fn next_len(&self, segment: Position, start: u64) -> usize {
        let (least, most) = WINDOW_BYTES;
        let len = self.bytes.len();
        let near = self.at..=self.at + 2 * len as u64;
        match segment == self.segment && near.contains(&start) {
            true => (len * 2).clamp(least, most),
            false => least,
        }
    }
}

fn corrupt(segment: &Segment, at: Position) -> StoreError {
    StoreError::Corrupt(segment.path.clone(), at)
}
