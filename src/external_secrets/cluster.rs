//! The stores and service accounts in the input files.

use super::data::StoreRef;
use super::input::InputDocument;
use super::note::Note;
use super::store::Store;
use crate::manifest::ManifestObject;
use crate::yaml::Node;

/// The stores and service accounts that an `ExternalSecret` may refer to.
#[derive(Debug)]
pub(super) struct Cluster<'a> {
    stores: Vec<(usize, &'a ManifestObject, Result<Store, Note>)>,
    accounts: Vec<&'a ManifestObject>,
}

/// The API group of the operator.
pub(super) const GROUP: &str = "external-secrets.io/";

/// Whether an object is of this kind of the operator, in a supported version.
pub(super) fn is_external(object: &ManifestObject, kind: &str) -> bool {
    let version = object.api_version.strip_prefix(GROUP);
    object.kind == kind && matches!(version, Some("v1" | "v1beta1"))
}

/// Whether an object is a store. A store has the same fields in all versions of the API.
pub(super) fn is_store(object: &ManifestObject) -> bool {
    let version = object.api_version.strip_prefix(GROUP);
    ["SecretStore", "ClusterSecretStore"].contains(&object.kind.as_str())
        && matches!(version, Some("v1" | "v1beta1" | "v1alpha1"))
}

impl<'a> Cluster<'a> {
    pub(super) fn of(documents: &'a [InputDocument<'_>]) -> Self {
        let (mut stores, mut accounts) = (Vec::new(), Vec::new());
        for (index, document) in documents.iter().enumerate() {
            let Some(object) = &document.object else { continue };
            if is_store(object) {
                stores.push((index, object, Store::parse(object)));
            } else if object.api_version == "v1" && object.kind == "ServiceAccount" {
                accounts.push(object);
            }
        }
        Self { stores, accounts }
    }

    /// The store that a reference in `namespace` leads to, and the index of its document.
    pub(super) fn store(
        &self,
        reference: &StoreRef,
        namespace: Option<&str>,
    ) -> Option<(usize, &Result<Store, Note>)> {
        // If two stores have the same name, the last one replaces the other when the files are applied.
        let named = self.stores.iter().rev().filter(|(_, object, _)| {
            object.kind == reference.kind() && object.name.as_deref() == Some(&reference.name)
        });
        let near = named.filter(|(_, object, _)| {
            reference.cluster || may_be_same_namespace(object.namespace.as_deref(), namespace)
        });
        let best = near.min_by_key(|(_, object, _)| object.namespace.as_deref() != namespace)?;
        Some((best.0, &best.2))
    }

    /// All stores, with the indices of their documents.
    pub(super) fn stores(&self) -> impl Iterator<Item = (usize, &ManifestObject)> {
        self.stores.iter().map(|(index, object, _)| (*index, *object))
    }

    pub(super) fn has_account(&self, name: &str, namespace: Option<&str>) -> bool {
        self.account(name, namespace).is_some()
    }

    /// The annotations of a service account.
    pub(super) fn annotations(&self, name: &str, namespace: Option<&str>) -> Option<&Node> {
        self.account(name, namespace)?.root.at(&["metadata", "annotations"])
    }

    fn account(&self, name: &str, namespace: Option<&str>) -> Option<&'a ManifestObject> {
        let named = self.accounts.iter().rev().filter(|account| account.name.as_deref() == Some(name));
        let near = named.filter(|account| may_be_same_namespace(account.namespace.as_deref(), namespace));
        near.min_by_key(|account| account.namespace.as_deref() != namespace).copied()
    }
}

/// Whether two objects may be in the same namespace. An object without a namespace may be in any.
pub(super) fn may_be_same_namespace(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}
