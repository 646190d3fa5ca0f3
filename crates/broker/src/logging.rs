//! Log lines, to standard error: text for people or one JSON object a line for programs.
//!
//! Standard output stays free for what is asked for, such as the addresses that are listened on. The environment variable
//! `WEIR_LOG` overrides the configured level with a filter (`debug`, `warn,weir::runtime=trace`), so that a running
//! system's log can be turned up without touching its configuration.

mod line;

use std::env::{self, VarError};
use std::fmt;
use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Log, LogFormat, LogLevel};

use line::Line;

const VARIABLE: &str = "WEIR_LOG";

/// Why there is no log.
#[derive(Debug)]
pub(crate) enum LoggingError {
    /// `WEIR_LOG` is not a filter.
    Filter(ParseError),
    /// `WEIR_LOG` is not text.
    NotText,
    /// The process has a log already.
    Started(TryInitError),
}

/// Starts the log of this process.
///
/// # Errors
/// A `WEIR_LOG` that isn't a filter is refused rather than ignored: whoever sets it wants to see something.
pub(crate) fn start(log: Log) -> Result<(), LoggingError> {
    let filter = match env::var(VARIABLE) {
        Ok(directives) => filter(&directives, log.level)?,
        Err(VarError::NotPresent) => filter("", log.level)?,
        Err(VarError::NotUnicode(_)) => return Err(LoggingError::NotText),
    };
    let colour =
        io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    subscriber(log.format, filter, colour, io::stderr)
        .try_init()
        .map_err(LoggingError::Started)
}

impl fmt::Display for LoggingError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(error) => write!(
                out,
                "{VARIABLE}: {error}; write for example {VARIABLE}=debug"
            ),
            Self::NotText => write!(
                out,
                "{VARIABLE}: not UTF-8; write for example {VARIABLE}=debug"
            ),
            Self::Started(error) => write!(out, "the log can't be started: {error}"),
        }
    }
}

impl std::error::Error for LoggingError {}

fn filter(directives: &str, level: LogLevel) -> Result<EnvFilter, LoggingError> {
    let directives = if directives.trim().is_empty() {
        name(level)
    } else {
        directives
    };
    EnvFilter::try_new(directives).map_err(LoggingError::Filter)
}

fn name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    colour: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colour)
        // It would report a line that can't be written where that can't be written either, and panic.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => Box::new(lines.event_format(Line).finish()),
        LogFormat::Json => Box::new(
            lines
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .finish(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is written when one line of each level is logged.
    fn logged(format: LogFormat, directives: &str, level: LogLevel) -> String {
        let log = || {
            tracing::debug!("a packet");
            tracing::info!(client_id = "sensor \"7\"\n", "connected");
            tracing::warn!("refused");
        };
        let filter = filter(directives, level).unwrap();
        written_by(log, |out| subscriber(format, filter, false, out))
    }

    /// What a subscriber writes of what is logged meanwhile.
    pub(super) fn written_by(
        log: impl FnOnce(),
        subscriber: impl FnOnce(Shared) -> Box<dyn Subscriber + Send + Sync>,
    ) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        tracing::subscriber::with_default(subscriber(Shared(written.clone())), log);
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }

    #[derive(Clone)]
    pub(super) struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Shared {
        type Writer = Self;

        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn text_is_one_line_an_event_whatever_a_peer_sends() {
        let text = logged(LogFormat::Text, "", LogLevel::Info);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.contains(r#"INFO connected client_id="sensor \"7\"\n""#),
            "{text}"
        );
    }

    #[test]
    fn json_has_the_fields_at_the_top() {
        let text = logged(LogFormat::Json, "", LogLevel::Info);
        let line = text.lines().next().unwrap();
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
        assert!(
            line.contains(r#""message":"connected","client_id":"sensor \"7\"\n""#),
            "{line}"
        );
    }

    #[test]
    fn the_level_is_the_least_severe_written() {
        assert_eq!(
            logged(LogFormat::Text, "", LogLevel::Warn).lines().count(),
            1
        );
        assert_eq!(
            logged(LogFormat::Text, "", LogLevel::Debug).lines().count(),
            3
        );
        assert_eq!(logged(LogFormat::Text, "", LogLevel::Error), "");
    }

    #[test]
    fn the_variable_overrides_the_level() {
        assert_eq!(
            logged(LogFormat::Text, "debug", LogLevel::Error)
                .lines()
                .count(),
            3
        );
        assert_eq!(
            logged(LogFormat::Text, " ", LogLevel::Warn).lines().count(),
            1
        );
    }

    #[test]
    fn a_variable_that_is_no_filter_is_refused_with_a_remedy() {
        let error = filter("weir=loud", LogLevel::Info).unwrap_err().to_string();
        assert!(
            error.starts_with("WEIR_LOG: ") && error.ends_with("WEIR_LOG=debug"),
            "{error}"
        );
    }
}
