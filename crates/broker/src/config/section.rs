//! One table of a file, and the questions that `resolve` asks of it.
//!
//! A section is asked for a key by name, type and range. Where the file says something else it notes a problem and
//! answers with the default, so that one run finds all problems; where the file says nothing, the default is the answer.

use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, Value, path};
use super::error::{Bounds, Fault, quoted};

/// One table of the file, or the defaults where the file has none.
pub(super) struct Section<'d, 'i> {
    document: &'d Document<'i>,
    name: &'static str,
    offset: usize,
    table: Option<&'d DeTable<'i>>,
}

impl<'d, 'i> Section<'d, 'i> {
    pub(super) fn new(
        document: &'d Document<'i>,
        name: &'static str,
        offset: usize,
        table: Option<&'d DeTable<'i>>,
    ) -> Self {
        Self {
            document,
            name,
            offset,
            table,
        }
    }

    /// A whole number in `range`, which counts `unit`.
    pub(super) fn integer<T: TryFrom<i64>>(
        &self,
        key: &'static str,
        default: T,
        range: RangeInclusive<i64>,
        unit: &'static str,
    ) -> T {
        let bounds = Bounds {
            min: *range.start(),
            max: *range.end(),
            unit,
        };
        let Some(value) = self.value(key) else {
            return default;
        };
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.wrong_type(key, value, format!("a whole number, {bounds}"), default);
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        match number
            .filter(|number| range.contains(number))
            .map(T::try_from)
        {
            Some(Ok(number)) => number,
            _ => {
                self.note(
                    key,
                    Fault::OutOfRange {
                        value: integer.to_string(),
                        bounds,
                    },
                );
                default
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.value(key) else {
            return default;
        };
        match value.get_ref().as_bool() {
            Some(boolean) => boolean,
            None => self.wrong_type(key, value, "true or false, without quotes".into(), default),
        }
    }

    /// One of a few words, each with what it stands for.
    pub(super) fn word<T: Copy>(
        &self,
        key: &'static str,
        default: T,
        words: &[(&'static str, T)],
    ) -> T {
        let allowed: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
        let Some(text) = self.text(key, &quoted(&allowed)) else {
            return default;
        };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return *meaning;
        }
        self.note(
            key,
            Fault::NotOneOf {
                value: text.into(),
                allowed,
            },
        );
        default
    }

    /// A string that has to be there and not be empty.
    pub(super) fn needed(&self, key: &'static str, example: &'static str) -> &'d str {
        let text = self.text(key, &format!("a string, for example {example:?}"));
        if text.is_none_or(str::is_empty) && self.is_text_or_missing(key) {
            self.note(key, Fault::Missing { example });
        }
        text.unwrap_or_default()
    }

    /// Whether the key is in the file; from then on it is a key that exists.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// Else another problem with it was noted.
    fn is_text_or_missing(&self, key: &str) -> bool {
        let value = self.table.and_then(|table| table.get(key));
        value.is_none_or(|value| value.get_ref().is_str())
    }

    /// The path of a file; `wanted` says of which, `""` is none.
    pub(super) fn file(&self, key: &'static str, wanted: &str) -> Option<PathBuf> {
        let file = self.text(key, wanted)?;
        (!file.is_empty()).then(|| self.named(key, file))
    }

    /// The path of a file that has to be there.
    pub(super) fn needed_file(&self, key: &'static str, example: &'static str) -> PathBuf {
        match self.needed(key, example) {
            "" => PathBuf::new(),
            file => self.named(key, file),
        }
    }

    fn named(&self, key: &str, file: &str) -> PathBuf {
        let offset = self.offset_of(key);
        self.document
            .name_file(offset, &path(self.name, key), file.into());
        file.into()
    }

    /// A string; `wanted` says which.
    pub(super) fn text(&self, key: &'static str, wanted: &str) -> Option<&'d str> {
        let value = self.value(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(text),
            None => self.wrong_type(key, value, wanted.into(), None),
        }
    }

    /// A list of strings, those that are strings; `None` where the key is missing or holds something else.
    pub(super) fn texts(&self, key: &'static str, example: &str) -> Option<Vec<Spanned<&'d str>>> {
        let wanted = || format!("a list of strings, for example {example}");
        let value = self.value(key)?;
        let Some(entries) = value.get_ref().as_array() else {
            return self.wrong_type(key, value, wanted(), None);
        };
        let mut texts = Vec::with_capacity(entries.len());
        for entry in entries {
            match entry.get_ref().as_str() {
                Some(text) => texts.push(Spanned::new(entry.span(), text)),
                None => self.note_at(
                    entry.span(),
                    key,
                    Fault::WrongType {
                        found: found(entry),
                        wanted: wanted(),
                    },
                ),
            }
        }
        Some(texts)
    }

    /// Notes a problem with a key that was asked for, at its line (or the section's, where the key isn't in the file).
    pub(super) fn note(&self, key: &'static str, fault: Fault) {
        self.document
            .note(self.offset_of(key), path(self.name, key), fault);
    }

    /// Notes a problem with a part of the key's value.
    pub(super) fn note_at(&self, place: Range<usize>, key: &'static str, fault: Fault) {
        self.document.note(place.start, path(self.name, key), fault);
    }

    /// The line where the key stands.
    pub(super) fn line(&self, key: &'static str) -> usize {
        self.document.line(self.offset_of(key))
    }

    fn value(&self, key: &'static str) -> Option<&'d Value<'i>> {
        self.document.ask(self.name, key);
        self.table?.get(key)
    }

    fn offset_of(&self, key: &str) -> usize {
        let entry = self.table.and_then(|table| table.get_key_value(key));
        entry.map_or(self.offset, |(key, _)| key.span().start)
    }

    fn wrong_type<T>(&self, key: &'static str, value: &Value<'i>, wanted: String, default: T) -> T {
        self.note(
            key,
            Fault::WrongType {
                found: found(value),
                wanted,
            },
        );
        default
    }
}

fn found(value: &Value<'_>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
