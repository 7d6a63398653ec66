//! Duplicate names of classes and Secrets in one file.

use std::collections::HashMap;

use super::Diagnostic;
use super::class::ClassManifest;
use crate::manifest::ManifestObject;
use crate::plan::Fault;

/// The classes of a file that were checked so far, and the Secrets that they create, each with its line.
#[derive(Debug, Default)]
pub(super) struct DuplicateCheck {
    classes: HashMap<Key, usize>,
    secrets: HashMap<Key, (String, usize)>,
}

/// Namespace and name.
type Key = (Option<String>, String);

impl DuplicateCheck {
    /// Warns about a class that replaces an earlier one.
    pub(super) fn class(&mut self, object: &ManifestObject, diagnostics: &mut Vec<Diagnostic>) {
        let Some(name) = object.name.clone() else { return };
        let (position, key) = (object.root.position, (object.namespace.clone(), name));
        let metadata = object.root.entry("metadata").map_or(position, |entry| entry.position);
        if let Some(line) = self.classes.insert(key, position.line) {
            let problem = format!("this class replaces the class of the same name in line {line}");
            let help = "change the name or the namespace of one of them";
            diagnostics.push(Diagnostic::warning(metadata, "metadata.name", Fault::new(problem, help)));
        }
    }

    /// Warns about a Secret that another class also creates.
    pub(super) fn secrets(
        &mut self,
        object: &ManifestObject,
        class: &ClassManifest<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let own = object.name.as_deref().unwrap_or_default();
        for (index, secret) in class.secret_objects().iter().enumerate() {
            let Some(name) = secret.entry("secretName").and_then(|entry| Some((entry, entry.value.text()?)))
            else {
                continue;
            };
            let (entry, name) = (name.0, name.1.trim());
            let key = (object.namespace.clone(), name.to_owned());
            let line = entry.value.position.line;
            let Some((other, line)) = self.secrets.insert(key, (own.to_owned(), line)) else { continue };
            if other == own {
                // Another check reports this.
                continue;
            }
            let problem = format!("class {other} also creates the Secret {name}, in line {line}");
            let fault = Fault::new(problem, "each class replaces the other's keys; give each its own Secret");
            let location = format!("secretObjects[{index}].secretName");
            diagnostics.push(Diagnostic::warning(entry.value.position, location, fault));
        }
    }
}
