//! Objects of other kinds that contain a pod or a container, and use a converted Secret.

use super::note::Note;
use super::output::ConversionOutput;
use super::target::TargetSecret;
use super::workload::secret_names;
use crate::manifest::ManifestObject;
use crate::yaml::{Node, Value};

/// Reports an object whose pods use a Secret that classes replace.
pub(super) fn report(
    index: usize,
    object: &ManifestObject,
    targets: &[TargetSecret<'_>],
    output: &mut ConversionOutput<'_>,
) {
    for target in targets {
        let Some(location) = user("", &object.root, &|name| target.matches(name, object)) else { continue };
        let group = object.api_version.split_once('/').map_or("core", |(group, _)| group);
        let problem = format!(
            "its pods use Secret {}, which exists only while a pod mounts class {}, and convert does not edit a {} of {group}",
            target.secret.target_name, target.secret.name, object.kind
        );
        output.annotate(index, Note::lost(location, problem, help(group, target)));
    }
}

fn help(group: &str, target: &TargetSecret<'_>) -> String {
    let class = target.syncing().or(target.classes.first()).map_or("", |class| &class.name);
    let volume =
        format!("add a volume of class {class} (driver secrets-store.csi.k8s.io) to its pods by hand");
    if group == "serving.knative.dev" {
        let flag = "kubernetes.podspec-volumes-csi: enabled in the ConfigMap config-features";
        format!("{volume}; Knative needs {flag} for that")
    } else {
        volume
    }
}

/// The location of a pod or container that uses the Secret.
fn user(location: &str, node: &Node, is_secret: &dyn Fn(&str) -> bool) -> Option<String> {
    if looks_like_pod(node) && secret_names(node).any(is_secret) {
        return Some(location.to_owned());
    }
    match &node.value {
        Value::Scalar(_) => None,
        Value::Sequence(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| user(&format!("{location}[{index}]"), item, is_secret)),
        Value::Mapping(entries) => entries.iter().find_map(|entry| {
            let dot = if location.is_empty() { "" } else { "." };
            user(&format!("{location}{dot}{}", entry.key), &entry.value, is_secret)
        }),
    }
}

/// Whether a mapping has fields that only pods and containers have: containers, variables, volumes of Secrets.
fn looks_like_pod(node: &Node) -> bool {
    node.entries().iter().any(|entry| {
        let items = entry.value.items();
        match entry.key.as_str() {
            "containers" | "initContainers" | "envFrom" => {
                items.iter().any(|item| !item.entries().is_empty())
            }
            "env" => items.iter().any(|item| item.entry("valueFrom").is_some()),
            "volumes" => {
                items.iter().any(|item| item.entry("secret").is_some() || item.entry("projected").is_some())
            }
            _ => false,
        }
    })
}
