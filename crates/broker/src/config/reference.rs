//! `broker.toml` and its page in the book can't drift from the code.
//!
//! The file spells out every key with its compiled-in default and its range; the page is the file's own comments. Whoever
//! changes a default changes the file (these tests say where) and refreshes the page with
//! `UPDATE=1 cargo test -p weir-broker reference`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use super::error::Fault;
use super::*;

/// A heading or a key of the file, with the comment above it.
struct Entry {
    /// `[limits]` or `queue_bytes`.
    name: String,
    /// Empty for a heading.
    default: String,
    comment: String,
    /// Whether it is commented out, since there is no default.
    is_example: bool,
}

#[test]
fn the_file_is_the_defaults() {
    let file = Config::parse(&read("broker.toml"), "broker.toml")
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(file, Config::defaults());
}

#[test]
fn the_file_has_every_key() {
    for (section, keys) in sections() {
        let missing: Vec<_> = allowed(&section)
            .into_iter()
            .filter(|key| !keys.contains(&(*key).to_owned()))
            .collect();
        assert!(
            missing.is_empty(),
            "broker.toml lacks {missing:?} in {section:?}"
        );
    }
}

#[test]
fn the_file_says_the_range_of_every_number() {
    let mut section = String::new();
    for entry in entries(&read("broker.toml")).1 {
        if entry.default.is_empty() {
            section = entry.name;
        } else if let Some(bounds) = bounds(&section, &entry.name) {
            let comment = entry.comment.replace('\n', " ");
            assert!(
                comment.contains(&bounds),
                "broker.toml: {} lacks \"{bounds}\"",
                entry.name
            );
        }
    }
}

#[test]
fn the_page_is_made_of_the_file() {
    let page = page(&read("broker.toml"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(root("docs/src/configuration.md"), &page).unwrap();
    }
    let refresh =
        "docs/src/configuration.md is out of date: UPDATE=1 cargo test -p weir-broker reference";
    assert!(read("docs/src/configuration.md") == page, "{refresh}");
}

fn page(file: &str) -> String {
    let (introduction, entries) = entries(file);
    let mut page = String::from(
        "# Configuration\n\n<!-- Made of broker.toml: edit there, then UPDATE=1 cargo test -p weir-broker reference -->\n\n",
    );
    write!(page, "{introduction}\n\n## Top of the file\n").unwrap();
    for Entry {
        name,
        default,
        comment,
        is_example,
    } in entries
    {
        let stands_for = if is_example { "Example" } else { "Default" };
        match default.as_str() {
            "" => write!(page, "\n## `{name}`\n\n{comment}\n").unwrap(),
            _ => write!(
                page,
                "\n### `{name}`\n\n{stands_for}: `{default}`\n\n{comment}\n"
            )
            .unwrap(),
        }
    }
    page
}

fn is_entry(text: &str) -> bool {
    text.starts_with(|first: char| first == '[' || first.is_ascii_lowercase())
}

/// The first comment of the file and its entries in order.
fn entries(file: &str) -> (String, Vec<Entry>) {
    let (mut introduction, mut comment, mut entries) = (String::new(), Vec::new(), Vec::new());
    for line in file.lines() {
        // What has no default is shown as an example: commented out, without a space behind the #.
        let example = line.strip_prefix('#').filter(|text| is_entry(text));
        if let (Some(text), None) = (line.strip_prefix('#'), example) {
            comment.push(text.trim());
        } else if line.is_empty() {
            if introduction.is_empty() {
                introduction = comment.join("\n");
            }
            comment.clear();
        } else {
            let line = example.unwrap_or(line);
            let (name, default) = line.split_once(" = ").unwrap_or((line, ""));
            assert!(
                !comment.is_empty(),
                "broker.toml: {name} has no comment directly above it"
            );
            entries.push(Entry {
                name: name.into(),
                default: default.into(),
                comment: comment.join("\n"),
                is_example: example.is_some(),
            });
            comment.clear();
        }
    }
    (introduction, entries)
}

/// The keys of each heading of the file; those of the top under the empty heading.
fn sections() -> BTreeMap<String, Vec<String>> {
    let mut heading = String::new();
    let mut sections = BTreeMap::<String, Vec<String>>::new();
    for entry in entries(&read("broker.toml")).1 {
        if entry.default.is_empty() {
            let bare = entry.name.trim_matches(['[', ']']).to_owned();
            let (parent, child) = match bare.rsplit_once('.') {
                Some((parent, child)) => (format!("[{parent}]"), child.to_owned()),
                None => (String::new(), bare),
            };
            sections.entry(parent).or_default().push(child);
            heading = entry.name;
        } else {
            sections
                .entry(heading.clone())
                .or_default()
                .push(entry.name);
        }
    }
    sections
}

/// The keys that may stand below a heading, from what the code itself says about an unknown one.
fn allowed(heading: &str) -> Vec<&'static str> {
    match fault(heading, "no-such-key = 1") {
        Some(Fault::UnknownKey { allowed, .. }) => allowed,
        other => panic!("{heading}: {other:?}"),
    }
}

/// The range of a number, from what the code itself says about one that is too large; `None` for other types.
fn bounds(heading: &str, key: &str) -> Option<String> {
    match fault(heading, &format!("{key} = 99999999999999999999")) {
        Some(Fault::OutOfRange { bounds, .. }) => Some(bounds.to_string()),
        _ => None,
    }
}

fn fault(heading: &str, line: &str) -> Option<Fault> {
    match Config::parse(&format!("{heading}\n{line}"), "t") {
        Err(ConfigError::Invalid(mut problems)) => problems.pop().map(|problem| problem.fault),
        _ => None,
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}
