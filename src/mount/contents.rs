//! From fetched objects to the contents of a volume.

use std::sync::Arc;

use super::error::{MountError, ObjectError};
use crate::deliver::VolumeFile;
use crate::plan::ObjectPlan;
use crate::proto::ObjectVersion;
use crate::render;
use crate::retry::Deadline;
use crate::vault::{Fetched, Object};

/// What a volume will hold.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) files: Vec<VolumeFile>,
    pub(super) versions: Vec<ObjectVersion>,
    pub(super) warnings: Vec<String>,
}

/// Renders every object, or names all that cannot be.
pub(super) fn render_all(
    objects: &[ObjectPlan],
    fetched: &[Option<Arc<Object>>],
    options: render::Options,
    deadline: Deadline,
) -> Result<Contents, MountError> {
    let mut contents = Contents::default();
    let mut errors = Vec::new();
    for (object, fetched) in objects.iter().zip(fetched) {
        let Some(fetched) = fetched else { continue };
        if deadline.left().is_zero() {
            return Err(MountError::Late);
        }
        contents.versions.extend(
            fetched
                .versions()
                .iter()
                .enumerate()
                .map(|(index, fetched)| object_version(object, index, fetched)),
        );
        match render::render(object, fetched, options, &|| !deadline.left().is_zero()) {
            Ok(rendered) => {
                contents.files.extend(rendered.files);
                contents.warnings.extend(rendered.warnings);
            }
            Err(error) => errors.push(ObjectError::Render(error)),
        }
    }
    if contents.versions.is_empty() && errors.is_empty() {
        // All objects are optional, and none is there. The driver takes an empty list for a provider's error.
        contents.versions.push(ObjectVersion { id: NOTHING.to_owned(), version: String::new() });
    }
    if errors.is_empty() { Ok(contents) } else { Err(MountError::Objects(errors)) }
}

/// The id that stands for a volume without an object.
const NOTHING: &str = "nothing";

fn object_version(object: &ObjectPlan, index: usize, fetched: &Fetched) -> ObjectVersion {
    let id = match object.history {
        Some(_) => format!("{}/{}/{index}", object.kind, object.name),
        None => format!("{}/{}", object.kind, object.name),
    };
    ObjectVersion { id, version: fetched.version.clone() }
}

/// Optional objects that one warning names.
const NAMED: usize = 5;

/// The warning about the optional objects that were left out, if there are any.
pub(super) fn left_out(objects: &[String]) -> Option<String> {
    let (named, more) = (objects.iter().take(NAMED), objects.len().saturating_sub(NAMED));
    let named = named.map(String::as_str).collect::<Vec<_>>().join(", ");
    match (objects.len(), more) {
        (0, _) => None,
        (_, 0) => Some(format!("optional objects are missing or disabled, and were left out: {named}")),
        (_, more) => Some(format!(
            "optional objects are missing or disabled, and were left out: {named} and {more} more"
        )),
    }
}
