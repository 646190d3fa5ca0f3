//! Tidiness of sources: opening comments, sizes, names, and what must not be left lying about.
//!
//! The limits are the ones people can hold in their heads. They count lines, not cleverness: a long
//! function says that two things share a name, a file called after nothing collects anything, and an
//! `unwrap` without a reason is a panic somebody meant to come back to.

use crate::Fault;
use crate::source::Source;

const HEADER_LINES: usize = 3;
/// The names of the tests tell the rest.
const TEST_HEADER_LINES: usize = 1;
/// Files shorter than this need no header of that length.
const SHORT_FILE_LINES: usize = 20;
const FILE_LINES: usize = 500;
const TEST_FILE_LINES: usize = 900;
const FUNCTION_LINES: usize = 70;
const EMPTY_NAMES: [&str; 5] = ["utils", "helpers", "types", "common", "manager"];
const LEFTOVERS: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];

pub(crate) fn faults(source: &Source) -> Vec<Fault> {
    let mut faults = vec![];
    faults.extend(header(source));
    faults.extend(sizes(source));
    faults.extend(names(source));
    faults.extend(leftovers(source));
    faults
}

fn header(source: &Source) -> Option<Fault> {
    let header = source
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .count();
    let is_short = source.text.lines().count() < SHORT_FILE_LINES;
    let least = if source.is_test_file() {
        TEST_HEADER_LINES
    } else {
        HEADER_LINES
    };
    let remedy = format!(
        "open the file with {least} to 12 lines of //!: what it owns, what must always hold, why it is so"
    );
    (header < least && !is_short).then(|| source.fault(1, remedy))
}

fn sizes(source: &Source) -> Vec<Fault> {
    let (lines, limit) = match source.is_test_file() {
        true => (source.text.lines().count(), TEST_FILE_LINES),
        false => (source.text.lines().count(), FILE_LINES),
    };
    let file = (lines > limit).then(|| source.fault(limit + 1, format!("{lines} lines, allowed are {limit}: find the second thing in this file and give it its own")));
    let functions = source
        .functions()
        .into_iter()
        .filter(|(_, _, lines)| *lines > FUNCTION_LINES);
    let functions = functions.map(|(line, name, lines)| {
        source.fault(
            line,
            format!("fn {name} has {lines} lines, allowed are {FUNCTION_LINES}: name its parts"),
        )
    });
    file.into_iter().chain(functions).collect()
}

fn names(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for part in source.path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            faults.push(source.fault(
                1,
                format!("`{part}` says nothing: name it after the one thing it owns"),
            ));
        }
    }
    for (line, name, _) in source.functions() {
        // `get_mut` beside a `get` is how Rust itself calls it.
        if name.starts_with("get_") && name != "get_mut" {
            let remedy = format!(
                "fn {name}: a getter is called after what it gives, `{}`",
                &name[4..]
            );
            faults.push(source.fault(line, remedy));
        }
    }
    faults
}

fn leftovers(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, line) in source.code.lines().enumerate() {
        for leftover in LEFTOVERS
            .iter()
            .filter(|leftover| line.contains(**leftover))
        {
            faults.push(source.fault(
                index + 1,
                format!("{leftover} was left behind: finish it or take it out"),
            ));
        }
    }
    for (line, _) in source
        .product_lines()
        .filter(|(_, code)| code.contains(".unwrap()"))
    {
        if source.is_in("crates/") && source.comment(line).is_none() {
            faults.push(source.fault(
                line,
                "unwrap: handle the case, or say on this line in a comment why it can't be",
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [usize; 0] = [];
    const HEADER: &str = "//! One.\n//! Two.\n//! Three.\n";

    fn found(path: &str, text: &str) -> Vec<usize> {
        faults(&Source::new(path, text))
            .into_iter()
            .map(|fault| fault.line)
            .collect()
    }

    #[test]
    fn a_long_file_without_a_header_is_found() {
        let lines = "use a;\n".repeat(20);
        assert_eq!(
            found("crates/a/src/b.rs", &format!("//! One.\n//! Two.\n{lines}")),
            [1]
        );
        assert_eq!(
            found("crates/a/src/b.rs", &format!("{HEADER}{lines}")),
            NOTHING
        );
        assert_eq!(found("crates/a/src/b.rs", "use a;\n"), NOTHING);
    }

    #[test]
    fn a_file_that_is_too_long_is_found_and_tests_may_be_longer() {
        let text = |lines: usize| format!("{HEADER}{}", "use a;\n".repeat(lines - 3));
        assert_eq!(found("crates/a/src/b.rs", &text(500)), NOTHING);
        assert_eq!(found("crates/a/src/b.rs", &text(501)), [501]);
        assert_eq!(found("crates/a/src/b/tests.rs", &text(900)), NOTHING);
        assert_eq!(found("tests/tests/a.rs", &text(901)), [901]);
    }

    #[test]
    fn a_function_that_is_too_long_is_found() {
        let text =
            |lines: usize| format!("{HEADER}\nfn f() {{\n{}}}\n", "a();\n".repeat(lines - 2));
        assert_eq!(found("crates/a/src/b.rs", &text(70)), NOTHING);
        assert_eq!(found("crates/a/src/b.rs", &text(71)), [5]);
    }

    #[test]
    fn empty_names_are_found() {
        for path in [
            "crates/a/src/utils.rs",
            "crates/a/src/types/b.rs",
            "tests/src/common.rs",
        ] {
            assert_eq!(found(path, "use a;"), [1], "{path}");
        }
        assert_eq!(found("crates/a/src/b.rs", "\nfn get_b() {}"), [2]);
        assert_eq!(
            found("crates/a/src/b.rs", "fn target_b() {} // fn get_b() {}"),
            NOTHING
        );
    }

    #[test]
    fn what_was_left_behind_is_found() {
        assert_eq!(found("crates/a/src/b.rs", "fn f() {\n    todo!()\n}"), [2]);
        assert_eq!(
            found(
                "tests/src/b.rs",
                "fn f() { dbg!(1); }\nfn g() { unimplemented!() }"
            ),
            [1, 2]
        );
        assert_eq!(
            found("crates/a/src/b.rs", "// todo!()\nlet a = \"dbg!\";"),
            NOTHING
        );
    }

    #[test]
    fn an_unwrap_without_a_reason_is_found() {
        assert_eq!(found("crates/a/src/b.rs", "a.unwrap();"), [1]);
        assert_eq!(
            found(
                "crates/a/src/b.rs",
                "a.unwrap(); // it was just put in\nb.unwrap_or(1);"
            ),
            NOTHING
        );
        assert_eq!(
            found(
                "crates/a/src/b.rs",
                "#[cfg(test)]\nmod tests {\n    fn f() { a.unwrap() }\n}"
            ),
            NOTHING
        );
        assert_eq!(found("tests/src/b.rs", "a.unwrap();"), NOTHING);
    }
}
