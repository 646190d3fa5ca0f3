//! The documents: every link leads to a file that exists, and the book lists every page.
//!
//! Only links within the repository are followed; whether the rest of the world still stands is not
//! something a test should depend on. Code, in fences or in line, is not read.

use crate::Fault;

pub(crate) const SUMMARY: &str = "docs/src/SUMMARY.md";

/// Links of one document that lead to no file. `exists` is asked for paths from the root.
pub(crate) fn broken_links(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<Fault> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let links = links(text)
        .into_iter()
        .filter_map(|(line, link)| Some((line, link, target(folder, link)?)));
    let broken = links.filter(|(_, _, target)| !exists(target));
    let faults = broken.map(|(line, link, target)| {
        Fault::new(path, line, format!("the link `{link}` leads to {target}, which doesn't exist: mend the path or write the file"))
    });
    faults.collect()
}

/// Pages of the book that its summary doesn't list. Paths are from the root.
pub(crate) fn unlisted_pages(summary: &str, pages: &[String]) -> Vec<Fault> {
    let folder = SUMMARY.rsplit_once('/').map_or("", |(folder, _)| folder);
    let listed: Vec<String> = links(summary)
        .into_iter()
        .filter_map(|(_, link)| target(folder, link))
        .collect();
    let unlisted = pages
        .iter()
        .filter(|page| *page != SUMMARY && !listed.contains(page));
    unlisted
        .map(|page| {
            Fault::new(
                SUMMARY,
                1,
                format!("list the page {page}: what isn't listed isn't in the book"),
            )
        })
        .collect()
}

/// What stands in `](..)` and `]: ..`, with line numbers.
fn links(text: &str) -> Vec<(usize, &str)> {
    let (mut links, mut is_fenced) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            let prose = line.split('`').step_by(2);
            let inline = prose
                .flat_map(|part| part.split("](").skip(1))
                .filter_map(|rest| rest.split(')').next());
            let named = line
                .strip_prefix('[')
                .and_then(|rest| rest.split_once("]: "))
                .map(|(_, target)| target);
            links.extend(inline.chain(named).map(|link| (index + 1, link)));
        }
    }
    links
}

/// The path from the root that a link in a folder leads to, if it leads to a file of ours.
fn target(folder: &str, link: &str) -> Option<String> {
    let file = link.split([' ', '#']).next().unwrap_or_default();
    if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
        return None;
    }
    let mut parts: Vec<&str> = if folder.is_empty() {
        Vec::new()
    } else {
        folder.split('/').collect()
    };
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [usize; 0] = [];

    fn broken(path: &str, text: &str) -> Vec<usize> {
        let exists = |path: &str| ["docs/src/a.md", "README.md", "docs/src"].contains(&path);
        broken_links(path, text, &exists)
            .into_iter()
            .map(|fault| fault.line)
            .collect()
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        assert_eq!(
            broken(
                "README.md",
                "x [a](docs/src/a.md#part) [b](README.md)\n[c](docs/b.md) [d](docs/src)"
            ),
            [2]
        );
        assert_eq!(
            broken(
                "docs/src/a.md",
                "[a](./a.md) ![b](../../README.md)\n\n[c](../README.md)"
            ),
            [3]
        );
        assert_eq!(broken("README.md", "[`a`](nothing.md)"), [1]);
        assert_eq!(
            broken(
                "README.md",
                "[a]: nothing.md\n[b]: https://example.org/b.md"
            ),
            [1]
        );
    }

    #[test]
    fn code_anchors_and_the_rest_of_the_world_are_left_alone() {
        assert_eq!(
            broken(
                "README.md",
                "[a](#part) [b](https://example.org/x) [c](mailto:a@example.org)"
            ),
            NOTHING
        );
        assert_eq!(
            broken(
                "README.md",
                "`[a](nothing.md)`\n```\n[b](nothing.md)\n```\n"
            ),
            NOTHING
        );
    }

    #[test]
    fn a_page_that_is_not_listed_is_found() {
        let pages = [
            "docs/src/SUMMARY.md",
            "docs/src/a.md",
            "docs/src/decisions/b.md",
        ]
        .map(String::from);
        assert_eq!(
            unlisted_pages("- [A](a.md)\n  - [B](./decisions/b.md)", &pages),
            []
        );
        assert_eq!(unlisted_pages("- [A](a.md)", &pages).len(), 1);
        assert_eq!(unlisted_pages("", &pages).len(), 2);
    }
}
