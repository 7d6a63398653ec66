//! How findings are printed.

mod github;
mod json;
mod text;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anstream::AutoStream;
use clap::ValueEnum;
use serde::Serialize;

use crate::lint::{Diagnostic, Linted};
use crate::manifest::SourceError;
use crate::plan::Severity;

/// In which form findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people, in colour on a terminal
    Text,
    /// For programs: one JSON object
    Json,
    /// For GitHub Actions: annotations of a workflow
    Github,
}

/// Prints findings and counts them.
pub(super) struct Report {
    format: Format,
    output: Output,
    tally: Tally,
}

/// What there was.
#[derive(Debug, Default, Serialize)]
struct Tally {
    files: usize,
    unreadable: usize,
    classes: usize,
    errors: usize,
    warnings: usize,
}

/// A finding with its file.
struct Found<'a> {
    file: &'a str,
    class: Option<&'a str>,
    diagnostic: &'a Diagnostic,
}

impl Report {
    pub(super) fn new(format: Format) -> Self {
        let mut report = Self { format, output: Output::new(), tally: Tally::default() };
        if format == Format::Json {
            report.output.write(json::start);
        }
        report
    }

    /// Prints what is wrong in a file.
    pub(super) fn file(&mut self, file: &str, linted: impl Iterator<Item = Linted>) {
        self.tally.files += 1;
        for Linted { class, diagnostics } in linted {
            self.tally.classes += usize::from(class.is_some());
            for diagnostic in &diagnostics {
                let first = self.tally.errors + self.tally.warnings == 0;
                match diagnostic.severity {
                    Severity::Error => self.tally.errors += 1,
                    Severity::Warning => self.tally.warnings += 1,
                }
                let found = Found { file, class: class.as_deref(), diagnostic };
                self.output.write(|out| match self.format {
                    Format::Text => text::write(out, &found),
                    Format::Json => json::write(out, &found, first),
                    Format::Github => github::write(out, &found),
                });
            }
        }
    }

    /// Says which file cannot be read, and why.
    pub(super) fn unreadable(&mut self, error: &SourceError) {
        self.tally.unreadable += 1;
        text::say(error);
    }

    /// The end, with its exit code.
    pub(super) fn finish(mut self, provider: &str, strict: bool) -> ExitCode {
        match self.format {
            Format::Json => self.output.write(|out| json::end(out, &self.tally)),
            Format::Text | Format::Github => {}
        }
        let printed = self.output.finish();
        if self.format == Format::Text {
            text::summarize(&self.tally, provider);
        }
        if let Err(error) = &printed {
            text::say(format_args!("the findings cannot be printed: {error}"));
        }
        match self.tally {
            Tally { unreadable: 1.., .. } => ExitCode::from(2),
            _ if printed.is_err() => ExitCode::from(2),
            Tally { errors: 1.., .. } => ExitCode::FAILURE,
            Tally { warnings: 1.., .. } if strict => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        }
    }
}

type Stdout = BufWriter<AutoStream<io::StdoutLock<'static>>>;

/// Standard output, up to its first error.
struct Output {
    stream: Stdout,
    outcome: io::Result<()>,
}

impl Output {
    fn new() -> Self {
        Self { stream: BufWriter::new(anstream::stdout().lock()), outcome: Ok(()) }
    }

    fn write(&mut self, print: impl FnOnce(&mut Stdout) -> io::Result<()>) {
        if self.outcome.is_ok() {
            self.outcome = print(&mut self.stream);
        }
    }

    /// A reader that stops early, such as `head`, is not an error.
    fn finish(mut self) -> io::Result<()> {
        self.write(Write::flush);
        self.outcome.or_else(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(error),
        })
    }
}
