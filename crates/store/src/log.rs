//! The narrow trait: a log of batches.
//!
//! One trait serves memory, local files and a replicated log alike, so that replay is written once. A batch is there as
//! a whole or not at all, and batches are lost, if at all, from the end.

use crate::{Damage, StoreError};
use std::fmt::Debug;

/// A place in a log: the number of batches before it. Positions only grow, and are never given out twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// The part of a batch that `out` has room for.
pub(crate) fn copy_part(batch: &[u8], offset: usize, out: &mut [u8]) -> Option<()> {
    let part = batch.get(offset..)?.get(..out.len())?;
    out.copy_from_slice(part);
    Some(())
}

/// A log of batches.
pub trait Log: Debug {
    /// Appends a batch and returns the position behind it: once [`Log::durable`] has reached that, the batch lasts.
    ///
    /// # Errors
    /// [`StoreError::Full`]: nothing was appended, and the log goes on. After any other error it doesn't.
    fn append(&mut self, batch: &[u8]) -> Result<Position, StoreError>;

    /// Makes everything appended durable.
    ///
    /// # Errors
    /// [`StoreError::Sync`], and from then on always: what was written since the last sync may be lost although a second
    /// sync would succeed, so it is never retried.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Everything before this position lasts.
    fn durable(&self) -> Position;

    /// The oldest position there is.
    fn first(&self) -> Position;

    /// The position behind the last batch.
    fn end(&self) -> Position;

    /// The batches from `from` on, in order, each with the position behind it, until `visit` returns false.
    ///
    /// # Errors
    /// [`StoreError::Trimmed`]; [`StoreError::Corrupt`] if a batch is no longer what was appended.
    fn tail(
        &mut self,
        from: Position,
        visit: &mut dyn FnMut(Position, &[u8]) -> bool,
    ) -> Result<(), StoreError>;

    /// Reads what stands `offset` bytes into the batch at `at`, without looking at the rest: whoever wrote it has to be
    /// able to tell whether it is what was written.
    ///
    /// # Errors
    /// [`StoreError::Trimmed`]; [`StoreError::Corrupt`] if there is no such batch, or not so much of it, any more;
    /// [`StoreError::Io`].
    fn read(&mut self, at: Position, offset: usize, out: &mut [u8]) -> Result<(), StoreError>;

    /// Forgets what is before `up_to`, or as much of it as can be given back: the rest may be there again after a
    /// restart.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn trim(&mut self, up_to: Position) -> Result<(), StoreError>;

    /// Sets room aside for what has to be written although the disk is full. False while there is none.
    fn reserve(&mut self) -> bool {
        true
    }

    /// How much may be appended before it is full; `None` if nobody can say.
    fn free_bytes(&self) -> Option<u64> {
        None
    }

    /// What was found damaged when the log was opened.
    fn damage(&self) -> &[Damage] {
        &[]
    }
}
