//! Who may connect and what they may do, as clients of the real binary see it.
//!
//! Every test starts a broker of its own, with files of its own.

mod certificates;
mod limits;
mod pages;
mod passwords;
mod permissions;
mod scratch;
mod secrets;
mod tokens;
mod webhook;
