//! Renders fetched objects into the contents of a volume.

use std::sync::Arc;

use super::error::{MountError, ObjectError};
use crate::deliver::VolumeFile;
use crate::plan::{ObjectPlan, TemplatePlan};
use crate::proto::ObjectVersion;
use crate::render::{self, Generated, TemplateObjects};
use crate::retry::Deadline;
use crate::vault::{FetchedObject, FetchedVersion};

/// The files and versions of a volume.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) files: Vec<VolumeFile>,
    pub(super) versions: Vec<ObjectVersion>,
    pub(super) warnings: Vec<String>,
}

/// Renders all objects and templates, or returns the errors of all that fail.
pub(super) fn render_all(
    (objects, templates): (&[ObjectPlan], &[TemplatePlan]),
    fetched: &[Option<Arc<FetchedObject>>],
    options: render::Options,
    deadline: Deadline,
) -> Result<Contents, MountError> {
    let mut contents = Contents::default();
    let mut errors = Vec::new();
    let mut values = TemplateObjects::default();
    let mut generated = Generated::default();
    for (object, fetched) in objects.iter().zip(fetched) {
        let Some(fetched) = fetched else {
            values.add(object, None);
            continue;
        };
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
        match render::render(object, fetched, options, &mut generated, &|| !deadline.left().is_zero()) {
            Ok(rendered) => {
                if !templates.is_empty() {
                    let is_main = |file: &&VolumeFile| file.path == object.path || object.history.is_some();
                    let file = rendered.files.iter().find(is_main).map(|file| &file.contents);
                    values.add(object, rendered.value.as_ref().or(file));
                    if !object.json_fields.is_empty() {
                        values.add_fields(object, rendered.files.iter().chain(&rendered.hidden_fields));
                    }
                }
                contents.files.extend(rendered.files);
                contents.warnings.extend(rendered.warnings);
            }
            Err(error) => errors.push(ObjectError::Render(error)),
        }
    }
    if errors.is_empty() {
        let values = Arc::new(values);
        for template in templates {
            match render::render_template(template, &values, &mut generated) {
                Ok(file) => contents.files.push(file),
                Err(error) => errors.push(ObjectError::Template(error)),
            }
        }
    }
    if contents.versions.is_empty() && errors.is_empty() {
        // All objects are optional and missing. The driver treats an empty list as an error of the provider.
        contents.versions.push(ObjectVersion { id: NOTHING.to_owned(), version: String::new() });
    }
    if errors.is_empty() { Ok(contents) } else { Err(MountError::Objects(errors)) }
}

/// The version id of a volume without objects.
const NOTHING: &str = "nothing";

fn object_version(object: &ObjectPlan, index: usize, fetched: &FetchedVersion) -> ObjectVersion {
    let id = match object.history {
        Some(_) => format!("{}/{}/{index}", object.kind, object.name),
        None => format!("{}/{}", object.kind, object.name),
    };
    ObjectVersion { id, version: fetched.version.clone() }
}

/// Maximum number of optional objects in one warning.
const NAMED: usize = 5;

/// The warning about missing optional objects, if any.
pub(super) fn left_out(objects: &[String]) -> Option<String> {
    let (named, more) = (objects.iter().take(NAMED), objects.len().saturating_sub(NAMED));
    let named = named.map(String::as_str).collect::<Vec<_>>().join(", ");
    match (objects.len(), more) {
        (0, _) => None,
        (_, 0) => Some(format!("optional objects are missing or disabled and were left out: {named}")),
        (_, more) => Some(format!(
            "optional objects are missing or disabled and were left out: {named} and {more} more"
        )),
    }
}
