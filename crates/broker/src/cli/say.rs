//! What commands answer, on standard output.
//!
//! Whoever reads it may stop at any line, and a disk may be full: a command then ends where it is, and never as if all had
//! been said.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process;

/// Writes a line, or ends the command.
pub(super) fn say(line: impl fmt::Display) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        end_unheard(&error);
    }
}

/// Ends a command with exit code 1, since not all was said: without a word if nobody reads on, as `| head -1` does.
pub(super) fn end_unheard(error: &io::Error) -> ! {
    if error.kind() != ErrorKind::BrokenPipe {
        eprintln!("standard output: {error}");
    }
    process::exit(1)
}
