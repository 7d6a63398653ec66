//! Removes the stores that no remaining object of the operator uses.

use std::collections::BTreeSet;

use super::cluster::{Cluster, GROUP};
use super::note::Note;
use super::output::ConversionOutput;
use super::target::TargetSecret;
use crate::manifest::ManifestObject;
use crate::yaml::Node;

/// Removes the stores that only converted `ExternalSecret`s used.
pub(super) fn remove(cluster: &Cluster<'_>, targets: &[TargetSecret<'_>], output: &mut ConversionOutput<'_>) {
    let used = targets.iter().flat_map(TargetSecret::stores).copied().collect::<BTreeSet<_>>();
    for (index, object) in cluster.stores().filter(|(index, _)| used.contains(index)) {
        let name = object.name.as_deref().unwrap_or_default();
        let refers_to_store = |other: &ManifestObject| {
            let is_store = other.kind.ends_with("SecretStore");
            other.api_version.contains(GROUP) && !is_store && mentions(&other.root, name)
        };
        if output.unchanged_objects().any(refers_to_store) {
            continue;
        }
        let problem =
            format!("{} {name} is removed, because no object in the files uses it any more", object.kind);
        let help = "delete it from the cluster when nothing else uses it";
        output.remove(index, Note::remark("spec", problem, help));
    }
}

fn mentions(node: &Node, name: &str) -> bool {
    node.text() == Some(name)
        || node.items().iter().any(|item| mentions(item, name))
        || node.entries().iter().any(|entry| mentions(&entry.value, name))
}
