//! What can be wrong with a configuration file.
//!
//! One variant per fault, each with what a message needs to say: where, which key, and what to write instead.
//! A problem reads `broker.toml:12: listener.bind: "127.0.0.1" has no port; write for example "127.0.0.1:8083"`.
//! Tests assert on these messages, since they are what a person sees.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::string::FromUtf8Error;

use weir_ws::OriginFault;

use super::bind::Bind;

/// Why there is no [`Config`](super::Config).
#[derive(Debug)]
pub(crate) enum ConfigError {
    /// The file can't be read.
    Unreadable {
        /// The file as it was named.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file was read and says something that can't be; never empty.
    Invalid(Vec<Problem>),
}

/// One fault at one place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file as it was named.
    pub(crate) file: String,
    /// The line, counted from 1.
    pub(crate) line: usize,
    /// The key with its section (`limits.queue_bytes`); empty where the text isn't TOML.
    pub(crate) key: String,
    /// What is wrong there.
    pub(crate) fault: Fault,
}

/// The smallest and the largest allowed number, and what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The smallest allowed number.
    pub(crate) min: i64,
    /// The largest allowed number.
    pub(crate) max: i64,
    /// What it counts, in the plural.
    pub(crate) unit: &'static str,
}

/// What is wrong with a value or a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not TOML, in the parser's words.
    Syntax(String),
    /// Not UTF-8, which TOML is.
    NotUtf8,
    /// No such key.
    UnknownKey {
        /// What was probably meant.
        nearest: Option<String>,
        /// All keys of this section.
        allowed: Vec<&'static str>,
    },
    /// The key exists, elsewhere.
    Misplaced {
        /// The heading it belongs below; `None` for the top of the file.
        heading: Option<String>,
    },
    /// A section written as a value, or `[listener]` for `[[listener]]`.
    NotASection {
        /// How its heading is written.
        heading: String,
    },
    /// The value is of another TOML type.
    WrongType {
        /// The type found.
        found: &'static str,
        /// What to write.
        wanted: String,
    },
    /// The number is too small or too large.
    OutOfRange {
        /// The number as written.
        value: String,
        /// What is allowed.
        bounds: Bounds,
    },
    /// The number contradicts another key.
    LessThan {
        /// The number that counts here.
        value: i64,
        /// The key that must not be larger.
        other: &'static str,
        /// The value of that key.
        floor: i64,
    },
    /// The number contradicts another key.
    MoreThan {
        /// The number that counts here.
        value: i64,
        /// The key that must not be smaller.
        other: &'static str,
        /// The value of that key.
        ceiling: i64,
    },
    /// Not one of a few words.
    NotOneOf {
        /// The word as written.
        value: String,
        /// The words.
        allowed: Vec<&'static str>,
    },
    /// Not an address to listen on.
    Address {
        /// The text as written.
        value: String,
        /// Why not.
        fault: AddressFault,
    },
    /// Another listener has this address.
    DuplicateListener {
        /// The address.
        bind: Bind,
        /// The other address, equal or covering it.
        other: Bind,
        /// The line of the other listener.
        line: usize,
    },
    /// A list that needs an entry has none.
    Empty {
        /// An example of a good list.
        example: &'static str,
    },
    /// A key that has to be there is not.
    Missing {
        /// An example of its value.
        example: &'static str,
    },
    /// One of several keys too many.
    OneOf {
        /// The keys of which one is enough.
        keys: &'static [&'static str],
    },
    /// A token in a cookie, which every page could make use of.
    CookieWithoutOrigins,
    /// A key that means nothing to the kind of provider it stands with.
    NotForKind {
        /// The kind.
        kind: &'static str,
    },
    /// Not a path that a browser can ask for.
    Path(String),
    /// The same path twice.
    DuplicatePath(String),
    /// Not an origin that a browser would send.
    Origin {
        /// The text as written.
        value: String,
        /// Why not.
        fault: OriginFault,
    },
    /// Neither an address nor a network.
    NotANetwork(String),
    /// Not the permissions of a file.
    NotAMode(String),
    /// A PROXY header is expected, and nobody may send one.
    NoProxyTrusted,
    /// Something of HTTP where none is spoken, by the listener's protocol.
    NoHttp(&'static str),
    /// A file of TLS where there is no TLS.
    NeedsTls {
        /// The listener's protocol.
        protocol: &'static str,
    },
    /// A file that TLS can't do without.
    FileNeeded {
        /// An example of one.
        example: &'static str,
    },
    /// A file about clients' certificates, which nobody asks for.
    NobodyAsked,
}

/// Why a text is not an address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AddressFault {
    /// An IP address alone.
    NoPort(IpAddr),
    /// Neither an IP address nor one with a port; the host part as written.
    NotAnIp(String),
    /// The part after the colon is no port.
    BadPort(String),
    /// What follows `unix:` is no absolute path.
    NotAPath,
}

impl ConfigError {
    /// The exit code of a command that ends with this error: 2 where the file has to be edited, so that a supervisor
    /// knows a restart won't help, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Unreadable { .. } => 1,
            Self::Invalid(_) => 2,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, source } => write!(out, "{file}: cannot be read: {source}"),
            Self::Invalid(problems) => {
                for (index, problem) in problems.iter().enumerate() {
                    let border = if index == 0 { "" } else { "\n" };
                    write!(out, "{border}{problem}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            Self::Invalid(_) => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: ", self.file, self.line)?;
        if !self.key.is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        self.fault.fmt(out)
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} to {} {}", self.min, self.max, self.unit)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(message) => write!(out, "not TOML: {message}"),
            Self::NotUtf8 => write!(out, "not UTF-8; save the file in this encoding"),
            Self::UnknownKey { nearest, allowed } => unknown_key(out, nearest.as_deref(), allowed),
            Self::Misplaced { heading: None } => write!(
                out,
                "belongs to the top of the file; move it above the first [section]"
            ),
            Self::Misplaced {
                heading: Some(heading),
            } => {
                write!(out, "belongs to {heading}; move it below that heading")
            }
            Self::NotASection { heading } => write!(
                out,
                "is a section; write {heading} on a line of its own and its keys below"
            ),
            Self::WrongType { found, wanted } => write!(out, "is {found}; write {wanted}"),
            Self::OutOfRange { value, bounds } => {
                write!(out, "{value} is out of range; write {bounds}")
            }
            Self::LessThan {
                value,
                other,
                floor,
            } => write!(
                out,
                "{value} is less than {other} ({floor}); raise it or lower {other}"
            ),
            Self::MoreThan {
                value,
                other,
                ceiling,
            } => write!(
                out,
                "{value} is more than {other} ({ceiling}); lower it or raise {other}"
            ),
            Self::NotOneOf { value, allowed } => {
                write!(out, "{value:?} is not known; write {}", quoted(allowed))
            }
            Self::Address { value, fault } => write!(out, "{value:?} {fault}"),
            Self::DuplicateListener { bind, other, line } => duplicate(out, bind, other, *line),
            Self::Empty { example } => write!(
                out,
                "the list is empty; write for example {example}, or remove the key for the default"
            ),
            Self::Missing { example } => {
                write!(out, "is needed here; write for example {example:?}")
            }
            Self::Path(path) => write!(
                out,
                "{path:?} is not a path; write for example \"/mqtt\": a slash first, no spaces, '?' or '#'"
            ),
            Self::DuplicatePath(path) => write!(out, "{path:?} is listed twice; remove one"),
            Self::OneOf { .. } | Self::CookieWithoutOrigins | Self::NotForKind { .. } => {
                self.fmt_of_provider(out)
            }
            Self::Origin { .. }
            | Self::NotANetwork(_)
            | Self::NotAMode(_)
            | Self::NoProxyTrusted
            | Self::NoHttp(_)
            | Self::NeedsTls { .. }
            | Self::FileNeeded { .. }
            | Self::NobodyAsked => self.fmt_of_listener(out),
        }
    }
}

impl Fault {
    /// The faults that only an `[[auth.provider]]` can have.
    fn fmt_of_provider(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneOf { keys } => write!(
                out,
                "stands beside another of {}; keep one of them",
                keys.join(", ")
            ),
            Self::CookieWithoutOrigins => write!(
                out,
                "a cookie counts only for pages whose origin is listed; name them in the listener's allowed_origins, for example [\"https://app.example\"]"
            ),
            Self::NotForKind { kind } => {
                write!(out, "means nothing to kind = {kind:?}; remove it")
            }
            _ => Ok(()),
        }
    }

    /// The faults that only a `[[listener]]` can have.
    fn fmt_of_listener(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin { value, fault } => write!(
                out,
                "{value:?} {fault}; write for example \"https://app.example\", \"http://localhost:5173\", or \"same-host\""
            ),
            Self::NotANetwork(value) => write!(
                out,
                "{value:?} is neither an IP address nor a network; write for example \"127.0.0.1\", \"10.0.0.0/8\", or \"unix\" for whoever may open the unix socket"
            ),
            Self::NotAMode(value) => {
                write!(
                    out,
                    "{value:?} is not an octal mode; write for example \"0660\""
                )
            }
            Self::NoHttp(protocol) => write!(
                out,
                "needs HTTP, which a listener with protocol \"{protocol}\" does not speak; write it below one with \"ws\" or \"wss\""
            ),
            Self::NoProxyTrusted => {
                write!(
                    out,
                    "needs the proxy's address in trusted_proxies, for example [\"127.0.0.1\"]"
                )
            }
            Self::NeedsTls { protocol } => write!(
                out,
                "has no effect with protocol {protocol:?}; write \"{protocol}s\" there or remove this key"
            ),
            Self::FileNeeded { example } => {
                write!(
                    out,
                    "is needed; write the path of a file in PEM, for example {example:?}"
                )
            }
            Self::NobodyAsked => write!(
                out,
                "has no effect with client_certificate = \"none\"; write \"optional\" or \"required\" there or remove this key"
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for AddressFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPort(ip) => write!(
                out,
                "has no port; write for example \"{}\"",
                SocketAddr::new(*ip, 8083)
            ),
            Self::NotAnIp(host) if host.is_empty() => {
                write!(
                    out,
                    "has no IP address; write for example \"127.0.0.1:8083\", or \"0.0.0.0:8083\" for all interfaces"
                )
            }
            Self::NotAnIp(host) => write!(
                out,
                "names {host:?}, which is not an IP address; write for example \"127.0.0.1:8083\", or \"0.0.0.0:8083\" for all interfaces"
            ),
            Self::BadPort(port) => write!(
                out,
                "has {port:?} for a port; write a number from 0 to 65535, for example \"127.0.0.1:8083\""
            ),
            Self::NotAPath => {
                write!(
                    out,
                    "has no absolute path; write for example \"unix:/run/weir/ws.sock\""
                )
            }
        }
    }
}

impl std::error::Error for AddressFault {}

pub(super) fn not_utf8(file: &str, error: &FromUtf8Error) -> ConfigError {
    let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    ConfigError::Invalid(vec![Problem {
        file: file.into(),
        line,
        key: String::new(),
        fault: Fault::NotUtf8,
    }])
}

fn duplicate(out: &mut fmt::Formatter<'_>, bind: &Bind, other: &Bind, line: usize) -> fmt::Result {
    if bind == other {
        write!(out, "{bind} is taken by the listener")?;
    } else if bind.is_everywhere() {
        write!(out, "{bind} covers {other}")?;
    } else {
        write!(out, "{bind} is covered by {other}")?;
    }
    let remedy = match bind {
        Bind::Tcp(_) => "port",
        Bind::Unix(_) => "path",
    };
    write!(out, " on line {line}; give one of them another {remedy}")
}

fn unknown_key(
    out: &mut fmt::Formatter<'_>,
    nearest: Option<&str>,
    allowed: &[&str],
) -> fmt::Result {
    write!(out, "unknown key")?;
    if let Some(nearest) = nearest {
        write!(out, "; did you mean `{nearest}`?")?;
    } else {
        write!(out, ";")?;
    }
    write!(out, " Allowed here: {}", allowed.join(", "))
}

pub(super) fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    quoted.join(" or ")
}
