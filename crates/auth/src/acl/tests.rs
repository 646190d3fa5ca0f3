//! The rules against mosquitto's own semantics, and the coverage of filters against a count of all topics.

use super::index::{Index, VISITED};
use super::rule::{Access, Rule, Who};
use super::*;
use crate::error::AuthError;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use weir_engine::{Coverage, TopicFilter, TopicName, Utf8};

const FILE: &str = "# before any user: for clients without a name
topic read public/#
topic $SYS/broker/uptime

user ann
topic readwrite ann/#
topic deny ann/secret/#
topic write log
topic read a b/c d
user bob
topic deny devices/bob/hidden
topic read #
pattern write devices/%u/%c
pattern read devices/%u/+
pattern deny devices/+/locked
";

fn acl() -> Acl {
    Acl::read(Path::new("acl"), FILE).unwrap()
}

fn who(user: &str, client_id: &str) -> Who {
    Who {
        client_id: Utf8::try_from(client_id).unwrap(),
        user: Some(user)
            .filter(|user| !user.is_empty())
            .map(|user| Utf8::try_from(user).unwrap()),
    }
}

/// Which rule decides, `+` or `-` before it.
fn decide(user: &str, client_id: &str, want: Want, topic: &str) -> String {
    let (acl, who) = (acl(), who(user, client_id));
    let rules = acl.rules(who.user.as_deref());
    let (step, rule) = rules.decide(topic, want, &who);
    let sign = if step.allows() { '+' } else { '-' };
    rule.map_or("-".into(), |rule| format!("{sign}{}", rule.name))
}

#[test]
fn a_users_own_rules_count_first_and_denials_first_among_them() {
    let read = |user: &str, topic: &str| decide(user, "c", Want::Read, topic);
    assert_eq!(read("ann", "ann/x"), "+acl:6: topic readwrite ann/#");
    assert_eq!(
        read("ann", "ann/secret/x"),
        "-acl:7: topic deny ann/secret/#"
    );
    assert_eq!(read("ann", "ann/secret"), "-acl:7: topic deny ann/secret/#");
    assert_eq!(read("ann", "log"), "-");
    assert_eq!(read("ann", "a b/c d"), "+acl:9: topic read a b/c d");
    assert_eq!(
        read("ann", "devices/ann/locked"),
        "-acl:15: pattern deny devices/+/locked"
    );
    // As in mosquitto, a user's own permission goes before a pattern's denial.
    assert_eq!(read("bob", "devices/bob/locked"), "+acl:12: topic read #");
    assert_eq!(
        read("bob", "devices/bob/hidden"),
        "-acl:11: topic deny devices/bob/hidden"
    );
    assert_eq!(read("bob", "$SYS/broker/uptime"), "-");
    assert_eq!(
        read("", "$SYS/broker/uptime"),
        "+acl:3: topic $SYS/broker/uptime"
    );
    assert_eq!(read("", "public"), "+acl:2: topic read public/#");
    assert_eq!(read("eve", "public"), "-");
    assert_eq!(
        decide("ann", "c", Want::Write, "log"),
        "+acl:8: topic write log"
    );
}

#[test]
fn names_are_filled_in_as_they_are() {
    let write =
        |user: &str, client_id: &str, topic: &str| decide(user, client_id, Want::Write, topic);
    assert_eq!(
        write("eve", "c1", "devices/eve/c1"),
        "+acl:13: pattern write devices/%u/%c"
    );
    for (user, client_id, topic) in [
        ("eve", "c1", "devices/ann/c1"),
        ("eve", "c1", "devices/eve/c2"),
        ("+", "c1", "devices/ann/c1"),
        ("#", "c1", "devices/ann/c1"),
        ("ann/c1", "x", "devices/ann/c1/x"),
        ("eve", "a/b", "devices/eve/a/b"),
        ("", "c1", "devices//c1"),
        ("", "c1", "devices/c1"),
    ] {
        assert_eq!(
            write(user, client_id, topic),
            "-",
            "{user} {client_id} {topic}"
        );
    }
    let matches = |filter: &str, topic: &str, who: &Who| {
        let rule = Rule::new(Access::Read, filter, true, String::new()).unwrap();
        let is_filled = rule.filled(who).is_some();
        let index = Index::new(vec![rule]);
        (index.decide(topic, Want::Read, who).is_some(), is_filled)
    };
    let many = ("%c/x%u-%c%%", "c1/xu-c1%%");
    assert_eq!(matches(many.0, many.1, &who("u", "c1")), (true, true));
    let dollar = who("u", "$SYS");
    assert_eq!(matches("%c/#", "$SYS/x", &dollar), (false, false));
    assert_eq!(matches("$SYS/%u", "$SYS/u", &dollar), (true, true));
    assert_eq!(matches("$x%u/a", "$xu/a", &dollar), (true, true));
    assert_eq!(matches("x/%c", "x/$SYS", &dollar), (true, true));
}

#[test]
fn a_line_that_cannot_be_is_named() {
    let fault = |text: &str| {
        Acl::read(Path::new("acl"), text)
            .map(drop)
            .map_err(|error: AuthError| error.to_string())
    };
    for (text, said) in [
        ("topic", "acl:1: nothing follows"),
        ("\nuser", "acl:2: the user name"),
        ("topics read a", "acl:1: a line begins with"),
        ("topic raed a", "acl:1: the access is"),
        ("pattern read a/#/b", "acl:1: the topic filter has a '#'"),
        ("topic write a+", "acl:1: the topic filter has a '+'"),
    ] {
        let error = fault(text).unwrap_err();
        assert!(error.starts_with(said), "{error}");
    }
    assert_eq!(fault("topic read"), Ok(()), "a topic of that name");
}

fn cover(user: &str, filter: &str) -> Coverage {
    let (acl, who) = (acl(), who(user, "c"));
    let filter = TopicFilter::try_from(filter).unwrap();
    acl.rules(who.user.as_deref()).cover(&filter, &who)
}

#[test]
fn a_filter_is_covered_in_whole_in_part_or_not_at_all() {
    use Coverage::{Nothing, Part, Whole};
    for (user, filter, expected) in [
        ("", "public/#", Whole),
        ("", "public", Whole),
        ("", "#", Part),
        ("", "private/#", Nothing),
        ("", "$SYS/#", Part),
        ("", "+/x", Part),
        ("ann", "ann/#", Part),
        ("ann", "ann/+", Part),
        ("ann", "ann/secret", Nothing),
        ("ann", "ann/secret/#", Nothing),
        ("ann", "ann/open/#", Whole),
        ("ann", "$share/group/ann/open/#", Whole),
        ("ann", "log", Nothing),
        ("bob", "#", Part),
        ("bob", "other/#", Whole),
        ("bob", "$SYS/#", Nothing),
        ("eve", "devices/eve/+", Part),
        ("eve", "devices/eve/c", Whole),
        ("eve", "devices/+/locked", Nothing),
        ("nobody", "x", Nothing),
    ] {
        assert_eq!(cover(user, filter), expected, "{user}: {filter}");
    }
}

#[test]
fn rules_made_to_explode_are_answered_safely_and_soon() {
    let lines: String = (0..60)
        .map(|at| {
            let levels: Vec<_> = (0..60)
                .map(|level| if level == at { "a" } else { "+" })
                .collect();
            format!(
                "pattern {} {}\n",
                if at % 2 == 0 { "deny" } else { "read" },
                levels.join("/")
            )
        })
        .collect();
    let acl = Acl::read(Path::new("acl"), &lines).unwrap();
    let filter = TopicFilter::try_from(&*["+"; 60].join("/")).unwrap();
    let who = who("u", "c");
    assert_eq!(acl.rules(None).cover(&filter, &who), Coverage::Part);
}

const LEVELS: [&str; 4] = ["a", "b", "", "$s"];

/// All topics of one to four levels. No rule names `other`.
fn topics() -> Vec<TopicName> {
    let texts = ["a", "b", "", "$s", "other"];
    let mut all: Vec<String> = Vec::new();
    let mut longest: Vec<String> = texts.map(str::to_owned).to_vec();
    for _ in 0..4 {
        all.extend(longest.iter().cloned());
        longest = longest
            .iter()
            .flat_map(|begin| texts.iter().map(move |end| format!("{begin}/{end}")))
            .collect();
    }
    all.iter()
        .filter_map(|topic| TopicName::try_from(topic.as_str()).ok())
        .collect()
}

fn filters() -> impl Strategy<Value = String> {
    let level = prop_oneof![
        4 => prop::sample::select(&LEVELS[..]),
        2 => Just("+"),
    ];
    let levels = prop::collection::vec(level, 1..4);
    (levels, prop::bool::weighted(0.4)).prop_map(|(levels, open)| {
        let text = levels.join("/");
        match (open, text.as_str()) {
            (true, _) => format!("{text}/#"),
            (false, "") => "/".to_owned(),
            (false, _) => text,
        }
    })
}

fn lines() -> impl Strategy<Value = String> {
    let access = prop::sample::select(&["read", "write", "readwrite", "deny"][..]);
    let word = prop::sample::select(&["topic", "pattern"][..]);
    let filter = prop_oneof![8 => filters(), 1 => Just("#".to_owned()), 1 => Just("a/%c".to_owned()), 1 => Just("%c/+".to_owned())];
    (word, access, filter).prop_map(|(word, access, filter)| {
        // Only a pattern fills in names; no topic of the count has a `%`.
        let filter = if word == "topic" {
            filter.replace("%c", "b")
        } else {
            filter
        };
        format!(
            "{word} {access} {filter}
"
        )
    })
}

/// So many rules of a user, and as many patterns.
fn many(count: usize) -> Acl {
    let rules = (0..count).map(|at| format!("topic readwrite site/{at}/+/set\n"));
    let patterns = (0..count).map(|at| format!("pattern write out/{at}/%u/%c\n"));
    let text = format!(
        "user ann\n{}{}",
        rules.collect::<String>(),
        patterns.collect::<String>()
    );
    Acl::read(Path::new("acl"), &text).unwrap()
}

#[test]
fn a_publish_costs_the_same_however_many_rules_there_are() {
    let cost = |count: usize, topic: &str| {
        let acl = many(count);
        let (rules, who) = (acl.rules(Some("ann")), who("ann", "tab"));
        let before = VISITED.get();
        let (step, _) = rules.decide(topic, Want::Write, &who);
        (step.allows(), VISITED.get() - before)
    };
    for (topic, is_allowed) in [
        ("site/7/lamp/set", true),
        ("out/7/ann/tab", true),
        ("out/7/bob/tab", false),
        ("elsewhere/7/ann/tab", false),
    ] {
        let few = cost(10, topic);
        assert_eq!(few.0, is_allowed, "{topic}");
        assert_eq!(cost(1_000, topic), few, "{topic}");
        assert!(
            few.1 <= 2 * (1 + topic.split('/').count() as u64),
            "{topic}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// The oracle knows nothing of trees and coverage: it looks at every topic and at every rule in turn.
    #[test]
    fn coverage_and_index_agree_with_a_count_of_all_topics(
        lines in prop::collection::vec(lines(), 0..6),
        filter in filters(),
    ) {
        let Ok(filter) = TopicFilter::try_from(filter.as_str()) else {
            return Ok(());
        };
        let text = format!("user u\n{}", lines.concat());
        let acl = Acl::read(Path::new("acl"), &text).unwrap();
        let who = who("u", "b");
        let rules = acl.rules(Some("u"));
        let (mut some, mut all) = (false, true);
        for topic in topics() {
            for want in [Want::Read, Want::Write] {
                let expected = naive(&lines, topic.as_str(), want);
                prop_assert_eq!(rules.decide(topic.as_str(), want, &who).0.allows(), expected, "{}", topic);
            }
            if filter.matches(&topic) {
                let allowed = naive(&lines, topic.as_str(), Want::Read);
                some |= allowed;
                all &= allowed;
            }
        }
        let expected = match (some, all) {
            (true, true) => Coverage::Whole,
            (true, false) => Coverage::Part,
            (false, _) => Coverage::Nothing,
        };
        prop_assert_eq!(rules.cover(&filter, &who), expected, "{}", filter);
    }
}

/// Mosquitto's check, line by line.
fn naive(lines: &[String], topic: &str, want: Want) -> bool {
    let topic = TopicName::try_from(topic).unwrap();
    for word in ["topic", "pattern"] {
        let matching: Vec<&str> = lines
            .iter()
            .filter_map(|line| line.trim().strip_prefix(word))
            .filter_map(|rest| rest.trim().split_once(' '))
            .filter(|(_, filter)| {
                let filter = if word == "pattern" {
                    filter.replace("%c", "b")
                } else {
                    (*filter).to_owned()
                };
                TopicFilter::try_from(filter.as_str())
                    .unwrap()
                    .matches(&topic)
            })
            .map(|(access, _)| access)
            .collect();
        let allowing = match want {
            Want::Read => "read",
            Want::Write => "write",
        };
        if matching.contains(&"deny") {
            return false;
        }
        if matching.contains(&allowing) || matching.contains(&"readwrite") {
            return true;
        }
    }
    false
}

#[test]
fn what_a_client_was_granted_follows_its_file() {
    use crate::scratch::Scratch;
    use crate::watched::Watched;
    use weir_engine::{Asked, Permissions, Refreshed};
    let scratch = Scratch::new();
    let file = Arc::new(Watched::open(&scratch.file("acl", "topic read a\n"), Acl::read).unwrap());
    let granted = Granted::by_file(Some(&file), &Utf8::from_static("c"), None, None);
    assert!(matches!(granted.refreshed(), Refreshed::Unchanged));
    let [a, b] = ["a", "b"].map(|topic| TopicName::try_from(topic).unwrap());
    assert!(granted.may_receive(&a) && !granted.may_publish(&a) && !granted.may_receive(&b));
    assert_eq!(granted.rule(Asked::Publish(&b)), "no rule allows it");
    scratch.file("acl", "topic deny a\ntopic read b\n");
    assert!(file.reload(false).unwrap().result.is_ok());
    let Refreshed::Changed(granted) = granted.refreshed() else {
        panic!("the file has changed");
    };
    assert!(granted.may_receive(&b) && !granted.may_receive(&a));
    let rule = granted.rule(Asked::Subscribe(&TopicFilter::try_from("a").unwrap()));
    assert!(rule.ends_with("acl:1: topic deny a"), "{rule}");
}
