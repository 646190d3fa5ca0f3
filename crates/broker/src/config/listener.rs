//! `[[listener]]`: a place that accepts clients, what is spoken there, and what it expects of a client before CONNECT.
//!
//! Keys that need each other are checked together, so that the runtime never meets a listener with TLS and without a
//! certificate, or one that expects a proxy and trusts none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use weir_engine::SlowReader;
use weir_ws::{AllowedOrigin, RefuseAfterUpgrade};

use super::bind::Bind;
use super::certificates::Certificates;
use super::document::Document;
use super::error::Fault;
use super::proxies::TrustedProxies;
use super::section::Section;

const DEFAULT_BIND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8083);
const DEFAULT_PATHS: [&str; 2] = ["/", "/mqtt"];
const DEFAULT_SOCKET_MODE: u32 = 0o660;

/// One place that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Where.
    pub(crate) bind: Bind,
    /// The permissions of a unix socket.
    pub(crate) socket_mode: u32,
    /// What is spoken there.
    pub(crate) protocol: Protocol,
    /// The files of TLS; there exactly if the protocol has it.
    pub(crate) certificates: Option<Certificates>,
    /// The paths on which an upgrade is accepted; never empty.
    pub(crate) paths: Arc<[String]>,
    /// Whether an upgrade that offers no subprotocol is accepted, against [MQTT-6.0.0-3].
    pub(crate) allow_missing_subprotocol: bool,
    /// The pages that may connect.
    pub(crate) allowed_origins: Arc<[AllowedOrigin]>,
    /// Whose refusal is told by a close code instead of by HTTP.
    pub(crate) refuse_after_upgrade: RefuseAfterUpgrade,
    /// Whose word counts for where a client is.
    pub(crate) trusted_proxies: TrustedProxies,
    /// Whether every connection begins with a PROXY header.
    pub(crate) proxy_protocol: bool,
    /// Whether metrics are shown to whoever asks.
    pub(crate) metrics: bool,
    /// What becomes of QoS 0 messages for a client that reads slowly, unless its subscriptions say otherwise.
    pub(crate) slow_reader: SlowReader,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// MQTT over WebSocket.
    Ws,
    /// The same over TLS.
    Wss,
    /// MQTT over TCP.
    Mqtt,
    /// The same over TLS.
    Mqtts,
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
            let clashes = |other: &Self| other.bind.clashes(&listener.bind);
            if let Some(other) = listeners.iter().position(clashes) {
                let fault = Fault::DuplicateListener {
                    bind: listener.bind.clone(),
                    other: listeners[other].bind.clone(),
                    line: sections[other].line("bind"),
                };
                section.note("bind", fault);
            }
            listeners.push(listener);
        }
        listeners
    }

    /// Whether only this machine can reach it.
    pub(crate) fn is_local(&self) -> bool {
        self.bind.is_local()
    }

    fn resolve(section: &Section<'_, '_>) -> Self {
        let bind = bind(section);
        let socket_mode = socket_mode(section);
        let protocol = section.word("protocol", Protocol::Ws, &Protocol::WORDS);
        let certificates = Certificates::resolve(section, protocol.scheme(), protocol.has_tls());
        let trusted_proxies = TrustedProxies::resolve(section);
        let proxy_protocol = section.boolean("proxy_protocol", false);
        if proxy_protocol && trusted_proxies.is_empty() {
            section.note("proxy_protocol", Fault::NoProxyTrusted);
        }
        Self {
            bind,
            socket_mode,
            protocol,
            certificates,
            paths: paths(section).into(),
            allow_missing_subprotocol: section.boolean("allow_missing_subprotocol", false),
            allowed_origins: origins(section).into(),
            refuse_after_upgrade: refuse_after_upgrade(section),
            trusted_proxies,
            proxy_protocol,
            metrics: metrics(section, protocol),
            slow_reader: slow_reader(section),
        }
    }
}

impl Protocol {
    const WORDS: [(&'static str, Self); 4] = [
        ("ws", Self::Ws),
        ("wss", Self::Wss),
        ("mqtt", Self::Mqtt),
        ("mqtts", Self::Mqtts),
    ];

    /// The scheme of its URLs.
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
        }
    }

    pub(crate) fn has_tls(self) -> bool {
        matches!(self, Self::Wss | Self::Mqtts)
    }

    pub(crate) fn has_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

fn metrics(section: &Section<'_, '_>, protocol: Protocol) -> bool {
    let metrics = section.boolean("metrics", false);
    if metrics && !protocol.has_websocket() {
        section.note("metrics", Fault::NoHttp(protocol.scheme()));
    }
    metrics
}

fn slow_reader(section: &Section<'_, '_>) -> SlowReader {
    let words = SlowReader::ALL.map(|policy| (policy.name(), policy));
    section.word("slow_reader", SlowReader::default(), &words)
}

fn bind(section: &Section<'_, '_>) -> Bind {
    let Some(text) = section.text("bind", "a string, for example \"127.0.0.1:8083\"") else {
        return Bind::Tcp(DEFAULT_BIND);
    };
    Bind::parse(text).unwrap_or_else(|fault| {
        section.note(
            "bind",
            Fault::Address {
                value: text.into(),
                fault,
            },
        );
        // Port 0, so that the stand-in can't seem to clash with another listener.
        Bind::Tcp(SocketAddr::new(DEFAULT_BIND.ip(), 0))
    })
}

fn socket_mode(section: &Section<'_, '_>) -> u32 {
    let wanted = "a string with an octal mode, for example \"0660\"";
    let Some(text) = section.text("socket_mode", wanted) else {
        return DEFAULT_SOCKET_MODE;
    };
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => mode,
        _ => {
            section.note("socket_mode", Fault::NotAMode(text.into()));
            DEFAULT_SOCKET_MODE
        }
    }
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

fn origins(section: &Section<'_, '_>) -> Vec<AllowedOrigin> {
    const EXAMPLE: &str = r#"["same-host", "https://app.example"]"#;
    let Some(texts) = section.texts("allowed_origins", EXAMPLE) else {
        return vec![AllowedOrigin::SameHost];
    };
    let mut origins = Vec::with_capacity(texts.len());
    for text in texts {
        match text.get_ref().parse() {
            Ok(origin) => origins.push(origin),
            Err(fault) => {
                let value = text.get_ref().to_string();
                section.note_at(
                    text.span(),
                    "allowed_origins",
                    Fault::Origin { value, fault },
                );
            }
        }
    }
    origins
}

fn refuse_after_upgrade(section: &Section<'_, '_>) -> RefuseAfterUpgrade {
    let words = [
        ("browsers", RefuseAfterUpgrade::Browsers),
        ("always", RefuseAfterUpgrade::Always),
        ("never", RefuseAfterUpgrade::Never),
    ];
    section.word("refuse_after_upgrade", RefuseAfterUpgrade::Browsers, &words)
}
