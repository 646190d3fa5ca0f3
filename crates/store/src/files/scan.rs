//! What is in a directory when it is opened: which batches are intact, where the log ends, and what is damaged.
//!
//! A frame that cannot be read was either being written when the process ended, or is damaged. It is damaged if a segment
//! follows, since that is begun only when all before is synced, or if a later frame says that it had been synced. If
//! nothing says so, it is where the log ends, and what lies behind it goes with it.

use super::directory::{self, Directory};
use super::frame::{self, FRAME_BYTES, Frame, HEADER_BYTES, Header};
use super::marks::Marks;
use crate::{Damage, Doing, Position, StoreError};
use std::collections::VecDeque;
use std::io::Read;
use std::path::{Path, PathBuf};

/// One file of the log.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// `None`: it is damaged, and so nothing in the file can be read.
    pub(super) header: Option<Header>,
    pub(super) base: Position,
    /// Where its last frame ends, in bytes.
    pub(super) end: u64,
    /// What is to be stepped over.
    pub(super) holes: Vec<Hole>,
    /// Where some of its batches begin.
    pub(super) marks: Marks,
}

/// A part of a segment that is damaged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hole {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// What was found.
#[derive(Clone, Default)]
pub(super) struct Found {
    pub(super) segments: VecDeque<Segment>,
    pub(super) end: Position,
    pub(super) epoch: u32,
    pub(super) damage: Vec<Damage>,
}

/// Looks at all segments of a directory.
pub(super) fn scan(directory: &Directory) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let files = directory.segments()?;
    let bases = files.iter().skip(1).map(|(base, _)| Some(*base));
    let nexts: Vec<_> = bases.chain([None]).collect();
    for ((base, path), next_base) in files.into_iter().zip(nexts) {
        match next_base {
            Some(_) => found.file(path.clone(), base, &read(&path)?, next_base)?,
            None => found = newest(&path, base, &found)?.0,
        }
    }
    Ok(found)
}

/// What there is with the newest segment, and the bytes of that.
///
/// Whoever only looks may read while it is written, and see a batch but not yet the one before. So what seems to be
/// damaged is looked at again.
pub(super) fn newest(
    path: &Path,
    base: Position,
    before: &Found,
) -> Result<(Found, Vec<u8>), StoreError> {
    const TRIES: usize = 3;
    let mut tries = 1;
    loop {
        let bytes = read(path)?;
        let mut found = before.clone();
        found.file(path.into(), base, &bytes, None)?;
        if found.damage.len() == before.damage.len() || tries == TRIES {
            return Ok((found, bytes));
        }
        tries += 1;
    }
}

impl Segment {
    /// An empty one.
    pub(super) fn new(path: PathBuf, header: Header, base: Position) -> Self {
        Self {
            path,
            header: Some(header),
            base,
            end: HEADER_BYTES,
            holes: vec![],
            marks: Marks::default(),
        }
    }

    /// The frame of the batch at `position` is its last one now.
    pub(super) fn push(&mut self, position: Position, frame_bytes: usize) {
        self.marks.push(position, self.end);
        self.end += frame_bytes as u64;
    }
}

impl Found {
    fn file(
        &mut self,
        path: PathBuf,
        base: Position,
        bytes: &[u8],
        next_base: Option<Position>,
    ) -> Result<(), StoreError> {
        self.end = base;
        match Header::decode(&path, bytes)?.filter(|it| it.base == base) {
            Some(header) => self.segment(path, bytes, header, next_base),
            None => self.damaged_segment(path, base, bytes, next_base),
        }
        Ok(())
    }

    fn segment(
        &mut self,
        path: PathBuf,
        bytes: &[u8],
        header: Header,
        next_base: Option<Position>,
    ) {
        self.epoch = self.epoch.max(header.epoch);
        let mut segment = Segment::new(path, header, header.base);
        let used = used(bytes);
        loop {
            let at = segment.end;
            if let Some(frame) = frame_at(bytes, at, header.salt)
                && frame.position == self.end
                && frame.epoch >= self.epoch
            {
                self.epoch = frame.epoch;
                segment.push(self.end, FRAME_BYTES + frame.batch.len());
                self.end.0 += 1;
                continue;
            }
            let search = Search {
                bytes,
                used,
                salt: header.salt,
                position: self.end,
                epoch: self.epoch,
                is_finished: next_base.is_some(),
            };
            match search.resume(at) {
                Some((start, position)) => {
                    self.hole(&mut segment, start, position);
                    self.end = position;
                }
                None => break,
            }
        }
        let left = (used as u64).saturating_sub(segment.end);
        self.finish(&segment, left, next_base);
        self.segments.push_back(segment);
    }

    /// The last intact frame of a segment has been seen, and `left` bytes lie behind it.
    fn finish(&mut self, segment: &Segment, left: u64, next_base: Option<Position>) {
        match next_base {
            Some(next_base) if next_base > self.end => {
                let position = self.end;
                self.end = next_base;
                self.lost(segment.path.clone(), position, left);
            }
            None if left > 0 => self.damage.push(Damage::Torn {
                path: segment.path.clone(),
                position: self.end,
                bytes: left,
            }),
            _ => {}
        }
    }

    fn damaged_segment(
        &mut self,
        path: PathBuf,
        base: Position,
        bytes: &[u8],
        next_base: Option<Position>,
    ) {
        // Nobody knows how many batches there were, only how many there can have been.
        let most = Position(base.0 + (bytes.len() / FRAME_BYTES) as u64 + 1);
        self.end = next_base.unwrap_or(most);
        self.lost(path.clone(), base, bytes.len() as u64);
        self.segments.push_back(Segment {
            path,
            header: None,
            base,
            end: 0,
            holes: vec![],
            marks: Marks::default(),
        });
    }

    fn hole(&mut self, segment: &mut Segment, resumed: u64, position: Position) {
        segment.holes.push(Hole {
            start: segment.end,
            end: resumed,
        });
        self.damage.push(Damage::Corrupt {
            path: segment.path.clone(),
            from: self.end,
            to: position,
            bytes: resumed - segment.end,
        });
        segment.end = resumed;
        segment.marks.resume(position, resumed);
    }

    /// Everything from `from` to what is now the end is lost.
    fn lost(&mut self, path: PathBuf, from: Position, bytes: u64) {
        self.damage.push(Damage::Corrupt {
            path,
            from,
            to: self.end,
            bytes,
        });
    }
}

/// The search for the frame that follows one that cannot be read.
struct Search<'a> {
    bytes: &'a [u8],
    /// Behind this there are only zeros.
    used: usize,
    salt: u64,
    /// The position and the epoch of the batch that cannot be read.
    position: Position,
    epoch: u32,
    /// Whether another segment follows.
    is_finished: bool,
}

impl<'a> Search<'a> {
    /// Where to go on behind the frame at `at`, and with which position; `None` if the segment ends there.
    fn resume(&self, at: u64) -> Option<(u64, Position)> {
        let mut first = None;
        let mut at = usize::try_from(at).ok()? + 1;
        while let Some((found, frame)) = self.find(at) {
            if frame.epoch >= self.epoch {
                let first = *first.get_or_insert((found as u64, frame.position));
                if self.is_finished || frame.durable > self.position {
                    return Some(first);
                }
            }
            at = found + FRAME_BYTES + frame.batch.len();
        }
        None
    }

    /// The first intact frame from `start` on.
    fn find(&self, start: usize) -> Option<(usize, Frame<'a>)> {
        let most = self.position.0 + (self.bytes.len() / FRAME_BYTES) as u64;
        (start..self.used).find_map(|at| {
            let candidate = self.bytes.get(at..)?;
            let claimed = frame::position(candidate)?;
            let is_possible = (self.position.0..=most).contains(&claimed.0);
            let frame = is_possible.then(|| frame::decode(candidate, self.salt))??;
            Some((at, frame))
        })
    }
}

/// How many bytes there are before nothing but zeros follows.
fn used(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let is_used = |chunk: &[u8]| ZEROS.get(..chunk.len()) != Some(chunk);
    let Some(last) = bytes.chunks(ZEROS.len()).rposition(is_used) else {
        return 0;
    };
    let start = last * ZEROS.len();
    let chunk = bytes.get(start..).unwrap_or_default();
    let chunk = chunk.get(..ZEROS.len()).unwrap_or(chunk);
    start
        + chunk
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1)
}

fn frame_at(bytes: &[u8], at: u64, salt: u64) -> Option<Frame<'_>> {
    frame::decode(bytes.get(usize::try_from(at).ok()?..)?, salt)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![];
    directory::open(path, false)?
        .read_to_end(&mut bytes)
        .map_err(|error| StoreError::io(Doing::Read, path, &error))?;
    Ok(bytes)
}
