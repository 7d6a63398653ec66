//! Gets objects concurrently: fresh values from the cache, the rest through flights that other requests of the
//! same identity may join, or from a fallback.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::MountError;
use super::fallback::{Situation, Trouble, Wait, decide};
use super::fetcher::FetchContext;
use super::object_key::ObjectKey;
use super::obtained::{ObjectResult, Obtained};
use crate::breaker::Evidence;
use crate::cache::{Finality, Weigh};
use crate::identity::AccessToken;
use crate::plan::{ObjectPlan, VaultUrl};
use crate::retry::{Deadline, Transient};
use crate::telemetry::Source;
use crate::trust::Trust;
use crate::vault::{FetchOptions, VaultError, VaultFailure};

/// An object and its cache key.
type KeyedObject<'a> = (&'a ObjectPlan, &'a ObjectKey);

/// Objects of one mount that are fetched concurrently.
const OBJECTS_AT_ONCE: usize = 16;

/// The token and trust with which a group of objects is fetched.
#[derive(Clone, Copy)]
pub(super) struct GroupAccess<'a> {
    pub(super) token: &'a Arc<AccessToken>,
    /// The resource of the token.
    pub(super) resource: &'a str,
    /// The trust of the request by now.
    pub(super) trust: Trust,
    /// Whether to join only flights with the same token, because the vault rejected others.
    pub(super) same_token: bool,
}

impl FetchContext<'_> {
    pub(super) async fn get_all(
        self,
        group: &[(usize, &ObjectPlan)],
        access: GroupAccess<'_>,
    ) -> Result<Vec<(usize, ObjectResult)>, MountError> {
        let mut rest = group.iter();
        let mut under_way = FuturesUnordered::new();
        let mut answers = Vec::with_capacity(group.len());
        loop {
            // Futures are created one by one, because hundreds of mounts may wait at the same time.
            let free = OBJECTS_AT_ONCE.saturating_sub(under_way.len());
            for (index, object) in rest.by_ref().take(free) {
                under_way.push(async move {
                    let answer = self.get(object, access).await;
                    // Waits here, so that the other futures continue and release their permits.
                    let bytes = answer.as_ref().map_or(0, |obtained| obtained.object.weight());
                    (*index, answer, self.mount.budget.add(bytes).await)
                });
            }
            let Some((index, answer, bytes)) = under_way.next().await else { return Ok(answers) };
            self.mount.largest.check(bytes)?;
            answers.push((index, answer));
        }
    }

    async fn get(self, object: &ObjectPlan, access: GroupAccess<'_>) -> ObjectResult {
        let (mount, shares) = (self.mount, access.trust.may_share_values());
        let key = &self.key(object);
        if shares && let Some(value) = self.fetcher.cache.fresh(key, mount.kind.freshness, &mount.tenant) {
            return Ok(Obtained::new(value, Source::Cached));
        }
        let is_open = shares && self.fetcher.vaults.is_down(&object.vault, &mount.tenant);
        let decision = decide(Situation {
            is_first: mount.kind.is_first,
            has_stale: shares && self.stale(key).is_some(),
            has_replica: replica(object, access).is_some(),
            trouble: if is_open { Trouble::Unavailable } else { mount.trouble(&object.vault) },
            left: mount.deadline.left(),
        });
        let answer = match decision.vault {
            Some(wait) => self.request((object, key), access, wait).await,
            None => Err(VaultError::of(object, self.fetcher.vaults.circuit_open(&object.vault))),
        };
        match answer {
            Err(error) if error.is_unavailable() => {
                mount.record_trouble(&object.vault, trouble(&error));
                // Boxed: this path is rare, and its future is large.
                Box::pin(self.fall_back((object, key), access, decision.replica, error)).await
            }
            answer => answer,
        }
    }

    /// The fallback for an object whose vault is unavailable.
    async fn fall_back(
        self,
        (object, key): KeyedObject<'_>,
        access: GroupAccess<'_>,
        wait: Option<Wait>,
        mut error: VaultError,
    ) -> ObjectResult {
        if let (Some(wait), Some(replica)) = (wait, replica(object, access)) {
            let on_replica = ObjectPlan { vault: replica.clone(), failover: None, ..object.clone() };
            match self.request((&on_replica, &self.key(&on_replica)), access, wait).await {
                Ok(obtained) => {
                    self.mount.provenance.record_fallback(Duration::ZERO, &error);
                    return Ok(Obtained::new(obtained.object, Source::Replica));
                }
                Err(refused) => error = error.with_failover(&refused),
            }
        }
        // Looked up late, because the vault may have refused the object to another request of the identity meanwhile.
        let stale = if access.trust.may_share_values() { self.stale(key) } else { None };
        let Some(stale) = stale else { return Err(error) };
        Ok(self.obtained_stale(stale, &error))
    }

    /// Requests the object from its vault, or joins a flight.
    async fn request(
        self,
        object_and_key: KeyedObject<'_>,
        access: GroupAccess<'_>,
        wait: Wait,
    ) -> ObjectResult {
        if access.trust.may_join() {
            self.request_shared(object_and_key, access, wait).await
        } else {
            // Boxed, too.
            Box::pin(self.request_alone(object_and_key.0, access, wait)).await
        }
    }

    async fn request_alone(self, object: &ObjectPlan, access: GroupAccess<'_>, wait: Wait) -> ObjectResult {
        let party = self.mount.party();
        let options = FetchOptions {
            token: Some(access.token.secret()),
            trust: access.trust,
            party: &party,
            patience: wait.patience,
            deadline: Deadline::after(wait.longest),
            retries: wait.retries,
        };
        let fetched = self.fetcher.vaults.fetch(object, options).await;
        fetched.map(|object| Obtained::new(Arc::new(object), Source::Vault))
    }

    async fn request_shared(
        self,
        (object, key): KeyedObject<'_>,
        access: GroupAccess<'_>,
        wait: Wait,
    ) -> ObjectResult {
        // A flight holds its token until it ends, so the token's address is unique until then.
        let ticket = if access.same_token { Arc::as_ptr(access.token).addr() } else { 0 };
        let deadline = Deadline::after(wait.longest);
        let mut joined_before = false;
        loop {
            let vaults = Arc::clone(&self.fetcher.vaults);
            let (owned_object, token, trust) = (object.clone(), Arc::clone(access.token), access.trust);
            let (flight, joined) =
                self.fetcher.cache.flight(key.clone(), ticket, &self.mount.tenant, |party| async move {
                    let options = FetchOptions {
                        token: Some(token.secret()),
                        trust,
                        party: &party,
                        patience: wait.patience,
                        deadline,
                        retries: wait.retries,
                    };
                    vaults.fetch(&owned_object, options).await
                });
            let fetched = deadline.limit(flight).await;
            match fetched.unwrap_or_else(|| Err(VaultError::of(object, VaultFailure::TimedOut))) {
                // It may have ended at the deadline of its starter, or in the queue of its tenant.
                Err(error) if joined && !joined_before && error.is_specific_to_mount() => {
                    joined_before = true;
                }
                fetched => {
                    let source = if joined { Source::Shared } else { Source::Vault };
                    let obtained = fetched.map(|object| Obtained::new(object, source));
                    return obtained.map_err(|error| error.with_location_of(object));
                }
            }
        }
    }

    /// After a 401 to a fresh token, or a refusal of a request that was proven meanwhile, evicts the vault's earlier
    /// values.
    pub(super) fn evict_refused(self, answers: &[(usize, ObjectResult)]) {
        for (index, answer) in answers {
            if let (Err(error), Some(object)) = (answer, self.mount.plan.objects.get(*index))
                && (error.is_final() || matches!(error.failure, VaultFailure::Unauthorized { .. }))
            {
                let refused = self.key(object);
                self.fetcher.cache.evict(|key| *key == refused);
            }
        }
    }
}

/// The replica of the object's vault. It must accept the same token.
fn replica<'a>(object: &'a ObjectPlan, access: GroupAccess<'_>) -> Option<&'a VaultUrl> {
    object.failover.as_ref().filter(|replica| replica.belongs_to(access.resource))
}

/// The trouble that an error with a fallback indicates for the other objects of its vault.
fn trouble(error: &VaultError) -> Trouble {
    let unavailable = error.evidence() == Evidence::Unavailable || error.is_circuit_open();
    if unavailable { Trouble::Unavailable } else { Trouble::Objects }
}
