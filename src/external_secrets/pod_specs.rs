//! Where the pods of an object are described: in a place that is known for its kind, or wherever
//! something looks like a pod.

use super::note::Note;
use super::output::Output;
use super::target::Target;
use super::workload::secret_names;
use crate::manifest::Object;
use crate::yaml::{Node, Value};

/// The keys that lead to the pod spec of a kind whose pods can be changed.
pub(super) fn path(object: &Object) -> Option<&'static [&'static str]> {
    // Versions of one group have it in one place.
    let group = object.api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, object.kind.as_str()) {
        ("", "Pod") => Some(&["spec"]),
        ("", "ReplicationController" | "DeploymentConfig")
        | ("apps" | "extensions", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job")
        | ("argoproj.io", "Rollout")
        | ("apps.openshift.io", "DeploymentConfig")
        | ("apps.kruise.io", "CloneSet" | "StatefulSet" | "DaemonSet") => Some(&["spec", "template", "spec"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
        ("keda.sh", "ScaledJob") => Some(&["spec", "jobTargetRef", "template", "spec"]),
        ("", "PodTemplate") => Some(&["template", "spec"]),
        _ => None,
    }
}

/// Names an object of another kind whose pods use a Secret that classes replace.
pub(super) fn report(index: usize, object: &Object, targets: &[Target<'_>], output: &mut Output<'_>) {
    for target in targets {
        let Some(location) = user("", &object.root, &|name| target.is(name, object)) else { continue };
        let group = object.api_version.split_once('/').map_or("core", |(group, _)| group);
        let problem = format!(
            "its pods use Secret {}, which is there only while a pod mounts class {}, and a {} of {group} is not changed",
            target.secret.target, target.secret.name, object.kind
        );
        output.keep(index, Note::lost(location, problem, help(group, target)));
    }
}

fn help(group: &str, target: &Target<'_>) -> String {
    let class = target.syncing().or(target.classes.first()).map_or("", |class| &class.name);
    let volume =
        format!("add a volume of class {class} (driver secrets-store.csi.k8s.io) to its pods by hand");
    if group == "serving.knative.dev" {
        let flag = "kubernetes.podspec-volumes-csi: enabled in the ConfigMap config-features";
        format!("{volume}, for which Knative needs {flag}")
    } else {
        volume
    }
}

/// The place of something that looks like a pod or a container and uses the Secret.
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

/// Whether a mapping has what only pods and containers have: containers, variables, volumes of Secrets.
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
