//! Notes on what the user must check before applying the output.

use std::fmt;

/// The severity of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// Something works differently from before, or not at all.
    NotCarriedOver,
    /// It works if the user follows the help.
    Remark,
}

/// A note on one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The severity.
    pub kind: NoteKind,
    /// The file, line, kind and name of the object.
    pub origin: String,
    /// Where in the object, for example `spec.data[2].remoteRef.property`.
    pub location: String,
    /// What differs.
    pub problem: String,
    /// How to fix it.
    pub help: String,
}

impl Note {
    pub(super) fn new(
        kind: NoteKind,
        location: impl Into<String>,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        // Names from files may contain control characters; a note must stay on one line.
        let line = |text: String| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let (location, problem, help) = (line(location.into()), line(problem.into()), line(help.into()));
        Self { kind, origin: String::new(), location, problem, help }
    }

    pub(super) fn lost(
        location: impl Into<String>,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::new(NoteKind::NotCarriedOver, location, problem, help)
    }

    pub(super) fn remark(
        location: impl Into<String>,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::new(NoteKind::Remark, location, problem, help)
    }

    /// The text of the comment in the output. The comment is at the object, so it does not repeat the origin.
    pub(super) fn comment(&self) -> String {
        let Self { location, problem, help, .. } = self;
        match self.kind {
            NoteKind::NotCarriedOver => format!("NOT CARRIED OVER: {location}: {problem}; {help}"),
            NoteKind::Remark => format!("Note: {problem}; {help}"),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            NoteKind::NotCarriedOver => "not carried over",
            NoteKind::Remark => "note",
        };
        let Self { origin, location, problem, help, .. } = self;
        write!(f, "{origin}: {kind}: {location}: {problem}; {help}")
    }
}
