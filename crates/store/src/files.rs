//! A log in a directory of files, the segments.
//!
//! ```text
//! 00000000000000000000.log   header  frame  frame  ..          cut to its end, synced
//! 00000000000000001842.log   header  frame  frame  0 0 0 ..    allocated ahead: the active one
//! spare                                                        the next one, room for when the disk is full
//! lock                                                         held, with the id of the process in it
//! ```
//!
//! A segment is named by the position of its first batch. What always holds: only the end of the newest segment may be
//! unsynced; segments go oldest first, one after another; a file has its name only once its header lasts. So what cannot
//! be read is either the unfinished end of the log, which nobody was told of and which is cut off, or damage, which is
//! reported and stepped over. A sync that failed is never tried again.

mod backup;
mod directory;
mod frame;
mod marks;
mod parts;
mod reader;
mod scan;

pub use backup::backup;

use crate::{Damage, Doing, Log, Position, StoreError};
use directory::Directory;
use frame::{HEADER_BYTES, Header};
use parts::Parts;
use reader::Reader;
use scan::Segment;
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How large a segment is.
const SEGMENT_BYTES: u64 = 64 << 20;

/// A log in a directory.
#[derive(Debug)]
pub struct Files {
    directory: Directory,
    segment_bytes: u64,
    /// Oldest first, never empty unless the log is only read.
    segments: VecDeque<Segment>,
    /// The newest segment and what is allocated of it; `None` if the log is only read.
    active: Option<(File, u64)>,
    has_spare: bool,
    end: Position,
    durable: Position,
    epoch: u32,
    damage: Vec<Damage>,
    /// The error after which nothing works.
    broken: Option<StoreError>,
    /// The frame that is being written.
    frame: Vec<u8>,
    parts: Parts,
}

impl Files {
    /// Opens the log in `path`, or begins one there, for this process alone.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process has it; what the operating system refuses; a format that this version
    /// does not know.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, SEGMENT_BYTES)
    }

    /// The same with segments of another size, in bytes.
    ///
    /// # Errors
    /// As [`Files::open`].
    pub fn open_with(path: &Path, segment_bytes: u64) -> Result<Self, StoreError> {
        let directory = Directory::lock(path)?;
        let mut files = Self::scan(directory, segment_bytes)?;
        files.epoch = files.epoch.saturating_add(1);
        match files.segments.back() {
            Some(newest) if newest.header.is_some() => files.continue_newest()?,
            _ => files.begin_segment(0)?,
        }
        files.sync()?;
        files.reserve();
        Ok(files)
    }

    /// Looks at the log in `path` and changes nothing, whoever has it open.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is none; otherwise as [`Files::open`], but for the lock.
    pub fn look(path: &Path) -> Result<Self, StoreError> {
        loop {
            match Self::scan(Directory::unlocked(path), SEGMENT_BYTES) {
                Err(error) if backup::is_gone(&error) && path.exists() => {}
                Ok(files) if files.segments.is_empty() => {
                    return Err(StoreError::Missing(path.into()));
                }
                done => return done,
            }
        }
    }

    /// What the files take on the disk, in bytes.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.directory.disk_bytes()
    }

    fn scan(directory: Directory, segment_bytes: u64) -> Result<Self, StoreError> {
        let found = scan::scan(&directory)?;
        Ok(Self {
            directory,
            segment_bytes,
            segments: found.segments,
            active: None,
            has_spare: false,
            end: found.end,
            durable: found.end,
            epoch: found.epoch,
            damage: found.damage,
            broken: None,
            frame: vec![],
            parts: Parts::default(),
        })
    }

    /// Cuts off the unfinished end of the newest segment and allocates the rest of it again.
    fn continue_newest(&mut self) -> Result<(), StoreError> {
        let Some(newest) = self.segments.back() else {
            return Ok(());
        };
        let file = directory::open(&newest.path, true)?;
        file.set_len(newest.end)
            .map_err(|error| StoreError::io(Doing::Cut, &newest.path, &error))?;
        let allocated = match directory::allocate(&newest.path, &file, self.segment_bytes) {
            Ok(()) => self.segment_bytes,
            // It can be read although the disk is full.
            Err(StoreError::Full) => newest.end,
            Err(error) => return Err(error),
        };
        directory::sync_all(&newest.path, &file)?;
        self.active = Some((file, allocated));
        Ok(())
    }

    /// Begins a segment with room for a frame of `frame_bytes`. All that was appended before is synced.
    fn begin_segment(&mut self, frame_bytes: u64) -> Result<(), StoreError> {
        let header = Header {
            epoch: self.epoch,
            base: self.end,
            salt: directory::salt(),
        };
        let allocated = self.segment_bytes.max(HEADER_BYTES + frame_bytes);
        // If there is no room for this one, there is none for a spare one either.
        self.has_spare = false;
        let (file, spare) = self.directory.spare(allocated)?;
        file.write_all_at(&header.encode(), 0)
            .map_err(|error| directory::fault(Doing::Write, &spare, &error))?;
        directory::sync_all(&spare, &file)?;
        self.finish_newest()?;
        let path = self.directory.begin(header.base)?;
        // One that nothing was appended to has the same name, and was replaced.
        if self.segments.back().is_some_and(|it| it.base == self.end) {
            self.segments.pop_back();
        }
        self.segments
            .push_back(Segment::new(path, header, self.end));
        self.active = Some((file, allocated));
        Ok(())
    }

    /// Gives back what was allocated behind the end of the newest segment, and syncs it.
    fn finish_newest(&mut self) -> Result<(), StoreError> {
        let (Some((file, _)), Some(newest)) = (&self.active, self.segments.back()) else {
            return Ok(());
        };
        file.set_len(newest.end)
            .map_err(|error| StoreError::io(Doing::Cut, &newest.path, &error))?;
        directory::sync_all(&newest.path, file)?;
        self.durable = self.end;
        Ok(())
    }

    fn append_frame(&mut self, batch: &[u8]) -> Result<Position, StoreError> {
        let Some(salt) = self.salt() else {
            return Err(StoreError::ReadOnly);
        };
        let unsynced = self.end.0 - self.durable.0;
        frame::encode(&mut self.frame, salt, self.epoch, self.end, unsynced, batch)?;
        let len = self.frame.len() as u64;
        if !self.has_room(len) {
            self.begin_segment(len)?;
            return self.append_frame(batch);
        }
        self.write_frame()?;
        self.end.0 += 1;
        Ok(self.end)
    }

    fn write_frame(&mut self) -> Result<(), StoreError> {
        let (Some((file, _)), Some(newest)) = (&self.active, self.segments.back_mut()) else {
            return Err(StoreError::ReadOnly);
        };
        if let Err(error) = file.write_all_at(&self.frame, newest.end) {
            let error = directory::fault(Doing::Write, &newest.path, &error);
            // Nothing half-appended stands, and what was allocated goes with it: it was none, if the disk is full.
            file.set_len(newest.end)
                .map_err(|error| StoreError::io(Doing::Cut, &newest.path, &error))?;
            self.active = self.active.take().map(|(file, _)| (file, 0));
            return Err(error);
        }
        newest.push(self.end, self.frame.len());
        Ok(())
    }

    fn salt(&self) -> Option<u64> {
        self.active.as_ref()?;
        let header = self.segments.back()?.header.as_ref()?;
        Some(header.salt)
    }

    fn has_room(&self, len: u64) -> bool {
        let allocated = self.active.as_ref().map_or(0, |(_, allocated)| *allocated);
        let used = self.segments.back().map_or(0, |newest| newest.end);
        used + len <= allocated
    }

    /// Which segment the batch at this position is in or would be in.
    fn seek(&self, position: Position) -> usize {
        let behind = self.segments.partition_point(|it| it.base <= position);
        behind.saturating_sub(1)
    }

    /// Remembers an error that nothing must follow.
    fn check<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result
            && error.is_fatal()
        {
            self.broken = Some(error.clone());
        }
        result
    }

    fn check_whole(&self) -> Result<(), StoreError> {
        self.broken.clone().map_or(Ok(()), Err)
    }
}

impl Log for Files {
    fn append(&mut self, batch: &[u8]) -> Result<Position, StoreError> {
        self.check_whole()?;
        let result = self.append_frame(batch);
        self.check(result)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.check_whole()?;
        let (Some((file, _)), Some(newest)) = (&self.active, self.segments.back()) else {
            return Err(StoreError::ReadOnly);
        };
        let synced = file
            .sync_data()
            .map_err(|error| StoreError::io(Doing::Sync, &newest.path, &error));
        self.check(synced)?;
        self.durable = self.end;
        Ok(())
    }

    fn durable(&self) -> Position {
        self.durable
    }

    fn first(&self) -> Position {
        self.segments.front().map_or(self.end, |it| it.base)
    }

    fn end(&self) -> Position {
        self.end
    }

    fn tail(
        &mut self,
        from: Position,
        visit: &mut dyn FnMut(Position, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        if from < self.first() {
            return Err(StoreError::Trimmed(self.first()));
        }
        for segment in self.segments.range(self.seek(from)..) {
            let mark = segment.marks.before(from);
            let mut reader = Reader::open(segment, mark.map_or(HEADER_BYTES, |it| it.offset))?;
            while let Some(read) = reader.next()? {
                let end = Position(read.position.0 + 1);
                if read.position >= from && !visit(end, read.batch) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, at: Position, offset: usize, out: &mut [u8]) -> Result<(), StoreError> {
        if at < self.first() {
            return Err(StoreError::Trimmed(self.first()));
        }
        match self.segments.get(self.seek(at)) {
            Some(segment) => self.parts.read(segment, at, offset, out),
            None => Err(StoreError::Trimmed(self.first())),
        }
    }

    fn trim(&mut self, up_to: Position) -> Result<(), StoreError> {
        self.check_whole()?;
        while let Some(second) = self.segments.get(1)
            && second.base <= up_to
            && let Some(oldest) = self.segments.pop_front()
        {
            self.parts.forget(&oldest);
            let removed = self.directory.remove(&oldest.path);
            self.check(removed)?;
        }
        Ok(())
    }

    fn reserve(&mut self) -> bool {
        if !self.has_spare && self.broken.is_none() && self.active.is_some() {
            let is_possible = self.directory.free_bytes() > self.segment_bytes / 4 * 5;
            self.has_spare = is_possible && self.directory.spare(self.segment_bytes).is_ok();
        }
        self.has_spare
    }

    fn free_bytes(&self) -> Option<u64> {
        Some(self.directory.free_bytes())
    }

    fn damage(&self) -> &[Damage] {
        &self.damage
    }
}

#[cfg(test)]
mod tests;
