//! What the documents say can be done is done here: links lead somewhere, pages are in the book, snippets run.
//!
//! The snippets are taken from the pages as they are; only the broker's address is another one. Needs what `cargo xtask setup`
//! installs; without it these tests fail.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use weir_tests::{Broker, PATIENCE, folder, weir};

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    for page in pages() {
        for target in links(&fs::read_to_string(&page).unwrap()) {
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(path)
            };
            assert!(file.exists(), "{}: {target}", page.display());
            assert!(
                anchor.is_empty() || anchors(&file).contains(&anchor.to_owned()),
                "{}: {target}",
                page.display()
            );
        }
    }
}

#[test]
fn every_page_is_in_the_book() {
    let book = root().join("docs/src");
    let listed = links(&fs::read_to_string(book.join("SUMMARY.md")).unwrap());
    for page in pages()
        .iter()
        .filter_map(|page| page.strip_prefix(&book).ok())
    {
        let name = page.to_str().unwrap();
        assert!(
            name == "SUMMARY.md" || listed.iter().any(|link| link == name),
            "SUMMARY.md lacks {name}"
        );
    }
}

#[test]
fn the_javascript_of_the_readme_receives_its_message() {
    let broker = Broker::start();
    let mut node = Command::new("node");
    node.args([
        "--input-type=module",
        "--eval",
        &snippet("README.md", "js", &broker),
    ])
    .current_dir(root().join("tests/node"));
    assert_eq!(first_line(&mut node), "hello/world from MQTT.js");
}

#[test]
fn the_javascript_of_the_book_receives_its_message() {
    let broker = Broker::start();
    let mut node = Command::new("node");
    let script = snippet("docs/src/getting-started.md", "js", &broker);
    node.args(["--input-type=module", "--eval", &script])
        .current_dir(root().join("tests/node"));
    assert_eq!(first_line(&mut node), "hello/world from MQTT.js");
}

#[test]
fn the_python_of_the_book_receives_its_message() {
    let broker = Broker::start();
    let mut python = Command::new(root().join("tests/.env/bin/python"));
    python.args([
        "-c",
        &snippet("docs/src/getting-started.md", "python", &broker),
    ]);
    assert_eq!(first_line(&mut python), "hello/world from paho-mqtt");
}

#[test]
fn the_configuration_of_the_book_is_valid() {
    let file = folder().join("broker.toml");
    fs::write(&file, block("docs/src/getting-started.md", "toml")).unwrap();
    let output = Command::new(weir())
        .arg("check")
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    assert!(
        output
            .stdout
            .starts_with(format!("{}: ok\n", file.display()).as_bytes()),
        "{output:?}"
    );
}

#[test]
fn a_configuration_with_mistakes_is_refused_before_anything_is_opened() {
    let file = folder().join("broker.toml");
    fs::write(
        &file,
        "[[listener]]\nbind = \"0.0.0.0\"\n\n[limits]\nmax_packet_size = 262144\n",
    )
    .unwrap();
    let name = file.to_str().unwrap();
    for arguments in [
        ["check", name].as_slice(),
        &["run", "--config", name],
        &["--config", name],
    ] {
        let output = Command::new(weir()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stderr)
            .unwrap()
            .replace(name, "broker.toml");
        for line in block("docs/src/getting-started.md", "text").lines() {
            assert!(
                said.contains(line.trim_end_matches("...")),
                "the book promises {line}, and not {said}"
            );
        }
    }
}

/// The first thing that a program prints; its own errors are this test's.
fn first_line(command: &mut Command) -> String {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = child.stdout.take().unwrap();
    let _running = Running(child);
    let (found, line) = mpsc::channel();
    std::thread::spawn(move || found.send(BufReader::new(stdout).lines().next()));
    line.recv_timeout(PATIENCE)
        .expect("a line in time")
        .expect("a line before the end")
        .unwrap()
}

/// The only block of this language in a page, for this broker.
fn snippet(page: &str, language: &str, broker: &Broker) -> String {
    block(page, language).replace("8083", &broker.address().port().to_string())
}

/// The only block of this language in a page.
fn block(page: &str, language: &str) -> String {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let blocks: Vec<&str> = text.split(&format!("```{language}\n")).skip(1).collect();
    assert_eq!(blocks.len(), 1, "{page} has one block of {language}");
    blocks[0].split("```").next().unwrap().to_owned()
}

/// The targets of a page's links into the repository.
fn links(text: &str) -> Vec<String> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://"))
        .map(str::to_owned)
        .collect()
}

/// What a page's headings are called in links.
fn anchors(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let headings = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim());
    headings
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect()
}

/// Every page at the top of the repository and in the book.
fn pages() -> Vec<PathBuf> {
    let folders = ["", "docs/src", "docs/src/decisions"].map(|folder| root().join(folder));
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
