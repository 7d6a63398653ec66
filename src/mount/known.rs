//! What identities have fetched.

use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::gather::Answer;
use super::object_key::ObjectKey;
use crate::bounded::bounded;
use crate::identity::Login;
use crate::plan::ObjectPlan;

/// Objects that are remembered; one that falls out is fetched after its proof, not beside it.
const REMEMBERED: usize = 4096;
/// Claims that are proven and fetched for at the same time. More of them come together, and do better to
/// share what they fetch, which they may when they are proven.
const BESIDE: usize = 4;

/// Objects that were fetched for proven requests, by identity. A claim to the same identity may have
/// them fetched beside its proof: that tells the vault nothing it has not been told before.
#[derive(Debug)]
pub struct Known {
    objects: Mutex<LruCache<ObjectKey, ()>>,
    beside: Semaphore,
}

impl Default for Known {
    fn default() -> Self {
        Self { objects: Mutex::new(bounded(REMEMBERED)), beside: Semaphore::new(BESIDE) }
    }
}

impl Known {
    /// A place to fetch beside the proof, if the identity has fetched all of these before. Nobody's token
    /// goes where its identity has not been on the word of a claim.
    pub(super) fn beside(
        &self,
        login: &Login,
        group: &[(usize, &ObjectPlan)],
    ) -> Option<SemaphorePermit<'_>> {
        let known = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let all = group.iter().all(|(_, object)| known.contains(&ObjectKey::of(login, object)));
        all.then(|| self.beside.try_acquire().ok()).flatten()
    }

    /// Remembers those that the vault gave.
    pub(super) fn remember(
        &self,
        login: &Login,
        group: &[(usize, &ObjectPlan)],
        answers: &[(usize, Answer)],
    ) {
        let mut known = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, object) in group {
            if answers.iter().any(|(answered, answer)| answered == index && answer.is_ok()) {
                known.put(ObjectKey::of(login, object), ());
            }
        }
    }
}
