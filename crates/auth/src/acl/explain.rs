//! Why an ACL file allows or denies something, for `weir acl explain`.
//!
//! The answer comes from the code that decides in the broker, never from a second reading of the rules: what is explained is
//! what happens.

use super::Want;
use super::file::Acl;
use super::permissions::Granted;
use crate::error::AuthError;
use crate::watched::Watched;
use std::path::Path;
use std::sync::Arc;
use weir_engine::{Coverage, Permissions, TopicFilter, TopicName, Utf8};

/// What somebody may do by an ACL file, and which rules say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// How much of it is allowed; a publish is allowed in whole or not at all.
    pub allowed: Coverage,
    /// The rules that have a say, each with file and line, the one that counts most first.
    pub rules: Vec<String>,
}

/// Whether a client may publish to `topic`.
///
/// # Errors
/// The file can't be read or has a line that can't be.
pub fn explain_publish(
    file: &Path,
    user: Option<&Utf8>,
    client_id: &Utf8,
    topic: &TopicName,
) -> Result<Explanation, AuthError> {
    let granted = granted(file, user, client_id)?;
    Ok(Explanation {
        allowed: match granted.may_publish(topic) {
            true => Coverage::Whole,
            false => Coverage::Nothing,
        },
        rules: vec![granted.rule_of_topic(topic, Want::Write)],
    })
}

/// How much of what `filter` matches a client may receive.
///
/// # Errors
/// The file can't be read or has a line that can't be.
pub fn explain_subscribe(
    file: &Path,
    user: Option<&Utf8>,
    client_id: &Utf8,
    filter: &TopicFilter,
) -> Result<Explanation, AuthError> {
    let granted = granted(file, user, client_id)?;
    let mut rules = granted.rules_of_filter(filter);
    if rules.is_empty() {
        rules.push(super::permissions::UNSAID.into());
    }
    Ok(Explanation {
        allowed: granted.may_subscribe(filter),
        rules,
    })
}

fn granted(file: &Path, user: Option<&Utf8>, client_id: &Utf8) -> Result<Granted, AuthError> {
    let file = Arc::new(Watched::open(file, Acl::read)?);
    Ok(Granted::by_file(Some(&file), client_id, user, None))
}
