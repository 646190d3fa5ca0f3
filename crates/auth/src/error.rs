//! What can be wrong with what authentication reads: password files, ACL files, keys.
//!
//! A fault in a file names the file and the line, counted from 1, and says what would be right. It never quotes what stands
//! there: that may be a secret.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why something that authentication needs can't be had.
#[derive(Debug)]
pub enum AuthError {
    /// A file can't be read.
    Unreadable(PathBuf, io::Error),
    /// A file can't be written.
    Unwritable(PathBuf, io::Error),
    /// A line of a file says something that can't be.
    Line(PathBuf, usize, LineFault),
    /// A file as a whole is not what it should be.
    File(PathBuf, FileFault),
    /// A URL can't be used.
    Url(String, &'static str),
    /// The operating system gives no random bytes.
    Random,
}

/// What is wrong with a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// No `:` between user and hash.
    NoColon,
    /// The user name is empty or longer than MQTT allows.
    UserName,
    /// The user stands on an earlier line too.
    DuplicateUser(usize),
    /// What stands behind the user is no hash at all.
    NotAHash,
    /// A hash of a kind that is not read here.
    UnknownHash,
    /// A hash of a known kind that is cut off or garbled.
    BrokenHash,
    /// A hash whose parameters would cost too much.
    CostlyHash,
    /// An ACL line that begins with none of the words that it may.
    UnknownWord,
    /// An ACL line that ends too early.
    NoTopic,
    /// An access that does not exist.
    UnknownAccess,
    /// A topic filter that is none.
    Filter(weir_engine::TopicError),
}

/// What is wrong with a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFault {
    /// It is not UTF-8.
    NotText,
    /// It holds no key that can be used.
    NoKey,
    /// The secret is too short to resist guessing.
    ShortSecret,
}

impl AuthError {
    /// The file that it is about, if it is about one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Unreadable(file, _)
            | Self::Unwritable(file, _)
            | Self::Line(file, ..)
            | Self::File(file, _) => Some(file),
            Self::Url(..) | Self::Random => None,
        }
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(file, error) => {
                write!(out, "{}: cannot be read: {error}", file.display())
            }
            Self::Unwritable(file, error) => {
                write!(out, "{}: cannot be written: {error}", file.display())
            }
            Self::Line(file, line, fault) => write!(out, "{}:{line}: {fault}", file.display()),
            Self::File(file, fault) => write!(out, "{}: {fault}", file.display()),
            Self::Url(url, fault) => write!(out, "{url}: {fault}"),
            Self::Random => out.write_str("the operating system gives no random bytes"),
        }
    }
}

impl std::error::Error for AuthError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(_, error) | Self::Unwritable(_, error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for LineFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NoColon => "no ':'; a line is user:hash, as `weir passwd` writes it",
            Self::UserName => "the user name is empty or too long",
            Self::DuplicateUser(line) => {
                return write!(
                    out,
                    "this user stands on line {line} already; remove one of them"
                );
            }
            Self::NotAHash => {
                "behind the ':' stands no hash; replace the line with `weir passwd FILE USER`"
            }
            Self::UnknownHash => {
                "a hash of an unknown kind; known are $6$, $7$, $argon2id$ and $scram-sha-256$"
            }
            Self::BrokenHash => {
                "the hash is cut off or garbled; replace the line with `weir passwd FILE USER`"
            }
            Self::CostlyHash => "the hash asks for more memory or rounds than is allowed",
            Self::UnknownWord => "a line begins with `user`, `topic`, `pattern` or `#`",
            Self::NoTopic => "nothing follows; write for example `topic read news/#`",
            Self::UnknownAccess => "the access is read, write, readwrite or deny",
            Self::Filter(error) => return write!(out, "the topic filter {error}"),
        })
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NotText => "not UTF-8; save the file in this encoding",
            Self::NoKey => "no key in it that can be used; expected are a public key in PEM or a JWKS",
            Self::ShortSecret => "a secret of less than 32 bytes can be guessed; make one with `openssl rand -base64 48`",
        })
    }
}
