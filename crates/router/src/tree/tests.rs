//! Tests of the subscription tree, statement by statement of the specification and then its own promises.
//!
//! They look at the tree from outside, except where they count its nodes. That random operations agree
//! with the plain definition of matching is tested in `tests/against_naive.rs`.

use std::collections::BTreeSet;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use super::*;

type Tree = SubscriptionTree<u32, &'static str>;

fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}

fn topic(text: &str) -> TopicName {
    TopicName::try_from(text).unwrap()
}

fn tree(filters: &[&str]) -> Tree {
    let mut tree = Tree::new(7);
    for (key, text) in (0..).zip(filters) {
        tree.insert(&filter(text), key, "");
    }
    tree
}

fn group_of<'t>(tree: &'t Tree, text: &str) -> Option<&'t SharedGroup<u32, &'static str>> {
    tree.group(tree.group_id(&filter(text))?)
}

/// The keys that a topic reaches, a group as its smallest member's key.
fn reached(tree: &Tree, name: &str) -> Vec<u32> {
    let mut keys = Vec::new();
    tree.matches(&topic(name), |matched| match matched {
        Matched::Each(each) => keys.extend(each.iter().map(|(key, _)| *key)),
        Matched::OneOf(group) => keys.extend(group.members().iter().map(|(key, _)| *key).min()),
    });
    keys
}

/// Exactly these filters of a tree that has all of them match a topic.
#[track_caller]
fn check(name: &str, matching: &[&str], others: &[&str]) {
    let all: Vec<&str> = matching.iter().chain(others).copied().collect();
    let found: BTreeSet<u32> = reached(&tree(&all), name).into_iter().collect();
    let found: Vec<&str> = found.into_iter().map(|key| all[key as usize]).collect();
    assert_eq!(found, matching, "{name}");
}

/// [MQTT-3.3.2-3], [MQTT-4.7.1-1]
#[test]
fn the_multi_level_wildcard_stands_for_any_number_of_levels_and_for_the_parent() {
    let player = "sport/tennis/player1";
    check(
        player,
        &["sport/tennis/player1/#", "sport/tennis/#", "sport/#", "#"],
        &["sport/tennis", "sport/tennis/player1/+"],
    );
    check(
        "sport",
        &["sport/#", "#", "sport"],
        &["sport/", "sport/+", "sports/#"],
    );
}

/// [MQTT-4.7.1-2]
#[test]
fn the_single_level_wildcard_stands_for_exactly_one_level_empty_ones_too() {
    check(
        "sport/tennis",
        &["sport/+", "+/tennis", "+/+", "+/tennis/#", "+/+/#"],
        &["+", "sport/+/player1", "+/+/+"],
    );
    check(
        "/finance",
        &["+/+", "/+", "/finance"],
        &["+", "finance", "/", "//finance"],
    );
    check("sport/", &["sport/+", "sport/", "sport/#"], &["sport", "+"]);
    check(
        "a//b",
        &["a//b", "a/+/b", "+//+", "a//#"],
        &["a/b", "a/+", "a/b/#"],
    );
}

/// [MQTT-4.7.2-1]
#[test]
fn a_leading_wildcard_does_not_match_a_topic_that_begins_with_a_dollar_sign() {
    check(
        "$SYS/monitor/Clients",
        &["$SYS/#", "$SYS/monitor/+", "$SYS/+/#"],
        &["#", "+/monitor/Clients", "+/#", "/#"],
    );
    check("$SYS", &["$SYS", "$SYS/#"], &["+", "#", "+/#"]);
    check("a/$SYS", &["+/$SYS", "#", "a/+"], &["$SYS"]);
}

/// [MQTT-4.7.3-4]
#[test]
fn levels_are_compared_byte_for_byte() {
    check("ACCOUNTS", &["ACCOUNTS"], &["Accounts", "accounts"]);
    check("å", &["å"], &["a\u{30a}"]);
}

/// [MQTT-3.8.4-3]
#[test]
fn a_second_subscription_with_the_same_filter_replaces_the_first() {
    let mut tree = Tree::new(7);
    for text in ["a/+", "$share/g/a/+"] {
        let filter = filter(text);
        assert_eq!(tree.insert(&filter, 1, "old"), None);
        assert_eq!(tree.insert(&filter, 1, "new"), Some("old"));
        assert_eq!(tree.get(&filter, 1), Some(&"new"));
        assert_eq!(tree.get(&filter, 2), None);
    }
    assert_eq!(tree.len(), 2);
    assert_eq!(reached(&tree, "a/b"), [1, 1]);
}

/// [MQTT-3.10.4-1]
#[test]
fn removal_compares_the_whole_filter_and_takes_one_subscription() {
    let mut tree = tree(&["a/b", "a/+", "a/#", "$share/g/a/b", "$share/h/a/b"]);
    assert_eq!(tree.remove(&filter("a"), 0), None);
    assert_eq!(tree.remove(&filter("a/b"), 9), None);
    assert_eq!(tree.remove(&filter("$share/x/a/b"), 3), None);
    assert_eq!(tree.remove(&filter("$share/g/a/b"), 0), None);
    assert_eq!(tree.remove(&filter("a/b"), 0), Some(""));
    assert_eq!(tree.remove(&filter("a/b"), 0), None);
    assert_eq!(tree.remove(&filter("$share/h/a/b"), 4), Some(""));
    assert_eq!(reached(&tree, "a/b"), [2, 3, 1]);
    assert_eq!(tree.len(), 3);
}

/// Section 4.8.2.
#[test]
fn a_shared_group_is_one_match_and_its_turn_goes_round() {
    let mut tree = tree(&[
        "$share/g/a/#",
        "$share/g/a/#",
        "$share/g/a/#",
        "$share/h/a/#",
    ]);
    let mut groups = Vec::new();
    tree.matches(&topic("a/b"), |matched| match matched {
        Matched::Each(_) => panic!("nobody subscribed alone"),
        Matched::OneOf(group) => groups.push((group.filter().to_string(), group.members().len())),
    });
    assert_eq!(
        groups,
        [
            ("$share/g/a/#".to_string(), 3),
            ("$share/h/a/#".to_string(), 1)
        ]
    );

    let group = group_of(&tree, "$share/g/a/#").unwrap();
    let turns: Vec<usize> = (0..5).map(|_| group.next_turn()).collect();
    assert_eq!(turns, [0, 1, 2, 0, 1]);
    tree.remove(&filter("$share/g/a/#"), 2);
    tree.remove(&filter("$share/g/a/#"), 1);
    let group = group_of(&tree, "$share/g/a/#").unwrap();
    assert_eq!(
        (group.next_turn(), group.next_turn(), group.members()),
        (0, 0, &[(0, "")][..])
    );
    tree.remove(&filter("$share/g/a/#"), 0);
    assert!(group_of(&tree, "$share/g/a/#").is_none());
    assert!(group_of(&tree, "a/#").is_none());
}

#[test]
fn turns_that_the_caller_counts_go_round_too_while_their_number_changes() {
    let tree = tree(&["$share/g/a"]);
    let group = group_of(&tree, "$share/g/a").unwrap();
    let turns = [3, 3, 3, 3, 2, 2, 0, 5].map(|turns| group.next_turn_of(turns));
    assert_eq!(turns, [0, 1, 2, 0, 1, 0, 0, 1]);
}

#[test]
fn a_filter_with_many_subscribers_is_one_visit() {
    let mut tree = Tree::new(7);
    (0..1000).for_each(|key| assert_eq!(tree.insert(&filter("a/+"), key, ""), None));
    let mut visits = Vec::new();
    tree.matches(&topic("a/b"), |matched| match matched {
        Matched::Each(each) => visits.push(each.len()),
        Matched::OneOf(_) => panic!("nobody shares"),
    });
    assert_eq!(visits, [1000]);
}

#[test]
fn what_matched_last_is_forgotten_when_subscriptions_change() {
    let mut tree = tree(&["a/+", "#"]);
    assert_eq!(reached(&tree, "a/b"), [1, 0]);
    assert_eq!(reached(&tree, "a/b"), [1, 0]);
    tree.insert(&filter("a/b"), 2, "");
    assert_eq!(reached(&tree, "a/b"), [1, 2, 0]);
    tree.remove(&filter("a/+"), 0);
    assert_eq!(reached(&tree, "a/b"), [1, 2]);
    let (_, id) = (tree.remove(&filter("a/b"), 2), tree.id(&filter("#")));
    assert_eq!(reached(&tree, "a/b"), [1]);
    tree.remove_by_id(id.unwrap(), 1);
    assert_eq!(reached(&tree, "a/b"), []);
}

#[test]
fn a_topic_that_is_long_or_matched_by_many_filters_is_found_again() {
    let many: Vec<String> = (0..20)
        .map(|n| format!("$share/{n}/{}", ["#", "+/#", "a/#"][n % 3]))
        .collect();
    let mut filters = vec![
        "#", "+/#", "a/#", "a/+", "+/+", "+/b", "a/b", "+/+/#", "a/+/#", "+/b/#", "a/b/#",
    ];
    filters.extend(many.iter().map(String::as_str));
    let (tree, long) = (tree(&filters), ["a"; 100].join("/"));
    for topic in ["a/b", &long] {
        let found = reached(&tree, topic);
        assert!(found.len() > 8 && found == reached(&tree, topic));
    }
}

#[test]
fn churn_leaves_no_node_and_no_level_behind() {
    let mut tree = tree(&["sport/#", "$share/g/sport/tennis", "+/+/x"]);
    let (before, len) = (tree.footprint(), tree.len());
    let filters: Vec<TopicFilter> = (0..500)
        .flat_map(|n| {
            [
                format!("sport/{n}/+/deep/{n}/#"),
                format!("$share/g{n}/sport/+/{n}"),
                format!("x{n}"),
                format!("+/{n}"),
            ]
        })
        .map(|text| filter(&text))
        .collect();
    for round in 0..3 {
        filters
            .iter()
            .for_each(|filter| assert_eq!(tree.insert(filter, round, ""), None));
        assert!(tree.footprint().0 > before.0 + 2000);
        filters
            .iter()
            .for_each(|filter| assert_eq!(tree.remove(filter, round), Some("")));
        assert_eq!((tree.footprint(), tree.len()), (before, len));
    }
    assert_eq!(tree.remove(&filter("sport/#"), 0), Some(""));
    assert_eq!(tree.remove(&filter("$share/g/sport/tennis"), 1), Some(""));
    assert_eq!(tree.remove(&filter("+/+/x"), 2), Some(""));
    assert_eq!((tree.footprint(), tree.len()), ((0, 0), 0));
    assert!(tree.edges.capacity() <= 64);
}

#[test]
fn an_empty_tree_matches_nothing_and_can_be_filled_again() {
    let mut tree = tree(&["a"]);
    tree.remove(&filter("a"), 0);
    assert!(tree.is_empty());
    assert_eq!(reached(&tree, "a"), [0u32; 0]);
    tree.insert(&filter("#"), 5, "");
    assert_eq!(reached(&tree, "a"), [5]);
}

#[test]
fn the_order_of_visits_does_not_depend_on_the_seed() {
    let order = |seed| {
        let mut tree = SubscriptionTree::new(seed);
        for key in 0..2000u32 {
            tree.insert(
                &filter(["#", "a/+", "+/b", "a/b", "$share/g/a/b"][key as usize % 5]),
                key,
                "",
            );
            if key % 7 == 0 {
                tree.remove(&filter("a/b"), key / 2);
            }
        }
        let mut order = Vec::new();
        tree.matches(&topic("a/b"), |matched| match matched {
            Matched::Each(each) => order.extend_from_slice(each),
            Matched::OneOf(group) => order.extend_from_slice(group.members()),
        });
        order
    };
    assert_eq!(order(1), order(2));
    assert!(order(1).len() > 1000);
}

/// The longest topics there can be: 65,535 bytes, and as many levels as fit.
#[test]
fn the_deepest_topics_and_filters_are_inserted_matched_and_removed_on_a_small_stack() {
    let deep = |level: &str| vec![level; 65_535 / (level.len() + 1)].join("/");
    let texts: Vec<String> = ["", "+", "a", "é"]
        .map(deep)
        .into_iter()
        .chain([format!("{}/#", deep("b"))])
        .collect();
    let small_stack = std::thread::Builder::new().stack_size(128 * 1024);
    let done = small_stack.spawn(move || {
        let mut tree = Tree::new(7);
        for (key, text) in (0..).zip(&texts) {
            assert_eq!(tree.insert(&filter(text), key, ""), None);
        }
        assert_eq!(reached(&tree, &deep("a")), [2, 1]);
        assert_eq!(reached(&tree, &deep("b")), [4, 1]);
        assert_eq!(reached(&tree, &deep("é")), [3]);
        assert_eq!(reached(&tree, &format!("{}/x", deep("a"))), [0u32; 0]);
        for (key, text) in (0..).zip(&texts).skip(2) {
            assert_eq!(tree.remove(&filter(text), key), Some(""));
        }
        assert_eq!(tree.len(), 2);
    });
    done.unwrap().join().unwrap();
}

/// Filters like `+/+/a/+` in all combinations: a topic enters each node once, not each way to it.
#[test]
fn wildcards_in_every_place_cost_no_more_than_the_nodes_there_are() {
    let mut tree = Tree::new(7);
    for mask in 0..1u32 << 12 {
        let levels: Vec<&str> = (0..12)
            .map(|bit| if mask >> bit & 1 == 0 { "a" } else { "+" })
            .collect();
        tree.insert(&filter(&levels.join("/")), mask, "");
    }
    let keys = reached(&tree, &["a"; 12].join("/"));
    assert_eq!(keys.len(), 1 << 12);
    assert_eq!(keys.into_iter().collect::<BTreeSet<_>>().len(), 1 << 12);
}

#[test]
fn a_tree_may_move_to_another_thread_and_a_node_is_small() {
    fn is_send<T: Send>() {}
    is_send::<Tree>();
    assert_eq!(size_of::<Node<u64, u64>>(), 48);
}

#[test]
fn a_filter_is_spelt_from_its_id() {
    let filters = ["a", "/", "+", "#", "a/+/b", "/a//#", "$SYS/x", "a/ü/#"];
    let tree = tree(&filters);
    for text in filters {
        let id = tree.id(&filter(text)).unwrap();
        assert_eq!(tree.filter(id), Some(filter(text)));
    }
    assert_eq!(tree.id(&filter("a/b")), None);
}
