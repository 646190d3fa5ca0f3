//! A realistic filter tree: a fleet of devices at sites in regions, and clients that watch parts of it.
//!
//! Of a client's hundred filters 56 name one topic and 44 have a wildcard. No two filters of one client match the same
//! topic, so every broker owes it exactly one copy, whatever it makes of overlapping subscriptions.

use std::cell::RefCell;
use std::rc::Rc;

thread_local! {
    static LAST: RefCell<Option<(Size, Rc<Fleet>)>> = const { RefCell::new(None) };
}

/// Clients and topics.
type Size = (usize, usize);

const FILTERS: usize = 100;
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

/// The filters of some clients, topics to publish to, and who wants which.
#[derive(Debug)]
pub(crate) struct Fleet {
    filters: Vec<Vec<String>>,
    topics: Vec<String>,
    /// Deliveries of the first n topics together.
    wanted_before: Vec<u64>,
}

impl Fleet {
    /// The same as [`Fleet::new`], which takes seconds, made once for all brokers.
    pub(crate) fn shared(clients: usize, topics: usize) -> Rc<Self> {
        LAST.with_borrow_mut(|last| match last {
            Some((size, fleet)) if *size == (clients, topics) => Rc::clone(fleet),
            _ => {
                let fleet = Rc::new(Self::new(clients, topics));
                *last = Some(((clients, topics), Rc::clone(&fleet)));
                fleet
            }
        })
    }

    /// A fleet watched by `clients`, and `topics` of it that somebody or nobody wants.
    fn new(clients: usize, topics: usize) -> Self {
        let filters: Vec<Vec<String>> = (0..clients).map(filters_of).collect();
        let topics: Vec<String> = (0..topics)
            .map(|n| topic(n * 7919 % (clients.div_ceil(4) * FILTERS), n))
            .collect();
        let mut wanted_before = vec![0];
        for topic in &topics {
            let wants =
                |filters: &&Vec<String>| filters.iter().any(|filter| matches(filter, topic));
            let wanted = filters.iter().filter(wants).count() as u64;
            wanted_before.push(wanted_before.last().unwrap_or(&0) + wanted);
        }
        Self {
            filters,
            topics,
            wanted_before,
        }
    }

    /// The filters of one client.
    pub(crate) fn filters(&self, client: usize) -> &[String] {
        &self.filters[client]
    }

    /// The topic of the n-th message; they come round again.
    pub(crate) fn topic(&self, number: u32) -> &str {
        &self.topics[number as usize % self.topics.len()]
    }

    /// How many deliveries the first `messages` messages make.
    pub(crate) fn wanted(&self, messages: u32) -> u64 {
        let (rounds, rest) = (
            messages as usize / self.topics.len(),
            messages as usize % self.topics.len(),
        );
        let whole = self.wanted_before.last().copied().unwrap_or(0);
        rounds as u64 * whole + self.wanted_before[rest]
    }
}

/// The hundred filters of a client.
pub(crate) fn filters_of(client: usize) -> Vec<String> {
    (0..FILTERS).map(|n| filter(client, n)).collect()
}

/// A topic of the fleet.
pub(crate) fn topic(device: usize, metric: usize) -> String {
    format!("{}/{}", place(device), METRICS[metric % METRICS.len()])
}

fn filter(client: usize, n: usize) -> String {
    // Four clients watch the same hundred devices, each in another way.
    let device = client / 4 * FILTERS + (n + client % 4 * FILTERS / 4) % FILTERS;
    let metric = METRICS[n % METRICS.len()];
    let (region, site) = (region(device), site(device));
    match n {
        0..56 => format!("{}/{metric}", place(device)),
        56..76 => format!("{}/+", place(device)),
        76..90 => format!("{}/#", place(device)),
        90..94 => format!("fleet/{region}/+/d{device}/{metric}"),
        94..97 => format!("fleet/+/{site}/d{device}/{metric}"),
        // A site that none of the client's own devices stands at.
        97 => format!("fleet/{region}/alien{site}/+/alarm"),
        98 => format!("clients/{client}/#"),
        _ => format!("+/{client}/answer"),
    }
}

fn place(device: usize) -> String {
    format!("fleet/{}/{}/d{device}", region(device), site(device))
}

fn region(device: usize) -> String {
    format!("region{}", device % 50)
}

fn site(device: usize) -> String {
    format!("site{}", device % 2500)
}

/// The definition of section 4.7, level by level.
fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_filters_of_a_client_match_one_topic() {
        let filters = filters_of(3);
        for n in 0..FILTERS * 8 {
            let topic = topic(n / 8, n);
            let found = filters
                .iter()
                .filter(|filter| matches(filter, &topic))
                .count();
            assert!(found <= 1, "{topic}");
        }
        let wild = filters.iter().filter(|filter| filter.contains(['+', '#']));
        assert_eq!(wild.count(), 44);
    }

    #[test]
    fn what_is_wanted_adds_up() {
        let fleet = Fleet::new(5, 64);
        let one_by_one: u64 = (0..150)
            .map(|n| {
                let wants = |client: &usize| {
                    fleet
                        .filters(*client)
                        .iter()
                        .any(|filter| matches(filter, fleet.topic(n)))
                };
                (0..5).filter(wants).count() as u64
            })
            .sum();
        assert!(one_by_one > 0);
        assert_eq!(fleet.wanted(150), one_by_one);
    }
}
