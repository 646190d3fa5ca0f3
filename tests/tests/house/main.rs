//! The house checks: rules of this repository that no compiler knows, as ordinary tests.
//!
//! Every check is a function from text to faults, so that it can be fed something bad and seen to
//! fail: a check that can't fail protects nothing. The tests here feed the checks with the real
//! tree, the tests in the modules with small bad examples. Each fault names its place and what to do
//! about it, because whoever reads it has something else on their mind.

mod arrows;
mod bare;
mod conformance;
mod documents;
mod source;
mod tidy;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use source::Source;

/// A broken rule: where, what, and what to do.
#[derive(Debug, PartialEq)]
struct Fault {
    path: String,
    line: usize,
    remedy: String,
}

impl Fault {
    fn new(path: &str, line: usize, remedy: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.remedy)
    }
}

/// Every file of the repository, as its path from the root and its text; what is built or installed is left out.
fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.expect("a folder entry").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let is_ours = !name.starts_with('.')
                && !["target", "node_modules", "book"].contains(&name.as_str());
            if path.is_dir() && is_ours {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let path = path.strip_prefix(&root).expect("a path below the root");
                found.push((path.to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let files = ["crates", "fuzz", "tests", "xtask"]
        .into_iter()
        .flat_map(|folder| files(folder, "rs"));
    source::mark_test_modules(
        files
            .map(|(path, text)| Source::new(&path, &text))
            .collect(),
    )
}

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the tests package stands in the repository")
        .to_path_buf()
}

/// What a cargo command prints.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

#[track_caller]
fn report(faults: &[Fault]) {
    let list: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(
        list.is_empty(),
        "{} to mend:\n{}",
        list.len(),
        list.join("\n")
    );
}

#[test]
fn crates_depend_on_each_other_only_along_the_allowed_arrows() {
    let metadata = cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--offline",
    ]);
    report(&arrows::faults(
        &serde_json::from_str(&metadata).expect("cargo prints JSON"),
    ));
}

#[test]
fn the_logic_is_built_without_the_standard_library_without_unsafe_and_without_panics() {
    let sources = sources();
    for room in bare::ROOMS {
        let room_sources: Vec<&Source> = sources
            .iter()
            .filter(|source| source.is_in(&format!("crates/{room}/src/")))
            .collect();
        assert!(!room_sources.is_empty(), "crates/{room}/src has no sources");
        room_sources
            .iter()
            .for_each(|source| report(&bare::faults(source)));
    }
}

#[test]
fn no_dependency_of_the_logic_brings_the_standard_library_in() {
    for room in bare::ROOMS {
        let package = format!("weir-{room}");
        let tree = cargo(&[
            "tree",
            "--offline",
            "-p",
            &package,
            "-e",
            "normal,features",
            "--prefix",
            "none",
        ]);
        report(&bare::dependency_faults(room, &tree));
    }
}

#[test]
fn every_source_file_is_tidy() {
    let faults: Vec<Fault> = sources().iter().flat_map(tidy::faults).collect();
    report(&faults);
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let root = root();
    let mut documents = files("docs", "md");
    for name in [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
    ] {
        documents.extend(
            fs::read_to_string(root.join(name))
                .ok()
                .map(|text| (name.to_owned(), text)),
        );
    }
    let faults: Vec<Fault> = documents
        .iter()
        .flat_map(|(path, text)| {
            documents::broken_links(path, text, &|path| root.join(path).exists())
        })
        .collect();
    report(&faults);
}

fn conformance() -> conformance::Conformance {
    let read = |path: &str| {
        fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let (version_5, version_3) = (read(conformance::VERSION_5), read(conformance::VERSION_3));
    let data = files("tests/data", "txt").into_iter();
    let data = data.map(|(path, text)| Source::new(&path, &text));
    let sources: Vec<Source> = sources().into_iter().chain(data).collect();
    conformance::Conformance::new(&version_5, &version_3, &sources)
}

#[test]
fn conformance_every_statement_that_binds_a_server_has_its_code_and_its_test() {
    report(&conformance().faults());
}

#[test]
fn conformance_the_page_of_the_book_is_up_to_date() {
    let (page, path) = (conformance().page(), root().join(conformance::PAGE));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).expect("a page that can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "{} is out of date: {}",
        conformance::PAGE,
        conformance::REFRESH
    );
}

#[test]
fn the_book_lists_every_page() {
    let pages: Vec<String> = files("docs/src", "md")
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    let summary = fs::read_to_string(root().join(documents::SUMMARY)).unwrap_or_default();
    report(&documents::unlisted_pages(&summary, &pages));
}
