//! The numbered statements of the specifications against the code that obeys them and the tests that prove it.
//!
//! docs/conformance holds the statements, one file a version. A citation, `[MQTT-3.3.1-2]` for 5.0 and `[MQTT3-3.1.2-22]` for
//! 3.1.1, stands in a comment beside the code or at a test. What binds a server has both, or says why not; what is marked as
//! missing must really be missing, so that the list can only become shorter. The page of the book is made of all that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Deserialize;

use crate::Fault;
use crate::source::Source;

pub(crate) const PAGE: &str = "docs/src/conformance.md";
pub(crate) const VERSION_5: &str = "docs/conformance/mqtt-5.0.toml";
pub(crate) const VERSION_3: &str = "docs/conformance/mqtt-3.1.1.toml";
/// What refreshes the page.
pub(crate) const REFRESH: &str = "UPDATE=1 cargo test -p weir-tests --test house conformance";

/// Citations here prove nothing: the checks' own examples, and what is neither the product nor a test of one statement.
const ELSEWHERE: [&str; 3] = ["tests/tests/house/", "crates/sim/", "xtask/"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    statements: Vec<Statement>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Binds {
    Server,
    Client,
    Both,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    number: String,
    binds: Binds,
    says: String,
    /// Statements of 5.0 whose citations count for this one of 3.1.1.
    #[serde(default, rename = "as")]
    same_as: Vec<String>,
    /// Why it is left out.
    reason: Option<String>,
    /// Why it is not proven yet.
    missing: Option<String>,
    /// What a reader should know about how it is obeyed.
    note: Option<String>,
    /// Where it stands in its file.
    #[serde(skip)]
    line: usize,
}

/// Where one statement is cited.
#[derive(Clone, Default)]
struct Places {
    code: BTreeSet<String>,
    tests: BTreeSet<String>,
}

impl Places {
    fn are_both(&self) -> bool {
        !self.code.is_empty() && !self.tests.is_empty()
    }
}

/// Citations by what stands in them: `MQTT-3.3.1-2`.
type Citations = BTreeMap<String, Places>;

/// The statements of both versions and their citations.
pub(crate) struct Conformance {
    versions: [(&'static str, &'static str, Vec<Statement>); 2],
    citations: Citations,
    faults: Vec<Fault>,
}

impl Conformance {
    /// Of the texts of the two files and all sources.
    pub(crate) fn new(version_5: &str, version_3: &str, sources: &[Source]) -> Self {
        let statements = |path: &str, text: &str| {
            let mut file: File =
                toml::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
            for statement in &mut file.statements {
                let own = format!("number = \"{}\"", statement.number);
                statement.line = 1 + text
                    .lines()
                    .position(|line| line.contains(&own))
                    .unwrap_or(0);
            }
            file.statements
        };
        let mut faults = Vec::new();
        let citations = citations(sources, &mut faults);
        let mut conformance = Self {
            versions: [
                ("MQTT", VERSION_5, statements(VERSION_5, version_5)),
                ("MQTT3", VERSION_3, statements(VERSION_3, version_3)),
            ],
            citations,
            faults,
        };
        conformance.add_unknown(sources);
        conformance
    }

    /// Everything that does not fit together.
    pub(crate) fn faults(mut self) -> Vec<Fault> {
        let mut faults = std::mem::take(&mut self.faults);
        for (prefix, path, statements) in &self.versions {
            for statement in statements {
                let places = self.places(prefix, statement);
                if let Some(remedy) = remedy(statement, &places) {
                    let number = &statement.number;
                    let remedy = format!("[{prefix}-{number}] {remedy}");
                    faults.push(Fault::new(path, statement.line, remedy));
                }
            }
        }
        faults
    }

    /// The page of the book.
    pub(crate) fn page(&self) -> String {
        let mut page = format!(
            "# Conformance\n\n<!-- Made of docs/conformance and the citations in the sources: {REFRESH} -->\n\n{INTRODUCTION}\n"
        );
        page.push_str(TOTALS);
        for (name, (prefix, _, statements)) in NAMES.iter().zip(&self.versions) {
            page.push_str(&self.totals(name, prefix, statements));
        }
        for (name, (prefix, _, statements)) in NAMES.iter().zip(&self.versions) {
            write!(page, "\n## {name}\n\n{HEADING}").unwrap();
            for statement in statements.iter().filter(|one| one.reason.is_none()) {
                page.push_str(&self.row(prefix, statement));
            }
            write!(page, "\n### Left out of {name}\n\n{LEFT_OUT}").unwrap();
            for statement in statements {
                if let Some(reason) = &statement.reason {
                    let Statement { number, says, .. } = statement;
                    writeln!(page, "| {number} | {} | {} |", cell(says), cell(reason)).unwrap();
                }
            }
        }
        page
    }

    fn totals(&self, name: &str, prefix: &str, statements: &[Statement]) -> String {
        let bound = statements.iter().filter(|one| one.binds != Binds::Client);
        let (left_out, in_force): (Vec<_>, Vec<_>) = bound.partition(|one| one.reason.is_some());
        let missing = in_force.iter().filter(|one| one.missing.is_some()).count();
        let of_clients = statements
            .iter()
            .filter(|one| one.binds == Binds::Client && self.places(prefix, one).are_both());
        format!(
            "| {name} | {} | {} | {} | {missing} | {} | {} |\n",
            statements.len(),
            left_out.len() + in_force.len(),
            in_force.len() - missing,
            left_out.len(),
            of_clients.count()
        )
    }

    fn row(&self, prefix: &str, statement: &Statement) -> String {
        let own = self
            .citations
            .get(&format!("{prefix}-{}", statement.number));
        let inherited = self.places(prefix, statement);
        let list = |own: Option<&BTreeSet<String>>, all: &BTreeSet<String>| {
            let shown = own.filter(|own| !own.is_empty()).unwrap_or(all);
            let quoted: Vec<String> = shown.iter().map(|place| format!("`{place}`")).collect();
            quoted.join("<br>")
        };
        let mut says = cell(&statement.says);
        if !statement.same_as.is_empty() {
            write!(says, " (5.0: {})", statement.same_as.join(", ")).unwrap();
        }
        if let Some(note) = &statement.note {
            write!(says, " {}", cell(note)).unwrap();
        }
        if let Some(missing) = &statement.missing {
            write!(says, " **Not proven yet**: {}", cell(missing)).unwrap();
        }
        format!(
            "| {} | {says} | {} | {} |\n",
            statement.number,
            list(own.map(|own| &own.code), &inherited.code),
            list(own.map(|own| &own.tests), &inherited.tests)
        )
    }

    /// Where a statement is cited, by its own number or by one that stands for it.
    fn places(&self, prefix: &str, statement: &Statement) -> Places {
        let cited = |citation: &str| self.citations.get(citation).cloned().unwrap_or_default();
        let mut places = cited(&format!("{prefix}-{}", statement.number));
        let others: Vec<Places> = statement
            .same_as
            .iter()
            .map(|number| cited(&format!("MQTT-{number}")))
            .collect();
        // Each of them is needed, for they stand for it together.
        if others.iter().all(|other| !other.code.is_empty()) {
            places
                .code
                .extend(others.iter().flat_map(|other| other.code.clone()));
        }
        if others.iter().all(|other| !other.tests.is_empty()) {
            places
                .tests
                .extend(others.iter().flat_map(|other| other.tests.clone()));
        }
        places
    }

    fn add_unknown(&mut self, sources: &[Source]) {
        let versions = self.versions.iter();
        let known: BTreeSet<String> = versions
            .flat_map(|(prefix, _, statements)| {
                statements
                    .iter()
                    .map(move |one| format!("{prefix}-{}", one.number))
            })
            .collect();
        for source in cited_sources(sources) {
            for (line, citation) in cited(&source.text) {
                if !known.contains(citation) {
                    let remedy = format!("no statement is numbered [{citation}]: look it up");
                    self.faults.push(source.fault(line, remedy));
                }
            }
        }
        for statement in &self.versions[1].2 {
            for number in &statement.same_as {
                if !known.contains(&format!("MQTT-{number}")) {
                    let remedy = format!("5.0 has no statement {number}: mend the `as`");
                    self.faults
                        .push(Fault::new(VERSION_3, statement.line, remedy));
                }
            }
        }
    }
}

const NAMES: [&str; 2] = ["MQTT 5.0", "MQTT 3.1.1"];

const INTRODUCTION: &str = "\
Both specifications number what they demand. This page lists the demands in our own words, where the code obeys each, and
which test would fail without it; a test of the project keeps it true. `[MQTT-3.3.1-2]` in the sources is a statement of 5.0,
`[MQTT3-3.1.2-22]` one of 3.1.1. A statement of 3.1.1 that says what one of 5.0 says shares its code, and its tests where it has
none of its own. Of the statements that bind clients those are listed whose breach Weir notices and answers.
";

const TOTALS: &str = "
| version | statements | bind a server | proven | not proven yet | left out, with a reason | bind clients, checked |
|---|---|---|---|---|---|---|
";

const HEADING: &str = "| statement | says | code | test |\n|---|---|---|---|\n";

const LEFT_OUT: &str = "| statement | says | why |\n|---|---|---|\n";

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('#', "\\#")
}

/// What is wrong with a statement and its citations, and what to do.
fn remedy(statement: &Statement, places: &Places) -> Option<&'static str> {
    let (has_code, has_test) = (!places.code.is_empty(), !places.tests.is_empty());
    let proven = has_code && has_test;
    match (&statement.reason, &statement.missing) {
        (Some(_), Some(_)) => Some("is left out or missing, not both: drop one"),
        (Some(_), None) if proven => Some("has code and test: drop its reason for being left out"),
        (None, Some(_)) if proven => Some("has code and test: it is no longer missing"),
        (Some(_), None) | (None, Some(_)) => None,
        (None, None) if proven => None,
        (None, None) if has_test => Some("is cited at no code: cite it where the code obeys it"),
        (None, None) if has_code => {
            Some("is cited at no test: cite or write the test that would fail without it")
        }
        (None, None) => {
            Some("is cited nowhere: cite it at the code and at a test, or say in the data why not")
        }
    }
}

fn cited_sources(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| {
        let is_elsewhere = ELSEWHERE.iter().any(|folder| source.is_in(folder));
        !is_elsewhere && !source.path.contains("/examples/")
    })
}

/// All citations, with the names of the files and tests that hold them.
fn citations(sources: &[Source], faults: &mut Vec<Fault>) -> Citations {
    let mut citations = Citations::new();
    for source in cited_sources(sources) {
        for line in misspelt(&source.text) {
            faults.push(source.fault(
                line,
                "write a citation as [MQTT-3.3.1-2] or [MQTT3-3.1.2-22], one number each",
            ));
        }
        for (line, citation) in cited(&source.text) {
            let places = citations.entry(citation.to_owned()).or_default();
            if source.path.ends_with(".txt") {
                // What no server is sent does not prove what one does.
                if !is_for_a_client(source, line) {
                    places.tests.insert(short(&source.path));
                }
                continue;
            }
            if !source.is_test_line(line) {
                places.code.insert(short(&source.path));
            } else if let Some(test) = source.test_at(line) {
                let package = source
                    .path
                    .split('/')
                    .nth(usize::from(source.is_in("crates/")));
                places
                    .tests
                    .insert(format!("{}: {test}", package.unwrap_or_default()));
            } else {
                faults.push(source.fault(
                    line,
                    format!("[{citation}] stands at no test: move it to the one that proves it"),
                ));
            }
        }
    }
    citations
}

/// Whether a line of the table of malformed packets is about one that goes to a client.
fn is_for_a_client(source: &Source, line: usize) -> bool {
    let text = source.text.lines().nth(line - 1).unwrap_or_default();
    text.split(" | ").nth(1) == Some("client")
}

/// `crates/engine/src/shard/end.rs` is `engine/shard/end.rs`.
fn short(path: &str) -> String {
    path.trim_start_matches("crates/").replacen("/src/", "/", 1)
}

/// The citations of a text, with their lines.
fn cited(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate();
    numbered.flat_map(|(index, line)| {
        let parts = line.split("[MQTT").skip(1);
        parts.filter_map(move |rest| {
            let citation = rest.split(']').next()?;
            let start = line.len() - line[citation_start(line, rest)..].len();
            is_citation(citation).then(|| (index + 1, &line[start..start + 4 + citation.len()]))
        })
    })
}

/// Where in `line` the citation begins whose end is `rest`: at the `MQTT` before it.
fn citation_start(line: &str, rest: &str) -> usize {
    rest.as_ptr() as usize - line.as_ptr() as usize - 4
}

/// Whether this stands between `[MQTT` and `]` of a citation: `-3.3.1-2`, `3-3.1.2-22`.
fn is_citation(text: &str) -> bool {
    let Some(number) = text.strip_prefix('3').unwrap_or(text).strip_prefix('-') else {
        return false;
    };
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    match number.split_once('-') {
        Some((section, last)) => section.split('.').all(is_number) && is_number(last),
        None => false,
    }
}

/// Lines with something that looks like a citation and is none.
fn misspelt(text: &str) -> Vec<usize> {
    let numbered = text.lines().enumerate();
    let looks = |rest: &str| {
        let rest = rest.strip_prefix('3').unwrap_or(rest).strip_prefix('-');
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let wrong = numbered.filter(|(_, line)| {
        let like = line
            .split("MQTT")
            .skip(1)
            .filter(|rest| looks(rest))
            .count();
        like != cited(line).count()
    });
    wrong.map(|(index, _)| index + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::mark_test_modules;

    const CODE: &str = "/// It is so [MQTT-1.1.1-1].\nfn code() {}\n";
    const TEST: &str = "/// [MQTT-1.1.1-1]\n#[test]\nfn it_is_so() {}\n";

    fn faults(version_5: &str, version_3: &str, files: &[(&str, &str)]) -> Vec<String> {
        let file = |rows: &str| format!("statements = [{rows}]");
        let sources = files.iter().map(|(path, text)| Source::new(path, text));
        let sources = mark_test_modules(sources.collect());
        let conformance = Conformance::new(&file(version_5), &file(version_3), &sources);
        let faults = conformance.faults();
        faults.into_iter().map(|fault| fault.remedy).collect()
    }

    fn statement(number: &str, more: &str) -> String {
        format!("{{ number = \"{number}\", binds = \"server\", says = \"x\"{more} }}")
    }

    fn both(statement: &str) -> Vec<String> {
        let files = [("crates/a/src/lib.rs", CODE), ("crates/a/tests/a.rs", TEST)];
        faults(statement, "", &files)
    }

    #[test]
    fn a_statement_needs_code_and_test() {
        let one = statement("1.1.1-1", "");
        assert!(both(&one).is_empty());
        let code = [("crates/a/src/lib.rs", CODE)];
        assert!(faults(&one, "", &code)[0].contains("at no test"));
        let test = [
            ("crates/a/src/lib.rs", "#[cfg(test)]\nmod tests;"),
            ("crates/a/src/tests.rs", TEST),
        ];
        assert!(faults(&one, "", &test)[0].contains("at no code"));
        assert!(faults(&one, "", &[])[0].contains("nowhere"));
    }

    #[test]
    fn an_excuse_holds_only_as_long_as_it_is_needed() {
        for excuse in [", reason = \"y\"", ", missing = \"y\""] {
            let one = statement("1.1.1-1", excuse);
            assert!(faults(&one, "", &[]).is_empty());
            assert_eq!(both(&one).len(), 1);
        }
        let one = statement("1.1.1-1", ", reason = \"y\", missing = \"y\"");
        assert_eq!(faults(&one, "", &[]).len(), 1);
    }

    #[test]
    fn a_statement_of_3_1_1_may_be_proven_by_those_of_5_0() {
        let files = [("crates/a/src/lib.rs", CODE), ("crates/a/tests/a.rs", TEST)];
        let one = statement("1.1.1-1", "");
        let same = statement("2.2.2-2", ", as = [\"1.1.1-1\"]");
        assert!(faults(&one, &same, &files).is_empty());
        let more = statement("2.2.2-2", ", as = [\"1.1.1-1\", \"3.3.3-3\"]");
        assert_eq!(
            faults(&one, &more, &files).len(),
            2,
            "an unknown one, and no proof"
        );
    }

    #[test]
    fn citations_of_nothing_and_misspelt_ones_are_found() {
        let one = statement("1.1.1-1", ", reason = \"y\"");
        for text in [
            "// [MQTT-9.9.9-9]\n",
            "// [MQTT3-1.1.1-1]\n",
            "// [MQTT-1.1.1-1..2]\n",
            "// MQTT-1.1.1-1\n",
        ] {
            let found = faults(&one, "", &[("crates/a/src/lib.rs", text)]);
            assert_eq!(found.len(), 1, "{text} {found:?}");
        }
        let no_test = "/// [MQTT-1.1.1-1]\nfn helps() {}\n";
        assert_eq!(
            faults(&one, "", &[("crates/a/tests/a.rs", no_test)]).len(),
            1
        );
    }

    #[test]
    fn a_table_of_a_test_may_cite() {
        let table = "const TABLE: &[&str] = &[\n    \"[MQTT-1.1.1-1]\",\n];\n";
        let files = [
            ("crates/a/src/lib.rs", CODE),
            ("crates/a/tests/a.rs", table),
        ];
        assert!(faults(&statement("1.1.1-1", ""), "", &files).is_empty());
    }

    #[test]
    fn a_malformed_packet_is_a_test_unless_it_goes_to_a_client() {
        let one = statement("1.1.1-1", "");
        let code = ("crates/a/src/lib.rs", CODE);
        for (when, proven) in [("first", true), ("connected", true), ("client", false)] {
            let line =
                format!("5.0 | {when} | 00 | - | 0x81 | close | [MQTT-1.1.1-1] | it is so\n");
            let files = [code, ("tests/data/malformed.txt", line.as_str())];
            assert_eq!(faults(&one, "", &files).is_empty(), proven, "{when}");
        }
    }

    #[test]
    fn the_page_names_places_totals_and_what_is_left_out() {
        let sources = [
            Source::new("crates/a/src/lib.rs", CODE),
            Source::new("crates/a/tests/a.rs", TEST),
        ];
        let rows = [
            statement("1.1.1-1", ""),
            statement("1.1.1-2", ", missing = \"later\""),
            statement("1.1.1-3", ", reason = \"not ours\""),
        ];
        let file = format!("statements = [{}]", rows.join(","));
        let page = Conformance::new(&file, "statements = []", &sources).page();
        assert!(
            page.contains("| MQTT 5.0 | 3 | 3 | 1 | 1 | 1 | 0 |\n"),
            "{page}"
        );
        assert!(
            page.contains("| 1.1.1-1 | x | `a/lib.rs` | `a: it_is_so` |\n"),
            "{page}"
        );
        assert!(
            page.contains("| 1.1.1-2 | x **Not proven yet**: later |  |  |\n"),
            "{page}"
        );
        assert!(page.contains("| 1.1.1-3 | x | not ours |\n"), "{page}");
    }
}
