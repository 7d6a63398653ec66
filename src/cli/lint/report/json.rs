//! Findings for programs: `{"findings": […], "summary": {…}}`.

use std::io::{self, Write};

use serde::Serialize;

use super::{Found, Tally};
use crate::plan::Severity;

#[derive(Serialize)]
struct JsonFinding<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    severity: &'static str,
    /// `name` or `namespace/name`; null for a document that cannot be read.
    class: Option<&'a str>,
    location: &'a str,
    problem: &'a str,
    help: &'a str,
}

pub(super) fn start(out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"{\"findings\":[")
}

pub(super) fn write(out: &mut impl Write, found: &Found<'_>, first: bool) -> io::Result<()> {
    let Found { file, class, diagnostic } = *found;
    let finding = JsonFinding {
        file,
        line: diagnostic.position.line,
        column: diagnostic.position.column,
        severity: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        class,
        location: &diagnostic.location,
        problem: &diagnostic.problem,
        help: &diagnostic.help,
    };
    out.write_all(if first { b"\n" } else { b",\n" })?;
    serde_json::to_writer(out, &finding).map_err(io::Error::from)
}

pub(super) fn end(out: &mut impl Write, tally: &Tally) -> io::Result<()> {
    out.write_all(b"\n],\"summary\":")?;
    serde_json::to_writer(&mut *out, tally).map_err(io::Error::from)?;
    out.write_all(b"}\n")
}
