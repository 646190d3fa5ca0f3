//! The trees against the plain definition: random operations, and after each the same answer.
//!
//! The model is a list of subscriptions walked with `TopicFilter::matches`, and a set of topics. The
//! alphabet is tiny, so that filters collide, share prefixes, are replaced and removed again, and the
//! odd shapes come up all the time: empty levels, `$` topics, levels longer than a stored short text.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use proptest::prelude::*;
use weir_codec::{TopicFilter, TopicName};
use weir_router::{Content, Matched, Page, RetainedTree, SubscriptionTree};

const NAMES: [&str; 6] = ["", "a", "b", "$s", "a!", "a level that is longer than most"];

fn topic() -> impl Strategy<Value = TopicName> {
    let levels = prop::collection::vec(prop::sample::select(&NAMES), 1..5);
    levels.prop_filter_map("empty", |levels| {
        TopicName::try_from(levels.join("/").as_str()).ok()
    })
}

fn filter() -> impl Strategy<Value = TopicFilter> {
    let level = prop_oneof![2 => prop::sample::select(&NAMES), 1 => Just("+")];
    let share = prop::sample::select(&["", "", "", "$share/g/", "$share/h/"]);
    (share, prop::collection::vec(level, 0..5), any::<bool>()).prop_filter_map(
        "invalid",
        |(share, mut levels, all)| {
            if all {
                levels.push("#");
            }
            TopicFilter::try_from(format!("{share}{}", levels.join("/")).as_str()).ok()
        },
    )
}

#[derive(Clone, Debug)]
enum Operation {
    Insert(TopicFilter, u8, u16),
    Remove(TopicFilter, u8),
    /// Removes an existing subscription, chosen by this number.
    RemoveOne(usize),
    Match(TopicName),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (filter(), 0..4u8, any::<u16>()).prop_map(|(filter, key, value)| Operation::Insert(filter, key, value)),
        1 => (filter(), 0..4u8).prop_map(|(filter, key)| Operation::Remove(filter, key)),
        2 => any::<usize>().prop_map(Operation::RemoveOne),
        3 => topic().prop_map(Operation::Match),
    ]
}

type Model = BTreeMap<(TopicFilter, u8), u16>;
/// What a topic reaches: one entry for each subscriber alone, one for each group with its members.
type Reached = Vec<(Option<String>, Vec<(u8, u16)>)>;

fn reached(tree: &SubscriptionTree<u8, u16>, topic: &TopicName) -> Reached {
    let mut reached = Reached::new();
    tree.matches(topic, |matched| match matched {
        Matched::Each(each) => reached.extend(each.iter().map(|entry| (None, vec![*entry]))),
        Matched::OneOf(group) => {
            let mut members = group.members().to_vec();
            members.sort_unstable();
            assert!(group.next_turn() < members.len());
            reached.push((Some(group.filter().as_str().to_owned()), members));
        }
    });
    reached.sort();
    reached
}

fn expected(model: &Model, topic: &TopicName) -> Reached {
    let (mut alone, mut groups) = (Reached::new(), BTreeMap::<String, Vec<(u8, u16)>>::new());
    for ((filter, key), value) in model
        .iter()
        .filter(|((filter, _), _)| filter.matches(topic))
    {
        match filter.share_name() {
            None => alone.push((None, vec![(*key, *value)])),
            Some(_) => groups
                .entry(filter.as_str().to_owned())
                .or_default()
                .push((*key, *value)),
        }
    }
    alone.extend(
        groups
            .into_iter()
            .map(|(filter, members)| (Some(filter), members)),
    );
    alone.sort();
    alone
}

fn apply(tree: &mut SubscriptionTree<u8, u16>, model: &mut Model, operation: Operation) {
    match operation {
        Operation::Insert(filter, key, value) => {
            assert_eq!(
                tree.insert(&filter, key, value),
                model.insert((filter, key), value)
            );
        }
        Operation::Remove(filter, key) => {
            assert_eq!(tree.get(&filter, key), model.get(&(filter.clone(), key)));
            assert_eq!(tree.remove(&filter, key), model.remove(&(filter, key)));
        }
        Operation::RemoveOne(choice) => {
            let chosen = model.keys().nth(choice % model.len().max(1)).cloned();
            if let Some((filter, key)) = chosen {
                assert_eq!(tree.remove(&filter, key), model.remove(&(filter, key)));
            }
        }
        Operation::Match(topic) => assert_eq!(reached(tree, &topic), expected(model, &topic)),
    }
    assert_eq!(tree.len(), model.len());
}

fn pages(tree: &RetainedTree<(), u16>, filter: &TopicFilter, limit: usize) -> Vec<(String, u16)> {
    let (mut found, mut after) = (Vec::new(), None);
    while let Page::More(last) = tree.page(filter, after.as_deref(), &mut { limit }, |topics| {
        found.extend(topics.map(|kept| (kept.content.topic().to_string(), *kept.value)));
        ControlFlow::Continue(())
    }) {
        after = Some(last);
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_operations_leave_a_subscription_tree_that_agrees_with_a_list(
        seed in any::<u64>(), operations in prop::collection::vec(operation(), 1..120),
    ) {
        let (mut tree, mut model) = (SubscriptionTree::new(seed), Model::new());
        for operation in operations {
            apply(&mut tree, &mut model, operation);
        }
        for ((filter, key), value) in model {
            prop_assert_eq!(tree.remove(&filter, key), Some(value));
        }
        prop_assert_eq!((tree.len(), tree.footprint()), (0, (0, 0)));
    }

    #[test]
    fn any_filter_finds_the_retained_topics_that_it_matches_each_once_in_pages_of_any_size(
        topics in prop::collection::btree_map(topic(), any::<u16>(), 0..60),
        removed in prop::collection::vec(topic(), 0..20),
        filters in prop::collection::vec(filter(), 1..8),
        limit in 1..8usize,
    ) {
        let (mut tree, mut model) = (RetainedTree::new(), topics.clone());
        for (topic, value) in topics {
            prop_assert_eq!(tree.insert(Content::of_topic(topic.as_str()), (), value), None);
        }
        for topic in removed {
            prop_assert_eq!(tree.remove(topic.as_str()), model.remove(&topic));
        }
        for filter in filters {
            let found = pages(&tree, &filter, limit);
            let unique: BTreeMap<String, u16> = found.iter().cloned().collect();
            let matching = model.iter().filter(|(topic, _)| filter.matches(topic));
            let expected: BTreeMap<String, u16> = matching.map(|(topic, value)| (topic.to_string(), *value)).collect();
            prop_assert_eq!(unique.len(), found.len());
            prop_assert_eq!(unique, expected);
        }
    }

    #[test]
    fn topics_that_stay_are_found_once_whatever_happens_between_pages(
        stay in prop::collection::btree_set(topic(), 0..30),
        come_and_go in prop::collection::vec((topic(), any::<bool>()), 0..60),
        filter in filter(),
    ) {
        let mut tree = RetainedTree::new();
        stay.iter().for_each(|topic| { tree.insert(Content::of_topic(topic.as_str()), (), 0); });
        let mut changes = come_and_go.into_iter().filter(|(topic, _)| !stay.contains(topic));
        let (mut found, mut after) = (Vec::new(), None);
        while let Page::More(last) = tree.page(&filter, after.as_deref(), &mut 1, |topics| {
            found.extend(topics.map(|kept| TopicName::try_from(kept.content.topic()).unwrap()));
            ControlFlow::Continue(())
        }) {
            for (topic, comes) in changes.by_ref().take(3) {
                if comes { tree.insert(Content::of_topic(topic.as_str()), (), 0); } else { tree.remove(topic.as_str()); }
            }
            after = Some(last);
        }
        let unique: BTreeSet<&TopicName> = found.iter().collect();
        prop_assert_eq!(unique.len(), found.len());
        for topic in stay.iter().filter(|topic| filter.matches(topic)) {
            prop_assert!(unique.contains(topic));
        }
        prop_assert!(found.iter().all(|topic| filter.matches(topic)));
    }

    #[test]
    fn contents_of_any_length_stay_with_their_topics(
        changes in prop::collection::vec((0..60u16, prop::option::weighted(0.7, 0..3000usize)), 1..400),
    ) {
        let (mut tree, mut model) = (RetainedTree::new(), BTreeMap::new());
        for (turn, (number, length)) in changes.into_iter().enumerate() {
            // Few lengths for a topic, so that one often takes the place of another as long.
            let topic = format!("site/{}/{number}", number % 7);
            match length {
                Some(length) => {
                    let mut bytes = vec![turn as u8; length / 1000 * 1000 + usize::from(number)];
                    bytes.splice(0..0, topic.bytes());
                    let content = Content::new(&bytes, 0..topic.len()).unwrap();
                    let old = tree.insert(content, (), turn);
                    prop_assert_eq!(old, model.insert(topic, (bytes, turn)).map(|old| old.1));
                }
                None => prop_assert_eq!(tree.remove(&topic), model.remove(&topic).map(|old| old.1)),
            }
            prop_assert_eq!(tree.len(), model.len());
        }
        let mut expected: Vec<_> = model.into_iter().collect();
        expected.sort_by(|one, other| one.0.split('/').cmp(other.0.split('/')));
        let kept = tree.iter().map(|it| (it.content.topic().to_string(), (it.content.bytes().to_vec(), *it.value)));
        prop_assert!(kept.eq(expected.iter().cloned()));
        for (topic, (content, value)) in &expected {
            prop_assert_eq!(tree.get(topic).map(|it| (it.content.bytes(), it.value)), Some((&content[..], value)));
        }
    }
}
