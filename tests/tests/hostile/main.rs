//! Input that means harm, over real sockets against the real binary.
//!
//! Each test does one harm, and checks three things: the limit that bounds it is the configured one, whoever does it is
//! told so in the way the specification names, and a client that does no harm is served all the while: the [`Canary`].
//! What takes long or needs many files is ignored here and run by `cargo xtask hostile`.

mod canary;
mod crowds;
mod floods;
mod giants;
mod malformed;
mod slowness;
mod subscriptions;

pub(crate) use canary::Canary;

/// A mebibyte.
pub(crate) const MIB: usize = 1 << 20;
