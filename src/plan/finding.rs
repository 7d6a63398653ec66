//! What is wrong with a request: place, problem and mend.

use std::fmt;

use super::known_names::{elsewhere, synonym};
pub(crate) use crate::quoted::quoted;
use crate::yaml::Position;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The mount fails.
    Error,
    /// The mount goes on; the finding is logged.
    Warning,
}

/// One thing that is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Error or warning.
    pub severity: Severity,
    /// Where, for example `objects[2].filePermission`.
    pub location: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub help: String,
    /// Where in the parameter, if that is a text of many lines.
    pub position: Option<Position>,
    /// Whether only the position says where in the place it is.
    by_position: bool,
    is_misspelling: bool,
}

impl Finding {
    /// Whether it says which name was probably meant.
    pub fn is_misspelling(&self) -> bool {
        self.is_misspelling
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.location)?;
        if let Some(Position { line, column }) = self.position.filter(|_| self.by_position) {
            write!(f, "line {line}, column {column}: ")?;
        }
        write!(f, "{}; {}", self.problem, self.help)
    }
}

/// What a finding is about: its name, and where it is in a parameter of many lines.
#[derive(Clone, Debug)]
pub(super) struct Location {
    pub name: String,
    pub position: Option<Position>,
}

impl<T: Into<String>> From<T> for Location {
    fn from(name: T) -> Self {
        Self { name: name.into(), position: None }
    }
}

/// A problem and its mend, whose place the caller knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub help: String,
    /// Where in the value, if that is a text of many lines.
    pub position: Option<Position>,
    /// Whether it is a name, and what to do is to write another.
    is_misspelling: bool,
}

impl Fault {
    /// A fault from its two sentences.
    pub fn new(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self { problem: problem.into(), help: help.into(), position: None, is_misspelling: false }
    }

    /// The fault, in a text of many lines.
    #[must_use]
    pub fn at(self, position: Position) -> Self {
        Self { position: Some(position), ..self }
    }
}

/// Collects findings while a request is read, so that all are known at once.
#[derive(Debug)]
pub(super) struct Findings {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    listed: usize,
    unlisted: usize,
}

/// More than anybody reads in a log; what is beyond is only counted.
const LISTED: usize = 20;

impl Default for Findings {
    fn default() -> Self {
        Self { errors: Vec::new(), warnings: Vec::new(), listed: LISTED, unlisted: 0 }
    }
}

impl Findings {
    /// Lists whatever there is.
    pub(super) fn unbounded() -> Self {
        Self { listed: usize::MAX, ..Self::default() }
    }

    pub(super) fn error(&mut self, location: impl Into<Location>, fault: Fault) {
        if self.errors.len() < self.listed {
            self.errors.push(finding(Severity::Error, location.into(), fault));
        } else {
            self.unlisted += 1;
        }
    }

    pub(super) fn warning(&mut self, location: impl Into<Location>, fault: Fault) {
        if self.warnings.len() < self.listed {
            self.warnings.push(finding(Severity::Warning, location.into(), fault));
        }
    }

    /// Warns of a name that nobody knows; what would not be listed is not even looked at.
    pub(super) fn unknown(&mut self, location: impl Into<Location>, name: &str, known: &[&str]) {
        if self.warnings.len() < self.listed {
            self.warning(location, unknown(name, known));
        }
    }

    /// Keeps a parsed value, or its fault.
    pub(super) fn take<T>(&mut self, location: impl Into<Location>, parsed: Result<T, Fault>) -> Option<T> {
        parsed.map_err(|fault| self.error(location, fault)).ok()
    }

    /// Errors, then warnings.
    pub(super) fn all(mut self) -> Vec<Finding> {
        self.errors.append(&mut self.warnings);
        self.errors
    }

    /// The warnings, or the error that lists every mistake. A misspelt name is often the reason of a
    /// mistake elsewhere, so those warnings come along.
    pub(super) fn finish(mut self) -> Result<Vec<Finding>, PlanError> {
        if self.errors.is_empty() {
            return Ok(self.warnings);
        }
        self.warnings.retain(Finding::is_misspelling);
        self.errors.append(&mut self.warnings);
        Err(PlanError { findings: self.errors, unlisted: self.unlisted })
    }
}

fn finding(severity: Severity, location: Location, fault: Fault) -> Finding {
    let Fault { problem, help, position, is_misspelling } = fault;
    let by_position = position.is_some();
    let position = position.or(location.position);
    Finding { severity, location: location.name, problem, help, position, by_position, is_misspelling }
}

/// Every mistake of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    findings: Vec<Finding>,
    unlisted: usize,
}

impl PlanError {
    /// The error of a single mistake.
    pub fn one(location: impl Into<String>, fault: Fault) -> Self {
        let findings = vec![finding(Severity::Error, Location::from(location), fault)];
        Self { findings, unlisted: 0 }
    }

    /// The mistakes, in the order of the request.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.findings.len() + self.unlisted;
        if let [only] = self.findings.as_slice() {
            return write!(f, "{only}");
        }
        write!(f, "{total} mistakes:")?;
        for (index, finding) in self.findings.iter().enumerate() {
            write!(f, " ({}) {finding}.", index + 1)?;
        }
        if self.unlisted > 0 {
            write!(f, " And {} more.", self.unlisted)?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanError {}

/// Names longer than this are nobody's misspelling, and are not compared.
const LONGEST_NAME: usize = 64;

/// The known name that was probably meant, if one is near.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let lower = name.to_lowercase();
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), *candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, candidate)| candidate)
}

/// The fault of a name that nobody knows.
pub(crate) fn unknown(name: &str, known: &[&str]) -> Fault {
    let meant = synonym(name, known)
        .map(|meant| format!("`{meant}`?"))
        .or_else(|| elsewhere(name, known).map(str::to_owned))
        .or_else(|| nearest(name, known).map(|meant| format!("`{meant}`?")));
    let help = meant.as_ref().map(|meant| format!("did you mean {meant}"));
    let help = help.unwrap_or_else(|| "it is ignored; remove it".to_owned());
    let fault = Fault::new(format!("{} is unknown", quoted(name)), help);
    Fault { is_misspelling: meant.is_some(), ..fault }
}
