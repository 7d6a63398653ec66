//! The Secrets that a workload uses.

use std::collections::BTreeSet;

use super::pod_specs;
use crate::manifest::ManifestObject;
use crate::plan::FileMode;
use crate::yaml::{Entry, Node, Value};

/// The pod spec of a workload, and its uses of Secrets.
#[derive(Debug)]
pub(super) struct Workload<'a> {
    pub spec: &'a Node,
    /// Whether the pod spec is written in place, and is not an alias.
    pub is_inline: bool,
    pub volumes: Vec<SecretVolume<'a>>,
    pub secret_uses: Vec<SecretUse<'a>>,
}

/// A volume of a Secret.
#[derive(Debug)]
pub(super) struct SecretVolume<'a> {
    pub node: &'a Node,
    /// The key `secret` of the volume.
    pub entry: &'a Entry,
    pub secret: &'a str,
    pub view: VolumeView,
    /// Whether the pod may start without it.
    pub optional: bool,
    /// Whether a container mounts a single file of it.
    pub sub_path: bool,
}

/// The keys of a Secret that a volume mounts, and their files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct VolumeView {
    /// `None` if the volume mounts every key as a file of the same name.
    pub items: Option<Vec<ShownKey>>,
    /// `None` for the default, 0644.
    pub mode: Option<FileMode>,
}

/// A key of a Secret that a volume mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShownKey {
    pub key: String,
    pub path: String,
    pub mode: Option<FileMode>,
}

/// A use that needs the Secret itself, for example a variable.
#[derive(Debug)]
pub(super) struct SecretUse<'a> {
    pub secret: &'a str,
    /// The container that uses it; `None` for a use of the whole pod.
    pub container: Option<&'a Node>,
}

impl<'a> Workload<'a> {
    /// `None` if the object runs no pods.
    pub(super) fn parse(object: &'a ManifestObject) -> Option<Self> {
        let path = pod_specs::path(object)?;
        let (mut spec, mut is_inline) = (&object.root, true);
        for key in path {
            let entry = spec.entry(key)?;
            is_inline &= entry.is_written_in(spec);
            spec = &entry.value;
        }
        let volumes =
            items(spec, "volumes").iter().filter_map(|volume| SecretVolume::parse(spec, volume)).collect();
        let mut secret_uses = Vec::new();
        for entry in spec.entries() {
            match entry.key.as_str() {
                "containers" | "initContainers" => {
                    for container in entry.value.items() {
                        let names = secret_names(container);
                        secret_uses
                            .extend(names.map(|secret| SecretUse { secret, container: Some(container) }));
                    }
                }
                "volumes" => {
                    let others = entry.value.items().iter().filter(|volume| volume.entry("secret").is_none());
                    secret_uses.extend(others.flat_map(secret_names).map(SecretUse::of_pod));
                }
                _ => {
                    let mut names = Vec::new();
                    collect(&entry.key, "", &entry.value, &mut names);
                    secret_uses.extend(names.into_iter().map(SecretUse::of_pod));
                }
            }
        }
        Some(Self { spec, is_inline, volumes, secret_uses })
    }

    /// The service account of the pods.
    pub(super) fn account(&self) -> Option<&'a str> {
        let named = ["serviceAccountName", "serviceAccount"].map(|key| self.spec.entry(key)?.value.text());
        named.into_iter().flatten().find(|name| !name.is_empty())
    }

    /// Whether a volume or container is written in place, and is not an alias.
    pub(super) fn is_inline_item(&self, item: &Node) -> bool {
        let lists = self.spec.entries().iter().filter(|entry| entry.is_written_in(self.spec));
        let mut lists =
            lists.filter(|entry| entry.value.items().iter().any(|other| std::ptr::eq(other, item)));
        self.is_inline
            && lists.any(|list| {
                let same = list.value.items().iter().filter(|other| other.position == item.position).count();
                same == 1 && item.position >= list.position
            })
    }

    /// Whether the pod sets `fsGroup`.
    pub(super) fn has_group(&self) -> bool {
        self.spec.at(&["securityContext", "fsGroup"]).is_some()
    }
}

impl<'a> SecretUse<'a> {
    fn of_pod(secret: &'a str) -> Self {
        Self { secret, container: None }
    }
}

fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.entry(key).map(|entry| entry.value.items()).unwrap_or_default()
}

impl<'a> SecretVolume<'a> {
    fn parse(spec: &'a Node, node: &'a Node) -> Option<Self> {
        let entry = node.entry("secret")?;
        let text = |key: &str| entry.value.entry(key).and_then(|entry| entry.value.text());
        let mode = |node: &Node, key: &str| {
            let mode = node.entry(key)?.value.text().and_then(mode)?;
            (mode.bits() != 0o644).then_some(mode)
        };
        let shown = |item: &Node| {
            let text = |key: &str| item.entry(key).and_then(|entry| entry.value.text()).map(str::to_owned);
            Some(ShownKey { key: text("key")?, path: text("path")?, mode: mode(item, "mode") })
        };
        let items = entry.value.entry("items");
        let items =
            items.map(|entry| last_of_each_path(entry.value.items().iter().filter_map(shown).collect()));
        let name = node.entry("name").and_then(|entry| entry.value.text());
        let mounts_file = |mount: &Node| {
            let text = |key: &str| mount.entry(key).and_then(|entry| entry.value.text());
            text("name") == name
                && ["subPath", "subPathExpr"].iter().any(|key| text(key).is_some_and(|path| !path.is_empty()))
        };
        let containers = ["initContainers", "containers"].map(|key| self::items(spec, key));
        let mut mounts =
            containers.into_iter().flatten().flat_map(|container| self::items(container, "volumeMounts"));
        Some(Self {
            node,
            entry,
            secret: text("secretName")?,
            view: VolumeView { items, mode: mode(&entry.value, "defaultMode") },
            optional: text("optional") == Some("true"),
            sub_path: mounts.any(mounts_file),
        })
    }
}

/// Keeps the last item of each path, as kubelet does.
fn last_of_each_path(mut items: Vec<ShownKey>) -> Vec<ShownKey> {
    let mut paths = BTreeSet::new();
    items.reverse();
    items.retain(|item| paths.insert(item.path.clone()));
    items.reverse();
    items
}

/// Parses a mode: octal with a leading zero, otherwise decimal.
fn mode(text: &str) -> Option<FileMode> {
    match text.strip_prefix("0o").or(text.strip_prefix('0').filter(|rest| !rest.is_empty())) {
        Some(octal) => FileMode::parse_octal(octal).ok(),
        None => FileMode::parse_decimal(text).ok(),
    }
}

/// The names of Secrets below a node. By the conventions of Kubernetes, the key contains "secret", or the name is
/// the `name` in such a key.
pub(super) fn secret_names(node: &Node) -> impl Iterator<Item = &str> {
    let mut names = Vec::new();
    collect("", "", node, &mut names);
    names.into_iter()
}

fn collect<'a>(key: &str, above: &str, node: &'a Node, names: &mut Vec<&'a str>) {
    match &node.value {
        Value::Scalar(scalar) => {
            if names_secret(key, above) && !scalar.text().is_empty() {
                names.push(scalar.text());
            }
        }
        Value::Sequence(items) => {
            for item in items {
                collect(key, above, item, names);
            }
        }
        Value::Mapping(entries) => {
            // A reference with a kind, such as Flux's valuesFrom.
            let is_secret = node.at(&["kind"]).and_then(Node::text) == Some("Secret");
            for entry in entries {
                let above = if is_secret && entry.key == "name" { "secret" } else { key };
                collect(&entry.key, above, &entry.value, names);
            }
        }
    }
}

fn names_secret(key: &str, above: &str) -> bool {
    let is_secret_key = |key: &str| key.to_ascii_lowercase().contains("secret") || key == "certificateRefs";
    match key {
        "name" => is_secret_key(above),
        "secretProviderClass" => false,
        "credentialName" => true,
        key => is_secret_key(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{self, Budget};

    #[test]
    fn modes_are_octal_with_a_leading_zero_and_decimal_without() {
        let bits = |text| mode(text).map(FileMode::bits);
        assert_eq!(bits("420"), Some(0o644));
        assert_eq!(bits("0400"), Some(0o400));
        assert_eq!(bits("0o440"), Some(0o440));
        assert_eq!(bits("256"), Some(0o400));
        assert_eq!(bits("0"), Some(0));
        assert_eq!(bits("rw"), None);
    }

    #[test]
    fn names_of_secrets_are_found_in_all_kinds_of_references() {
        let text = "
env: [{name: SECRET, value: no, valueFrom: {secretKeyRef: {name: a, key: no}}}]
envFrom: [{secretRef: {name: b}}, {configMapRef: {name: no}}]
imagePullSecrets: [{name: c}]
tls: [{secretName: d, hosts: [no]}]
csi: {nodePublishSecretRef: {name: e}, volumeAttributes: {secretProviderClass: no}}
certificateRefs: [{kind: Secret, name: f}]
existingSecret: g
valuesFrom: [{kind: ConfigMap, name: no}, {kind: Secret, name: h}]
metadata: {name: no}
";
        let root = yaml::parse(text, &mut Budget::default()).unwrap().unwrap();
        let mut names = secret_names(&root).collect::<Vec<_>>();
        names.sort_unstable();
        assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g", "h"]);
    }
}
