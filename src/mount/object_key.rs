//! What is kept of an object, and for whom.

use std::sync::Arc;

use crate::identity::{IdentityKey, Login};
use crate::plan::{History, ObjectKind, ObjectName, ObjectPlan, ObjectVersion, VaultUrl};

/// An object as one identity sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey {
    /// Whose it is.
    pub identity: Arc<IdentityKey>,
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
        Self { identity: Arc::clone(login.key()), vault, kind, name, version, history }
    }
}
