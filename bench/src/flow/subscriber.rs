//! The receiving end of a flow.

use super::publisher::topic_name;
use super::{Bench, Shape};
use crate::client::{Hello, Receiver, Sender, connect};
use crate::ledger::{Stamp, nanos_since};
use crate::packets::{self, ack, incoming, kind};
use std::io;
use std::rc::Rc;

pub(super) async fn subscribe(bench: Rc<Bench>, index: usize) -> io::Result<(Sender, Receiver)> {
    let flow = &bench.flow;
    let client_id = format!("sub-{index}");
    let hello = Hello {
        level: flow.level,
        ..Hello::new(&client_id)
    };
    let (mut sender, mut receiver) = if index < flow.subscribers {
        connect(&bench.address, hello).await?
    } else {
        connect(&bench.address.narrow(), hello).await?
    };
    let filters = match &flow.shape {
        Shape::Each if flow.publishers > 1 => vec!["bench/+".to_owned()],
        Shape::Each => vec![topic_name(0)],
        Shape::Pairs => vec![topic_name(index)],
        Shape::Shared => vec!["$share/bench/bench/+".to_owned()],
        Shape::Fleet(fleet) => fleet.filters(index).to_vec(),
    };
    let filters = filters.iter().map(String::as_str);
    sender
        .send(&packets::subscribe(flow.level, filters, flow.qos))
        .await?;
    let suback = receiver.expect(kind::SUBACK).await?;
    if suback.last().is_none_or(|code| *code >= 0x80) {
        return Err(io::Error::other("the broker refused a subscription"));
    }
    Ok((sender, receiver))
}

/// Accounts for what arrives, and acknowledges it.
pub(super) async fn receive(
    bench: Rc<Bench>,
    (mut sender, mut receiver): (Sender, Receiver),
    index: usize,
) {
    let mut acks = Vec::new();
    loop {
        acks.clear();
        let mut now_nanos = None;
        let visited = receiver.receive(|first, body| match first & 0xf0 {
            kind::PUBLISH => {
                let start = bench.start.get();
                let now_nanos = *now_nanos.get_or_insert_with(|| nanos_since(start));
                bench.account(index, first, body, now_nanos, &mut acks);
            }
            0x60 => {
                if let [high, low, ..] = body {
                    let id = u16::from_be_bytes([*high, *low]);
                    acks.extend_from_slice(&ack(kind::PUBCOMP, id));
                }
            }
            _ => {}
        });
        if visited.await.is_err() || (!acks.is_empty() && sender.send(&acks).await.is_err()) {
            return;
        }
    }
}

impl Bench {
    fn account(&self, index: usize, first: u8, body: &[u8], now_nanos: u64, acks: &mut Vec<u8>) {
        let Some(publish) = incoming(self.flow.level, first, body) else {
            return;
        };
        match publish.qos {
            0 => {}
            1 => acks.extend_from_slice(&ack(kind::PUBACK, publish.packet_id)),
            _ => acks.extend_from_slice(&ack(kind::PUBREC, publish.packet_id)),
        }
        let Some(stamp) = Stamp::decode(publish.payload) else {
            return;
        };
        let Some(channel) = self.channels.get(usize::from(stamp.publisher)) else {
            return;
        };
        let slot = if matches!(self.flow.shape, Shape::Pairs) {
            0
        } else {
            index
        };
        channel.ledgers.borrow_mut()[slot].note(stamp.number);
        channel.received.set(channel.received.get() + 1);
        self.last_arrival_nanos.set(now_nanos);
        let latency = now_nanos.saturating_sub(stamp.due_nanos);
        self.latency_nanos.borrow_mut().saturating_record(latency);
        channel.moved.notify_one();
    }
}
