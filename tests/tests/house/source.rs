//! One source file, as the checks need it: its code without comments and literals, and which lines are tests.
//!
//! The blanked code has the same lines as the text and as many characters in each, so a place found
//! in it is a place in the file. This is a scanner, not a parser: it knows strings, characters,
//! lifetimes, comments and braces, which is enough for rules about lines and blocks.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

use crate::Fault;

pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with blanks for comments and for what stands in string and character literals.
    pub(crate) code: String,
    /// For each line, whether it is only built for tests.
    is_test: Vec<bool>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = blanked(text);
        let is_test = match is_test_path(path) {
            true => vec![true; text.lines().count()],
            false => test_lines(&code),
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            is_test,
        }
    }

    pub(crate) fn fault(&self, line: usize, remedy: impl Into<String>) -> Fault {
        Fault::new(&self.path, line, remedy)
    }

    pub(crate) fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// Whether the whole file is only built for tests, or for examples.
    pub(crate) fn is_test_file(&self) -> bool {
        self.is_test.iter().all(|is_test| *is_test)
    }

    pub(crate) fn is_test_line(&self, line: usize) -> bool {
        self.is_test.get(line - 1).copied().unwrap_or_default()
    }

    /// The test that a line of a test belongs to or stands above, or the table of one.
    pub(crate) fn test_at(&self, line: usize) -> Option<String> {
        let code: Vec<&str> = self.code.lines().collect();
        let is_passed_over = |line: &&str| line.trim().is_empty() || line.trim().starts_with("#[");
        let next = code
            .iter()
            .skip(line - 1)
            .position(|line| !is_passed_over(line))
            .map(|at| at + line);
        let functions = self.functions();
        let around = functions
            .iter()
            .rfind(|(first, _, lines)| (*first..first + lines).contains(&line));
        if let Some((first, name, _)) =
            around.or(functions.iter().find(|(first, _, _)| Some(*first) == next))
        {
            let attributes = code[..first - 1]
                .iter()
                .rev()
                .take_while(|line| is_passed_over(line));
            let is_test = attributes
                .into_iter()
                .any(|line| line.contains("test]") || line.contains("::test("));
            return is_test.then(|| name.clone());
        }
        let table = code[..line].iter().rev().find_map(|line| {
            line.trim_start()
                .trim_start_matches("pub(crate) ")
                .strip_prefix("const ")
        })?;
        table.split(':').next().map(str::to_owned)
    }

    /// The lines of code that are built into the product, with their numbers.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.lines().zip(&self.is_test).enumerate();
        lines
            .filter(|(_, (_, is_test))| !**is_test)
            .map(|(index, (line, _))| (index + 1, line))
    }

    /// The line's comment, if it ends with one.
    pub(crate) fn comment(&self, line: usize) -> Option<&str> {
        let (text, code) = (
            self.text.lines().nth(line - 1)?,
            self.code.lines().nth(line - 1)?,
        );
        let code_chars = code.trim_end().chars().count();
        let (at, _) = text.char_indices().nth(code_chars)?;
        text[at..]
            .trim_start()
            .strip_prefix("//")
            .map(str::trim)
            .filter(|comment| !comment.is_empty())
    }

    /// Functions with a body: the line of `fn`, the name, and how many lines it takes.
    pub(crate) fn functions(&self) -> Vec<(usize, String, usize)> {
        let mut functions = Vec::new();
        for (at, _) in self.code.match_indices("fn ") {
            let before = self.code[..at].chars().next_back();
            let name: String = self.code[at + 3..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') || name.is_empty() {
                continue;
            }
            let end = item_end(&self.code, at);
            functions.push((
                line_of(&self.code, at),
                name,
                self.code[at..end].lines().count(),
            ));
        }
        functions
    }
}

/// Marks files that a `#[cfg(test)] mod name;` in another file makes test files.
pub(crate) fn mark_test_modules(mut sources: Vec<Source>) -> Vec<Source> {
    let test_modules: BTreeSet<String> = sources.iter().flat_map(declared_test_modules).collect();
    for source in &mut sources {
        let stem = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        if stem
            .match_indices('/')
            .any(|(at, _)| test_modules.contains(&stem[..at]))
            || test_modules.contains(stem)
        {
            source.is_test.fill(true);
        }
    }
    sources
}

/// The paths, without extension, of the modules that a file declares for tests only.
fn declared_test_modules(source: &Source) -> Vec<String> {
    let path = source.path.trim_end_matches(".rs");
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let home = if ["lib", "main", "mod"].contains(&name) {
        folder
    } else {
        path
    };
    let after = source
        .code
        .match_indices("#[cfg(test)]")
        .map(|(at, attribute)| &source.code[at + attribute.len()..]);
    let items = after.filter_map(|rest| rest.split([';', '{']).next()?.trim().rsplit_once("mod "));
    items
        .map(|(_, module)| format!("{home}/{module}"))
        .collect()
}

fn is_test_path(path: &str) -> bool {
    let folders: Vec<&str> = path.split('/').collect();
    folders[0] == "tests"
        || folders
            .iter()
            .any(|folder| ["tests", "examples", "benches", "tests.rs"].contains(folder))
}

/// The lines that belong to an item under `#[cfg(test)]`.
fn test_lines(code: &str) -> Vec<bool> {
    let mut is_test = vec![false; code.lines().count()];
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let end = item_end(code, at);
        let (first, last) = (line_of(code, at), line_of(code, end));
        is_test[first - 1..last.min(code.lines().count())].fill(true);
    }
    is_test
}

/// Where the item that begins here ends: behind its closing brace, or at its semicolon.
fn item_end(code: &str, start: usize) -> usize {
    let (mut braces, mut brackets) = (0, 0);
    for (at, c) in code[start..].char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            '{' => braces += 1,
            '}' => braces -= 1,
            _ => continue,
        }
        if c == '}' && braces <= 0 {
            return start + at + 1;
        }
        let rest = &code[start + at..];
        let semicolon = rest.find(';').unwrap_or(usize::MAX);
        if braces == 0
            && brackets == 0
            && semicolon < rest.find(['{', '(', '[']).unwrap_or(usize::MAX)
        {
            return start + at + semicolon + 1;
        }
    }
    code.len()
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Blanks comments and the insides of literals.
fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        let in_name = out.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        match c {
            '/' if next == Some('/') => skip_while(&mut out, &mut rest, 1, |_, c| c != '\n'),
            '/' if next == Some('*') => skip_block(&mut out, &mut rest),
            '"' => skip_string(&mut out, &mut rest),
            'r' if !in_name || out.ends_with(['b', 'c']) => skip_raw(&mut out, &mut rest),
            '\'' => skip_character(&mut out, &mut rest),
            c => out.push(c),
        }
    }
    out
}

fn blank(out: &mut String, c: char) {
    out.push(if c == '\n' { '\n' } else { ' ' });
}

/// Blanks `taken` characters for what was read already, and then on for as long as the condition, which sees the last character too, holds.
fn skip_while(
    out: &mut String,
    rest: &mut Peekable<Chars<'_>>,
    taken: usize,
    goes_on: impl Fn(char, char) -> bool,
) {
    (0..taken).for_each(|_| out.push(' '));
    let mut last = ' ';
    while let Some(c) = rest.next_if(|c| goes_on(last, *c)) {
        blank(out, c);
        last = c;
    }
}

fn skip_block(out: &mut String, rest: &mut Peekable<Chars<'_>>) {
    out.push(' ');
    let (mut depth, mut last) = (0, '/');
    for c in rest.by_ref() {
        blank(out, c);
        match (last, c) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                last = c;
                continue;
            }
        }
        last = ' ';
        if depth == 0 {
            return;
        }
    }
}

fn skip_string(out: &mut String, rest: &mut Peekable<Chars<'_>>) {
    out.push('"');
    while let Some(c) = rest.next() {
        match c {
            '"' => return out.push('"'),
            '\\' => {
                out.push(' ');
                rest.next()
                    .into_iter()
                    .for_each(|escaped| blank(out, escaped));
            }
            c => blank(out, c),
        }
    }
}

/// After an `r`: a raw string, or just a name that begins with it.
fn skip_raw(out: &mut String, rest: &mut Peekable<Chars<'_>>) {
    out.push('r');
    let ahead: String = rest
        .clone()
        .take_while(|c| *c == '#' || *c == '"')
        .collect();
    let Some(hashes) = ahead.find('"') else {
        return;
    };
    let end = format!("\"{}", "#".repeat(hashes));
    (0..=hashes).for_each(|_| out.extend(rest.next()));
    let mut seen = String::new();
    for c in rest.by_ref() {
        blank(out, c);
        seen.push(c);
        if seen.ends_with(&end) {
            return;
        }
    }
}

/// After a quote: a character, or the name of a lifetime.
fn skip_character(out: &mut String, rest: &mut Peekable<Chars<'_>>) {
    out.push('\'');
    let mut ahead = rest.clone();
    let (first, second) = (ahead.next(), ahead.next());
    if first == Some('\\') {
        rest.by_ref().take(2).for_each(|c| blank(out, c));
        skip_while(out, rest, 0, |_, c| c != '\'');
        out.extend(rest.next());
    } else if second == Some('\'') {
        rest.by_ref().take(1).for_each(|c| blank(out, c));
        out.extend(rest.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str) {
        assert_eq!(blanked(text), code);
    }

    #[test]
    fn comments_and_literals_are_blanked_and_nothing_else() {
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d\n */ e", "a               \n    e");
        check(r#"f("a\"{", 'b')"#, r#"f("    ", ' ')"#);
        check("x(r#\"a\"{\"#) + raw", "x(r#\"     ) + raw");
        check(
            "b'{' '\\'' '\\u{7b}' <'a>(&'a str)",
            "b' ' '  ' '      ' <'a>(&'a str)",
        );
        check("let for_ = bar\"\";", "let for_ = bar\"\";");
    }

    #[test]
    fn functions_are_measured_from_their_name_to_their_closing_brace() {
        let source = Source::new(
            "crates/a/src/b.rs",
            "fn a() {}\ntrait T { fn b(&self); }\n\nfn c(d: [u8; 2])\nwhere u8: Copy {\n  { }\n}\nfn e() { \"}\" }",
        );
        let found: Vec<(usize, String, usize)> = source.functions();
        let found: Vec<(usize, &str, usize)> = found
            .iter()
            .map(|(line, name, lines)| (*line, name.as_str(), *lines))
            .collect();
        assert_eq!(found, [(1, "a", 1), (2, "b", 1), (4, "c", 4), (8, "e", 1)]);
    }

    #[test]
    fn lines_under_cfg_test_are_tests() {
        let source = Source::new(
            "crates/a/src/b.rs",
            "use a;\n#[cfg(test)]\nuse b;\nfn c() {}\n#[cfg(test)]\nmod tests {\n  fn d() {}\n}\n",
        );
        let lines: Vec<usize> = source.product_lines().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 4]);
    }

    #[test]
    fn files_that_are_declared_for_tests_are_tests() {
        let files = [
            ("lib", "#[cfg(test)]\nmod bench;\nmod tree;"),
            ("tree", "#[cfg(test)]\npub(crate) mod mock;"),
            ("bench", "x"),
            ("tree/mock", "x"),
            ("tree/mock/deep", "x"),
        ];
        let sources =
            files.map(|(name, text)| Source::new(&format!("crates/a/src/{name}.rs"), text));
        let sources = mark_test_modules(sources.into());
        let tests: Vec<bool> = sources.iter().map(Source::is_test_file).collect();
        assert_eq!(tests, [false, true, true, true, true]);
    }

    #[test]
    fn a_comment_behind_code_is_found() {
        let source = Source::new(
            "crates/a/src/b.rs",
            "a(); // why\nb(\"// no\");\n// alone\nc(); //",
        );
        assert_eq!(
            [1, 2, 3, 4].map(|line| source.comment(line)),
            [Some("why"), None, Some("alone"), None]
        );
    }
}
