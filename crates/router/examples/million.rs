//! What a million subscriptions cost: bytes for each, and nanoseconds for a match.
//!
//! Run with `cargo run --release -p weir-router --example million`. Ten thousand clients with a
//! hundred filters each, 44% of them with wildcards, over the topics of a fleet: most filters belong
//! to one client's own devices, some are alike for all. Heap bytes are counted, resident bytes are
//! what Linux says. Hot is one topic again and again; cold is a new topic each time, spread over
//! everything, so that nothing of the tree is in the cache.

use std::fs;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

use weir_codec::{TopicFilter, TopicName};
use weir_router::{Content, Matched, Page, RetainedTree, SubscriptionTree};

const CLIENTS: u32 = 10_000;
const FILTERS_PER_CLIENT: u32 = 100;
const SUBSCRIPTIONS: usize = (CLIENTS * FILTERS_PER_CLIENT) as usize;
const METRICS: [&str; 8] = [
    "temperature",
    "humidity",
    "battery",
    "status",
    "position",
    "speed",
    "alarm",
    "firmware",
];

/// As large as what the engine stores: a session's key, and its options with a subscription identifier.
type Tree = SubscriptionTree<u64, [u32; 2]>;

fn main() {
    let mut tree = None;
    let resident_before = resident_bytes();
    let started = Instant::now();
    let heap = allocation_counter::measure(|| tree = Some(filled()));
    let tree = tree.expect("the tree was just made");
    let made = started.elapsed();
    let resident = resident_bytes().saturating_sub(resident_before);
    let (nodes, levels) = tree.footprint();
    println!(
        "{} subscriptions, {nodes} nodes, {levels} levels, made in {made:?} (with parsing)",
        tree.len()
    );
    println!(
        "heap      {:6.1} bytes each",
        heap.bytes_current as f64 / SUBSCRIPTIONS as f64
    );
    println!(
        "resident  {:6.1} bytes each",
        resident as f64 / SUBSCRIPTIONS as f64
    );

    // Two in turn: what matched the last topic is known.
    measure(
        "hot ",
        &tree,
        &(0..1000)
            .map(|n| topic(4711, 2 + n % 2))
            .collect::<Vec<_>>(),
        1000,
    );
    measure(
        "warm",
        &tree,
        &(0..1000).map(|n| topic(n, 3)).collect::<Vec<_>>(),
        1000,
    );
    let cold: Vec<TopicName> = (0..1_000_000)
        .map(|n: u32| topic(n.wrapping_mul(2_654_435_761), n))
        .collect();
    measure("cold", &tree, &cold, 1);
    let unknown: Vec<TopicName> = (0..1000)
        .map(|n| name(&format!("nobody/asked/for/{n}")))
        .collect();
    measure("none", &tree, &unknown, 1000);
    retained();
}

fn filled() -> Tree {
    let mut tree = Tree::new(0x5eed);
    let mut slowest = std::time::Duration::ZERO;
    for client in 0..CLIENTS {
        for n in 0..FILTERS_PER_CLIENT {
            let filter = filter(client, n);
            let started = Instant::now();
            tree.insert(&filter, u64::from(client), [1, n]);
            slowest = slowest.max(started.elapsed());
        }
    }
    println!("slowest insert {slowest:?} (a table doubles)");
    tree
}

/// The n-th filter of a client: 56 of 100 name one topic, 44 have a wildcard.
fn filter(client: u32, n: u32) -> TopicFilter {
    let (region, site, device) = place(client * 25 + n % 25);
    let metric = METRICS[(n % 8) as usize];
    let text = match n {
        0..56 => format!("fleet/{region}/{site}/{device}/{metric}"),
        56..76 => format!("fleet/{region}/{site}/{device}/+"),
        76..90 => format!("fleet/{region}/{site}/{device}/#"),
        90..94 => format!("fleet/{region}/+/{device}/{metric}"),
        94..97 => format!("fleet/+/{site}/{device}/{metric}"),
        97 => format!("fleet/{region}/{site}/+/alarm"),
        98 => format!("clients/{client}/#"),
        _ => format!("+/{client}/answer"),
    };
    TopicFilter::try_from(text.as_str()).expect("a valid filter")
}

fn topic(device: u32, metric: u32) -> TopicName {
    let (region, site, device) = place(device % (CLIENTS * 25));
    name(&format!(
        "fleet/{region}/{site}/{device}/{}",
        METRICS[(metric % 8) as usize]
    ))
}

fn name(text: &str) -> TopicName {
    TopicName::try_from(text).expect("a valid topic")
}

fn place(device: u32) -> (String, String, String) {
    (
        format!("region{}", device % 50),
        format!("site{}", device % 2500),
        format!("device{device:08x}"),
    )
}

fn measure(label: &str, tree: &Tree, topics: &[TopicName], rounds: usize) {
    let (mut reached, mut visits) = (0, 0);
    let started = Instant::now();
    for topic in (0..rounds).flat_map(|_| topics) {
        tree.matches(black_box(topic), |matched| {
            visits += 1;
            reached += match matched {
                Matched::Each(each) => each.len(),
                Matched::OneOf(group) => usize::from(group.next_turn() < group.members().len()),
            };
        });
    }
    let matches = (topics.len() * rounds) as f64;
    let nanoseconds = started.elapsed().as_nanos() as f64 / matches;
    println!(
        "{label}      {nanoseconds:6.0} ns a match ({:.1} filters, {:.1} subscribers)",
        f64::from(visits) / matches,
        reached as f64 / matches
    );
}

fn retained() {
    let mut tree = RetainedTree::new();
    let topics: Vec<TopicName> = (0..100_000).map(|n| topic(n * 2, n)).collect();
    let heap = allocation_counter::measure(|| {
        for topic in &topics {
            tree.insert(Content::of_topic(topic.as_str()), (), 0u64);
        }
    });
    println!(
        "{} retained topics, {:.1} bytes each, the texts included",
        tree.len(),
        heap.bytes_current as f64 / 1e5
    );
    for filter in [
        "#",
        "fleet/+/+/+/alarm",
        "fleet/region8/#",
        "fleet/region8/site8/+/alarm",
    ] {
        let parsed = TopicFilter::try_from(filter).expect("a valid filter");
        let (mut found, mut pages, mut slowest, mut after) = (0, 0, 0, None);
        let started = Instant::now();
        loop {
            let page_started = Instant::now();
            let page = tree.page(&parsed, after.as_deref(), &mut 100, |topics| {
                found += topics.len();
                ControlFlow::Continue(())
            });
            pages += 1;
            slowest = slowest.max(page_started.elapsed().as_micros());
            match page {
                Page::Done | Page::Stopped(_) => break,
                Page::More(last) => after = Some(last),
            }
        }
        println!(
            "{filter:28} {found:6} topics, {pages:4} pages, {:?} in all, slowest page {slowest} us",
            started.elapsed()
        );
    }
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}
