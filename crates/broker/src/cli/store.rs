//! `weir store`: what an operator asks of a store's directory.
//!
//! Nothing here writes to it, so all of it may be asked while a broker runs: the answer is about the moment of asking.
//! Exit code 1 if something that was promised to last is missing.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::say::{end_unheard, say};
use clap::Subcommand;
use serde_json::{Value, json};
use weir_engine::{Message, Record, Stage};
use weir_store::{
    Damage, Durability, Files, Limits, Log, Recovered, Store, StoreError, WallClock, backup,
};

/// What is asked.
#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Read everything and say what is damaged or missing
    Verify {
        /// The store's directory
        directory: PathBuf,
    },
    /// Count what is kept
    Stats {
        /// The store's directory
        directory: PathBuf,
    },
    /// Print every record as a line of JSON
    Export {
        /// The store's directory
        directory: PathBuf,
    },
    /// Copy the store, whether or not a broker uses it; the copy is a store
    Backup {
        /// The store's directory
        directory: PathBuf,
        /// A directory that has no store in it
        to: PathBuf,
    },
}

impl Ask {
    /// Answers.
    pub(crate) fn run(&self) -> ExitCode {
        let done = match self {
            Self::Verify { directory } => verify(directory),
            Self::Stats { directory } => stats(directory),
            Self::Export { directory } => export(directory),
            Self::Backup { directory, to } => copy(directory, to),
        };
        done.unwrap_or_else(|error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        })
    }
}

/// Opens a store to read it, with moments in unix milliseconds.
fn look(directory: &Path) -> Result<(Store<Files>, Recovered), StoreError> {
    Store::open(
        Files::look(directory)?,
        WallClock::default(),
        Durability::Sync,
        Limits::default(),
    )
}

fn verify(directory: &Path) -> Result<ExitCode, StoreError> {
    let (mut store, recovered) = look(directory)?;
    let lost = &recovered.lost;
    for damage in &lost.damage {
        match damage {
            Damage::Torn { .. } => say(format_args!("note: {damage}")),
            Damage::Corrupt { .. } => say(format_args!("LOST: {damage}")),
        }
    }
    for key in &lost.records {
        say(format_args!("LOST: {key:?}: what it needs is missing"));
    }
    let damaged = read_parked(&mut store, &recovered)?;
    let is_loss = lost.is_loss() || damaged > 0;
    let (first, end) = (store.log().first(), store.log().end());
    say(format_args!(
        "{}: {} records in batches {} to {}",
        if is_loss { "damaged" } else { "ok" },
        recovered.records.len() + recovered.parked.len(),
        first.0,
        end.0
    ));
    Ok(u8::from(is_loss).into())
}

/// Reads all messages that opening did not, and names those that are damaged; returns how many.
fn read_parked(store: &mut Store<Files>, recovered: &Recovered) -> Result<usize, StoreError> {
    const AT_ONCE: usize = 1000;
    let mut damaged = 0;
    for parked in recovered.parked.chunks(AT_ONCE) {
        let numbers: Vec<_> = parked.iter().map(|it| it.number).collect();
        for it in store.load(&numbers)?.damaged {
            say(format_args!("LOST: {it}"));
            damaged += 1;
        }
    }
    Ok(damaged)
}

fn stats(directory: &Path) -> Result<ExitCode, StoreError> {
    let (store, recovered) = look(directory)?;
    let count =
        |wanted: fn(&Record) -> bool| recovered.records.iter().filter(|it| wanted(it)).count();
    let queued = |record: &Record| matches!(record, Record::Delivery(it) if matches!(it.stage, Stage::Queued(_)));
    let census = store.census();
    let figures = [
        ("sessions", count(|it| matches!(it, Record::Session(_)))),
        (
            "subscriptions",
            count(|it| matches!(it, Record::Subscription(_))),
        ),
        ("wills", count(|it| matches!(it, Record::Will(_)))),
        ("messages", census.messages),
        ("queued", count(queued)),
        (
            "in flight",
            count(|it| matches!(it, Record::Delivery(_))) - count(queued),
        ),
        (
            "packet ids received",
            count(|it| matches!(it, Record::Received(..))),
        ),
        ("retained", count(|it| matches!(it, Record::Retained(_)))),
    ];
    for (name, figure) in figures {
        say(format_args!("{name}: {figure}"));
    }
    say(format_args!("live bytes: {}", census.live_bytes));
    say(format_args!("log bytes: {}", census.log_bytes));
    say(format_args!("disk bytes: {}", store.log().disk_bytes()?));
    Ok(ExitCode::SUCCESS)
}

fn export(directory: &Path) -> Result<ExitCode, StoreError> {
    let (mut store, mut recovered) = look(directory)?;
    let damaged = recovered.unpark(&mut store)?;
    for it in &damaged {
        eprintln!("LOST: {it}");
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let written = recovered
        .records
        .iter()
        .try_for_each(|record| writeln!(out, "{}", line(record)));
    if let Err(error) = written.and_then(|()| out.flush()) {
        end_unheard(&error);
    }
    Ok(u8::from(recovered.lost.is_loss() || !damaged.is_empty()).into())
}

fn copy(directory: &Path, to: &Path) -> Result<ExitCode, StoreError> {
    backup(directory, to)?;
    verify(to)
}

/// A record as JSON. Moments are unix milliseconds.
fn line(record: &Record) -> Value {
    match record {
        Record::Message(it) => message("message", it),
        Record::Session(it) => json!({
            "kind": "session",
            "session": it.number.0,
            "client_id": it.client_id.as_str(),
            "user": it.user.as_deref(),
            "expiry_seconds": it.expiry_seconds,
            "absent_since": it.absent_since.map(weir_engine::Instant::as_millis),
        }),
        Record::Subscription(it) => json!({
            "kind": "subscription",
            "session": it.session.0,
            "filter": it.filter.as_str(),
            "qos": it.qos as u8,
            "no_local": it.no_local,
            "retain_as_published": it.retain_as_published,
            "slow_reader": it.slow_reader.map(weir_engine::SlowReader::name),
            "identifier": it.identifier,
        }),
        Record::Will(it) => {
            let mut will = message("will", &it.message);
            will["session"] = it.session.0.into();
            will["delay_seconds"] = it.delay_seconds.into();
            will["expiry_seconds"] = it.expiry_seconds.into();
            will
        }
        Record::Received(session, id) => json!({
            "kind": "received",
            "session": session.0,
            "packet_id": id.get(),
        }),
        Record::Delivery(it) => {
            let (stage, message, id) = match it.stage {
                Stage::Queued(message) => ("queued", Some(message.0), None),
                Stage::Sent(message, id) => ("sent", Some(message.0), Some(id.get())),
                Stage::Released(id) => ("released", None, Some(id.get())),
            };
            json!({
                "kind": "delivery",
                "session": it.session.0,
                "sequence": it.sequence,
                "qos": it.qos as u8,
                "retain": it.retain,
                "identifiers": it.identifiers.as_slice(),
                "stage": stage,
                "message": message,
                "packet_id": id,
            })
        }
        Record::Retained(it) => json!({
            "kind": "retained",
            "topic": it.topic.as_str(),
            "message": it.message.0,
        }),
    }
}

fn message(kind: &str, message: &Message) -> Value {
    let properties = message.properties.iter();
    let mut line = json!({
        "kind": kind,
        "message": message.number.0,
        "topic": message.topic.as_str(),
        "qos": message.qos as u8,
        "retain": message.retain,
        "expires_at": message.expires_at.map(weir_engine::Instant::as_millis),
        "properties": properties.map(|it| format!("{it:?}")).collect::<Vec<_>>(),
    });
    match std::str::from_utf8(&message.payload) {
        Ok(text) => line["payload"] = text.into(),
        Err(_) => line["payload_hex"] = hex(&message.payload).into(),
    }
    line
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_engine::{SessionNumber, SessionRecord};

    #[test]
    fn binary_payloads_are_hexadecimal() {
        let message = |payload: &'static [u8]| Message {
            number: weir_engine::MessageNumber(7),
            topic: weir_engine::TopicName::try_from("a").unwrap(),
            payload: bytes::Bytes::from_static(payload),
            properties: weir_codec::Properties::new(),
            qos: weir_codec::Qos::AtLeastOnce,
            retain: true,
            expires_at: None,
        };
        assert_eq!(super::message("message", &message(b"hi"))["payload"], "hi");
        let binary = super::message("message", &message(&[0xff, 0]));
        assert_eq!(binary["payload_hex"], "ff00");
    }

    #[test]
    fn a_session_is_a_line() {
        let record = Record::Session(SessionRecord {
            number: SessionNumber(3),
            client_id: weir_engine::Utf8::from_static("c"),
            user: None,
            expiry_seconds: 60,
            absent_since: None,
        });
        let expected = r#"{"absent_since":null,"client_id":"c","expiry_seconds":60,"kind":"session","session":3,"user":null}"#;
        assert_eq!(line(&record).to_string(), expected);
    }
}
