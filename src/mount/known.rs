//! What identities have fetched.

use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use super::fetch::Answer;
use crate::bounded::bounded;
use crate::identity::{IdentityKey, Login};
use crate::plan::{ObjectKind, ObjectName, ObjectPlan, ObjectVersion, VaultUrl};

/// Objects that are remembered; one that falls out is fetched after its proof, not beside it.
const REMEMBERED: usize = 4096;

/// Objects that were fetched for proven requests, by identity. A claim to the same identity may have
/// them fetched beside its proof: that tells the vault nothing it has not been told before.
#[derive(Debug)]
pub struct Known(Mutex<LruCache<Key, ()>>);

type Key = (Arc<IdentityKey>, VaultUrl, ObjectKind, ObjectName, ObjectVersion, bool);

impl Default for Known {
    fn default() -> Self {
        Self(Mutex::new(bounded(REMEMBERED)))
    }
}

impl Known {
    /// Whether the identity has fetched all of these.
    pub(super) fn holds_all(&self, login: &Login, group: &[(usize, &ObjectPlan)]) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        group.iter().all(|(_, object)| known.contains(&key(login, object)))
    }

    /// Remembers those that the vault gave.
    pub(super) fn remember(
        &self,
        login: &Login,
        group: &[(usize, &ObjectPlan)],
        answers: &[(usize, Answer)],
    ) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, object) in group {
            if answers.iter().any(|(answered, answer)| answered == index && answer.is_ok()) {
                known.put(key(login, object), ());
            }
        }
    }
}

fn key(login: &Login, object: &ObjectPlan) -> Key {
    let ObjectPlan { vault, kind, name, version, history, .. } = object;
    (Arc::clone(login.key()), vault.clone(), *kind, name.clone(), version.clone(), history.is_some())
}
