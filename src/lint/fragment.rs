//! Patches of a kustomization: parts of a class, checked on their own.

use super::{Diagnostic, class, parameters};
use crate::manifest::ManifestObject;
use crate::yaml::Node;

/// Checks `spec` of a patch for errors that do not depend on the patched class.
pub(super) fn check(object: &ManifestObject, diagnostics: &mut Vec<Diagnostic>) {
    let Some(spec) = object.root.entry("spec") else { return };
    class::check_fields(spec, diagnostics);
    for entry in spec.value.at(&["parameters"]).map(Node::entries).unwrap_or_default() {
        // Null removes a parameter, and keys that begin with `$` are directives of kustomize.
        if entry.value.text() != Some("") && !entry.key.starts_with('$') {
            parameters::check_one(entry, diagnostics);
        }
    }
}
