//! One rule: an access and a topic filter, with the place where it stands.
//!
//! Names are filled in level by level and compared as they are, so that no client id or user name can act as a wildcard,
//! reach over a level, or make a rule speak of `$SYS`.

use super::Want;
use crate::error::LineFault;
use weir_engine::{TopicFilter, Utf8};

/// An access to the topics that a filter matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) access: Access,
    pub(crate) levels: Box<[Level]>,
    /// Whether it begins with `$`: only then it is about topics that do.
    begins_with_dollar: bool,
    /// Where it stands and what it says, for the log.
    pub(crate) name: Box<str>,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    ReadWrite,
    Deny,
}

/// One level of a rule's filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// `+`
    Any,
    /// `#`
    Rest,
    /// A text, with names in it where it has several parts.
    Text(Box<[Part]>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Plain(Box<str>),
    /// `%c`
    ClientId,
    /// `%u`
    User,
}

/// Whose names stand for `%c` and `%u`.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) client_id: Utf8,
    pub(crate) user: Option<Utf8>,
}

impl Access {
    /// Reads `read`, `write`, `readwrite` or `deny`.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "read" => Self::Read,
            "write" => Self::Write,
            "readwrite" => Self::ReadWrite,
            "deny" => Self::Deny,
            _ => return None,
        })
    }

    /// Whether it decides about this: a denial always does.
    pub(crate) fn is_about(self, want: Want) -> bool {
        match self {
            Self::Deny | Self::ReadWrite => true,
            Self::Read => want == Want::Read,
            Self::Write => want == Want::Write,
        }
    }
}

impl Rule {
    /// A rule about what `filter` matches; with `is_pattern`, `%c` and `%u` in it stand for names.
    pub(crate) fn new(
        access: Access,
        filter: &str,
        is_pattern: bool,
        name: String,
    ) -> Result<Self, LineFault> {
        // A `$share` subscription is judged by the filter it shares, so a rule about one would never match.
        TopicFilter::try_from(filter).map_err(LineFault::Filter)?;
        let levels = filter
            .split('/')
            .map(|level| Level::parse(level, is_pattern));
        Ok(Self {
            access,
            levels: levels.collect(),
            begins_with_dollar: filter.starts_with('$'),
            name: name.into(),
        })
    }

    /// Its levels with the client's names filled in; `None` if no topic can match it then.
    pub(crate) fn filled(&self, who: &Who) -> Option<Vec<Filled>> {
        let levels: Vec<_> = self
            .levels
            .iter()
            .map(|level| level.filled(who))
            .collect::<Option<_>>()?;
        // A name must not make a rule reach into `$SYS`.
        let reaches_dollar =
            matches!(levels.first(), Some(Filled::Text(text)) if text.starts_with('$'));
        (reaches_dollar == self.begins_with_dollar).then_some(levels)
    }
}

/// A level with names filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    Any,
    Rest,
    Text(String),
}

impl Level {
    fn parse(text: &str, is_pattern: bool) -> Self {
        match text {
            "+" => Self::Any,
            "#" => Self::Rest,
            text if is_pattern => Self::Text(parts(text).into()),
            text => Self::Text([Part::Plain(text.into())].into()),
        }
    }

    fn filled(&self, who: &Who) -> Option<Filled> {
        let parts = match self {
            Self::Any => return Some(Filled::Any),
            Self::Rest => return Some(Filled::Rest),
            Self::Text(parts) => parts,
        };
        let mut text = String::new();
        for part in parts {
            text.push_str(part.text(who)?);
        }
        (!text.contains(['/', '+', '#', '\0'])).then_some(Filled::Text(text))
    }
}

impl Part {
    /// What it stands for; `None` for the user name of the anonymous.
    fn text<'a>(&'a self, who: &'a Who) -> Option<&'a str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::ClientId => Some(&who.client_id),
            Self::User => who.user.as_deref(),
        }
    }
}

/// Reads `[read|write|readwrite|deny] filter`; without an access it is `readwrite`.
pub(crate) fn parse_entry(text: &str) -> Result<(Access, &str), LineFault> {
    let text = text.trim();
    let (first, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    match (Access::parse(first), rest.trim()) {
        (_, "") if text.is_empty() => Err(LineFault::NoTopic),
        // As in mosquitto, a single word is a topic, whatever it is.
        (_, "") => Ok((Access::ReadWrite, first)),
        (Some(access), filter) => Ok((access, filter)),
        (None, _) => Err(LineFault::UnknownAccess),
    }
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("%c").into_iter().chain(rest.find("%u")).min() {
        let (plain, name) = rest.split_at(at);
        if !plain.is_empty() {
            parts.push(Part::Plain(plain.into()));
        }
        parts.push(if name.starts_with("%c") {
            Part::ClientId
        } else {
            Part::User
        });
        rest = &name[2..];
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(Part::Plain(rest.into()));
    }
    parts
}

/// Whether a level begins with `$` whatever the names are.
pub(crate) fn begins_with_dollar(parts: &[Part]) -> bool {
    matches!(parts.first(), Some(Part::Plain(text)) if text.starts_with('$'))
}

/// Whether a level with names in it is this one.
pub(crate) fn is_text(parts: &[Part], name: &str, who: &Who) -> bool {
    let mut rest = name;
    for part in parts {
        let Some(after) = part.text(who).and_then(|text| rest.strip_prefix(text)) else {
            return false;
        };
        rest = after;
    }
    rest.is_empty()
}
