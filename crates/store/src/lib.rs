//! Durability: a log of batches behind a narrow trait.
//!
//! A [`Log`] takes batches of bytes, says up to which [`Position`] they are durable, gives them back in order from any
//! position, and forgets what is no longer needed. What a batch means is its writer's business; a log never looks inside.
//! One trait serves memory, local files and a replicated log alike, so replay is written once.

mod memory;

pub use memory::Memory;

use std::fmt::Debug;

/// A place in a log: the number of batches before it. Positions only grow, and are never given out twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// Why a log could not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogError {
    /// No room is left: nothing was appended, what was appended before stands.
    Full,
    /// The position was trimmed away; what is left begins at this one.
    Trimmed(Position),
}

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("the log is full"),
            Self::Trimmed(first) => write!(f, "trimmed away: the log begins at {}", first.0),
        }
    }
}

impl std::error::Error for LogError {}

/// A log of batches.
pub trait Log: Debug {
    /// Appends a batch and returns the position behind it: once [`Log::durable`] has reached that, the batch lasts.
    ///
    /// # Errors
    /// [`LogError::Full`].
    fn append(&mut self, batch: &[u8]) -> Result<Position, LogError>;

    /// Everything before this position lasts.
    fn durable(&self) -> Position;

    /// The batches from `from` on, in order, each with the position behind it, until `visit` returns false.
    ///
    /// # Errors
    /// [`LogError::Trimmed`].
    fn tail(
        &self,
        from: Position,
        visit: &mut dyn FnMut(Position, &[u8]) -> bool,
    ) -> Result<(), LogError>;

    /// Forgets everything before `up_to`.
    fn trim(&mut self, up_to: Position);
}
