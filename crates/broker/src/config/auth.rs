//! `[auth]`: who may connect, and what they may do.
//!
//! Providers are asked in the order in which they stand in the file. Having one changes a default: then who shows nothing is
//! let in only if that is said.

use std::path::PathBuf;
use std::time::Duration;

use super::document::Document;
use super::listener::Listener;
use super::provider::Provider;
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
    /// The longest that a user or address has to wait after failed logins; `None` for not at all.
    pub(crate) login_delay: Option<Duration>,
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

impl Auth {
    pub(super) fn resolve(document: &Document<'_>, listeners: &[Listener]) -> Self {
        let section = document.section("auth");
        let providers: Vec<_> = document
            .sections("auth.provider")
            .iter()
            .filter_map(|section| Provider::resolve(section, listeners))
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
        Self {
            anonymous,
            acl_file: section.file("acl_file", "a path, for example \"/etc/weir/acl\""),
            hashes_at_once: section.integer("hashes_at_once", 1, 1..=1024, "passwords"),
            login_delay: login_delay(&section),
            providers,
        }
    }
}

/// Zero: no delay.
fn login_delay(section: &Section<'_, '_>) -> Option<Duration> {
    let seconds: u64 = section.integer("max_login_delay_seconds", 10, 0..=3600, "seconds");
    (seconds > 0).then(|| Duration::from_secs(seconds))
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
                "[auth]\nanonymous = true",
                "t:2: auth.anonymous: is true or false; write \"loopback\" or \"everywhere\" or \"nowhere\"",
            ),
            (
                "[auth.provider]\nkind = \"password-file\"\nfile = \"a\"",
                "t:1: auth.provider: is a section; write [[auth.provider]] on a line of its own and its keys below",
            ),
        ] {
            assert_eq!(auth(text).unwrap_err(), answer, "in {text}");
        }
    }
}
