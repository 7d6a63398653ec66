//! Conflicts between the paths of files.

use super::finding::{Fault, Severity, quoted};
use super::names::RelativePath;
use super::object::History;

/// The path of a file, or of the folder of a history's files, that is defined in the class.
#[derive(Clone, Copy)]
pub(super) struct PathClaim<'a> {
    pub(super) path: &'a RelativePath,
    pub(super) history: Option<History>,
    /// The object or template that defines it, for messages.
    pub(super) location: &'a str,
}

pub(super) struct PathConflict {
    /// The index of the claim that conflicts with an earlier one.
    pub(super) index: usize,
    pub(super) severity: Severity,
    pub(super) fault: Fault,
}

/// Finds conflicting paths. Two objects with the same path are a warning because the driver writes the last one. A file
/// whose path is also a folder of another file is an error.
pub(super) fn conflicts<'a>(claims: impl Iterator<Item = PathClaim<'a>>) -> Vec<PathConflict> {
    let mut sorted = claims.enumerate().collect::<Vec<_>>();
    // Stable, and with the separator before all other bytes: the paths in a folder directly follow the folder.
    sorted.sort_by(|(_, one), (_, other)| sort_key(one.path).cmp(sort_key(other.path)));
    // The claims whose path is equal to the current one, or may be a parent of it.
    let mut parents: Vec<PathClaim<'_>> = Vec::new();
    let mut conflicts = Vec::new();
    for (index, object) in sorted {
        let path = object.path;
        while parents
            .last()
            .is_some_and(|last| last.path != path && last.path.strip_from(path.as_str()).is_none())
        {
            parents.pop();
        }
        match parents.iter().rev().find_map(|outer| conflict(*outer, object)) {
            Some(Conflict::SamePath(problem)) => {
                let fault = Fault::new(problem, "the last one is written; give each a different objectAlias");
                conflicts.push(PathConflict { index, severity: Severity::Warning, fault });
            }
            Some(Conflict::FileAsFolder(problem)) => {
                let fault = Fault::new(problem, "change one objectAlias");
                conflicts.push(PathConflict { index, severity: Severity::Error, fault });
                continue;
            }
            None => {}
        }
        parents.push(object);
    }
    conflicts
}

enum Conflict {
    SamePath(String),
    FileAsFolder(String),
}

/// The conflict between a claim and another one whose path is the same or inside the first one's.
fn conflict(outer: PathClaim<'_>, inner: PathClaim<'_>) -> Option<Conflict> {
    let path = quoted(inner.path.as_str());
    let same = |of: &str| Some(Conflict::SamePath(format!("{path} is also {of} of {}", outer.location)));
    let inside = |file: &str| {
        let problem = format!("{path} is inside {}, which is the file of {}", quoted(file), outer.location);
        Some(Conflict::FileAsFolder(problem))
    };
    let is_same = outer.path == inner.path;
    match (outer.history, inner.history) {
        (None, None) if is_same => same("the file"),
        (Some(_), Some(_)) if is_same => same("the folder"),
        _ if is_same => {
            let problem =
                format!("{path} is both a file and a folder: the other object is {}", outer.location);
            Some(Conflict::FileAsFolder(problem))
        }
        (None, _) => inside(outer.path.as_str()),
        (Some(history), _) => {
            let number = outer.path.strip_from(inner.path.as_str())?.split('/').next()?;
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
    // The mount itself comes before the files in it.
    let path = if path.as_str() == "." { "" } else { path.as_str() };
    path.bytes().map(|byte| if byte == b'/' { 0 } else { byte })
}
