//! The ACL file, in mosquitto's format.
//!
//! ```text
//! topic read news/#               before any `user`: for clients without a user name
//! user ann
//! topic readwrite ann/#           for ann
//! topic deny ann/secret
//! pattern write sensors/%c        for everybody, with their client id or (%u) user name
//! ```

use super::index::Index;
use super::permissions::Rules;
use super::rule::{Rule, parse_entry};
use crate::error::{AuthError, LineFault};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// What an ACL file says.
#[derive(Debug)]
pub(crate) struct Acl {
    users: HashMap<String, Arc<Index>>,
    nameless: Arc<Index>,
    patterns: Arc<Index>,
}

impl Acl {
    pub(crate) fn read(path: &Path, text: &str) -> Result<Self, AuthError> {
        let mut lines = Lines::default();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let fault = |fault| AuthError::Line(path.to_path_buf(), number, fault);
            let place = format!("{}:{number}", path.display());
            lines.add(line, &place).map_err(fault)?;
        }
        let users = lines.users.into_iter();
        Ok(Self {
            users: users
                .map(|(user, rules)| (user, Arc::new(Index::new(rules))))
                .collect(),
            nameless: Arc::new(Index::new(lines.nameless)),
            patterns: Arc::new(Index::new(lines.patterns)),
        })
    }

    /// The rules for a user, or for clients without a name.
    pub(crate) fn rules(&self, user: Option<&str>) -> Rules {
        let own = match user {
            Some(user) => self.users.get(user),
            None => Some(&self.nameless),
        };
        Rules::new(own.cloned(), Arc::clone(&self.patterns))
    }
}

#[derive(Default)]
struct Lines {
    user: Option<String>,
    users: HashMap<String, Vec<Rule>>,
    nameless: Vec<Rule>,
    patterns: Vec<Rule>,
}

impl Lines {
    fn add(&mut self, line: &str, place: &str) -> Result<(), LineFault> {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let name = format!("{place}: {text}");
        match word {
            "user" if rest.trim().is_empty() => return Err(LineFault::UserName),
            "user" => self.user = Some(rest.trim().to_owned()),
            "topic" => {
                let (access, filter) = parse_entry(rest)?;
                let rule = Rule::new(access, filter, false, name)?;
                match &self.user {
                    Some(user) => self.users.entry(user.clone()).or_default().push(rule),
                    None => self.nameless.push(rule),
                }
            }
            "pattern" => {
                let (access, filter) = parse_entry(rest)?;
                self.patterns.push(Rule::new(access, filter, true, name)?);
            }
            _ => return Err(LineFault::UnknownWord),
        }
        Ok(())
    }
}
