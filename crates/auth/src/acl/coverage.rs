//! How much of what a filter matches is allowed: all, some, or nothing.
//!
//! The answer is exact. All topics that the filter matches are walked level by level, those that no rule tells apart as one:
//! at each level only the texts that some rule names matter, and one that none names. What is left of the rules
//! afterwards says the same of everything below. A set of rules made to explode runs out of steps and is answered with
//! `Part`, which is safe: every delivery is asked about then.

use super::Step;
use super::rule::Filled;
use weir_engine::{Coverage, TopicFilter};

/// Steps until the walk gives up.
const STEPS_MAX: usize = 20_000;

/// A rule with names filled in, and the step in which it decides.
pub(crate) type Filling = (Step, Vec<Filled>);

/// How much of what `filter` matches these rules allow.
pub(crate) fn coverage(rules: &[Filling], filter: &TopicFilter) -> Coverage {
    let wanted: Vec<Filled> = filter.levels().map(filled).collect();
    let is_about_dollar = begins_with_dollar(&wanted);
    let rules: Vec<&Filling> = rules
        .iter()
        .filter(|(_, levels)| begins_with_dollar(levels) == is_about_dollar)
        .filter(|(_, levels)| overlaps(levels, &wanted))
        .collect();
    let mut walk = Walk {
        wanted: &wanted,
        steps: 0,
        some_allowed: false,
        some_denied: false,
    };
    walk.visit(0, &rules, Step::Unsaid, false);
    match (walk.some_allowed, walk.some_denied) {
        (true, false) => Coverage::Whole,
        (true, true) => Coverage::Part,
        (false, _) => Coverage::Nothing,
    }
}

/// Whether some topic matches both.
pub(crate) fn overlaps(one: &[Filled], other: &[Filled]) -> bool {
    match (one, other) {
        ([], []) | ([Filled::Rest, ..], _) | (_, [Filled::Rest, ..]) => true,
        ([a, one @ ..], [b, other @ ..]) => {
            let meets = match (a, b) {
                (Filled::Text(a), Filled::Text(b)) => a == b,
                _ => true,
            };
            meets && overlaps(one, other)
        }
        _ => false,
    }
}

/// The levels of a filter.
pub(crate) fn filled(level: &str) -> Filled {
    match level {
        "+" => Filled::Any,
        "#" => Filled::Rest,
        text => Filled::Text(text.into()),
    }
}

fn begins_with_dollar(levels: &[Filled]) -> bool {
    matches!(levels.first(), Some(Filled::Text(text)) if text.starts_with('$'))
}

struct Walk<'a> {
    wanted: &'a [Filled],
    steps: usize,
    some_allowed: bool,
    some_denied: bool,
}

impl Walk<'_> {
    /// All topics that begin with the levels walked so far. `alive` are the rules that these levels do not rule out,
    /// `said` the earliest step of those that match whatever follows; `is_topic`: the levels walked so far are one.
    fn visit(&mut self, depth: usize, alive: &[&Filling], said: Step, is_topic: bool) {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            self.some_allowed = true;
            self.some_denied = true;
        }
        if self.some_allowed && self.some_denied {
            return;
        }
        let said = earliest(alive, said, |levels| {
            levels.get(depth) == Some(&Filled::Rest)
        });
        let wanted = self.wanted.get(depth).or(self.last_rest());
        if is_topic && matches!(wanted, None | Some(Filled::Rest)) {
            // The topic may end here.
            self.note(earliest(alive, said, |levels| levels.len() == depth));
        }
        let Some(wanted) = wanted else {
            return;
        };
        // A rule that says it later than what is said already changes nothing.
        let counts = |(step, levels): &&&Filling| {
            *step < said && matches!(levels.get(depth), Some(Filled::Any | Filled::Text(_)))
        };
        let alive: Vec<&Filling> = alive.iter().filter(counts).copied().collect();
        if alive.is_empty() {
            return self.note(said);
        }
        match wanted {
            Filled::Text(text) => self.descend(depth, &alive, said, Some(text)),
            Filled::Any | Filled::Rest => {
                let mut texts: Vec<&String> = alive
                    .iter()
                    .filter_map(|(_, levels)| text_at(levels, depth))
                    .collect();
                texts.sort_unstable();
                texts.dedup();
                for text in texts {
                    self.descend(depth, &alive, said, Some(text));
                }
                self.descend(depth, &alive, said, None);
            }
        }
    }

    /// Takes this text, or one that no rule names, for the next level.
    fn descend(&mut self, depth: usize, alive: &[&Filling], said: Step, text: Option<&String>) {
        let goes_on = |(_, levels): &&&Filling| match levels.get(depth) {
            Some(Filled::Any) => true,
            Some(Filled::Text(own)) => Some(own) == text,
            _ => false,
        };
        let alive: Vec<&Filling> = alive.iter().filter(goes_on).copied().collect();
        // The empty text alone is no topic [MQTT-4.7.3-1].
        let is_topic = depth > 0 || text.is_none_or(|text| !text.is_empty());
        self.visit(depth + 1, &alive, said, is_topic);
    }

    fn note(&mut self, step: Step) {
        self.some_allowed |= step.allows();
        self.some_denied |= !step.allows();
    }

    /// Below a `#` everything is wanted.
    fn last_rest(&self) -> Option<&'static Filled> {
        (self.wanted.last() == Some(&Filled::Rest)).then_some(&Filled::Rest)
    }
}

fn earliest(alive: &[&Filling], said: Step, is_meant: impl Fn(&[Filled]) -> bool) -> Step {
    let meant = alive.iter().filter(|(_, levels)| is_meant(levels));
    meant.map(|(step, _)| *step).fold(said, Step::min)
}

fn text_at(levels: &[Filled], depth: usize) -> Option<&String> {
    match levels.get(depth) {
        Some(Filled::Text(text)) => Some(text),
        _ => None,
    }
}
