//! Reads malformed.txt, which lies beside this file and says what its columns mean.
//!
//! The codec's own tests and the end-to-end tests both include this file, so that what the decoder refuses and what a
//! client is told about it are judged by the same lines.

#![allow(dead_code)] // not every test looks at every field

use weir_codec::Version;

/// One malformed packet.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Whose specification it breaks.
    pub(crate) version: Version,
    /// When it comes, and to whom.
    pub(crate) when: When,
    /// The whole packet.
    pub(crate) bytes: Vec<u8>,
    /// What the decoder calls the fault.
    pub(crate) fault: &'static str,
    /// The reason code that belongs to the fault.
    pub(crate) reason: u8,
    /// What a broker answers before it closes.
    pub(crate) answer: Answer,
    /// The statement or section that forbids it.
    pub(crate) statement: &'static str,
    /// What is wrong, for people.
    pub(crate) what: &'static str,
}

/// When a packet comes, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// As the first packet of a client.
    First,
    /// After a proper CONNECT.
    Connected,
    /// From a server.
    ToClient,
}

/// What a broker answers before it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// DISCONNECT with the reason.
    Disconnect,
    /// CONNACK of 5.0 with the reason.
    ConnAck,
    /// CONNACK of 3.1.1 with return code 1.
    UnacceptableVersion,
    /// Nothing.
    Close,
}

impl Case {
    /// Whether the packet is wrong whenever it comes, whoever receives it and whatever that takes.
    pub(crate) fn is_wrong_in_itself(&self) -> bool {
        let circumstances = [
            "ConnectExpected",
            "SecondConnect",
            "UnexpectedPacket",
            "PacketTooLarge",
        ];
        !circumstances
            .iter()
            .any(|name| self.fault.starts_with(name))
    }

    /// Whether 3.1 by the letter of its own specification disregards what is wrong here.
    pub(crate) fn is_allowed_in_3_1(&self) -> bool {
        let lax = [
            "PUBREL with DUP",
            "PUBREL without its flag",
            "SUBSCRIBE with DUP",
            "SUBSCRIBE without its flag",
            "UNSUBSCRIBE without its flag",
            "CONNACK with a reserved flag",
            "session present in a refusal",
        ];
        // A malformed CONNECT of 3.1.1 says in itself that it is one.
        lax.contains(&self.what) || self.bytes[0] >> 4 == 1
    }
}

/// Every malformed packet of a version's table.
pub(crate) fn cases(version: Version) -> Vec<Case> {
    let lines = include_str!("malformed.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(parse)
        .filter(|case| case.version == version)
        .collect()
}

fn parse(line: &'static str) -> Case {
    let fields: Vec<_> = line.split(" | ").collect();
    let [version, when, bytes, fault, reason, answer, statement, what] = fields[..] else {
        panic!("not eight columns: {line}")
    };
    Case {
        version: match version {
            "3.1.1" => Version::V3_1_1,
            "5.0" => Version::V5,
            _ => panic!("version? {line}"),
        },
        when: match when {
            "first" => When::First,
            "connected" => When::Connected,
            "client" => When::ToClient,
            _ => panic!("when? {line}"),
        },
        bytes: unhex(bytes),
        fault,
        reason: unhex(reason.trim_start_matches("0x"))[0],
        answer: match answer {
            "DISCONNECT" => Answer::Disconnect,
            "CONNACK" => Answer::ConnAck,
            "CONNACK 1" => Answer::UnacceptableVersion,
            "close" | "-" => Answer::Close,
            _ => panic!("answer? {line}"),
        },
        statement,
        what,
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("two hex digits"))
        .collect()
}
