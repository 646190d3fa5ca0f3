//! A parsed file that remembers its lines.
//!
//! It knows TOML and no meaning. It hands out sections, which are asked for their keys, and gathers the
//! problems, and the places at which other files are named.
//! Every key that was asked for is a key that exists: what is left over in the file afterwards is unknown, and the
//! list of allowed keys can't be out of date.

use std::cell::RefCell;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::error::{ConfigError, Fault, Problem};
use super::section::Section;

/// A value together with the place where it stands.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// A name in the file is close enough to a key to be offered in its place.
const SIMILAR: f64 = 0.8;

/// One configuration file.
pub(super) struct Document<'i> {
    file: &'i str,
    text: &'i str,
    tree: Spanned<DeTable<'i>>,
    asked: RefCell<Vec<(&'static str, &'static str)>>,
    problems: RefCell<Vec<Problem>>,
    files: RefCell<Vec<NamedFile>>,
}

/// Another file that this one names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedFile {
    /// Its path as written.
    pub(crate) path: PathBuf,
    /// Where it is named: `broker.toml:12: auth.acl_file`.
    pub(crate) place: String,
}

impl<'i> Document<'i> {
    /// A file that says nothing.
    pub(super) fn empty() -> Self {
        Self::new("", "", Spanned::new(0..0, DeTable::new()))
    }

    pub(super) fn parse(text: &'i str, file: &'i str) -> Result<Self, ConfigError> {
        let (tree, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self::new(text, file, tree));
        }
        let mut problems: Vec<Problem> = errors
            .iter()
            .map(|error| syntax(text, file, error))
            .collect();
        problems.sort_by_key(|problem| problem.line);
        Err(ConfigError::Invalid(problems))
    }

    /// The keys above the first heading.
    pub(super) fn top(&self) -> Section<'_, 'i> {
        Section::new(self, "", 0, Some(self.tree.get_ref()))
    }

    /// The table `[name]`.
    pub(super) fn section(&self, name: &'static str) -> Section<'_, 'i> {
        let value = self.lookup(name);
        if let Some(value) = value.filter(|value| !value.get_ref().is_table()) {
            self.note(
                value.span().start,
                name.into(),
                Fault::NotASection {
                    heading: heading(name),
                },
            );
        }
        self.table(name, value)
    }

    /// The tables `[[name]]`; none where the file has none. A name such as `auth.provider` stands within `[auth]`.
    pub(super) fn sections(&self, name: &'static str) -> Vec<Section<'_, 'i>> {
        let Some(value) = self.lookup(name) else {
            return Vec::new();
        };
        match value.get_ref().as_array() {
            Some(array)
                if !array.is_empty() && array.iter().all(|entry| entry.get_ref().is_table()) =>
            {
                array
                    .iter()
                    .map(|entry| self.table(name, Some(entry)))
                    .collect()
            }
            _ => {
                self.note(
                    value.span().start,
                    name.into(),
                    Fault::NotASection {
                        heading: heading(name),
                    },
                );
                Vec::new()
            }
        }
    }

    /// A table of defaults that stands nowhere in the file.
    pub(super) fn absent(&self, name: &'static str) -> Section<'_, 'i> {
        self.table(name, None)
    }

    /// Notes each key that nobody asked for. To be called when everything has been asked.
    pub(super) fn note_unknown_keys(&self) {
        self.note_unknown_in("", 0, self.tree.get_ref());
    }

    fn lookup(&self, name: &'static str) -> Option<&Value<'i>> {
        let (parent, child) = name.rsplit_once('.').unwrap_or(("", name));
        self.ask(parent, child);
        let table = match parent {
            "" => self.tree.get_ref(),
            _ => self.tree.get_ref().get(parent)?.get_ref().as_table()?,
        };
        table.get(child)
    }

    /// The config if there were no problems, else all of them in the order of the lines.
    pub(super) fn into_result<T>(self, config: T) -> Result<T, ConfigError> {
        let mut problems = self.problems.into_inner();
        if problems.is_empty() {
            return Ok(config);
        }
        problems.sort_by_key(|problem| problem.line);
        Err(ConfigError::Invalid(problems))
    }

    fn new(text: &'i str, file: &'i str, tree: Spanned<DeTable<'i>>) -> Self {
        Self {
            file,
            text,
            tree,
            asked: RefCell::default(),
            problems: RefCell::default(),
            files: RefCell::default(),
        }
    }

    fn table<'d>(&'d self, name: &'static str, value: Option<&'d Value<'i>>) -> Section<'d, 'i> {
        let offset = value.map_or(0, |value| value.span().start);
        Section::new(
            self,
            name,
            offset,
            value.and_then(|value| value.get_ref().as_table()),
        )
    }

    /// Remembers that there is such a key.
    pub(super) fn ask(&self, section: &'static str, key: &'static str) {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&(section, key)) {
            asked.push((section, key));
        }
    }

    fn known(&self, section: &str, key: &str) -> Option<&'static str> {
        self.asked
            .borrow()
            .iter()
            .find(|asked| asked.0 == section && asked.1 == key)
            .map(|asked| asked.1)
    }

    /// The line of a place in the text, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        line_of(self.text, offset)
    }

    /// Notes a problem at a place in the text.
    pub(super) fn note(&self, offset: usize, key: String, fault: Fault) {
        let line = self.line(offset);
        self.problems.borrow_mut().push(Problem {
            file: self.file.into(),
            line,
            key,
            fault,
        });
    }

    /// Remembers where another file is named.
    pub(super) fn name_file(&self, offset: usize, key: &str, path: PathBuf) {
        let place = format!("{}:{}: {key}", self.file, self.line(offset));
        self.files.borrow_mut().push(NamedFile { path, place });
    }

    /// The files that were asked for, in the order of asking.
    pub(super) fn files(&self) -> Vec<NamedFile> {
        self.files.borrow().clone()
    }

    fn note_unknown_in(&self, section: &str, offset: usize, table: &DeTable<'i>) {
        for key in table
            .keys()
            .filter(|key| self.known(section, key.get_ref()).is_none())
        {
            let fault = self.unknown_key(section, key.get_ref());
            if let Fault::UnknownKey {
                nearest: Some(meant),
                ..
            } = &fault
            {
                self.forget_missing(&path(section, meant), self.line(offset));
            }
            self.note(key.span().start, path(section, key.get_ref()), fault);
        }
        for (name, value) in table {
            let tables = value
                .get_ref()
                .as_array()
                .map_or(std::slice::from_ref(value), |array| &array[..]);
            let tables = tables
                .iter()
                .filter_map(|table| Some((table.span().start, table.get_ref().as_table()?)));
            if let Some(section) = self.known_section(&path(section, name.get_ref())) {
                tables.for_each(|(offset, table)| self.note_unknown_in(section, offset, table));
            }
        }
    }

    /// A key of the section that begins on this line is not missing but mistyped.
    fn forget_missing(&self, key: &str, line: usize) {
        let is_it = |problem: &Problem| {
            matches!(
                problem.fault,
                Fault::Missing { .. } | Fault::FileNeeded { .. }
            ) && (problem.line, problem.key.as_str()) == (line, key)
        };
        self.problems.borrow_mut().retain(|problem| !is_it(problem));
    }

    /// The section of this name, if it was asked for a key.
    fn known_section(&self, name: &str) -> Option<&'static str> {
        let asked = self.asked.borrow();
        let found = asked
            .iter()
            .find(|asked| asked.0 == name && !name.is_empty());
        found.map(|asked| asked.0)
    }

    fn unknown_key(&self, section: &str, key: &str) -> Fault {
        let asked = self.asked.borrow();
        if let Some((home, _)) = asked.iter().find(|asked| asked.1 == key) {
            let heading = (!home.is_empty()).then(|| heading(home));
            return Fault::Misplaced { heading };
        }
        let allowed: Vec<&'static str> = asked
            .iter()
            .filter(|asked| asked.0 == section)
            .map(|asked| asked.1)
            .collect();
        Fault::UnknownKey {
            nearest: nearest(key, &allowed),
            allowed,
        }
    }
}

fn syntax(text: &str, file: &str, error: &Error) -> Problem {
    let place = error.span().unwrap_or(0..0);
    let mut message = error.message().trim().replace('\n', ", ");
    if message == "duplicate key" {
        message.push_str("; keep one of them");
    } else if message.starts_with("invalid float") && names_a_word(text, place.start) {
        // `level = info` is taken for the beginning of `inf`.
        message = "string values must be quoted".into();
    }
    Problem {
        file: file.into(),
        line: line_of(text, place.start),
        key: String::new(),
        fault: Fault::Syntax(message),
    }
}

fn names_a_word(text: &str, offset: usize) -> bool {
    let rest = text.get(offset..).unwrap_or_default();
    rest.starts_with(|first: char| first.is_ascii_alphabetic())
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
}

/// The name of a key as problems have it.
pub(super) fn path(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.into()
    } else {
        format!("{section}.{key}")
    }
}

fn heading(section: &str) -> String {
    if matches!(section, "listener" | "auth.provider") {
        format!("[[{section}]]")
    } else {
        format!("[{section}]")
    }
}

fn nearest(key: &str, allowed: &[&'static str]) -> Option<String> {
    let scored = allowed
        .iter()
        .map(|name| (strsim::jaro_winkler(key, name), *name));
    let (score, name) = scored.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (score >= SIMILAR).then(|| name.to_owned())
}
