//! Topic names and filters: parsing, matching one by one, and matching through the subscription tree.
//!
//! The three agree with the few lines at the end of this file, which follow section 4.7 of the specification word by
//! word and care for nothing else.

use weir_codec::{TopicFilter, TopicName, Utf8};
use weir_router::{Matched, SubscriptionTree};

use crate::choices::Choices;

/// The lines of `data`: the first is a topic name, the others are filters.
pub fn topics(data: &[u8]) {
    let mut choices = Choices::new(data);
    let seed = u64::from(choices.byte());
    let mut lines = choices.rest().split(|byte| *byte == b'\n');
    let parsed = lines
        .next()
        .map(|line| (std::str::from_utf8(line), text(line)));
    let Some((Ok(name), Some(utf8))) = parsed else {
        return;
    };
    let topic = TopicName::try_from(name);
    assert_eq!(topic.is_ok(), is_topic(utf8.as_ref()), "{name:?}");
    let Ok(topic) = topic else { return };
    let mut tree = SubscriptionTree::new(seed);
    let mut expected = Vec::new();
    for (n, line) in lines.enumerate() {
        let Some(line) = text(line) else { continue };
        let filter = TopicFilter::parse(line.clone());
        assert_eq!(
            filter.is_ok(),
            is_filter(line.as_ref()),
            "{:?}",
            line.as_ref() as &str
        );
        let Ok(filter) = filter else { continue };
        let wanted = matches(filter.filter(), name);
        assert_eq!(
            filter.matches(&topic),
            wanted,
            "{:?} and {name:?}",
            filter.as_str()
        );
        tree.insert(&filter, n, ());
        if wanted {
            expected.push(n);
        }
    }
    let mut found = Vec::new();
    tree.matches(&topic, |matched| match matched {
        Matched::Each(members) => found.extend(members.iter().map(|(n, ())| *n)),
        Matched::OneOf(group) => found.extend(group.members().iter().map(|(n, ())| *n)),
    });
    found.sort_unstable();
    assert_eq!(found, expected, "{name:?}");
}

fn text(line: &[u8]) -> Option<Utf8> {
    Utf8::try_from(std::str::from_utf8(line).ok()?).ok()
}

fn is_topic(name: &str) -> bool {
    !name.is_empty() && !name.contains(['+', '#'])
}

fn is_filter(text: &str) -> bool {
    if let Some(shared) = text.strip_prefix("$share/") {
        let Some((name, filter)) = shared.split_once('/') else {
            return false;
        };
        return !name.is_empty() && !name.contains(['+', '#']) && is_plain_filter(filter);
    }
    is_plain_filter(text)
}

fn is_plain_filter(filter: &str) -> bool {
    let levels: Vec<_> = filter.split('/').collect();
    let sound = |(n, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => n + 1 == levels.len(),
        level => !level.contains(['+', '#']),
    };
    !filter.is_empty() && levels.iter().enumerate().all(sound)
}

fn matches(filter: &str, topic: &str) -> bool {
    // [MQTT-4.7.2-1]
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => return false,
        }
    }
}
