//! Rules as a tree of levels: a user's own, or the patterns that are for everybody.
//!
//! A publish costs the levels of its topic, however many rules there are; only `+` and levels with names to fill in, of
//! which there are few at one place, make the walk fork. Names are filled in on the way, so that patterns are one tree for
//! all clients.

use super::Want;
use super::rule::{Access, Level, Part, Rule, Who, begins_with_dollar, is_text};
use std::collections::HashMap;

/// Rules, to be found by topic.
#[derive(Debug, Default)]
pub(crate) struct Index {
    rules: Vec<Rule>,
    /// The first is the root.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, usize>,
    /// Levels with names in them.
    named: Vec<(Box<[Part]>, usize)>,
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

    /// The rule that decides about a topic: a denial, or else a permission.
    pub(crate) fn decide(&self, topic: &str, want: Want, who: &Who) -> Option<&Rule> {
        let mut found = Said::default();
        let walk = Walk {
            index: self,
            who,
            // Only rules that begin with `$` themselves are about such topics.
            wildcards: !topic.starts_with('$'),
        };
        walk.visit(0, &mut topic.split('/'), true, &mut found);
        let allow = match want {
            Want::Read => found.read,
            Want::Write => found.write,
        };
        self.rules.get(found.deny.or(allow)?)
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
                Level::Text(parts) => match plain(parts) {
                    Some(text) => *here.children.entry(text).or_insert(next),
                    None => here.named_child(parts, next),
                },
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

impl Node {
    fn named_child(&mut self, parts: &[Part], next: usize) -> usize {
        if let Some((_, child)) = self.named.iter().find(|(known, _)| **known == *parts) {
            return *child;
        }
        self.named.push((parts.into(), next));
        next
    }
}

/// One look at the tree.
struct Walk<'i> {
    index: &'i Index,
    who: &'i Who,
    wildcards: bool,
}

impl Walk<'_> {
    fn visit<'t>(
        &self,
        at: usize,
        names: &mut (impl Iterator<Item = &'t str> + Clone),
        is_first: bool,
        found: &mut Said,
    ) {
        #[cfg(test)]
        VISITED.with(|visited| visited.set(visited.get() + 1));
        let Some(node) = self.index.nodes.get(at) else {
            return;
        };
        let wildcards = !is_first || self.wildcards;
        if wildcards {
            found.add(node.rest);
        }
        let Some(name) = names.next() else {
            return found.add(node.here);
        };
        if let Some(child) = node.children.get(name) {
            self.visit(*child, &mut names.clone(), false, found);
        }
        for (parts, child) in &node.named {
            if (wildcards || begins_with_dollar(parts)) && is_text(parts, name, self.who) {
                self.visit(*child, &mut names.clone(), false, found);
            }
        }
        if let Some(any) = node.any.filter(|_| wildcards) {
            self.visit(any, names, false, found);
        }
    }
}

#[cfg(test)]
thread_local! {
    /// How many nodes were looked at.
    pub(crate) static VISITED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
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

/// `None` if there are names in it.
fn plain(parts: &[Part]) -> Option<Box<str>> {
    let texts = parts.iter().map(|part| match part {
        Part::Plain(text) => Some(&**text),
        Part::ClientId | Part::User => None,
    });
    texts
        .collect::<Option<String>>()
        .map(String::into_boxed_str)
}
