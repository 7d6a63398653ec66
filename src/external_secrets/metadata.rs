//! Labels and annotations: which of them other tools keep as records of one object.

use crate::yaml::Node;

/// Labels or annotations.
pub(super) type Pairs = Vec<(String, String)>;

/// The keys of a mapping, with their values as text.
pub(super) fn pairs(node: &Node) -> Pairs {
    let text = |node: &Node| node.text().unwrap_or_default().to_owned();
    node.entries().iter().map(|entry| (entry.key.clone(), text(&entry.value))).collect()
}

/// Keys under which other tools keep records of one object. On a copy the record would be wrong.
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

/// Prefixes of such keys.
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

/// Whether a label or annotation is another tool's record of this object.
pub(super) fn is_bookkeeping(key: &str) -> bool {
    BOOKKEEPING.contains(&key) || BOOKKEEPING_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// Labels and annotations by which another program finds a Secret without a pod that uses it.
const READ_BY_OTHERS: [&str; 7] = [
    "argocd.argoproj.io/secret-type",
    "grafana_dashboard",
    "grafana_datasource",
    "jenkins.io/credentials-type",
    "kubed.appscode.com/sync",
    "reflector.v1.k8s.emberstack.com/",
    "replicator.v1.mittwald.de/",
];

/// Whether another program may read the Secret directly.
pub(super) fn is_read_by_others(pairs: &Pairs) -> bool {
    pairs.iter().any(|(key, _)| READ_BY_OTHERS.iter().any(|known| key.starts_with(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_tools_record_are_distinguished_from_keys_that_users_set() {
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
