//! Tests of the retained tree: which topics a filter finds, in pages of any size, while the tree changes.
//!
//! The work a page does is seen through [`Page::More`]: it comes when as many topics were looked at as the page may,
//! in vain or not.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;

fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}

fn tree<S: AsRef<str>>(topics: impl IntoIterator<Item = S>) -> RetainedTree<(), ()> {
    let mut tree = RetainedTree::new();
    for text in topics {
        tree.insert(Content::of_topic(text.as_ref()), (), ());
    }
    tree
}

/// All matching topics, and how many pages they took.
fn find<V>(tree: &RetainedTree<(), V>, text: &str, limit: usize) -> (Vec<String>, usize) {
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        pages += 1;
        let before = found.len();
        let page = tree.page(&filter(text), after.as_deref(), &mut { limit }, |topics| {
            found.extend(topics.map(|kept| kept.content.topic().to_string()));
            ControlFlow::Continue(())
        });
        assert!(found.len() - before <= limit);
        match page {
            Page::Done => return (found, pages),
            Page::More(last) => after = Some(last),
            Page::Stopped(_) => unreachable!("nobody stopped it"),
        }
    }
}

#[track_caller]
fn check(text: &str, topics: &[&str]) {
    let all = [
        "$SYS", "$SYS/a", "/", "/a", "a", "a/", "a//b", "a/b", "a/b/c", "a/c", "a!", "a!/b", "b/b",
        "b/b/c",
    ];
    for limit in [1, 2, 100] {
        assert_eq!(find(&tree(all), text, limit).0, topics, "{text} by {limit}");
    }
}

/// [MQTT-4.7.1-1]
#[test]
fn the_multi_level_wildcard_finds_the_parent_and_all_below() {
    check("a/#", &["a", "a/", "a//b", "a/b", "a/b/c", "a/c"]);
    check("a/b/#", &["a/b", "a/b/c"]);
    check("+/b/#", &["a/b", "a/b/c", "a!/b", "b/b", "b/b/c"]);
    check("x/#", &[]);
}

/// [MQTT-4.7.1-2]
#[test]
fn the_single_level_wildcard_finds_one_level_empty_ones_too() {
    check("+", &["a", "a!"]);
    check("a/+", &["a/", "a/b", "a/c"]);
    check("+/b", &["a/b", "a!/b", "b/b"]);
    check("a/+/b", &["a//b"]);
    check("+/+/+", &["a//b", "a/b/c", "b/b/c"]);
    check("/+", &["/", "/a"]);
}

/// [MQTT-4.7.2-1]
#[test]
fn leading_wildcards_pass_over_topics_that_begin_with_a_dollar_sign() {
    check(
        "#",
        &[
            "/", "/a", "a", "a/", "a//b", "a/b", "a/b/c", "a/c", "a!", "a!/b", "b/b", "b/b/c",
        ],
    );
    check("+/a", &["/a"]);
    check("$SYS/#", &["$SYS", "$SYS/a"]);
    check("$SYS/+", &["$SYS/a"]);
}

#[test]
fn a_filter_without_wildcards_finds_its_topic() {
    check("a/b", &["a/b"]);
    check("a/x", &[]);
}

/// [MQTT-3.3.1-5] and [MQTT-3.3.1-6]
#[test]
fn a_topic_has_one_value_until_it_is_forgotten() {
    let mut tree = RetainedTree::new();
    let content = |bytes| Content::new(bytes, 1..4).unwrap();
    assert_eq!(tree.insert(content(b"<a/b>one"), (), 1), None);
    assert_eq!(tree.insert(content(b"<a/b>two!"), (), 2), Some(1));
    let kept = tree.get("a/b").unwrap();
    assert_eq!(
        (kept.content.bytes(), kept.content.topic(), kept.value),
        (&b"<a/b>two!"[..], "a/b", &2)
    );
    assert!(tree.get("a").is_none() && tree.len() == 1);
    assert_eq!(
        (tree.remove("a"), tree.remove("a/b"), tree.remove("a/b")),
        (None, Some(2), None)
    );
    assert!(tree.is_empty());
}

#[test]
fn the_cursor_survives_that_its_topic_is_removed_and_others_come() {
    let mut tree = tree((0..100).map(|n| format!("a/{n:03}")));
    let mut found = Vec::new();
    let mut after = None;
    while let Page::More(last) = tree.page(&filter("a/+"), after.as_deref(), &mut 7, |topics| {
        found.extend(topics.map(|kept| kept.content.topic().to_string()));
        ControlFlow::Continue(())
    }) {
        tree.remove(&last);
        tree.insert(Content::of_topic(&format!("{last}/below")), (), ());
        tree.insert(Content::of_topic("a/000-behind-the-cursor"), (), ());
        after = Some(last);
    }
    let expected: Vec<String> = (0..100).map(|n| format!("a/{n:03}")).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_cursor_before_the_literal_prefix_is_of_no_harm() {
    let tree = tree(["a", "b/x", "c"]);
    let mut found = Vec::new();
    let page = tree.page(&filter("b/+"), Some("a"), &mut 10, |topics| {
        found.extend(topics.map(|kept| kept.content.topic().to_string()));
        ControlFlow::Continue(())
    });
    assert_eq!((page, found), (Page::Done, ["b/x".to_string()].to_vec()));
}

#[test]
fn a_literal_prefix_is_not_scanned_past() {
    let tree = tree(
        (0..10_000)
            .map(|n| format!("a/{n}"))
            .chain(["b/1/x".to_string(), "b/2/x".to_string()]),
    );
    assert_eq!(
        find(&tree, "b/+/x", 2),
        (["b/1/x", "b/2/x"].map(String::from).to_vec(), 2)
    );
    assert_eq!(
        tree.page(&filter("c/#"), None, &mut 1, |_| ControlFlow::Continue(())),
        Page::Done
    );
    assert_eq!(
        tree.page(&filter("a/77/x"), None, &mut 1, |_| {
            ControlFlow::Continue(())
        }),
        Page::Done
    );
}

#[test]
fn what_stands_beside_a_match_is_skipped_by_a_seek() {
    let topics = (0..5).flat_map(|n| (0..1000).map(move |m| format!("{n}/{m:04}/x")));
    let (found, pages) = find(&tree(topics), "+/0500/x", 100);
    assert_eq!((found.len(), pages), (5, 1));
    let topics = (0..1000)
        .map(|n| format!("$SYS/{n}"))
        .chain(["x/a".to_string()]);
    assert_eq!(
        find(&tree(topics), "#", 3),
        (["x/a".to_string()].to_vec(), 1)
    );
}

#[test]
fn a_page_ends_after_a_bounded_number_of_looks_although_nothing_matched() {
    let tree = tree(
        (0..10_000)
            .map(|n| format!("{n:04}/x"))
            .chain(["last/y".to_string()]),
    );
    let (found, pages) = find(&tree, "+/y", 10);
    assert_eq!(found, ["last/y"]);
    assert_eq!(pages, 1001);
}

#[test]
fn the_deepest_topics_are_no_burden() {
    let deep = |level: &str| std::vec![level; 65_535 / (level.len() + 1)].join("/");
    let mut tree = tree([deep(""), deep("a"), deep("aa"), deep("b")]);
    assert!(find(&tree, &deep("+"), 1).0 == [deep("a"), deep("b")]);
    assert!(find(&tree, &deep("a"), 1).0 == [deep("a")]);
    assert_eq!(find(&tree, "#", 3).0.len(), 4);
    assert_eq!(tree.remove(&deep("b")), Some(()));
}

#[test]
fn a_visitor_that_stops_is_told_where_to_go_on() {
    let tree = tree(["a/1", "a/2", "a/3", "b"]);
    for text in ["+/+", "a/#", "#"] {
        let stop_at = |at: &str, after: Option<&str>| {
            tree.page(&filter(text), after, &mut 10, |topics| {
                while let Some(next) = topics.clone().next() {
                    if next.content.topic() == at {
                        return ControlFlow::Break(());
                    }
                    topics.next();
                }
                ControlFlow::Continue(())
            })
        };
        assert_eq!(stop_at("a/1", None), Page::Stopped(None));
        assert_eq!(stop_at("a/3", None), Page::Stopped(Some("a/2".into())));
        assert_eq!(stop_at("a/3", Some("a/2")), Page::Stopped(None));
        assert_eq!(stop_at("c", None), Page::Done);
    }
}

#[test]
fn a_content_has_its_topic_in_it() {
    let content = Content::new("21/température/°C".as_bytes(), 3..15).unwrap();
    assert_eq!(
        (content.topic(), content.behind_topic()),
        ("température", "/°C".as_bytes())
    );
    assert_eq!(Content::of_topic("a").topic(), "a");
    // Outside, and within a character.
    assert!(Content::new(b"abc", 2..4).is_none());
    assert!(Content::new("é".as_bytes(), 1..2).is_none());
}

/// Enough for several leaves, set in an order that is not theirs, replaced by longer and shorter ones, and some removed.
#[test]
fn contents_lie_in_order_whatever_becomes_of_the_others() {
    let mut tree = RetainedTree::new();
    let mut model = BTreeMap::new();
    let mut changed = 0_u32;
    for _ in 0..5_000 {
        changed += 1;
        let topic = format!("a/{:03}", changed * 7919 % 400);
        if changed.is_multiple_of(3) && changed > 1_000 {
            assert_eq!(tree.remove(&topic), model.remove(&topic).map(|_| ()));
            continue;
        }
        let text = topic.clone() + &"x".repeat(changed as usize * 31 % 300);
        let content = Content::new(text.as_bytes(), 0..topic.len()).unwrap();
        let old = tree.insert(content, (), ());
        assert_eq!(old, model.insert(topic, text).map(|_| ()));
    }
    let kept = tree.iter().map(|kept| kept.content.bytes().to_vec());
    let wanted = model.values().map(|text| text.as_bytes().to_vec());
    assert!(kept.eq(wanted));
    let mut runs = Vec::new();
    let page = tree.page(&filter("#"), None, &mut 1_000, |topics| {
        runs.extend(topics.take_together(|()| true));
        ControlFlow::Continue(())
    });
    assert_eq!(page, Page::Done);
    assert_eq!(runs.len(), tree.leaves.len());
    assert!(runs.len() > 2);
    let bytes: Vec<u8> = runs.iter().flat_map(Contents::bytes).copied().collect();
    let count: usize = runs.iter().map(Contents::count).sum();
    assert_eq!(count, model.len());
    assert_eq!(bytes, model.into_values().collect::<String>().as_bytes());
}

/// Those that fit are taken as one, and no topic that doesn't match with them.
#[test]
fn topics_are_taken_together_as_far_as_their_marks_fit() {
    let mut tree = RetainedTree::new();
    for (topic, mark) in [
        ("a", 1),
        ("b/1", 2),
        ("b/2", 3),
        ("b/3", 9),
        ("b/4", 4),
        ("c", 5),
    ] {
        tree.insert(Content::of_topic(topic), mark, ());
    }
    let taken_by = |text: &str, limit: usize| {
        let mut taken = Vec::new();
        let page = tree.page(&filter(text), None, &mut { limit }, |topics| {
            while topics.len() > 0 {
                let run = topics.take_together(|mark| mark < 9);
                match run {
                    Some(run) => taken.push((run.count(), run.bytes().to_vec())),
                    None => drop(topics.next()),
                }
            }
            ControlFlow::Continue(())
        });
        (taken, page)
    };
    let run = |count, bytes: &[u8]| (count, bytes.to_vec());
    assert_eq!(
        taken_by("b/#", 100),
        ([run(2, b"b/1b/2"), run(1, b"b/4")].to_vec(), Page::Done)
    );
    assert_eq!(
        taken_by("#", 2),
        ([run(2, b"ab/1")].to_vec(), Page::More("b/1".into()))
    );
    assert_eq!(taken_by("+", 100).0, [run(1, b"a"), run(1, b"c")]);
}

/// What is shared stays as it was, whatever becomes of its topic; and only what most of the memory is for.
#[test]
fn shared_contents_outlive_a_change() {
    let topics: Vec<String> = (0..100).map(|n| format!("a/{n:03}")).collect();
    let mut tree = tree(&topics);
    let shared = |tree: &RetainedTree<(), ()>, text: &str| {
        let mut shared = None;
        tree.page(&filter(text), None, &mut 100, |topics| {
            let run = topics.take_together(|()| true);
            shared = run.and_then(|run| run.share());
            ControlFlow::Continue(())
        });
        shared
    };
    let all = shared(&tree, "#").unwrap();
    assert_eq!(shared(&tree, "a/007"), None);
    tree.remove("a/050");
    tree.insert(Content::of_topic("a/000/1"), (), ());
    assert_eq!(all, topics.concat());
    assert_ne!(shared(&tree, "#").unwrap(), all);
}
