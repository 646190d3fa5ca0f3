//! `[auth]` and `[[auth.provider]]`: who may connect, and what they may do.
//!
//! Providers are asked in the order in which they stand in the file. Which keys a provider has depends on its kind; a key of
//! another kind is refused, since whoever wrote it expects something of it.

use std::path::PathBuf;

use super::document::Document;
use super::error::Fault;
use super::section::Section;

/// Who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Auth {
    /// Where clients that show nothing are let in.
    pub(crate) anonymous: Anonymous,
    /// What clients may do; everything, if there is none.
    pub(crate) acl_file: Option<PathBuf>,
    /// Passwords that are checked at a time.
    pub(crate) hashes_at_once: usize,
    /// Who judges the others, in this order.
    pub(crate) providers: Vec<Provider>,
}

/// Where clients that show nothing of who they are are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anonymous {
    /// On listeners that only this machine can reach.
    Loopback,
    /// On every listener.
    Everywhere,
    /// On none.
    Nowhere,
}

/// Who judges clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    /// A password file.
    PasswordFile(PathBuf),
}

/// A kind of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    PasswordFile,
}

const KINDS: [(&str, Kind); 1] = [("password-file", Kind::PasswordFile)];

/// The keys of a provider besides `kind`, and the kinds that have them.
const KEYS: [(&str, &[Kind]); 1] = [("file", &[Kind::PasswordFile])];

impl Auth {
    pub(super) fn resolve(document: &Document<'_>) -> Self {
        let section = document.section("auth");
        let providers: Vec<_> = document
            .sections("auth.provider")
            .iter()
            .filter_map(Provider::resolve)
            .collect();
        // Who asks for passwords does not mean that a proxy on this machine lets everybody in without one.
        let default = match providers.is_empty() {
            true => Anonymous::Loopback,
            false => Anonymous::Nowhere,
        };
        let anonymous = section.word(
            "anonymous",
            default,
            &[
                ("loopback", Anonymous::Loopback),
                ("everywhere", Anonymous::Everywhere),
                ("nowhere", Anonymous::Nowhere),
            ],
        );
        let acl_file = section.text("acl_file", "a path, for example \"/etc/weir/acl\"");
        Self {
            anonymous,
            acl_file: acl_file.filter(|file| !file.is_empty()).map(PathBuf::from),
            hashes_at_once: section.integer("hashes_at_once", 1, 1..=1024, "passwords"),
            providers,
        }
    }
}

impl Provider {
    fn resolve(section: &Section<'_, '_>) -> Option<Self> {
        let found: Vec<_> = KEYS.iter().filter(|(key, _)| section.has(key)).collect();
        let kind = kind(section)?;
        for (key, _) in found.iter().filter(|(_, kinds)| !kinds.contains(&kind)) {
            section.note(key, Fault::NotForKind { kind: kind.word() });
        }
        Some(match kind {
            Kind::PasswordFile => {
                Self::PasswordFile(section.needed("file", "/etc/weir/passwords").into())
            }
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

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError};
    use super::*;

    fn auth(text: &str) -> Result<Auth, String> {
        let config = Config::parse(text, "t");
        config
            .map(|config| config.auth)
            .map_err(|error: ConfigError| error.to_string())
    }

    #[test]
    fn providers_stand_in_the_order_of_the_file() {
        let [one, two] = ["a", "b"].map(|file| {
            format!("[[auth.provider]]\nkind = \"password-file\"\nfile = \"{file}\"\n")
        });
        let auth = auth(&format!("{one}{two}")).unwrap();
        let files = ["a", "b"].map(|file| Provider::PasswordFile(file.into()));
        assert_eq!(auth.providers, files);
    }

    #[test]
    fn with_a_provider_the_anonymous_are_let_in_only_if_that_is_said() {
        let provider = "[[auth.provider]]\nkind = \"password-file\"\nfile = \"a\"\n";
        assert_eq!(auth("").unwrap().anonymous, Anonymous::Loopback);
        assert_eq!(auth(provider).unwrap().anonymous, Anonymous::Nowhere);
        let said = format!("[auth]\nanonymous = \"loopback\"\n{provider}");
        assert_eq!(auth(&said).unwrap().anonymous, Anonymous::Loopback);
    }

    #[test]
    fn a_mistake_is_answered_with_what_to_write() {
        for (text, answer) in [
            (
                "[[auth.provider]]",
                "t:1: auth.provider.kind: is needed here; write for example \"password-file\"",
            ),
            (
                "[auth]\nanonymous = true",
                "t:2: auth.anonymous: is true or false; write \"loopback\" or \"everywhere\" or \"nowhere\"",
            ),
            (
                "[[auth.provider]]\nkind = \"password-file\"",
                "t:1: auth.provider.file: is needed here; write for example \"/etc/weir/passwords\"",
            ),
            (
                "[auth.provider]\nkind = \"password-file\"\nfile = \"a\"",
                "t:1: auth.provider: is a section; write [[auth.provider]] on a line of its own and its keys below",
            ),
        ] {
            assert_eq!(auth(text).unwrap_err(), answer, "in {text}");
        }
        let unknown = auth("[[auth.provider]]\nkind = \"passwords\"\nfiel = \"x\"").unwrap_err();
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
