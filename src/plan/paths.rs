//! Files whose paths conflict.

use super::finding::{Fault, Findings, quoted};
use super::names::RelativePath;
use super::object::{History, ObjectPlan};
use super::objects::WrittenObject;

/// Two objects with one path are a warning, since the driver lets the last one win. A file whose path is a folder of
/// another file cannot be written at all.
pub(super) fn check(objects: &[WrittenObject], findings: &mut Findings) {
    let mut sorted = objects.iter().collect::<Vec<_>>();
    // Stable, and with the separator before every other byte: what is inside a folder follows it.
    sorted.sort_by(|one, other| sort_key(&one.plan.path).cmp(sort_key(&other.plan.path)));
    // The objects whose path the present one's is, or may be inside of.
    let mut around: Vec<&WrittenObject> = Vec::new();
    for object in sorted {
        let path = &object.plan.path;
        while around
            .last()
            .is_some_and(|last| last.plan.path != *path && last.plan.path.rest_of(path.as_str()).is_none())
        {
            around.pop();
        }
        match around.iter().rev().find_map(|outer| conflict(&outer.plan, &object.plan)) {
            Some(Conflict::SamePath(problem)) => {
                let help = "the last one wins; give each its own objectAlias";
                findings.warning(object.path_place(), Fault::new(problem, help));
            }
            Some(Conflict::FileAsFolder(problem)) => {
                findings.error(object.path_place(), Fault::new(problem, "change one objectAlias"));
                continue;
            }
            None => {}
        }
        around.push(object);
    }
}

enum Conflict {
    SamePath(String),
    FileAsFolder(String),
}

/// The conflict of an object with one whose path is the same or inside.
fn conflict(outer: &ObjectPlan, inner: &ObjectPlan) -> Option<Conflict> {
    let path = quoted(inner.path.as_str());
    let same = |of: &str| Some(Conflict::SamePath(format!("{path} is also {of} of {}", outer.place)));
    let inside = |file: &str| {
        let problem = format!("{path} lies inside {}, which is the file of {}", quoted(file), outer.place);
        Some(Conflict::FileAsFolder(problem))
    };
    let is_same = outer.path == inner.path;
    match (outer.history, inner.history) {
        (None, None) if is_same => same("the file"),
        (Some(_), Some(_)) if is_same => same("the folder"),
        _ if is_same => {
            let problem = format!("{path} is a file of one and the folder of the other: {}", outer.place);
            Some(Conflict::FileAsFolder(problem))
        }
        (None, _) => inside(outer.path.as_str()),
        (Some(history), _) => {
            let number = outer.path.rest_of(inner.path.as_str())?.split('/').next()?;
            let file = outer.path.inner(file_number(number, history)?);
            if file == inner.path && inner.history.is_none() { same("a file") } else { inside(file.as_str()) }
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
