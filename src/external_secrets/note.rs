//! What whoever applies the output must know.

use std::fmt;

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Something works otherwise than before, or not at all.
    NotCarriedOver,
    /// It works, if what is said here is minded.
    Remark,
}

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How much it matters.
    pub weight: Weight,
    /// The file and line of the object that it is about, and the object.
    pub origin: String,
    /// Where in the object, for example `spec.data[2].remoteRef.property`.
    pub location: String,
    /// What is otherwise.
    pub problem: String,
    /// What to do.
    pub help: String,
}

impl Note {
    pub(super) fn new(
        weight: Weight,
        location: impl Into<String>,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        // Names come from files; a note stays one line.
        let line = |text: String| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let (location, problem, help) = (line(location.into()), line(problem.into()), line(help.into()));
        Self { weight, origin: String::new(), location, problem, help }
    }

    pub(super) fn lost(
        location: impl Into<String>,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::new(Weight::NotCarriedOver, location, problem, help)
    }

    pub(super) fn remark(
        location: impl Into<String>,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::new(Weight::Remark, location, problem, help)
    }

    /// As a comment in the output, where the object is what it stands in.
    pub(super) fn comment(&self) -> String {
        let Self { location, problem, help, .. } = self;
        match self.weight {
            Weight::NotCarriedOver => format!("NOT CARRIED OVER: {location}: {problem}; {help}"),
            Weight::Remark => format!("Note: {problem}; {help}"),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::NotCarriedOver => "not carried over",
            Weight::Remark => "note",
        };
        let Self { origin, location, problem, help, .. } = self;
        write!(f, "{origin}: {weight}: {location}: {problem}; {help}")
    }
}
