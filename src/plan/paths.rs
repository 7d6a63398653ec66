//! Files whose paths conflict.

use super::finding::{Fault, Severity, quoted};
use super::names::RelativePath;
use super::object::History;

/// A file, or a folder of a history's files, that something in the class wants.
#[derive(Clone, Copy)]
pub(super) struct PathClaim<'a> {
    pub(super) path: &'a RelativePath,
    pub(super) history: Option<History>,
    /// What wants it, for messages.
    pub(super) location: &'a str,
}

/// A conflict of two paths.
pub(super) struct PathConflict {
    /// The index of the claim that conflicts with an earlier one.
    pub(super) index: usize,
    pub(super) severity: Severity,
    pub(super) fault: Fault,
}

/// Two objects with one path are a warning, since the driver lets the last one win. A file whose path is a folder of
/// another file cannot be written at all.
pub(super) fn conflicts<'a>(claims: impl Iterator<Item = PathClaim<'a>>) -> Vec<PathConflict> {
    let mut sorted = claims.enumerate().collect::<Vec<_>>();
    // Stable, and with the separator before every other byte: what is inside a folder follows it.
    sorted.sort_by(|(_, one), (_, other)| sort_key(one.path).cmp(sort_key(other.path)));
    // The objects whose path the present one's is, or may be inside of.
    let mut around: Vec<PathClaim<'_>> = Vec::new();
    let mut conflicts = Vec::new();
    for (index, object) in sorted {
        let path = object.path;
        while around
            .last()
            .is_some_and(|last| last.path != path && last.path.rest_of(path.as_str()).is_none())
        {
            around.pop();
        }
        match around.iter().rev().find_map(|outer| conflict(*outer, object)) {
            Some(Conflict::SamePath(problem)) => {
                let fault = Fault::new(problem, "the last one wins; give each its own objectAlias");
                conflicts.push(PathConflict { index, severity: Severity::Warning, fault });
            }
            Some(Conflict::FileAsFolder(problem)) => {
                let fault = Fault::new(problem, "change one objectAlias");
                conflicts.push(PathConflict { index, severity: Severity::Error, fault });
                continue;
            }
            None => {}
        }
        around.push(object);
    }
    conflicts
}

enum Conflict {
    SamePath(String),
    FileAsFolder(String),
}

/// The conflict of an object with one whose path is the same or inside.
fn conflict(outer: PathClaim<'_>, inner: PathClaim<'_>) -> Option<Conflict> {
    let path = quoted(inner.path.as_str());
    let same = |of: &str| Some(Conflict::SamePath(format!("{path} is also {of} of {}", outer.location)));
    let inside = |file: &str| {
        let problem = format!("{path} lies inside {}, which is the file of {}", quoted(file), outer.location);
        Some(Conflict::FileAsFolder(problem))
    };
    let is_same = outer.path == inner.path;
    match (outer.history, inner.history) {
        (None, None) if is_same => same("the file"),
        (Some(_), Some(_)) if is_same => same("the folder"),
        _ if is_same => {
            let problem = format!("{path} is a file of one and the folder of the other: {}", outer.location);
            Some(Conflict::FileAsFolder(problem))
        }
        (None, _) => inside(outer.path.as_str()),
        (Some(history), _) => {
            let number = outer.path.rest_of(inner.path.as_str())?.split('/').next()?;
            let file = outer.path.inner(file_number(number, history)?);
            if file == *inner.path && inner.history.is_none() {
                same("a file")
            } else {
                inside(file.as_str())
            }
        }
    }
}

/// The number of a history's file, from its name.
fn file_number(name: &str, history: History) -> Option<usize> {
    let number = name.parse::<usize>().ok()?;
    (number < history.count() && number.to_string() == name).then_some(number)
}

fn sort_key(path: &RelativePath) -> impl Iterator<Item = u8> {
    // The mount itself is before everything in it.
    let path = if path.as_str() == "." { "" } else { path.as_str() };
    path.bytes().map(|byte| if byte == b'/' { 0 } else { byte })
}
