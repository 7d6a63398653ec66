//! What identities have fetched.

use std::sync::Mutex;

use lru::LruCache;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::object_key::ObjectKey;
use crate::bounded::{bounded, make_room};
use crate::identity::Login;
use crate::lock::LockUnpoisoned;
use crate::plan::ObjectPlan;
use crate::tenant::Tenant;

/// Objects that are remembered; one that falls out is fetched after its proof, not beside it.
const REMEMBERED: usize = 4096;
/// Objects of one tenant.
const OF_A_TENANT: usize = 512;
/// Mounts that are proven and fetched for at the same time. More of them do better to share what they fetch, which
/// they may when they are proven.
const BESIDE: usize = 4;

/// Objects that were fetched for proven requests, by identity. An unproven request of the same identity may have them
/// fetched beside its proof: that tells the vault nothing that it has not been told before.
#[derive(Debug)]
pub struct FetchHistory {
    objects: Mutex<LruCache<ObjectKey, Tenant>>,
    beside: Semaphore,
}

impl Default for FetchHistory {
    fn default() -> Self {
        Self { objects: Mutex::new(bounded(REMEMBERED)), beside: Semaphore::new(BESIDE) }
    }
}

impl FetchHistory {
    /// A permit to fetch beside the proof, if the identity has fetched all of these before. An identity's token is
    /// sent to no other vault, and for no other object, on the strength of an unproven request.
    pub(super) fn beside(
        &self,
        login: &Login,
        group: &[(usize, &ObjectPlan)],
    ) -> Option<SemaphorePermit<'_>> {
        let known = self.objects.lock_unpoisoned();
        let all = group.iter().all(|(_, object)| known.contains(&ObjectKey::of(login, object)));
        all.then(|| self.beside.try_acquire().ok()).flatten()
    }

    /// Remembers an object that the vault gave.
    pub(super) fn remember(&self, login: &Login, object: &ObjectPlan) {
        let key = ObjectKey::of(login, object);
        let mut known = self.objects.lock_unpoisoned();
        if !known.contains(&key) {
            make_room(&mut known, OF_A_TENANT, |_, tenant| tenant == login.tenant());
        }
        known.put(key, login.tenant().clone());
    }
}
