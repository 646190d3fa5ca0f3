//! `[[listener]]`: an address that accepts clients, and what it expects of their upgrade request.
//!
//! Two listeners on one address are refused here, where the file's lines are known, rather than by `bind` at the start.
//! Port 0 (a free port, printed when it is open) can stand twice.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::document::Document;
use super::error::{AddressFault, Fault};
use super::section::Section;

const DEFAULT_BIND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8083);
const DEFAULT_PATHS: [&str; 2] = ["/", "/mqtt"];

/// One address that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// The address; port 0 asks the operating system for a free one.
    pub(crate) bind: SocketAddr,
    /// What is spoken there.
    pub(crate) protocol: Protocol,
    /// The paths on which an upgrade is accepted; never empty.
    pub(crate) paths: Vec<String>,
    /// Whether an upgrade that offers no subprotocol is accepted, against [MQTT-6.0.0-3].
    pub(crate) allow_missing_subprotocol: bool,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// MQTT over WebSocket, without TLS.
    Ws,
}

impl Listener {
    pub(super) fn resolve_all(document: &Document<'_>) -> Vec<Self> {
        let mut sections = document.sections("listener");
        if sections.is_empty() {
            sections.push(document.absent("listener"));
        }
        let mut listeners: Vec<Self> = Vec::with_capacity(sections.len());
        for section in &sections {
            let listener = Self::resolve(section);
            if let Some(other) = listeners
                .iter()
                .position(|other| clash(other.bind, listener.bind))
            {
                let (bind, line) = (listener.bind, sections[other].line("bind"));
                section.note(
                    "bind",
                    Fault::DuplicateListener {
                        bind,
                        other: listeners[other].bind,
                        line,
                    },
                );
            }
            listeners.push(listener);
        }
        listeners
    }

    /// Whether only this machine can reach it.
    pub(crate) fn is_local(&self) -> bool {
        self.bind.ip().is_loopback()
    }

    fn resolve(section: &Section<'_, '_>) -> Self {
        Self {
            bind: bind(section),
            protocol: section.word("protocol", Protocol::Ws, &[("ws", Protocol::Ws)]),
            paths: paths(section),
            allow_missing_subprotocol: section.boolean("allow_missing_subprotocol", false),
        }
    }
}

impl Protocol {
    /// The scheme of its URLs.
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::Ws => "ws",
        }
    }
}

/// Reads an address such as `127.0.0.1:8083` or `[::1]:8083`.
///
/// # Errors
/// Which part of it is missing or wrong.
pub(crate) fn parse_bind(text: &str) -> Result<SocketAddr, AddressFault> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse() {
        return Err(AddressFault::NoPort(ip));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return Err(AddressFault::BadPort(port.into()));
    }
    Err(AddressFault::NotAnIp(host.into()))
}

fn bind(section: &Section<'_, '_>) -> SocketAddr {
    let Some(text) = section.text("bind", "a string, for example \"127.0.0.1:8083\"") else {
        return DEFAULT_BIND;
    };
    parse_bind(text).unwrap_or_else(|fault| {
        section.note(
            "bind",
            Fault::Address {
                value: text.into(),
                fault,
            },
        );
        // Port 0, so that the stand-in can't seem to clash with another listener.
        SocketAddr::new(DEFAULT_BIND.ip(), 0)
    })
}

fn paths(section: &Section<'_, '_>) -> Vec<String> {
    const EXAMPLE: &str = r#"["/", "/mqtt"]"#;
    let Some(texts) = section.texts("paths", EXAMPLE) else {
        return DEFAULT_PATHS.map(str::to_owned).into();
    };
    if texts.is_empty() {
        section.note("paths", Fault::Empty { example: EXAMPLE });
    }
    let mut paths: Vec<String> = Vec::with_capacity(texts.len());
    for text in texts {
        let path = text.get_ref().to_string();
        if !is_path(&path) {
            section.note_at(text.span(), "paths", Fault::Path(path));
        } else if paths.contains(&path) {
            section.note_at(text.span(), "paths", Fault::DuplicatePath(path));
        } else {
            paths.push(path);
        }
    }
    paths
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#')
}

/// Whether the operating system would refuse to bind the second one.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = one.ip().is_unspecified() || other.ip().is_unspecified();
    let same_family = one.is_ipv4() == other.is_ipv4();
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || (covers && same_family))
}
