//! What the fuzz targets do with their input.
//!
//! Each target is a function from bytes to nothing that panics where something does not hold. libFuzzer calls it (the
//! programs in fuzz/fuzz_targets), and so does an ordinary test of this crate, with what was found before and with
//! input of its own making: no other compiler and no other tool is needed for that.

mod choices;
mod decoder;
mod frames;
mod handshake;
mod operations;
mod topics;

pub use decoder::decoder;
pub use frames::frames;
pub use handshake::handshake;
pub use operations::{fingerprint, operations};
pub use topics::topics;

/// A target and its name, which is also that of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 5] = [
    ("decoder", decoder),
    ("frames", frames),
    ("handshake", handshake),
    ("topics", topics),
    ("operations", operations),
];
