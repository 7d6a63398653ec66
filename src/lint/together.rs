//! What the classes of one file do to each other when they are applied.

use std::collections::HashMap;

use super::Diagnostic;
use super::class::Class;
use crate::manifest::Object;
use crate::plan::Fault;

/// The classes of a file so far, and the Secrets that they make, each with its line.
#[derive(Debug, Default)]
pub(super) struct Together {
    classes: HashMap<Key, usize>,
    secrets: HashMap<Key, (String, usize)>,
}

/// Namespace and name.
type Key = (Option<String>, String);

impl Together {
    /// Warns of a class that replaces an earlier one.
    pub(super) fn class(&mut self, object: &Object, diagnostics: &mut Vec<Diagnostic>) {
        let Some(name) = object.name.clone() else { return };
        let (position, key) = (object.root.position, (object.namespace.clone(), name));
        let metadata = object.root.entry("metadata").map_or(position, |entry| entry.position);
        if let Some(line) = self.classes.insert(key, position.line) {
            let problem = format!("a class of this name is in line {line}, and this one replaces it");
            let help = "give one of them another name, or another namespace";
            diagnostics.push(Diagnostic::warning(metadata, "metadata.name", Fault::new(problem, help)));
        }
    }

    /// Warns of a Secret that another class makes, too.
    pub(super) fn secrets(&mut self, object: &Object, class: &Class<'_>, diagnostics: &mut Vec<Diagnostic>) {
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
                // Said where the class is looked at, or the whole class replaces the other.
                continue;
            }
            let problem = format!("class {other} makes the Secret {name}, too, in line {line}");
            let fault = Fault::new(problem, "the two replace each other's keys; give each its own Secret");
            let location = format!("secretObjects[{index}].secretName");
            diagnostics.push(Diagnostic::warning(entry.value.position, location, fault));
        }
    }
}
