//! Annotations of Stakater Reloader that name a converted Secret.

use super::data::text;
use super::input::InputDocument;
use super::note::Note;
use super::output::ConversionOutput;
use super::target::TargetSecret;
use super::workload::Workload;
use crate::manifest::ManifestObject;
use crate::yaml::{Node, Value};

const RELOADER: &str = "reloader.stakater.com/";

/// Reports the objects whose pods Reloader no longer restarts when the secret changes.
pub(super) fn report(
    documents: &[InputDocument<'_>],
    targets: &[TargetSecret<'_>],
    output: &mut ConversionOutput<'_>,
) {
    for (index, document) in documents.iter().enumerate() {
        let Some(object) = document.object.as_ref().filter(|_| document.text.contains(RELOADER)) else {
            continue;
        };
        let mut annotations = Vec::new();
        collect(&object.root, &mut annotations);
        for target in targets.iter().filter(|target| watches(object, &annotations, target)) {
            let secret = &target.secret.target_name;
            let gone = if target.syncing().is_none() {
                "which no longer exists"
            } else {
                "which its pods no longer mount"
            };
            let class = target.syncing().or(target.classes.first()).map_or("", |class| &class.name);
            let help = format!(
                "annotate it with secretproviderclass.reloader.stakater.com/reload: {class}, and start Reloader with --enable-csi-integration=true"
            );
            let problem = format!("Reloader watched Secret {secret}, {gone}");
            output.annotate(index, Note::lost("metadata.annotations", problem, help));
        }
    }
}

/// Whether Reloader restarted the pods of an object when the Secret of `target` changed, and no longer does.
fn watches(object: &ManifestObject, annotations: &[&Node], target: &TargetSecret<'_>) -> bool {
    let values = |key: &str| annotations.iter().filter_map(|node| text(node, &[key])).collect::<Vec<_>>();
    let named = values("secret.reloader.stakater.com/reload");
    let named =
        named.iter().flat_map(|names| names.split(',')).any(|name| target.matches(name.trim(), object));
    if named && target.syncing().is_none() {
        return true;
    }
    let is_true = |key: &str| values(key).contains(&"true");
    let matched = || target.secret.annotations.iter().any(|(key, _)| key == "reloader.stakater.com/match");
    let automatic = is_true("reloader.stakater.com/auto")
        || is_true("secret.reloader.stakater.com/auto")
        || (is_true("reloader.stakater.com/search") && matched());
    automatic && Workload::parse(object).is_some_and(|workload| !still_uses(&workload, object, target))
}

/// Whether a workload still names the Secret after the conversion; also true if it never used the Secret.
fn still_uses(workload: &Workload<'_>, object: &ManifestObject, target: &TargetSecret<'_>) -> bool {
    let needed = workload.secret_uses.iter().any(|need| target.matches(need.secret, object));
    let mut volumes =
        workload.volumes.iter().filter(|volume| target.matches(volume.secret, object)).peekable();
    needed || volumes.peek().is_none() || volumes.any(|volume| !target.replaces(volume, workload))
}

/// Collects all `metadata.annotations`, including those of pod templates.
fn collect<'a>(node: &'a Node, found: &mut Vec<&'a Node>) {
    found.extend(node.at(&["metadata", "annotations"]));
    match &node.value {
        Value::Scalar(_) => {}
        Value::Sequence(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Mapping(entries) => entries.iter().for_each(|entry| collect(&entry.value, found)),
    }
}
