//! What matching alone takes of a publish, among a million subscriptions.
//!
//! From outside only the whole way of a publish can be measured. So the router's own example is run, which fills a tree
//! with the same kind of filters, and its two lines are read.

use crate::report::Report;
use std::io;
use std::path::Path;
use std::process::Command;

/// Adds what the program says of a topic that is always another, and of one that is always the same.
///
/// # Errors
/// It can't be run, or does not say it.
pub(super) fn add(program: &Path, report: Report) -> io::Result<Report> {
    let output = Command::new(program).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = |label| {
        let nanos = nanos(&text, label);
        nanos.ok_or_else(|| {
            io::Error::other(format!("{} says nothing of {label}", program.display()))
        })
    };
    let (cold, hot) = (found("cold")?, found("hot")?);
    Ok(report
        .with("cold_match_us", cold / 1e3)
        .with("hot_match_us", hot / 1e3))
}

/// The figure of a line such as `cold  1512 ns a match`.
fn nanos(text: &str, label: &str) -> Option<f64> {
    let mut lines = text.lines().map(str::split_whitespace);
    let mut words = lines.find_map(|mut words| (words.next() == Some(label)).then_some(words))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_label_is_found() {
        let text = "hotter 1 ns\nhot       125 ns a match (1.0 filters)\ncold 1512 ns a match";
        assert_eq!(nanos(text, "hot"), Some(125.0));
        assert_eq!(nanos(text, "cold"), Some(1512.0));
        assert_eq!(nanos(text, "none"), None);
    }
}
