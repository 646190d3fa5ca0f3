//! What the hot path allocates, which is nothing, and that crowds don't slow each other down.
//!
//! A publish asks the tree once for each message, so one allocation here would be one for every
//! message the broker carries. The limits below are counts or generous times, so that the tests say
//! the same on every machine.

use std::time::{Duration, Instant};

use weir_codec::{TopicFilter, TopicName};
use weir_router::{Content, Matched, RetainedTree, SubscriptionTree};

fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}

fn reached(tree: &SubscriptionTree<u64, u64>, topic: &TopicName) -> usize {
    let mut reached = 0;
    tree.matches(topic, |matched| match matched {
        Matched::Each(each) => reached += each.len(),
        Matched::OneOf(group) => reached += usize::from(group.next_turn() < group.members().len()),
    });
    reached
}

#[test]
fn matching_allocates_nothing() {
    let mut tree = SubscriptionTree::new(1);
    for n in 0..1000 {
        for shape in [
            "a/{n}/+/c",
            "a/{n}/#",
            "+/{n}/b/c",
            "a/+/b/c",
            "$share/g{n}/a/#",
            "#",
        ] {
            tree.insert(&filter(&shape.replace("{n}", &n.to_string())), n, n);
        }
    }
    let known = TopicName::try_from("a/77/b/c").unwrap();
    let deep = TopicName::try_from(vec!["a"; 30_000].join("/").as_str()).unwrap();
    let info = allocation_counter::measure(|| {
        assert_eq!(reached(&tree, &known), 1000 + 1000 + 1000 + 3);
        assert_eq!(reached(&tree, &deep), 1000 + 1000);
    });
    assert_eq!((info.count_total, info.bytes_total), (0, 0));
}

/// A walk over the subscribers for each arrival would take minutes here.
#[test]
fn a_hundred_thousand_subscribers_of_one_filter_come_change_and_go_quickly() {
    for text in ["news/#", "$share/all/news/#"] {
        let (mut tree, filter, started) = (SubscriptionTree::new(1), filter(text), Instant::now());
        for round in 0..2 {
            for key in 0..100_000u64 {
                assert_eq!(tree.insert(&filter, key, round).is_some(), round > 0);
            }
        }
        for key in (0..100_000u64).map(|key| key * 77_777 % 100_000) {
            assert_eq!(tree.remove(&filter, key), Some(1));
        }
        assert!(tree.is_empty());
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{:?}",
            started.elapsed()
        );
    }
}

#[test]
fn a_hundred_thousand_shared_groups_on_one_filter_come_and_go_quickly() {
    let (mut tree, started) = (SubscriptionTree::new(1), Instant::now());
    let filters: Vec<TopicFilter> = (0..100_000)
        .map(|n| filter(&format!("$share/{n}/news")))
        .collect();
    filters
        .iter()
        .for_each(|filter| assert_eq!(tree.insert(filter, 1, ()), None));
    filters
        .iter()
        .for_each(|filter| assert_eq!(tree.remove(filter, 1), Some(())));
    assert_eq!(tree.footprint(), (0, 0));
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn an_emptied_tree_gives_its_memory_back() {
    let filters: Vec<TopicFilter> = (0..10_000)
        .map(|n| filter(&format!("a/{n}/+/a level with a long name/{n}")))
        .collect();
    let mut tree = SubscriptionTree::new(1);
    let info = allocation_counter::measure(|| {
        filters
            .iter()
            .for_each(|filter| assert_eq!(tree.insert(filter, 1, ()), None));
        filters
            .iter()
            .for_each(|filter| assert_eq!(tree.remove(filter, 1), Some(())));
    });
    assert!(info.bytes_max > 1_000_000, "{}", info.bytes_max);
    assert!(info.bytes_current < 4096, "{}", info.bytes_current);
}

#[test]
fn retained_contents_that_become_short_give_their_memory_back() {
    let topics: Vec<_> = (0..1000).map(|n| format!("a/{n:04}")).collect();
    let set = |tree: &mut RetainedTree<(), ()>, payload_bytes| {
        for topic in &topics {
            let packet = topic.clone() + &"x".repeat(payload_bytes);
            let content = Content::new(packet.as_bytes(), 0..topic.len()).unwrap();
            tree.insert(content, (), ());
        }
    };
    let mut tree = RetainedTree::new();
    let info = allocation_counter::measure(|| {
        set(&mut tree, 1000);
        set(&mut tree, 10);
    });
    let bytes = info.bytes_current;
    assert!(bytes < 200_000, "{bytes} bytes for 16,000");
}
