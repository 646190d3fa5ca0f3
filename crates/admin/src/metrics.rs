//! The page that Prometheus reads: everything that is counted, under the names that the book explains.
//!
//! Counters only grow, gauges say how it is now. Labels are words of ours, so there are as many lines as there are words,
//! whatever clients do, and none of them names a client, a user or a topic.

use crate::Health;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use weir_engine::Stats;

/// What the page is written in.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A count for each word.
pub type Counts = Vec<(&'static str, u64)>;

/// Everything that is counted, as of one moment.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The few numbers that everybody may see.
    pub health: Health,
    /// What the engine counts, over all shards.
    pub stats: Stats,
    /// What sockets and limits count, over all shards.
    pub traffic: Traffic,
    /// Connections that were never accepted, by reason.
    pub refused: Counts,
    /// Other connections that ended, by reason.
    pub ended: Counts,
    /// Of the store, where there is one.
    pub store: Option<StoreLoad>,
    /// When the certificate of each listener that has one ends, in seconds since 1970.
    pub certificates: Vec<(String, u64)>,
}

/// What goes through sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Bytes of packets that were read, without what the transport adds.
    pub received_bytes: u64,
    /// Bytes of packets that were sent.
    pub sent_bytes: u64,
    /// Times that a client was not read from for a while, since it had sent more than it may.
    pub rests: u64,
}

/// How the store is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreLoad {
    /// Groups that were committed.
    pub commits: u64,
    /// Bytes that wait to be committed.
    pub waiting_bytes: u64,
    /// Whether nothing new can be kept.
    pub is_full: bool,
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
        self.rests += other.rests;
    }
}

impl Metrics {
    /// The page.
    pub(crate) fn into_page(self) -> String {
        let mut registry = Registry::with_prefix("weir");
        registry.register_collector(Box::new(self));
        let mut page = String::new();
        // A String takes everything.
        let _ = prometheus_client::encoding::text::encode(&mut page, &registry);
        page
    }

    fn now(&self, page: &mut Page<'_>) -> fmt::Result {
        let (health, stats) = (self.health, self.stats);
        page.gauge(
            "up_seconds",
            "Time since the listeners opened",
            health.uptime_seconds,
        )?;
        page.gauge(
            "connections",
            "Clients that are connected",
            stats.connections,
        )?;
        page.gauge(
            "sessions",
            "Sessions, of absent clients too",
            stats.sessions,
        )?;
        page.gauge(
            "subscriptions",
            "Subscriptions of all sessions",
            stats.subscriptions,
        )?;
        page.gauge("retained_messages", "Retained messages", stats.retained)?;
        let name = "certificate_not_after_timestamp_seconds";
        let certificates = self.certificates.iter();
        let ends = certificates.map(|(listener, seconds)| (listener.as_str(), *seconds));
        page.family(
            MetricType::Gauge,
            name,
            "When a listener's certificate ends",
            "listener",
            ends,
        )?;
        let version = [(health.version, 1)];
        page.family(
            MetricType::Gauge,
            "build_info",
            "The running version",
            "version",
            version,
        )
    }

    fn connections(&self, page: &mut Page<'_>) -> fmt::Result {
        let accepted = self.traffic.accepted;
        page.counter(
            "connections_accepted",
            "Clients that were accepted",
            accepted,
        )?;
        let help = "Connections that were never accepted";
        page.counters("connections_refused", help, "reason", &self.refused)?;
        let help = "Other connections that ended";
        page.counters("connections_ended", help, "reason", &self.ended)
    }

    fn messages(&self, page: &mut Page<'_>) -> fmt::Result {
        let (stats, traffic) = (&self.stats, self.traffic);
        page.counter(
            "messages_received",
            "PUBLISH packets received",
            stats.messages_received,
        )?;
        page.counter("messages_sent", "PUBLISH packets sent", stats.messages_sent)?;
        let dropped = &stats.dropped;
        let dropped = vec![
            ("queue_full", dropped.queue_full),
            ("slow_reader", dropped.slow_reader),
            ("too_large", dropped.too_large),
            ("refused", dropped.refused),
            ("damaged", dropped.damaged),
            ("expired", stats.messages_expired),
        ];
        let help = "Messages that did not reach a session, or were not taken";
        page.counters("messages_dropped", help, "reason", &dropped)?;
        page.counter(
            "received_bytes",
            "Bytes of packets read",
            traffic.received_bytes,
        )?;
        page.counter("sent_bytes", "Bytes of packets sent", traffic.sent_bytes)
    }

    fn limits(&self, page: &mut Page<'_>) -> fmt::Result {
        let limits = vec![
            ("rate", self.traffic.rests),
            ("subscriptions", self.stats.subscriptions_refused),
            ("retained", self.stats.retained_refused),
        ];
        let help = "Times that a limit other than one on connections was met";
        page.counters("limits_hit", help, "limit", &limits)?;
        let help = "Publishes and subscriptions that permissions denied";
        page.counter("denials", help, self.stats.denials)
    }

    fn store(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(store) = self.store else {
            return Ok(());
        };
        page.counter("store_commits", "Groups that were committed", store.commits)?;
        let help = "Bytes that wait to be committed";
        page.gauge("store_waiting_bytes", help, store.waiting_bytes)?;
        page.gauge(
            "store_full",
            "Whether nothing new can be kept",
            store.is_full.into(),
        )
    }
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let page = &mut Page(encoder);
        self.now(page)?;
        self.connections(page)?;
        self.messages(page)?;
        self.limits(page)?;
        self.store(page)
    }
}

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, counts: &Counts) -> fmt::Result {
        let counts = counts.iter().copied();
        self.family(MetricType::Counter, name, help, label, counts)
    }

    fn family<'v>(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'v str, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (word, value) in values {
            let labels = [(label, word)];
            let encoder = family.encode_family(&labels)?;
            match kind {
                MetricType::Counter => ConstCounter::new(value).encode(encoder)?,
                _ => ConstGauge::new(value).encode(encoder)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use weir_engine::Dropped;

    pub(crate) fn metrics(health: Health) -> Metrics {
        Metrics {
            health,
            stats: Stats {
                connections: 2,
                dropped: Dropped {
                    queue_full: 7,
                    ..Dropped::default()
                },
                ..Stats::default()
            },
            traffic: Traffic {
                received_bytes: 99,
                ..Traffic::default()
            },
            refused: vec![("origin", 3)],
            ended: vec![("disconnected", 4), ("lost", 5)],
            store: Some(StoreLoad {
                commits: 6,
                ..StoreLoad::default()
            }),
            certificates: vec![("wss://[::1]:1".into(), 1_900_000_000)],
        }
    }

    #[test]
    fn the_page_is_written_as_prometheus_reads_it() {
        let page = metrics(crate::tests::HEALTH).into_page();
        for line in [
            "# TYPE weir_connections gauge",
            "weir_connections 2",
            "# TYPE weir_connections_refused counter",
            "weir_connections_refused_total{reason=\"origin\"} 3",
            "weir_connections_ended_total{reason=\"lost\"} 5",
            "weir_messages_dropped_total{reason=\"queue_full\"} 7",
            "weir_received_bytes_total 99",
            "weir_store_commits_total 6",
            "weir_certificate_not_after_timestamp_seconds{listener=\"wss://[::1]:1\"} 1900000000",
            "weir_build_info{version=\"1.2.3\"} 1",
        ] {
            assert!(
                page.lines().any(|it| it == line),
                "{line} is not in\n{page}"
            );
        }
        assert!(page.ends_with("# EOF\n"));
    }
}
