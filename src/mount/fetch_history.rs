//! The objects that each identity has fetched.

use std::sync::Mutex;

use lru::LruCache;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::object_key::ObjectKey;
use crate::bounded::{bounded, make_room};
use crate::identity::Login;
use crate::lock::LockUnpoisoned;
use crate::plan::ObjectPlan;
use crate::tenant::Tenant;

/// Number of objects; an evicted one is fetched after its proof, not in parallel with it.
const REMEMBERED: usize = 4096;
/// Number of objects per tenant.
const PER_TENANT: usize = 512;
/// Mounts that may fetch in parallel with their proofs. Further mounts wait for their proof, and can then share
/// fetched values.
const PROVING: usize = 4;

/// Objects that were fetched for proven requests, by identity. For an unproven request of the same identity, they may
/// be fetched in parallel with its proof, because the vault learns nothing new from that.
#[derive(Debug)]
pub struct FetchHistory {
    objects: Mutex<LruCache<ObjectKey, Tenant>>,
    proving: Semaphore,
}

impl Default for FetchHistory {
    fn default() -> Self {
        Self { objects: Mutex::new(bounded(REMEMBERED)), proving: Semaphore::new(PROVING) }
    }
}

impl FetchHistory {
    /// A permit to fetch in parallel with the proof, if the identity has fetched all of these objects before. An unproven
    /// request never causes an identity's token to be sent to another vault or for another object.
    pub(super) fn permit_before_proof(
        &self,
        login: &Login,
        group: &[(usize, &ObjectPlan)],
    ) -> Option<SemaphorePermit<'_>> {
        let known = self.objects.lock_unpoisoned();
        let all = group.iter().all(|(_, object)| known.contains(&ObjectKey::of(login, object)));
        all.then(|| self.proving.try_acquire().ok()).flatten()
    }

    pub(super) fn remember(&self, login: &Login, object: &ObjectPlan) {
        let key = ObjectKey::of(login, object);
        let mut known = self.objects.lock_unpoisoned();
        if !known.contains(&key) {
            make_room(&mut known, PER_TENANT, |_, tenant| tenant == login.tenant());
        }
        known.put(key, login.tenant().clone());
    }
}
