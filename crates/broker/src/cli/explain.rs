//! `weir acl explain`: whether a client may do something by an ACL file, and the rule and line that say so.
//!
//! The answer comes from the code that decides in the broker, and names the rule as its log does. Exit code 0 for what is
//! allowed, 3 for what is denied, wholly or in part.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use weir_auth::{Explanation, explain_publish, explain_subscribe};
use weir_engine::{Coverage, TopicFilter, TopicName, Utf8};

use super::say::say;
use crate::config::Config;

/// What is asked of an ACL file.
#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Acl {
    /// Say whether a client may do something, and by which rule
    Explain(Explain),
}

/// Who wants to do what.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explain {
    /// The ACL file
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "config",
        conflicts_with = "config"
    )]
    file: Option<PathBuf>,

    /// The broker's configuration, for its acl_file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The user; without it, a client that has no name
    #[arg(long, value_parser = utf8)]
    user: Option<Utf8>,

    /// The client id
    #[arg(long, value_parser = utf8, default_value = "")]
    client: Utf8,

    /// A topic it wants to publish to
    #[arg(long, value_name = "TOPIC", value_parser = topic, required_unless_present = "subscribe", conflicts_with = "subscribe")]
    publish: Option<TopicName>,

    /// A filter it wants to subscribe to
    #[arg(long, value_name = "FILTER", value_parser = filter)]
    subscribe: Option<TopicFilter>,
}

impl Explain {
    /// Says it.
    pub(crate) fn run(&self) -> ExitCode {
        match self.explain() {
            Ok(explanation) => {
                say(words(&explanation));
                match explanation.allowed {
                    Coverage::Whole => ExitCode::SUCCESS,
                    Coverage::Part | Coverage::Nothing => 3.into(),
                }
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn explain(&self) -> Result<Explanation, String> {
        let file = match (&self.file, &self.config) {
            (Some(file), _) => file.clone(),
            (None, Some(config)) => {
                let config = Config::load(config).map_err(|error| error.to_string())?;
                let file = config.auth.acl_file;
                file.ok_or("auth.acl_file is not set: everything is allowed")?
            }
            (None, None) => return Err("which file? write --file or --config".into()),
        };
        let user = self.user.as_ref();
        let explanation = match (&self.publish, &self.subscribe) {
            (Some(topic), _) => explain_publish(&file, user, &self.client, topic),
            (None, Some(filter)) => explain_subscribe(&file, user, &self.client, filter),
            (None, None) => return Err("what? write --publish or --subscribe".into()),
        };
        explanation.map_err(|error| error.to_string())
    }
}

fn words(explanation: &Explanation) -> String {
    let mut words = String::from(match explanation.allowed {
        Coverage::Whole => "allowed",
        Coverage::Part => {
            "allowed in part: the subscription is granted, and each delivery is checked"
        }
        Coverage::Nothing => "denied",
    });
    for rule in &explanation.rules {
        let _ = write!(words, "\n  {rule}");
    }
    words
}

fn utf8(text: &str) -> Result<Utf8, String> {
    Utf8::try_from(text).map_err(|error| error.to_string())
}

fn topic(text: &str) -> Result<TopicName, String> {
    TopicName::try_from(text).map_err(|error| error.to_string())
}

fn filter(text: &str) -> Result<TopicFilter, String> {
    TopicFilter::try_from(text).map_err(|error| error.to_string())
}
