//! Files that get in each other's way.

use super::finding::{Fault, Findings, quoted};
use super::names::RelativePath;
use super::objects::WrittenObject;

/// A path given twice is a warning, since the driver lets the last win; a file that is another's
/// folder cannot be written at all.
pub(super) fn check(objects: &[WrittenObject], findings: &mut Findings) {
    let files =
        objects.iter().flat_map(|object| object.plan.paths().into_iter().map(move |path| (path, object)));
    let mut sorted = files.collect::<Vec<_>>();
    // Stable, and with the separator before every other byte: what lies in a folder follows it.
    sorted.sort_by(|(one, _), (other, _)| separator_first(one).cmp(separator_first(other)));
    let mut folders: Vec<&(RelativePath, &WrittenObject)> = Vec::new();
    for file in &sorted {
        let (path, object) = file;
        while folders.last().is_some_and(|(last, _)| last != path && !last.is_folder_of(path)) {
            folders.pop();
        }
        match folders.last() {
            Some((last, earlier)) if last == path => {
                let problem = format!("{} is also the file of {}", quoted(path.as_str()), earlier.plan.place);
                let mend = "the last one wins; give each its own objectAlias";
                findings.warning(object.path_place(), Fault::new(problem, mend));
            }
            Some((folder, of)) => {
                let (path, folder) = (quoted(path.as_str()), quoted(folder.as_str()));
                let problem = format!("{path} lies inside {folder}, which is the file of {}", of.plan.place);
                findings.error(object.path_place(), Fault::new(problem, "change one objectAlias"));
                continue;
            }
            None => {}
        }
        folders.push(file);
    }
}

fn separator_first(path: &RelativePath) -> impl Iterator<Item = u8> {
    path.as_str().bytes().map(|byte| if byte == b'/' { 0 } else { byte })
}
