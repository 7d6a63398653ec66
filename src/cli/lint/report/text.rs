//! Findings for people.

use std::fmt::Display;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::{Found, Tally};
use crate::plan::Severity;

const PLACE: Style = Style::new().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default();

/// Prints a finding, and its help below.
pub(super) fn write(out: &mut impl Write, found: &Found<'_>) -> io::Result<()> {
    let Found { file, diagnostic, .. } = found;
    let (style, severity) = match diagnostic.severity {
        Severity::Error => (ERROR, "error"),
        Severity::Warning => (WARNING, "warning"),
    };
    let (file, line, column) = (printable(file), diagnostic.position.line, diagnostic.position.column);
    write!(out, "{PLACE}{file}:{line}:{column}:{PLACE:#} {style}{severity}{style:#}: ")?;
    if !diagnostic.location.is_empty() {
        write!(out, "{}: ", diagnostic.location)?;
    }
    writeln!(out, "{}\n  {HELP}help{HELP:#}: {}", printable(&diagnostic.problem), printable(&diagnostic.help))
}

/// Says what there was, on standard error.
pub(super) fn summarize(tally: &Tally, provider: &str) {
    let Tally { files, classes, errors, warnings, .. } = *tally;
    let files = count(files, "file", "files");
    if classes + errors + warnings == 0 {
        say(format_args!(
            "{files}, and no SecretProviderClass of the provider {} in them",
            printable(provider)
        ));
        return;
    }
    let classes = count(classes, "SecretProviderClass", "SecretProviderClasses");
    let (errors, warnings) = (count(errors, "error", "errors"), count(warnings, "warning", "warnings"));
    say(format_args!("{files}, {classes}: {errors}, {warnings}"));
}

/// Prints a line on standard error. A failure cannot be reported anywhere.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(anstream::stderr(), "{}", printable(&line.to_string()));
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Text in which nothing moves a terminal's cursor.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
