//! The password file: one `user:hash` a line, as mosquitto_passwd writes it.
//!
//! Empty lines and lines that begin with `#` are kept and mean nothing. A change is made by writing a new file beside the
//! old one and renaming it, so that whoever reads sees the one or the other, and a power cut loses nothing.

use super::hash::{Cost, Stored};
use crate::error::{AuthError, LineFault};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// MQTT's own limit on a User Name.
const USER_BYTES_MAX: usize = 65_535;

/// What a password file holds.
#[derive(Debug, Default)]
pub(crate) struct Passwords {
    users: HashMap<String, Arc<Stored>>,
    /// A stored password that costs what most cost, to be checked for users that do not exist.
    stand_in: Option<Arc<Stored>>,
}

impl Passwords {
    pub(crate) fn read(path: &Path, text: &str) -> Result<Self, AuthError> {
        let mut lines = HashMap::new();
        let mut users = HashMap::new();
        for (number, user, hash) in entries(text) {
            let fault = |fault| AuthError::Line(path.to_path_buf(), number, fault);
            let (user, hash) = user.zip(hash).ok_or_else(|| fault(LineFault::NoColon))?;
            check_user(user).map_err(fault)?;
            let stored = Stored::parse(hash.trim()).map_err(fault)?;
            if let Some(earlier) = lines.insert(user, number) {
                return Err(fault(LineFault::DuplicateUser(earlier)));
            }
            users.insert(user.to_owned(), Arc::new(stored));
        }
        let stand_in = commonest(users.values());
        Ok(Self { users, stand_in })
    }

    pub(crate) fn has(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    pub(crate) fn find(&self, user: &str) -> Option<&Arc<Stored>> {
        self.users.get(user)
    }

    pub(crate) fn stand_in(&self) -> Option<&Arc<Stored>> {
        self.stand_in.as_ref()
    }
}

/// A password file that is about to be changed.
#[derive(Debug)]
pub struct PasswordFile {
    path: PathBuf,
    lines: Vec<String>,
    changed: usize,
}

impl PasswordFile {
    /// Opens a file; one that does not exist is empty, and made when it is saved.
    ///
    /// # Errors
    /// The file can't be read, or one of its lines is none of a password file: then it is probably another file.
    pub fn open(path: &Path) -> Result<Self, AuthError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(AuthError::Unreadable(path.to_path_buf(), error)),
        };
        Passwords::read(path, &text)?;
        Ok(Self {
            path: path.to_path_buf(),
            lines: text.lines().map(str::to_owned).collect(),
            changed: 0,
        })
    }

    /// Sets a user's password, as Argon2id or as SCRAM keys. Returns whether the user is new.
    ///
    /// # Errors
    /// The name can't be one, or there is no randomness for the salt.
    pub fn set(&mut self, user: &str, password: &[u8], scram: bool) -> Result<bool, AuthError> {
        let at = self.position(user);
        let fault =
            |fault| AuthError::Line(self.path.clone(), at.unwrap_or(self.lines.len()) + 1, fault);
        check_user(user).map_err(fault)?;
        let hash = match scram {
            true => super::hash::scram_line(password)?,
            false => super::hash::argon2id_line(password)?,
        };
        let line = format!("{user}:{hash}");
        self.changed += 1;
        match at {
            Some(at) => self.lines[at] = line,
            None => self.lines.push(line),
        }
        Ok(at.is_none())
    }

    /// Deletes a user. Returns whether there was one.
    pub fn delete(&mut self, user: &str) -> bool {
        let at = self.position(user);
        if let Some(at) = at {
            self.lines.remove(at);
            self.changed += 1;
        }
        at.is_some()
    }

    /// Writes the file, if anything was changed. A new one can be read by its owner alone; of an old one mode and owner
    /// stay.
    ///
    /// # Errors
    /// The file can't be written; the old one is as it was.
    pub fn save(self) -> Result<(), AuthError> {
        if self.changed == 0 {
            return Ok(());
        }
        let unwritable = |error| AuthError::Unwritable(self.path.clone(), error);
        // Through a link to the file itself, which is to stay where it is.
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut beside = target.clone().into_os_string();
        beside.push(format!(".new-{}", std::process::id()));
        let written = self.write(&target, Path::new(&beside));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written.map_err(unwritable)
    }

    fn write(&self, target: &Path, beside: &Path) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(beside)?;
        if let Ok(old) = fs::metadata(target) {
            file.set_permissions(old.permissions())?;
            let new = file.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                chown(beside, Some(old.uid()), Some(old.gid()))?;
            }
        }
        for line in &self.lines {
            writeln!(file, "{line}")?;
        }
        file.sync_all()?;
        fs::rename(beside, target)?;
        let folder = target
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn position(&self, user: &str) -> Option<usize> {
        let is_of = |line: &String| {
            !line.starts_with('#') && line.split_once(':').is_some_and(|(found, _)| found == user)
        };
        self.lines.iter().position(is_of)
    }
}

fn check_user(user: &str) -> Result<(), LineFault> {
    let is_name = !user.is_empty()
        && user.len() <= USER_BYTES_MAX
        && !user.contains([':', '\0', '\n', '\r'])
        && !user.starts_with('#');
    if is_name {
        Ok(())
    } else {
        Err(LineFault::UserName)
    }
}

/// The lines that are neither empty nor a comment: number, user, hash.
fn entries(text: &str) -> impl Iterator<Item = (usize, Option<&str>, Option<&str>)> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|(index, line)| match line.split_once(':') {
        Some((user, hash)) => (index + 1, Some(user), Some(hash)),
        None => (index + 1, None, None),
    })
}

fn commonest<'a>(stored: impl Iterator<Item = &'a Arc<Stored>>) -> Option<Arc<Stored>> {
    let mut by_cost: BTreeMap<Cost, (usize, &Arc<Stored>)> = BTreeMap::new();
    for stored in stored {
        by_cost.entry(stored.cost()).or_insert((0, stored)).0 += 1;
    }
    let (_, stored) = by_cost.into_values().max_by_key(|(count, _)| *count)?;
    Some(Arc::clone(stored))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::PermissionsExt;

    const SHA: &str = "$6$OumHQDSJsyp0b4W4$D79LVQ6i64HK2/nfzQUHvgbjQoqgbyd4cwWTLXcPENsBzJxOjqITqkCX10rqUyA+olFkqKIat0DcGQ921a5A+A==";
    const PBKDF2: &str = "$7$101$yrSdazRk9AXaTc+S$xZajRwynh7y56GkNJ05xvjoU8fzFR09a9AJ5nyjkAoU5B8FT3XnX6mYvTyAw7ImJCK4QL9TULxoYEmhsxaS8kA==";

    fn read(text: &str) -> Result<Passwords, String> {
        Passwords::read(Path::new("p"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_comments_and_empty_lines_are_read() {
        let passwords = read(&format!("# who\n\nann:{SHA}\r\nb b:{PBKDF2}\n")).unwrap();
        assert!(passwords.has("ann") && passwords.has("b b") && !passwords.has("c"));
    }

    #[test]
    fn a_fault_names_its_line_and_quotes_nothing() {
        for (text, start) in [
            ("ann", "p:1: no ':'"),
            ("\n:x", "p:2: the user name"),
            ("ann:secret", "p:1: behind the ':' stands no hash"),
            ("ann:$9$secret", "p:1: a hash of an unknown kind"),
            ("ann:$7$secret", "p:1: the hash is cut off"),
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.starts_with(start) && !error.contains("secret"),
                "{error}"
            );
        }
        let twice = read(&format!("a:{SHA}\n#\na:{SHA}")).unwrap_err();
        assert!(
            twice.starts_with("p:3: this user stands on line 1"),
            "{twice}"
        );
    }

    #[test]
    fn the_stand_in_is_of_the_commonest_kind() {
        let stand_in = |text: &str| read(text).unwrap().stand_in.map(|stored| stored.cost());
        let mixed = format!("a:{SHA}\nb:{PBKDF2}\nc:{PBKDF2}");
        assert_eq!(stand_in(&mixed), Some(Cost::Pbkdf2(101)));
        assert_eq!(stand_in(""), None);
    }

    #[test]
    fn a_file_is_made_changed_and_keeps_what_it_does_not_change() {
        let scratch = Scratch::new();
        let path = scratch.file("x", "").with_file_name("passwords");
        let mut file = PasswordFile::open(&path).unwrap();
        assert!(file.set("ann", b"one", false).unwrap());
        file.save().unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let before = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("# keep\nold:{SHA}\n{before}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut file = PasswordFile::open(&path).unwrap();
        assert!(!file.set("ann", b"two", true).unwrap());
        assert!(file.delete("old") && !file.delete("old"));
        file.save().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# keep\nann:$scram-sha-256$"), "{text}");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            2,
            "nothing left over"
        );
    }

    #[test]
    fn another_file_is_not_overwritten() {
        let scratch = Scratch::new();
        let path = scratch.file("broker.toml", "[auth]\nx = 1");
        assert!(PasswordFile::open(&path).is_err());
        let mut file = PasswordFile::open(&scratch.file("p", "")).unwrap();
        for name in ["", "a:b", "#a", "a\nb"] {
            assert!(file.set(name, b"x", false).is_err(), "{name:?}");
        }
    }
}
