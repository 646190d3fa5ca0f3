//! `[[auth.provider]]`: somebody who knows clients.
//!
//! Which keys a provider has depends on its kind; a key of another kind is refused, since whoever wrote it expects something
//! of it. Keys that need each other are checked together.

use std::path::PathBuf;
use std::time::Duration;

use weir_auth::{ClaimNames, JwtSettings, KeySource, TokenSource, WebhookSettings};
use weir_ws::AllowedOrigin;

use super::error::Fault;
use super::listener::Listener;
use super::section::Section;

/// Who judges clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    /// A password file.
    PasswordFile(PathBuf),
    /// Tokens.
    Jwt(Box<JwtSettings>),
    /// Another program.
    Webhook(WebhookSettings),
    /// Client certificates.
    Certificate,
}

/// A kind of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    PasswordFile,
    Jwt,
    Webhook,
    Certificate,
}

const KINDS: [(&str, Kind); 4] = [
    ("password-file", Kind::PasswordFile),
    ("jwt", Kind::Jwt),
    ("webhook", Kind::Webhook),
    ("certificate", Kind::Certificate),
];

/// The keys of a provider besides `kind`, and the kind that has them.
const KEYS: [(&str, Kind); 17] = [
    ("file", Kind::PasswordFile),
    ("key_file", Kind::Jwt),
    ("secret_file", Kind::Jwt),
    ("jwks_url", Kind::Jwt),
    ("jwks_refresh_seconds", Kind::Jwt),
    ("issuer", Kind::Jwt),
    ("audiences", Kind::Jwt),
    ("leeway_seconds", Kind::Jwt),
    ("token_from", Kind::Jwt),
    ("token_query", Kind::Jwt),
    ("token_cookie", Kind::Jwt),
    ("user_claim", Kind::Jwt),
    ("client_id_claim", Kind::Jwt),
    ("acl_claim", Kind::Jwt),
    ("url", Kind::Webhook),
    ("timeout_seconds", Kind::Webhook),
    ("cache_seconds", Kind::Webhook),
];

/// Three ways to say where keys are; one of them is needed.
const KEY_SOURCES: [&str; 3] = ["key_file", "secret_file", "jwks_url"];
const TOKEN_FROM: &str = r#"["password", "query"]"#;

impl Provider {
    pub(super) fn resolve(section: &Section<'_, '_>, listeners: &[Listener]) -> Option<Self> {
        let found: Vec<_> = KEYS.iter().filter(|(key, _)| section.has(key)).collect();
        let kind = kind(section)?;
        for (key, _) in found.iter().filter(|(_, of)| *of != kind) {
            section.note(key, Fault::NotForKind { kind: kind.word() });
        }
        Some(match kind {
            Kind::PasswordFile => {
                Self::PasswordFile(section.needed_file("file", "/etc/weir/passwords"))
            }
            Kind::Jwt => Self::Jwt(Box::new(jwt(section, listeners))),
            Kind::Webhook => Self::Webhook(webhook(section)),
            Kind::Certificate => Self::Certificate,
        })
    }
}

impl Kind {
    fn word(self) -> &'static str {
        let known = KINDS.iter().find(|(_, kind)| *kind == self);
        known.map_or("", |(word, _)| word)
    }
}

fn kind(section: &Section<'_, '_>) -> Option<Kind> {
    let text = section.needed("kind", "password-file");
    let kind = KINDS.iter().find(|(word, _)| *word == text);
    if kind.is_none() && !text.is_empty() {
        let fault = Fault::NotOneOf {
            value: text.into(),
            allowed: KINDS.map(|(word, _)| word).to_vec(),
        };
        section.note("kind", fault);
    }
    kind.map(|(_, kind)| *kind)
}

fn jwt(section: &Section<'_, '_>, listeners: &[Listener]) -> JwtSettings {
    let name = |key, default: &str| text(section, key).unwrap_or(default).to_owned();
    let audiences = section
        .texts("audiences", r#"["mqtt"]"#)
        .unwrap_or_default();
    JwtSettings {
        keys: keys(section),
        issuer: text(section, "issuer").map(str::to_owned),
        audiences: audiences
            .iter()
            .map(|it| (*it.get_ref()).to_owned())
            .collect(),
        leeway: seconds(section, "leeway_seconds", 0, 0..=3600),
        sources: sources(section, listeners),
        claims: ClaimNames {
            user: name("user_claim", "sub"),
            client_id: name("client_id_claim", "mqtt_client_id"),
            acl: name("acl_claim", "mqtt_acl"),
        },
    }
}

fn keys(section: &Section<'_, '_>) -> KeySource {
    let refresh = seconds(section, "jwks_refresh_seconds", 300, 10..=86_400);
    let given: Vec<_> = KEY_SOURCES.iter().filter(|key| section.has(key)).collect();
    match given[..] {
        [&"secret_file"] => {
            KeySource::SecretFile(section.needed_file("secret_file", "/etc/weir/jwt-secret"))
        }
        [&"jwks_url"] => {
            let url = section.needed("jwks_url", "https://login.example/.well-known/jwks.json");
            KeySource::Url(url.to_owned(), refresh)
        }
        [] | [_] => KeySource::File(section.needed_file("key_file", "/etc/weir/jwt-public.pem")),
        [_, other, ..] => {
            section.note(other, Fault::OneOf { keys: &KEY_SOURCES });
            KeySource::File(PathBuf::new())
        }
    }
}

fn sources(section: &Section<'_, '_>, listeners: &[Listener]) -> Vec<TokenSource> {
    const WORDS: [&str; 5] = [
        "password",
        "authorization",
        "query",
        "subprotocol",
        "cookie",
    ];
    let query = text(section, "token_query").unwrap_or("token").to_owned();
    let from = |word: &str| match word {
        "password" => Some(TokenSource::Password),
        "authorization" => Some(TokenSource::Authorization),
        "query" => Some(TokenSource::Query(query.clone())),
        "subprotocol" => Some(TokenSource::Subprotocol),
        _ => None,
    };
    let Some(words) = section.texts("token_from", TOKEN_FROM) else {
        return WORDS.iter().filter_map(|word| from(word)).collect();
    };
    if words.is_empty() {
        section.note(
            "token_from",
            Fault::Empty {
                example: TOKEN_FROM,
            },
        );
    }
    let mut sources = Vec::with_capacity(words.len());
    for word in words {
        let (text, place) = (*word.get_ref(), word.span());
        if let Some(source) = from(text) {
            sources.push(source);
        } else if text == "cookie" {
            let name = section.needed("token_cookie", "session");
            if !listeners.iter().any(lists_an_origin) {
                section.note_at(place, "token_from", Fault::CookieWithoutOrigins);
            }
            sources.push(TokenSource::Cookie(name.to_owned()));
        } else {
            let fault = Fault::NotOneOf {
                value: text.to_owned(),
                allowed: WORDS.to_vec(),
            };
            section.note_at(place, "token_from", fault);
        }
    }
    sources
}

/// Only there can a cookie ever count.
fn lists_an_origin(listener: &Listener) -> bool {
    let mut origins = listener.allowed_origins.iter();
    origins.any(|origin| matches!(origin, AllowedOrigin::Exactly(_)))
}

fn webhook(section: &Section<'_, '_>) -> WebhookSettings {
    WebhookSettings {
        url: section
            .needed("url", "http://127.0.0.1:8080/mqtt-auth")
            .to_owned(),
        patience: seconds(section, "timeout_seconds", 5, 1..=60),
        keep: seconds(section, "cache_seconds", 10, 0..=86_400),
    }
}

/// A string that is not empty.
fn text<'d>(section: &Section<'d, '_>, key: &'static str) -> Option<&'d str> {
    let text = section.text(key, "a string");
    text.filter(|text| !text.is_empty())
}

fn seconds(
    section: &Section<'_, '_>,
    key: &'static str,
    default: u64,
    range: std::ops::RangeInclusive<i64>,
) -> Duration {
    Duration::from_secs(section.integer(key, default, range, "seconds"))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn providers(keys: &str) -> Result<Vec<Provider>, String> {
        let text = format!("[[auth.provider]]\n{keys}");
        let config = Config::parse(&text, "t");
        config
            .map(|config| config.auth.providers)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_provider_has_defaults_for_all_but_its_keys() {
        let found = providers("kind = \"jwt\"\nkey_file = \"k\"").unwrap();
        let [Provider::Jwt(jwt)] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(jwt.keys, KeySource::File("k".into()));
        let query = TokenSource::Query("token".into());
        let all = [
            TokenSource::Password,
            TokenSource::Authorization,
            query,
            TokenSource::Subprotocol,
        ];
        assert_eq!(jwt.sources, all);
        assert_eq!(
            (jwt.claims.user.as_str(), jwt.leeway),
            ("sub", Duration::ZERO)
        );
    }

    #[test]
    fn a_mistake_is_answered_with_what_to_write() {
        for (keys, answer) in [
            (
                "",
                "t:1: auth.provider.kind: is needed here; write for example \"password-file\"",
            ),
            (
                "kind = \"password-file\"",
                "t:1: auth.provider.file: is needed here; write for example \"/etc/weir/passwords\"",
            ),
            (
                "kind = \"webhook\"",
                "t:1: auth.provider.url: is needed here; write for example \"http://127.0.0.1:8080/mqtt-auth\"",
            ),
            (
                "kind = \"certificate\"\nfile = \"x\"",
                "t:3: auth.provider.file: means nothing to kind = \"certificate\"; remove it",
            ),
            (
                "kind = \"jwt\"",
                "t:1: auth.provider.key_file: is needed here; write for example \"/etc/weir/jwt-public.pem\"",
            ),
            (
                "kind = \"jwt\"\nkey_file = \"a\"\njwks_url = \"b\"",
                "t:4: auth.provider.jwks_url: stands beside another of key_file, secret_file, jwks_url; keep one of them",
            ),
            (
                "kind = \"jwt\"\nkey_file = \"a\"\ntoken_from = [\"header\"]",
                "t:4: auth.provider.token_from: \"header\" is not known; write \"password\" or \"authorization\" or \"query\" or \"subprotocol\" or \"cookie\"",
            ),
            (
                "kind = \"jwt\"\nkey_file = \"a\"\ntoken_cookie = \"c\"\ntoken_from = [\"cookie\"]",
                "t:5: auth.provider.token_from: a cookie counts only for pages whose origin is listed; name them in the listener's allowed_origins, for example [\"https://app.example\"]",
            ),
        ] {
            assert_eq!(providers(keys).unwrap_err(), answer, "in {keys}");
        }
    }

    #[test]
    fn a_cookie_may_carry_a_token_where_origins_are_listed() {
        let jwt =
            "kind = \"jwt\"\nkey_file = \"a\"\ntoken_cookie = \"c\"\ntoken_from = [\"cookie\"]";
        let listed = format!("{jwt}\n[[listener]]\nallowed_origins = [\"https://app.example\"]");
        let found = providers(&listed).unwrap();
        let [Provider::Jwt(jwt)] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(jwt.sources, [TokenSource::Cookie("c".into())]);
    }

    #[test]
    fn an_unknown_kind_and_an_unknown_key_are_both_named() {
        let unknown = providers("kind = \"passwords\"\nfiel = \"x\"").unwrap_err();
        let [kind, key] = unknown.lines().collect::<Vec<_>>()[..] else {
            panic!("{unknown}")
        };
        assert!(
            kind.starts_with("t:2: auth.provider.kind: \"passwords\" is not known"),
            "{kind}"
        );
        assert!(
            key.starts_with("t:3: auth.provider.fiel: unknown key; did you mean `file`?"),
            "{key}"
        );
    }
}
