//! Who is let in by the world of an engine script, and what they may do there.
//!
//! Credentials are `[user!]filters[@seconds]`: `all` for everything, filters separated by commas, `no` for a refusal. What
//! begins with `ask` is challenged first.

use crate::{
    AllowAll, Asked, ConnectionKey, Coverage, Credentials, Grant, Input, Instant, Permissions,
    Refreshed, Refusal,
};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use std::cell::RefCell;
use weir_codec::{TopicFilter, TopicName, Utf8};

std::thread_local! {
    /// The permissions of everybody whose user name is `file`, as a file would have them.
    static FILE: RefCell<String> = RefCell::new("all".to_string());
}

/// Only what these filters match; a filter that is wider than all of them is granted in part.
#[derive(Debug)]
struct Only {
    filters: Vec<TopicFilter>,
    text: String,
    is_from_file: bool,
}

impl Only {
    fn of(text: &str, is_from_file: bool) -> Self {
        let texts = text
            .split(',')
            .map(|text| if text == "all" { "#" } else { text });
        Self {
            filters: texts.map(|it| TopicFilter::try_from(it).unwrap()).collect(),
            text: text.to_string(),
            is_from_file,
        }
    }
}

impl Permissions for Only {
    fn may_publish(&self, topic: &TopicName) -> bool {
        self.filters.iter().any(|filter| filter.matches(topic))
    }

    fn may_subscribe(&self, filter: &TopicFilter) -> Coverage {
        let wanted = TopicName::try_from(filter.filter());
        match wanted {
            Ok(topic) if self.may_publish(&topic) => Coverage::Whole,
            Ok(_) => Coverage::Nothing,
            Err(_) if self.filters.iter().any(|it| it.filter() == filter.filter()) => {
                Coverage::Whole
            }
            Err(_) if self.text == "all" => Coverage::Whole,
            Err(_) if filter.filter() == "#" => Coverage::Part,
            Err(_) => Coverage::Nothing,
        }
    }

    fn may_receive(&self, topic: &TopicName) -> bool {
        self.may_publish(topic)
    }

    fn refreshed(&self) -> Refreshed {
        let file = FILE.with_borrow(String::clone);
        match self.is_from_file {
            true if file == "nobody" => Refreshed::Withdrawn,
            true if file != self.text => Refreshed::Changed(Arc::new(Self::of(&file, true))),
            _ => Refreshed::Unchanged,
        }
    }

    fn rule(&self, asked: Asked<'_>) -> String {
        match asked {
            Asked::Publish(_) | Asked::Receive(_) => format!("only {}", self.text),
            Asked::Subscribe(_) => format!("nothing but {}", self.text),
        }
    }
}

pub(super) fn change_file(text: &str) {
    FILE.set(text.to_string());
}

pub(super) fn judge(now: Instant, connection: ConnectionKey, credentials: &Credentials) -> Input {
    let answer = match (
        credentials.method.as_deref(),
        credentials.username.as_deref(),
    ) {
        (Some("JWT"), _) => {
            return judge_data(
                now,
                connection,
                credentials.data.as_deref().unwrap_or_default(),
            );
        }
        (Some(_), _) => Err(Refusal::BadAuthenticationMethod),
        (None, Some("wrong")) => Err(Refusal::BadCredentials),
        (None, Some("file")) => Ok(Grant::new(Arc::new(
            FILE.with_borrow(|it| Only::of(it, true)),
        ))),
        (None, Some(text)) if text.contains('!') => granted(now, text),
        (None, _) => Ok(Grant::new(Arc::new(AllowAll))),
    };
    Input::Authenticated { connection, answer }
}

pub(super) fn judge_data(now: Instant, connection: ConnectionKey, data: &[u8]) -> Input {
    let text = core::str::from_utf8(data).unwrap();
    if text.starts_with("ask") {
        return Input::Challenged {
            connection,
            data: Bytes::from_static(b"more"),
        };
    }
    let answer = match text {
        "no" => Err(Refusal::BadCredentials),
        _ => granted(now, text).map(|grant| Grant {
            data: Some(Bytes::from_static(b"welcome")),
            ..grant
        }),
    };
    Input::Authenticated { connection, answer }
}

fn granted(now: Instant, text: &str) -> Result<Grant, Refusal> {
    let (user, text) = match text.split_once('!') {
        Some((user, text)) => (Some(user), text),
        None => (None, text),
    };
    let (filters, seconds) = match text.split_once('@') {
        Some((filters, seconds)) => (filters, Some(seconds.parse().unwrap())),
        None => (text, None),
    };
    Ok(Grant {
        user: user.map(|user| Utf8::try_from(user).unwrap()),
        expires_at: seconds.map(|seconds| now.plus_seconds(seconds)),
        ..Grant::new(Arc::new(Only::of(filters, false)))
    })
}
