//! Findings about a request: location, problem and help.

use std::fmt;

use super::known_names::{known_elsewhere, synonym};
pub(crate) use crate::quoted::quoted;
use crate::yaml::Position;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The mount fails.
    Error,
    /// The mount continues, and the finding is logged.
    Warning,
}

/// A problem, its location and its fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Error or warning.
    pub severity: Severity,
    /// The parameter or field, for example `objects[2].filePermission`.
    pub location: String,
    /// The problem.
    pub problem: String,
    /// How to fix it.
    pub help: String,
    /// The position in the parameter, if the parameter is a text of several lines.
    pub position: Option<Position>,
    /// Whether messages must show the position because the location alone does not identify the problem.
    by_position: bool,
    is_misspelling: bool,
}

impl Finding {
    /// Whether the help suggests the correct name.
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

/// The location of a finding: its name, and its position in a parameter of several lines.
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

/// A problem and its fix. The caller knows the location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The problem.
    pub problem: String,
    /// How to fix it.
    pub help: String,
    /// The position in the value, if the value is a text of several lines.
    pub position: Option<Position>,
    /// Whether the problem is an unknown name, and the help suggests another one.
    is_misspelling: bool,
}

impl Fault {
    /// Creates a fault without a position.
    pub fn new(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self { problem: problem.into(), help: help.into(), position: None, is_misspelling: false }
    }

    /// Adds a position in a text of several lines.
    #[must_use]
    pub fn at(self, position: Position) -> Self {
        Self { position: Some(position), ..self }
    }
}

/// Collects the findings of a request, so that one answer reports all of them.
#[derive(Debug)]
pub(super) struct Findings {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    listed: usize,
    unlisted: usize,
}

/// Maximum number of findings in a message. Further ones are only counted.
const MAX_LISTED: usize = 20;

impl Default for Findings {
    fn default() -> Self {
        Self { errors: Vec::new(), warnings: Vec::new(), listed: MAX_LISTED, unlisted: 0 }
    }
}

impl Findings {
    /// Lists all findings, without a limit.
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

    /// Warns about an unknown name. Does not search for a similar name if the warning would not be listed.
    pub(super) fn unknown(&mut self, location: impl Into<Location>, name: &str, known: &[&str]) {
        if self.warnings.len() < self.listed {
            self.warning(location, unknown(name, known));
        }
    }

    /// Returns a parsed value, or records its fault.
    pub(super) fn take<T>(&mut self, location: impl Into<Location>, parsed: Result<T, Fault>) -> Option<T> {
        parsed.map_err(|fault| self.error(location, fault)).ok()
    }

    /// Errors, then warnings.
    pub(super) fn all(mut self) -> Vec<Finding> {
        self.errors.append(&mut self.warnings);
        self.errors
    }

    /// Returns the warnings, or an error that lists all mistakes. The error includes warnings about misspelt names because
    /// these often cause the mistakes.
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

/// All mistakes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    findings: Vec<Finding>,
    unlisted: usize,
}

impl PlanError {
    /// An error with one mistake.
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

/// Longer names are not compared with known ones.
const MAX_COMPARED_NAME: usize = 64;

/// The most similar known name, if one is similar enough.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    if name.len() > MAX_COMPARED_NAME {
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

/// The fault of an unknown name.
pub(crate) fn unknown(name: &str, known: &[&str]) -> Fault {
    let suggestion = synonym(name, known)
        .map(|meant| format!("`{meant}`?"))
        .or_else(|| known_elsewhere(name, known).map(str::to_owned))
        .or_else(|| nearest(name, known).map(|meant| format!("`{meant}`?")));
    let help = suggestion.as_ref().map(|suggestion| format!("did you mean {suggestion}"));
    let help = help.unwrap_or_else(|| "it is ignored; remove it".to_owned());
    let fault = Fault::new(format!("{} is unknown", quoted(name)), help);
    Fault { is_misspelling: suggestion.is_some(), ..fault }
}
