//! Annotations and labels that are about one object, or about a Secret that is gone.

use super::data::text;
use super::note::Note;
use super::output::Output;
use super::pieces::Piece;
use super::secret::Pairs;
use super::target::Target;
use super::workload::Workload;
use crate::manifest::Object;
use crate::yaml::{Node, Value};

/// What other tools write for the very object that carries it. A copy would tell them of an object that
/// they do not have.
const BOOKKEEPING: [&str; 9] = [
    "argocd.argoproj.io/installation-id",
    "argocd.argoproj.io/tracking-id",
    "config.k8s.io/owning-inventory",
    "force-sync",
    "kapp.k14s.io/app",
    "kapp.k14s.io/association",
    "kapp.k14s.io/identity",
    "kubectl.kubernetes.io/last-applied-configuration",
    "kustomize.toolkit.fluxcd.io/checksum",
];

/// The same, for all keys that begin so.
const BOOKKEEPING_PREFIXES: [&str; 8] = [
    "internal.config.kubernetes.io/",
    "kapp.k14s.io/original",
    "meta.helm.sh/",
    "helm.toolkit.fluxcd.io/name",
    "kustomize.toolkit.fluxcd.io/name",
    "objectset.rio.cattle.io/",
    "reconcile.external-secrets.io/",
    "reconcile.fluxcd.io/",
];

/// Whether a label or annotation is another tool's record of the object itself.
pub(super) fn is_bookkeeping(key: &str) -> bool {
    BOOKKEEPING.contains(&key) || BOOKKEEPING_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// Labels and annotations of a Secret by which another program finds it, whatever pods do.
const FOUND_BY: [&str; 7] = [
    "argocd.argoproj.io/secret-type",
    "grafana_dashboard",
    "grafana_datasource",
    "jenkins.io/credentials-type",
    "kubed.appscode.com/sync",
    "reflector.v1.k8s.emberstack.com/",
    "replicator.v1.mittwald.de/",
];

/// Whether another program reads the Secret itself.
pub(super) fn is_found_by_others(pairs: &Pairs) -> bool {
    pairs.iter().any(|(key, _)| FOUND_BY.iter().any(|known| key.starts_with(known)))
}

const RELOADER: &str = "reloader.stakater.com/";

/// Reports where Reloader watched a Secret that is gone.
pub(super) fn report(pieces: &[Piece<'_>], targets: &[Target<'_>], output: &mut Output<'_>) {
    for (index, piece) in pieces.iter().enumerate() {
        let Some(object) = piece.object.as_ref().filter(|_| piece.text.contains(RELOADER)) else { continue };
        let mut annotations = Vec::new();
        collect(&object.root, &mut annotations);
        for target in targets.iter().filter(|target| watches(object, &annotations, target)) {
            let secret = &target.secret.target;
            let gone = if target.syncing().is_none() {
                "no such Secret exists any more"
            } else {
                "its pods mount a class in the place of the Secret"
            };
            let class = target.syncing().or(target.classes.first()).map_or("", |class| &class.name);
            let help = format!(
                "annotate it with secretproviderclass.reloader.stakater.com/reload: {class} instead, and start Reloader with --enable-csi-integration=true"
            );
            let problem = format!("Reloader watched Secret {secret}, and {gone}");
            output.keep(index, Note::lost("metadata.annotations", problem, help));
        }
    }
}

/// Whether Reloader restarted the pods of an object when the Secret of `target` changed, and cannot do so
/// any more.
fn watches(object: &Object, annotations: &[&Node], target: &Target<'_>) -> bool {
    let values = |key: &str| annotations.iter().filter_map(|node| text(node, &[key])).collect::<Vec<_>>();
    let named = values("secret.reloader.stakater.com/reload");
    let named = named.iter().flat_map(|names| names.split(',')).any(|name| target.is(name.trim(), object));
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

/// Whether a workload that used the Secret names it after the conversion, too; true of one that never did.
fn still_uses(workload: &Workload<'_>, object: &Object, target: &Target<'_>) -> bool {
    let needed = workload.needs.iter().any(|need| target.is(need.secret, object));
    let mut volumes = workload.volumes.iter().filter(|volume| target.is(volume.secret, object)).peekable();
    needed || volumes.peek().is_none() || volumes.any(|volume| !target.replaces(volume, workload))
}

/// All `metadata.annotations`, also those of pod templates.
fn collect<'a>(node: &'a Node, found: &mut Vec<&'a Node>) {
    found.extend(node.at(&["metadata", "annotations"]));
    match &node.value {
        Value::Scalar(_) => {}
        Value::Sequence(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Mapping(entries) => entries.iter().for_each(|entry| collect(&entry.value, found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_an_object_are_told_from_wishes_of_its_author() {
        for key in [
            "argocd.argoproj.io/tracking-id",
            "meta.helm.sh/release-name",
            "kustomize.toolkit.fluxcd.io/name",
            "kustomize.toolkit.fluxcd.io/namespace",
            "kubectl.kubernetes.io/last-applied-configuration",
            "objectset.rio.cattle.io/hash",
        ] {
            assert!(is_bookkeeping(key), "{key}");
        }
        for key in [
            "argocd.argoproj.io/sync-wave",
            "argocd.argoproj.io/sync-options",
            "helm.sh/hook",
            "helm.sh/resource-policy",
            "kustomize.toolkit.fluxcd.io/prune",
            "app.kubernetes.io/managed-by",
            "team",
        ] {
            assert!(!is_bookkeeping(key), "{key}");
        }
    }
}
