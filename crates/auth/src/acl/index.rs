//! A user's own rules as a tree of levels.
//!
//! A publish costs the levels of its topic, however many rules its user has; only `+` makes the walk fork. Rules with names
//! to fill in are not kept here: there are few of them, and they are the same for everybody.

use super::rule::{Access, Level, Part, Rule};
use super::{Step, Want};
use std::collections::HashMap;

/// Rules without names to fill in.
#[derive(Debug, Default)]
pub(crate) struct Index {
    rules: Vec<Rule>,
    /// The first is the root.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, usize>,
    any: Option<usize>,
    /// The rules that end here, and those that go on with `#`.
    here: Said,
    rest: Said,
}

/// The first rule of each sort, by its place in the list.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    deny: Option<usize>,
    read: Option<usize>,
    write: Option<usize>,
}

impl Index {
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        let mut index = Self {
            rules: Vec::new(),
            nodes: vec![Node::default()],
        };
        for (at, rule) in rules.iter().enumerate() {
            index.enter(at, rule);
        }
        index.rules = rules;
        index
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What the rules say of a topic, and which of them.
    pub(crate) fn decide(&self, topic: &str, want: Want) -> (Step, Option<&Rule>) {
        let mut found = Said::default();
        let wildcards = !topic.starts_with('$');
        self.visit(0, &mut topic.split('/'), wildcards, &mut found);
        let allow = match want {
            Want::Read => found.read,
            Want::Write => found.write,
        };
        let (step, at) = match (found.deny, allow) {
            (Some(deny), _) => (Step::OwnDeny, deny),
            (None, Some(allow)) => (Step::OwnAllow, allow),
            (None, None) => return (Step::Unsaid, None),
        };
        (step, self.rules.get(at))
    }

    fn visit<'t>(
        &self,
        at: usize,
        names: &mut (impl Iterator<Item = &'t str> + Clone),
        wildcards: bool,
        found: &mut Said,
    ) {
        let Some(node) = self.nodes.get(at) else {
            return;
        };
        if wildcards {
            found.add(node.rest);
        }
        let Some(name) = names.next() else {
            return found.add(node.here);
        };
        if let Some(child) = node.children.get(name) {
            self.visit(*child, &mut names.clone(), true, found);
        }
        if let Some(any) = node.any.filter(|_| wildcards) {
            self.visit(any, names, true, found);
        }
    }

    fn enter(&mut self, at: usize, rule: &Rule) {
        let mut node = 0;
        for level in &rule.levels {
            let next = self.nodes.len();
            let Some(here) = self.nodes.get_mut(node) else {
                return;
            };
            node = match level {
                Level::Rest => return here.rest.enter(at, rule.access),
                Level::Any => *here.any.get_or_insert(next),
                Level::Text(parts) => *here.children.entry(plain(parts)).or_insert(next),
            };
            if node == next {
                self.nodes.push(Node::default());
            }
        }
        if let Some(here) = self.nodes.get_mut(node) {
            here.here.enter(at, rule.access);
        }
    }
}

impl Said {
    fn enter(&mut self, at: usize, access: Access) {
        let said = match access {
            Access::Deny => &mut [&mut self.deny][..],
            Access::Read => &mut [&mut self.read],
            Access::Write => &mut [&mut self.write],
            Access::ReadWrite => &mut [&mut self.read, &mut self.write],
        };
        for slot in said {
            slot.get_or_insert(at);
        }
    }

    fn add(&mut self, other: Self) {
        let first = |one: Option<usize>, other: Option<usize>| one.into_iter().chain(other).min();
        self.deny = first(self.deny, other.deny);
        self.read = first(self.read, other.read);
        self.write = first(self.write, other.write);
    }
}

fn plain(parts: &[Part]) -> Box<str> {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Plain(text) => Some(&**text),
        Part::ClientId | Part::User => None,
    });
    texts.collect::<String>().into()
}
