//! The command line: `weir [run]`, `weir check FILE`, and what is asked of the files of `[auth]` and `[store]`.
//!
//! Flags are parsed into a dumb struct and resolved once: whoever runs the broker sees a [`Config`], not flags. What
//! people ask for goes to standard output, what is wrong to standard error. Exit code 2 means that a file or the
//! command line has to be edited (a supervisor need not try again), 1 any other failure.

mod explain;
mod passwd;
mod say;
mod store;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub(crate) use explain::{Acl, Explain};
pub(crate) use passwd::Passwd;
pub(crate) use store::Ask;

use crate::config::{Config, ConfigError, Protocol, parse_bind};
use crate::runtime::open_files;
use say::say;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Run the broker.
    Run(Run),
    /// Say whether a file is a valid configuration.
    Check(PathBuf),
    /// Change a password file.
    Passwd(Passwd),
    /// Say what an ACL file allows.
    Explain(Explain),
    /// Say what is in a store.
    Store(Ask),
}

/// Where the configuration of a run comes from.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// The configuration file; without it, the compiled-in defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Listen here (such as 127.0.0.1:8083) instead of on the configured addresses; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = parse_bind)]
    listen: Vec<SocketAddr>,

    /// Keep sessions and retained messages in this directory, instead of the configured one
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Command {
    /// Parses this process's command line. Ends the process for `--help`, `--version` and mistakes.
    pub(crate) fn parse() -> Self {
        Flags::parse().into()
    }
}

impl Run {
    /// The configuration to run with.
    ///
    /// # Errors
    /// The file's, see [`Config::load`].
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(file) => Config::load(file)?,
            None => Config::defaults(),
        };
        if !self.listen.is_empty() {
            config.listen_on(&self.listen);
        }
        if let Some(directory) = &self.data_dir {
            config.store.path = Some(directory.clone());
        }
        Ok(config)
    }
}

/// `weir check`: validates a file and prints what is wrong, or what it comes to.
pub(crate) fn check(file: &Path) -> ExitCode {
    match Config::load(file) {
        Ok(config) => {
            // The files it names have to be good too.
            if let Err(unusable) = open_files(&config) {
                eprintln!("{unusable}");
                return 2.into();
            }
            say(format_args!("{}: ok\n{}", file.display(), summary(&config)));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            error.exit_code().into()
        }
    }
}

/// MQTT broker over WebSocket
#[derive(Parser, Debug)]
#[command(name = "weir", version, args_conflicts_with_subcommands = true)]
struct Flags {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Run the broker (what `weir` alone does, too)
    Run(Run),
    /// Validate a configuration file and say what is wrong in it
    Check {
        /// The configuration file
        file: PathBuf,
    },
    /// Set or delete a user's password in a password file
    Passwd(Passwd),
    /// Ask an ACL file
    #[command(subcommand)]
    Acl(Acl),
    /// Look at what a broker keeps, or copy it
    #[command(subcommand)]
    Store(Ask),
}

impl From<Flags> for Command {
    fn from(flags: Flags) -> Self {
        match flags.action {
            Some(Action::Check { file }) => Self::Check(file),
            Some(Action::Acl(Acl::Explain(explain))) => Self::Explain(explain),
            Some(Action::Store(ask)) => Self::Store(ask),
            Some(Action::Passwd(passwd)) => Self::Passwd(passwd),
            Some(Action::Run(run)) => Self::Run(run),
            None => Self::Run(flags.run),
        }
    }
}

fn summary(config: &Config) -> String {
    let mut lines = vec![
        format!("  shards: {}", config.shards),
        format!("  store: {}", config.store.summary()),
    ];
    for listener in &config.listeners {
        let mut line = format!(
            "  listener: {}://{}",
            listener.protocol.scheme(),
            listener.bind
        );
        if matches!(listener.protocol, Protocol::Ws | Protocol::Wss) {
            line.push_str(", paths ");
            line.push_str(&listener.paths.join(", "));
        }
        lines.push(line);
    }
    lines.extend(
        config
            .notices()
            .iter()
            .map(|notice| format!("  note: {notice}")),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Result<Command, String> {
        let flags = Flags::try_parse_from(line.split_whitespace());
        flags.map(Command::from).map_err(|error| error.to_string())
    }

    #[test]
    fn the_flags_are_well_formed() {
        use clap::CommandFactory;
        Flags::command().debug_assert();
    }

    #[test]
    fn weir_alone_runs_with_the_defaults() {
        assert_eq!(command("weir"), Ok(Command::Run(Run::default())));
        assert_eq!(command("weir run"), command("weir"));
        assert_eq!(Run::default().config().unwrap(), Config::defaults());
    }

    #[test]
    fn run_may_be_left_out_before_its_flags() {
        let run = command("weir run --config a.toml --listen [::1]:0").unwrap();
        assert_eq!(command("weir --config a.toml --listen [::1]:0"), Ok(run));
    }

    #[test]
    fn listen_replaces_the_configured_addresses() {
        let Ok(Command::Run(run)) = command("weir --listen 127.0.0.1:0 --listen [::1]:9001") else {
            panic!("not a run");
        };
        let listeners = run.config().unwrap().listeners;
        let binds: Vec<String> = listeners
            .iter()
            .map(|listener| listener.bind.to_string())
            .collect();
        assert_eq!(binds, ["127.0.0.1:0", "[::1]:9001"]);
        assert_eq!(listeners[1].paths, Config::defaults().listeners[0].paths);
    }

    #[test]
    fn a_bad_address_is_refused_with_a_remedy() {
        let error = command("weir --listen 127.0.0.1").unwrap_err();
        assert!(
            error.contains(r#"has no port; write for example "127.0.0.1:8083""#),
            "{error}"
        );
    }

    #[test]
    fn check_takes_one_file() {
        assert_eq!(
            command("weir check b.toml"),
            Ok(Command::Check("b.toml".into()))
        );
        assert!(command("weir check").is_err());
        assert!(command("weir --listen 127.0.0.1:1 check b.toml").is_err());
    }

    #[test]
    fn a_store_is_asked_by_its_directory() {
        let backup = Ask::Backup {
            directory: "a".into(),
            to: "b".into(),
        };
        assert_eq!(command("weir store backup a b"), Ok(Command::Store(backup)));
        assert!(command("weir store verify").is_err());
    }

    #[test]
    fn the_summary_names_each_listener_and_what_is_probably_not_meant() {
        let config = Config::parse("shards = 3\n[[listener]]\nbind = \"0.0.0.0:80\"", "t").unwrap();
        let summary = summary(&config);
        assert!(
            summary
                .starts_with("  shards: 3\n  store: in memory\n  listener: ws://0.0.0.0:80, paths /, /mqtt\n  note: "),
            "{summary}"
        );
    }
}
