//! What a publish costs to be allowed, however many rules there are.
//!
//! `cargo bench -p weir-auth --bench permissions` prints nanoseconds for each; with arguments `RULES TIMES` one case is
//! done so often, for valgrind to count its instructions.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use weir_auth::{Chain, Judgement, Presented};
use weir_engine::{Credentials, Permissions, TopicName, Utf8};

const TIMES: u32 = 200_000;

fn main() {
    let arguments: Vec<u32> = std::env::args().filter_map(|it| it.parse().ok()).collect();
    if let [rules, times] = arguments[..] {
        return publish(&*granted(rules), &topics(rules), times);
    }
    println!("rules of the user, and patterns | ns a publish");
    for rules in [10, 1_000, 10_000] {
        let (permissions, topics) = (granted(rules), topics(rules));
        publish(&*permissions, &topics, TIMES / 10);
        let begun = Instant::now();
        publish(&*permissions, &topics, TIMES);
        println!(
            "{rules} | {}",
            begun.elapsed().as_nanos() / u128::from(TIMES)
        );
    }
}

/// Half of them are allowed by a rule of the user, half by a pattern.
fn publish(permissions: &dyn Permissions, topics: &[TopicName], times: u32) {
    for topic in topics.iter().cycle().take(times as usize) {
        assert!(permissions.may_publish(black_box(topic)));
    }
}

fn topics(rules: u32) -> Vec<TopicName> {
    let at = (0..100).map(|at| at * rules / 100);
    let topics = at.flat_map(|at| [format!("site/{at}/lamp/set"), format!("out/{at}/tab/state")]);
    topics
        .map(|topic| TopicName::try_from(topic.as_str()).expect("a topic"))
        .collect()
}

/// What a client without a user name is granted by a file with so many rules.
fn granted(rules: u32) -> Arc<dyn Permissions> {
    let own = (0..rules).map(|at| format!("topic readwrite site/{at}/+/set\n"));
    let patterns = (0..rules).map(|at| format!("pattern write out/{at}/%c/+\n"));
    let path = std::env::temp_dir().join(format!("weir-bench-acl-{}", std::process::id()));
    std::fs::write(&path, own.chain(patterns).collect::<String>()).expect("a temporary file");
    let chain = Chain::new(Vec::new(), vec![true]).with_acl_file(&path);
    let _ = std::fs::remove_file(&path);
    let credentials = Credentials {
        client_id: Utf8::from_static("tab"),
        ..Credentials::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let judgement = runtime.expect("a runtime").block_on(
        chain
            .expect("rules")
            .authenticate(&credentials, &Presented::default()),
    );
    match judgement {
        Judgement::Decided(Ok(admission)) => admission.permissions,
        other => panic!("not admitted: {other:?}"),
    }
}
