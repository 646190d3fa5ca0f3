//! A log line as text: time, level, message, fields.
//!
//! It reads as tracing-subscriber's own does, with and without colours, but takes a fraction of the instructions: every
//! connection writes two lines, and formatting them was a good part of what it cost. What must hold: an event is one line,
//! whatever a peer says of itself; strings are quoted, and control characters of anything else are escaped.

use std::fmt::{self, Debug, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use x509_cert::der::DateTime;

/// How terminals are told to go on: faintly, in italics.
const FAINT: &str = "2";
const ITALIC: &str = "3";

/// Writes events as lines of text. There are no spans to be shown.
pub(super) struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        styled(&mut out, FAINT, |out| {
            write_time(out, since.unwrap_or_default())
        })?;
        let (colour, level) = padded(*event.metadata().level());
        out.write_char(' ')?;
        styled(&mut out, colour, |out| out.write_str(level))?;
        let mut fields = Fields {
            out: &mut out,
            written: Ok(()),
        };
        event.record(&mut fields);
        fields.written?;
        out.write_char('\n')
    }
}

/// Writes each field behind a space; the message comes first, as in every event.
struct Fields<'a, 'w> {
    out: &'a mut Writer<'w>,
    written: fmt::Result,
}

impl Fields<'_, '_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let name = field.name();
        // What the crate `log` adds of itself.
        if self.written.is_err() || name.starts_with("log.") {
            return;
        }
        self.written = begin(self.out, name).and_then(|()| value(self.out));
    }
}

impl Visit for Fields<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, |out| write!(Escaped(out), "{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, |out| match field.name() {
            "message" => Escaped(out).write_str(value),
            _ => write_quoted(out, value),
        });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, |out| {
            out.write_str(if value { "true" } else { "false" })
        });
    }
}

/// Escapes control characters on their way.
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if is_printable(text) {
            return self.0.write_str(text);
        }
        text.chars().try_for_each(|char| match char.is_control() {
            true => write!(self.0, "{}", char.escape_default()),
            false => self.0.write_char(char),
        })
    }
}

fn begin(out: &mut Writer<'_>, name: &str) -> fmt::Result {
    out.write_char(' ')?;
    if name == "message" {
        return Ok(());
    }
    let name = name.strip_prefix("r#").unwrap_or(name);
    styled(out, ITALIC, |out| out.write_str(name))?;
    styled(out, FAINT, |out| out.write_char('='))
}

/// Writes in this style if it is for a terminal.
fn styled(
    out: &mut Writer<'_>,
    style: &str,
    write: impl FnOnce(&mut Writer<'_>) -> fmt::Result,
) -> fmt::Result {
    if !out.has_ansi_escapes() {
        return write(out);
    }
    write!(out, "\x1b[{style}m")?;
    write(out)?;
    out.write_str("\x1b[0m")
}

fn write_quoted(out: &mut Writer<'_>, text: &str) -> fmt::Result {
    if !is_printable(text) || text.contains(['"', '\\']) {
        return write!(out, "{text:?}");
    }
    out.write_char('"')?;
    out.write_str(text)?;
    out.write_char('"')
}

/// Whether there is nothing to be escaped, as it mostly is: only what ASCII can print.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The colour of a level and its name.
fn padded(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::ERROR => ("31", "ERROR"),
        Level::WARN => ("33", " WARN"),
        Level::INFO => ("32", " INFO"),
        Level::DEBUG => ("34", "DEBUG"),
        Level::TRACE => ("35", "TRACE"),
    }
}

/// As RFC 3339 has it, with microseconds.
fn write_time(out: &mut Writer<'_>, since: Duration) -> fmt::Result {
    let time = DateTime::from_unix_duration(since).unwrap_or(DateTime::INFINITY);
    let mut room = *b"0000-00-00T00:00:00.000000Z";
    let mut put = |at: std::ops::Range<usize>, mut number: u32| {
        for digit in room[at].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    put(0..4, time.year().into());
    put(5..7, time.month().into());
    put(8..10, time.day().into());
    put(11..13, time.hour().into());
    put(14..16, time.minutes().into());
    put(17..19, time.seconds().into());
    put(20..26, since.subsec_micros());
    out.write_str(str::from_utf8(&room).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::tests::written_by;
    use super::*;

    /// What the library writes, with or without colours, and what we write, both without the time.
    fn lines(colours: bool, log: impl Fn()) -> [String; 2] {
        let plain = || {
            tracing_subscriber::fmt()
                .with_max_level(Level::TRACE)
                .with_ansi(colours)
                .with_target(false)
        };
        let theirs = written_by(&log, |out| Box::new(plain().with_writer(out).finish()));
        let ours = written_by(&log, |out| {
            Box::new(plain().event_format(Line).with_writer(out).finish())
        });
        [theirs, ours].map(|text| {
            let (time, rest) = text.split_once('Z').unwrap();
            assert_eq!(time.starts_with("\x1b["), colours);
            rest.to_owned()
        })
    }

    #[test]
    fn a_line_reads_as_the_library_writes_it() {
        let [theirs, ours] = lines(false, || {
            let (absent, r#type) = (None::<&str>, 7_u8);
            let error = std::io::Error::other("it \"broke\"");
            tracing::warn!(
                client = "a\"b\\c\n\u{9b}\u{e9}\u{1F600} d",
                peer = %std::net::Ipv4Addr::LOCALHOST,
                user = Some("ann"),
                absent,
                is_new = true,
                r#type,
                signed = -1,
                part = 0.5,
                list = ?[1, 2],
                %error,
                "said: {}",
                "caf\u{e9} \u{1b}[0m"
            );
        });
        assert_eq!(theirs.replace("\\x1b", "\\u{1b}"), ours);
    }

    #[test]
    fn a_line_for_a_terminal_is_as_colourful_as_the_librarys() {
        for log in [
            || tracing::error!(client = "a", "one"),
            || tracing::warn!(client = "a", "two"),
            || tracing::info!(client = "a", is_new = true, "three"),
            || tracing::debug!(client = "a", "four"),
            || tracing::trace!(client = "a", "five"),
        ] {
            let [theirs, ours] = lines(true, log);
            assert_eq!(theirs, ours);
        }
    }

    #[test]
    fn what_is_displayed_stays_on_its_line() {
        let [_, ours] = lines(false, || {
            let error = "one\ntwo\u{7}";
            tracing::error!(%error, "three\r\nfour");
        });
        assert_eq!(ours, " ERROR three\\r\\nfour error=one\\ntwo\\u{7}\n");
    }

    #[test]
    fn the_time_is_that_of_the_calendar() {
        let shown = |seconds, micros: u32| {
            let mut text = String::new();
            let since = Duration::new(seconds, micros * 1000);
            write_time(&mut Writer::new(&mut text), since).unwrap();
            text
        };
        assert_eq!(shown(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(shown(951_827_696, 7), "2000-02-29T12:34:56.000007Z");
        assert_eq!(shown(1_798_761_599, 999_999), "2026-12-31T23:59:59.999999Z");
    }
}
