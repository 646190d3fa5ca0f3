//! The rules for one client, and what the engine asks of them.
//!
//! Nothing here is copied from the file for a client: it holds a reference to its user's rules and to the patterns, and its
//! two names. It knows which content of the file it was made from, and so whether that still counts.

use super::coverage::{Filling, coverage, filled, overlaps};
use super::file::Acl;
use super::index::Index;
use super::rule::{Access, Rule, Who, parse_entry};
use super::{Step, Want};
use crate::Provider;
use crate::watched::Watched;
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;
use weir_engine::{Asked, Coverage, Permissions, Refreshed, TopicFilter, TopicName, Utf8};

/// What the log says where no rule is to blame but the lack of one.
pub(super) const UNSAID: &str = "no rule allows it";

/// The rules for one user.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    own: Option<Arc<Index>>,
    patterns: Arc<Index>,
}

impl Rules {
    pub(crate) fn new(own: Option<Arc<Index>>, patterns: Arc<Index>) -> Self {
        Self { own, patterns }
    }

    /// Rules that came with the client itself: a JSON list of `read news/#`, each a pattern.
    ///
    /// # Errors
    /// The number of the entry that can't be read, counted from 1; 0 if it is no list.
    pub(crate) fn of_list(list: &Value, place: &str) -> Result<Self, usize> {
        let entries = list.as_array().ok_or(0_usize)?;
        let rules = entries.iter().enumerate().map(|(index, entry)| {
            let rule = entry.as_str().and_then(|text| {
                let (access, filter) = parse_entry(text).ok()?;
                let name = format!("{place} {}: {text}", index + 1);
                Rule::new(access, filter, true, name).ok()
            });
            rule.ok_or(index + 1)
        });
        let rules: Vec<Rule> = rules.collect::<Result<_, _>>()?;
        Ok(Self::new(None, Arc::new(Index::new(rules))))
    }

    /// What is said of a topic, and by which rule.
    pub(crate) fn decide(&self, topic: &str, want: Want, who: &Who) -> (Step, Option<&Rule>) {
        let own = self.own.as_ref();
        let own = own.and_then(|own| own.decide(topic, want, who));
        let pattern = || self.patterns.decide(topic, want, who);
        match own {
            Some(rule) => (own_step(rule), Some(rule)),
            None => match pattern() {
                Some(rule) => (pattern_step(rule), Some(rule)),
                None => (Step::Unsaid, None),
            },
        }
    }

    /// How much of what a filter matches may be received.
    pub(crate) fn cover(&self, filter: &TopicFilter, who: &Who) -> Coverage {
        let filled: Vec<Filling> = self
            .steps()
            .filter(|(_, rule)| rule.access.is_about(Want::Read))
            .filter_map(|(step, rule)| Some((step, rule.filled(who)?)))
            .collect();
        coverage(&filled, filter)
    }

    /// The rules that have a say about a filter, in the order in which they count.
    pub(crate) fn about<'a>(&'a self, filter: &TopicFilter, who: &Who) -> Vec<(Step, &'a Rule)> {
        let wanted: Vec<_> = filter.levels().map(filled).collect();
        let mut about: Vec<_> = self
            .steps()
            .filter(|(_, rule)| rule.access.is_about(Want::Read))
            .filter(|(_, rule)| {
                rule.filled(who)
                    .is_some_and(|levels| overlaps(&levels, &wanted))
            })
            .collect();
        about.sort_by_key(|(step, _)| *step);
        about
    }

    fn steps(&self) -> impl Iterator<Item = (Step, &Rule)> {
        let own = self.own.iter().flat_map(|index| index.rules());
        let own = own.map(|rule| (own_step(rule), rule));
        let patterns = self.patterns.rules().iter();
        own.chain(patterns.map(|rule| (pattern_step(rule), rule)))
    }
}

fn own_step(rule: &Rule) -> Step {
    match rule.access {
        Access::Deny => Step::OwnDeny,
        _ => Step::OwnAllow,
    }
}

fn pattern_step(rule: &Rule) -> Step {
    match rule.access {
        Access::Deny => Step::PatternDeny,
        _ => Step::PatternAllow,
    }
}

/// What one client was granted.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) who: Who,
    /// `None`: there are no rules, so everything is allowed.
    pub(crate) rules: Option<Rules>,
    /// Where the rules are from, unless they came with the client itself, and what it said then.
    pub(crate) file: Option<(Arc<Watched<Acl>>, Arc<Acl>)>,
    /// Who let it in; `None`: nobody had to.
    pub(crate) provider: Option<Arc<dyn Provider>>,
}

impl Granted {
    /// What a file allows a client; everything, if there is none.
    pub(crate) fn by_file(
        file: Option<&Arc<Watched<Acl>>>,
        client_id: &Utf8,
        user: Option<&Utf8>,
        provider: Option<Arc<dyn Provider>>,
    ) -> Self {
        let read = file.map(|file| (Arc::clone(file), file.current()));
        Self {
            rules: read
                .as_ref()
                .map(|(_, acl)| acl.rules(user.map(|user| &**user))),
            file: read,
            who: Who {
                client_id: client_id.detached(),
                user: user.map(Utf8::detached),
            },
            provider,
        }
    }

    fn allows(&self, topic: &TopicName, want: Want) -> bool {
        let rules = self.rules.as_ref();
        rules.is_none_or(|rules| rules.decide(topic.as_str(), want, &self.who).0.allows())
    }

    /// The rule that decides about a topic.
    pub(crate) fn rule_of_topic(&self, topic: &TopicName, want: Want) -> String {
        let Some(rules) = &self.rules else {
            return "there are no rules".into();
        };
        let (_, rule) = rules.decide(topic.as_str(), want, &self.who);
        rule.map_or(UNSAID.into(), |rule| rule.name.to_string())
    }

    /// The rules that decide about a filter.
    pub(crate) fn rules_of_filter(&self, filter: &TopicFilter) -> Vec<String> {
        let Some(rules) = &self.rules else {
            return Vec::new();
        };
        let about = rules.about(filter, &self.who);
        about
            .iter()
            .map(|(_, rule)| rule.name.to_string())
            .collect()
    }
}

impl Permissions for Granted {
    fn may_publish(&self, topic: &TopicName) -> bool {
        self.allows(topic, Want::Write)
    }

    fn may_subscribe(&self, filter: &TopicFilter) -> Coverage {
        let rules = self.rules.as_ref();
        rules.map_or(Coverage::Whole, |rules| rules.cover(filter, &self.who))
    }

    fn may_receive(&self, topic: &TopicName) -> bool {
        self.allows(topic, Want::Read)
    }

    fn refreshed(&self) -> Refreshed {
        if let (Some(provider), Some(user)) = (&self.provider, &self.who.user)
            && !provider.still_admits(user)
        {
            return Refreshed::Withdrawn;
        }
        match &self.file {
            Some((file, read)) if !Arc::ptr_eq(read, &file.current()) => {
                let (client_id, user) = (&self.who.client_id, self.who.user.as_ref());
                let again = Self::by_file(Some(file), client_id, user, self.provider.clone());
                Refreshed::Changed(Arc::new(again))
            }
            _ => Refreshed::Unchanged,
        }
    }

    fn rule(&self, asked: Asked<'_>) -> String {
        match asked {
            Asked::Publish(topic) => self.rule_of_topic(topic, Want::Write),
            Asked::Receive(topic) => self.rule_of_topic(topic, Want::Read),
            Asked::Subscribe(filter) => {
                // Nothing of it is allowed: the first rule that has a say denies it, or there is none.
                let mut rules = self.rules_of_filter(filter).into_iter();
                let mut named = rules.next().unwrap_or_else(|| UNSAID.into());
                let others = rules.count();
                if others > 0 {
                    let _ = write!(named, " (and {others} more)");
                }
                named
            }
        }
    }
}
