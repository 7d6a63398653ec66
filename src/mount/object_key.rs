//! The key of a cached object.

use std::sync::Arc;

use crate::identity::{IdentityKey, Login};
use crate::plan::{History, ObjectKind, ObjectName, ObjectPlan, ObjectVersion, VaultUrl};

/// An object as one identity sees it. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey(Arc<KeyParts>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct KeyParts {
    identity: Arc<IdentityKey>,
    vault: VaultUrl,
    kind: ObjectKind,
    name: ObjectName,
    version: ObjectVersion,
    history: Option<History>,
}

impl ObjectKey {
    /// The key of `object` for the identity that `login` claims.
    pub(super) fn of(login: &Login, object: &ObjectPlan) -> Self {
        let ObjectPlan { vault, kind, name, version, history, .. } = object.clone();
        Self(Arc::new(KeyParts { identity: Arc::clone(login.key()), vault, kind, name, version, history }))
    }

    /// The identity that the object was fetched for.
    pub fn identity(&self) -> &IdentityKey {
        &self.0.identity
    }
}
