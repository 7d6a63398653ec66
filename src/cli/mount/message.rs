//! What the command says on standard error: `error: …`, `warning: …` and `note: …` lines for people, or log lines in
//! JSON for programs.

use std::fmt::{self, Debug, Write as _};
use std::io::{self, Write as _};

use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::MountArgs;
use crate::cli::pipeline::FlagError;
use crate::plan::Fault;
use crate::telemetry::logs;

/// One thing to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    kind: Kind,
    /// Where: a place in a file, a flag, a variable. Empty if it is nowhere in particular.
    location: String,
    problem: String,
    /// How to fix it; each is a line.
    help: Vec<String>,
    is_usage: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Error,
    Warning,
    Note,
}

impl Message {
    pub(super) fn error(location: impl Into<String>, problem: impl Into<String>) -> Self {
        let (location, problem) = (location.into(), problem.into());
        Self { kind: Kind::Error, location, problem, help: Vec::new(), is_usage: false }
    }

    pub(super) fn warning(location: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { kind: Kind::Warning, ..Self::error(location, problem) }
    }

    pub(super) fn note(problem: impl Into<String>) -> Self {
        Self { kind: Kind::Note, ..Self::error("", problem) }
    }

    /// An error from a fault.
    pub(super) fn fault(location: impl Into<String>, fault: Fault) -> Self {
        Self::error(location, fault.problem).help(fault.help)
    }

    #[must_use]
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    #[must_use]
    pub(super) fn helps(mut self, help: Vec<String>) -> Self {
        self.help.extend(help);
        self
    }

    /// The mistake is one of the command line, not of what it names.
    #[must_use]
    pub(super) fn usage(self) -> Self {
        Self { is_usage: true, ..self }
    }

    pub(super) fn is_usage(&self) -> bool {
        self.is_usage
    }

    /// For JSON: where, what, and how to fix it.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "location": self.location, "problem": self.problem, "help": self.help.join("; ") })
    }

    fn text(&self) -> String {
        match self.location.as_str() {
            "" => self.problem.clone(),
            location => format!("{location}: {}", self.problem),
        }
    }
}

impl From<FlagError> for Message {
    fn from(error: FlagError) -> Self {
        Self::error("", error.problem).help(error.help).usage()
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Error => "error",
            Kind::Warning => "warning",
            Kind::Note => "note",
        };
        write!(f, "{kind}: {}", printable(&self.text()))?;
        for help in &self.help {
            write!(f, "\n  help: {}", printable(help))?;
        }
        Ok(())
    }
}

/// Where messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Console {
    /// To people.
    Text,
    /// To programs, as log lines.
    Json,
}

impl Console {
    /// Starts to print what the mount logs, as the flags say.
    pub(super) fn start(args: &MountArgs) -> Self {
        if args.pipeline.log_format_json {
            logs::start(true, args.pipeline.verbosity);
            return Self::Json;
        }
        let (lines, level) = if args.explain {
            (Lines { start: Some(Instant::now()) }, LevelFilter::DEBUG)
        } else {
            (Lines { start: None }, logs::level(args.pipeline.verbosity))
        };
        logs::start_with(lines, level);
        Self::Text
    }

    /// Says it. If standard error is closed, there is nowhere left to say so.
    pub(super) fn say(self, message: &Message) {
        match (self, message.kind) {
            (Self::Text, _) => {
                let _ = writeln!(io::stderr().lock(), "{message}");
            }
            (Self::Json, Kind::Error) => {
                tracing::error!(help = message.help.join("; "), "{}", message.text());
            }
            (Self::Json, Kind::Warning) => {
                tracing::warn!(help = message.help.join("; "), "{}", message.text());
            }
            (Self::Json, Kind::Note) => tracing::info!("{}", message.text()),
        }
    }
}

/// Writes events to standard error: as messages, or each with the time since the start.
struct Lines {
    start: Option<Instant>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let (level, Line { message, fields }) = (*event.metadata().level(), line);
        let colon = if fields.is_empty() || message.is_empty() { "" } else { ": " };
        let kind = match (level, self.start) {
            (Level::ERROR, _) => "error: ",
            (Level::WARN, _) => "warning: ",
            (_, None) => "note: ",
            (_, Some(_)) => "",
        };
        let since =
            self.start.map(|start| format!("{:>6} ms  ", start.elapsed().as_millis())).unwrap_or_default();
        // If standard error is closed, there is nowhere left to say so.
        let _ = writeln!(io::stderr().lock(), "{since}{kind}{message}{colon}{fields}");
    }
}

/// The text of an event: `object fetched`, and `version 1f…, took 3 ms`.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = printable(&format!("{value:?}"));
        self.add(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, &printable(value));
    }
}

impl Line {
    fn add(&mut self, field: &Field, value: &str) {
        let comma = if self.fields.is_empty() { "" } else { ", " };
        // Writing into a String does not fail.
        let _ = match field.name() {
            "message" => self.message.write_str(value),
            "milliseconds" => write!(self.fields, "{comma}took {value} ms"),
            name => write!(self.fields, "{comma}{name} {value}"),
        };
    }
}

/// Text of one line. Servers and files have some of these words.
fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_location_and_each_help_on_a_line() {
        let message = Message::error("class.yaml:7:5", "it is wrong").help("write it").help("or remove it");
        assert_eq!(
            message.to_string(),
            "error: class.yaml:7:5: it is wrong\n  help: write it\n  help: or remove it"
        );
        assert_eq!(Message::warning("--a", "b").to_string(), "warning: --a: b");
        assert_eq!(Message::note("c").to_string(), "note: c");
    }

    #[test]
    fn nothing_in_a_message_moves_the_cursor() {
        let message = Message::error("a\u{1b}[2J", "b\nerror: c").help("d\r");
        assert_eq!(message.to_string(), "error: a [2J: b error: c\n  help: d ");
    }
}
