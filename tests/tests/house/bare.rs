//! The rooms of pure logic: no standard library, no `unsafe`, nothing that panics on what a peer sent.
//!
//! Without the standard library the compiler itself refuses a clock, a thread, a socket or a file, so
//! what must be checked is only that nobody lets it back in: by an attribute that is gone, by an
//! `extern crate std` outside tests, or by a dependency that has its `std` feature on. Nor may a lint
//! that forbids panics be switched off in some corner.

use crate::Fault;
use crate::source::Source;

pub(crate) const ROOMS: [&str; 3] = ["codec", "router", "engine"];

const DENIED: [&str; 5] = [
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::panic",
    "clippy::indexing_slicing",
    "clippy::unreachable",
];

/// What is wrong with one source of such a room.
pub(crate) fn faults(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    if source.path.ends_with("/src/lib.rs") {
        let missing = missing_attributes(&source.code).into_iter();
        faults.extend(
            missing.map(|attribute| {
                source.fault(1, format!("add {attribute}: this room is pure logic"))
            }),
        );
    }
    for (line, code) in source.product_lines() {
        if has_word(code, "std::") || has_word(code, "extern crate std") {
            faults.push(source.fault(
                line,
                "use core or alloc instead of std: this room is pure logic",
            ));
        }
        let switched_off = ["allow(", "expect("]
            .iter()
            .filter_map(|lint| code.split_once(lint));
        if switched_off
            .into_iter()
            .any(|(_, lints)| DENIED.iter().any(|denied| lints.contains(denied)))
        {
            faults.push(source.fault(line, "handle the case instead of switching the lint off: no peer can make this room panic"));
        }
    }
    faults
}

/// What is wrong with the dependencies of such a room, as `cargo tree` prints them with their features.
pub(crate) fn dependency_faults(room: &str, tree: &str) -> Vec<Fault> {
    let with_std = tree.lines().filter(|line| line.contains("feature \"std\""));
    let faults = with_std.map(|line| {
        let name = line.split(' ').next().unwrap_or_default();
        let remedy = format!(
            "{name} has its feature \"std\" on: switch its default features off, or do without it"
        );
        Fault::new(&format!("crates/{room}/Cargo.toml"), 1, remedy)
    });
    faults.collect()
}

fn missing_attributes(code: &str) -> Vec<String> {
    let dense: String = code.split_whitespace().collect();
    let denies = dense
        .split_once("#![cfg_attr(not(test),deny(")
        .map_or("", |(_, rest)| rest);
    let denies: Vec<&str> = denies
        .split("))]")
        .next()
        .unwrap_or_default()
        .split(',')
        .collect();
    let plain = ["#![no_std]", "#![forbid(unsafe_code)]"]
        .into_iter()
        .filter(|attribute| !dense.contains(attribute));
    let denied = DENIED.into_iter().filter(|lint| !denies.contains(lint));
    plain
        .map(String::from)
        .chain(denied.map(|lint| format!("#![cfg_attr(not(test), deny({lint}))]")))
        .collect()
}

/// Whether the text stands in the line and isn't the end of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let is_name =
        |before: &str| before.ends_with(|last: char| last.is_alphanumeric() || last == '_');
    line.match_indices(word)
        .any(|(at, _)| !is_name(&line[..at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [usize; 0] = [];
    const GOOD: &str = "//! Doc.\n#![no_std]\n#![forbid(unsafe_code)]\n#![cfg_attr(\n    not(test),\n    deny(\n        clippy::unwrap_used,\n        \
        clippy::expect_used, clippy::panic, clippy::indexing_slicing,\n        clippy::unreachable\n    )\n)]\n";

    fn found(path: &str, text: &str) -> Vec<usize> {
        faults(&Source::new(path, text))
            .into_iter()
            .map(|fault| fault.line)
            .collect()
    }

    #[test]
    fn an_attribute_that_is_gone_is_found() {
        let lib = "crates/codec/src/lib.rs";
        assert_eq!(found(lib, GOOD), NOTHING);
        assert_eq!(
            found(lib, &GOOD.replace("#![no_std]", "// #![no_std]")),
            [1]
        );
        assert_eq!(found(lib, &GOOD.replace("forbid(", "deny(")), [1]);
        assert_eq!(found(lib, &GOOD.replace("clippy::panic,", "")), [1]);
        assert_eq!(found(lib, "//! Nothing."), [1; 7]);
    }

    #[test]
    fn the_standard_library_is_found_outside_tests_and_comments() {
        let path = "crates/codec/src/a.rs";
        assert_eq!(
            found(
                path,
                "use core::fmt; // not std::fmt\nlet s = \"std::fmt\";\nuse no_std::x;"
            ),
            NOTHING
        );
        assert_eq!(found(path, "use core::fmt;\nuse std::time::Instant;"), [2]);
        assert_eq!(found(path, "extern crate std;"), [1]);
        assert_eq!(
            found(
                path,
                "#[cfg(test)]\nextern crate std;\n#[cfg(test)]\nmod tests { use std::fmt; }"
            ),
            NOTHING
        );
        assert_eq!(
            found("crates/codec/src/a/tests.rs", "use std::fmt;"),
            NOTHING
        );
    }

    #[test]
    fn a_lint_that_is_switched_off_is_found() {
        let path = "crates/codec/src/a.rs";
        assert_eq!(
            found(path, "\n#[allow(clippy::indexing_slicing)]\nfn f() {}"),
            [2]
        );
        assert_eq!(
            found(
                path,
                "#[expect(clippy::unwrap_used, reason = \"x\")]\nfn f() {}"
            ),
            [1]
        );
        assert_eq!(
            found(path, "#[expect(clippy::too_many_arguments)]\nfn f() {}"),
            NOTHING
        );
    }

    #[test]
    fn a_dependency_with_std_is_found() {
        assert_eq!(
            dependency_faults("codec", "weir-codec v0.1.0\nbytes v1.0.0\n"),
            []
        );
        assert_eq!(
            dependency_faults("codec", "weir-codec v0.1.0\nbytes feature \"std\"\n").len(),
            1
        );
    }
}
