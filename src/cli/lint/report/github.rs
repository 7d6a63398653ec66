//! Findings as annotations, in the workflow commands of GitHub Actions.

use std::io::{self, Write};

use super::Found;
use crate::plan::Severity;

/// Prints a command (GitHub's documentation: "Workflow commands for GitHub Actions").
pub(super) fn write(out: &mut impl Write, found: &Found<'_>) -> io::Result<()> {
    let Found { file, class, diagnostic } = found;
    let command = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let file = property(file);
    write!(
        out,
        "::{command} file={file},line={},col={}",
        diagnostic.position.line, diagnostic.position.column
    )?;
    if let Some(class) = class {
        write!(out, ",title={}", property(class))?;
    }
    let location =
        if diagnostic.location.is_empty() { String::new() } else { format!("{}: ", diagnostic.location) };
    writeln!(out, "::{}", data(&format!("{location}{}; {}", diagnostic.problem, diagnostic.help)))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::Diagnostic;
    use crate::yaml::Position;

    #[test]
    fn nothing_breaks_out_of_an_annotation() {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            position: Position { line: 3, column: 7 },
            location: "objects[0]".to_owned(),
            problem: "100% wrong:\r\n::warning::x".to_owned(),
            help: "none, or some".to_owned(),
        };
        let found = Found { file: "a:b,c\n%.yaml", class: Some("n/c"), diagnostic: &diagnostic };
        let mut out = Vec::new();
        write(&mut out, &found).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "::error file=a%3Ab%2Cc%0A%25.yaml,line=3,col=7,title=n/c::objects[0]: 100%25 wrong:%0D%0A::warning::x; none, or some\n"
        );
    }
}
