//! The scenarios by name, and the load that each of them is.
//!
//! A scenario is the same for every broker and every run; what may be changed from outside (how long, at which rate) is
//! in [`Options`]. With `small` it is only shown that nothing is lost, in tiny numbers.

pub(crate) mod durable;
mod idle;
mod reconnect;
mod retained;
mod stalled;
mod subscriptions;

use crate::address::Address;
use crate::fleet::Fleet;
use crate::flow::{Flow, Shape};
use crate::packets::Level;
use crate::process::Process;
use crate::report::Report;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// 1 publisher to 100 subscribers, as fast as it goes.
    FanOut,
    /// The same at 500 messages a second, one message per read.
    FanOutPaced,
    /// 1 to 100 with QoS 1, as fast as it goes.
    FanOutQos1,
    /// 1 to 100 in 5.0 with user properties, subscription identifiers and topic aliases.
    FanOutV5,
    /// 1 to 100, payloads of 8 KiB.
    Payload8k,
    /// 1 to 100, payloads of 256 KiB.
    Payload256k,
    /// 1 to 100 at the given rate; for latencies.
    Latency,
    /// The same at one rate for all brokers.
    LatencyAlike,
    /// 50 publishers, each with its own subscriber.
    Pairs,
    /// The same with QoS 1.
    PairsQos1,
    /// The same with QoS 2.
    PairsQos2,
    /// 100 publishers to one subscriber.
    FanIn,
    /// 100 publishers to 100 members of a shared subscription.
    Shared,
    /// 100 subscribers with 100 filters each, 44 of them with wildcards.
    Wildcards,
    /// 10,000 connections with one subscription each, before and after each carried 64 KiB.
    Idle,
    /// Connect, subscribe, disconnect.
    Churn,
    /// 2,000 clients come again with the same Client Identifiers, all at once, their old connections still open.
    Storm,
    /// 1,000,000 subscriptions of 10,000 clients.
    Subscriptions,
    /// 100,000 retained messages to one subscriber, while another client's messages flow.
    Retained,
    /// 1 to 100, without and with a further subscriber that stops reading.
    Stalled,
    /// 20 publishers with QoS 1 to 100 persistent sessions that are away.
    DurableOffline,
    /// The same until 200,000 messages wait, however long that takes.
    DurableFilled,
    /// 20 publishers with QoS 1 to 100 persistent sessions that are there.
    DurableOnline,
    /// 20 publishers, each of which waits for each PUBACK, to 100 persistent sessions that are away.
    DurableLockstep,
    /// One publisher, one message after the other, to a session that is away.
    DurableSingle,
}

/// What may be changed from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) duration: Duration,
    /// Messages a second of each publisher, instead of the scenario's own.
    pub(crate) rate: Option<f64>,
    /// Of a message, instead of the scenario's own.
    pub(crate) payload_bytes: Option<usize>,
    /// Tiny numbers.
    pub(crate) small: bool,
}

impl Options {
    /// `whole`, or in a small run `tiny`.
    fn scale(self, whole: usize, tiny: usize) -> usize {
        if self.small { tiny } else { whole }
    }
}

impl Scenario {
    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// How long a measurement may take, beyond the time of publishing.
    pub(crate) fn limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Idle => 45,
            Self::Storm | Self::Retained | Self::Subscriptions => 30,
            Self::DurableFilled => 300,
            _ if self.is_durable() => 60,
            _ => 15,
        })
    }

    /// Whether it asks for messages to last.
    pub(crate) fn is_durable(self) -> bool {
        matches!(
            self,
            Self::DurableOffline
                | Self::DurableFilled
                | Self::DurableOnline
                | Self::DurableLockstep
                | Self::DurableSingle
        )
    }

    /// Measures a broker.
    ///
    /// # Errors
    /// A connection that can't be opened, or is refused.
    pub(crate) async fn run(
        self,
        address: &Address,
        broker: Process,
        options: Options,
    ) -> io::Result<Report> {
        match self {
            Self::Idle => idle::run(address, broker, options).await,
            Self::Churn => reconnect::churn(address, broker, options).await,
            Self::Storm => reconnect::storm(address, broker, options).await,
            Self::Subscriptions => subscriptions::run(address, broker, options).await,
            Self::Retained => retained::run(address, broker, options).await,
            Self::Stalled => stalled::run(address, broker, options).await,
            Self::DurableOffline | Self::DurableFilled | Self::DurableLockstep => {
                durable::offline(self, address, broker, options).await
            }
            Self::DurableOnline => durable::online(address, broker, options).await,
            Self::DurableSingle => durable::single(address, broker, options).await,
            _ => {
                let flow = self.flow(options);
                match self {
                    Self::Payload8k | Self::Payload256k => {
                        self.run_large(flow, address, broker).await
                    }
                    _ => flow.run(self, address, broker).await,
                }
            }
        }
    }

    /// Measures also by how many payloads the broker's memory grows beyond what the same load with small ones takes.
    async fn run_large(self, flow: Flow, address: &Address, broker: Process) -> io::Result<Report> {
        let small = Flow {
            duration: flow.duration / 4,
            payload_bytes: 100,
            ..flow.clone()
        };
        small.run(self, address, broker).await?;
        let (before, payload_bytes) = (broker.resident_peak_bytes(), flow.payload_bytes as f64);
        let report = flow.run(self, address, broker).await?;
        let growth = broker.resident_peak_bytes().saturating_sub(before) as f64;
        Ok(report.with("peak_growth_payloads", growth / payload_bytes))
    }

    /// The load of the scenarios that are nothing but load.
    fn flow(self, options: Options) -> Flow {
        let all = |window| Flow::new(Shape::Each, 1, options.scale(100, 5), window);
        let pairs = |qos| Flow {
            qos,
            ..Flow::new(Shape::Pairs, options.scale(50, 3), options.scale(50, 3), 20)
        };
        let flow = match self {
            Self::FanOutPaced | Self::Latency | Self::LatencyAlike => Flow {
                rate: Some(500.0),
                ..all(1_000_000)
            },
            Self::FanOutQos1 => Flow { qos: 1, ..all(100) },
            Self::FanOutV5 => Flow {
                level: Level::V5,
                is_decorated: true,
                ..all(200)
            },
            Self::Payload8k => Flow {
                payload_bytes: 8 << 10,
                ..all(20)
            },
            Self::Payload256k => Flow {
                payload_bytes: 256 << 10,
                ..all(2)
            },
            Self::Pairs => pairs(0),
            Self::PairsQos1 => pairs(1),
            Self::PairsQos2 => pairs(2),
            Self::FanIn => Flow::new(Shape::Each, options.scale(100, 5), 1, 20),
            Self::Shared => {
                let clients = options.scale(100, 5);
                Flow::new(Shape::Shared, clients, clients, 20)
            }
            Self::Wildcards => {
                let clients = options.scale(100, 8);
                let fleet = Fleet::shared(clients, options.scale(5_000, 100));
                Flow::new(Shape::Fleet(fleet), 1, clients, 500)
            }
            _ => all(200),
        };
        Flow {
            duration: options.duration,
            rate: options.rate.or(flow.rate),
            payload_bytes: options.payload_bytes.unwrap_or(flow.payload_bytes),
            ..flow
        }
    }
}
