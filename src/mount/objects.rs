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
use crate::vault::{Failure, FetchOptions, VaultError};

/// An object and its cache key.
type KeyedObject<'a> = (&'a ObjectPlan, &'a ObjectKey);

/// Objects of one mount that are fetched concurrently.
const OBJECTS_AT_ONCE: usize = 16;

/// The token and trust with which a group of objects is fetched.
#[derive(Clone, Copy)]
pub(super) struct Round<'a> {
    pub(super) token: &'a Arc<AccessToken>,
    /// The resource of the token.
    pub(super) resource: &'a str,
    /// The trust of the request by now.
    pub(super) trust: Trust,
    /// Whether to join only flights with the same token, because the vault rejected others.
    pub(super) same_token: bool,
}

impl FetchContext<'_> {
    /// Gets the objects of `group`.
    pub(super) async fn side_by_side(
        self,
        group: &[(usize, &ObjectPlan)],
        round: Round<'_>,
    ) -> Result<Vec<(usize, ObjectResult)>, MountError> {
        let mut rest = group.iter();
        let mut under_way = FuturesUnordered::new();
        let mut answers = Vec::with_capacity(group.len());
        loop {
            // Futures are created one by one, because hundreds of mounts may wait at the same time.
            let free = OBJECTS_AT_ONCE.saturating_sub(under_way.len());
            for (index, object) in rest.by_ref().take(free) {
                under_way.push(async move {
                    let answer = self.one(object, round).await;
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

    async fn one(self, object: &ObjectPlan, round: Round<'_>) -> ObjectResult {
        let (mount, shares) = (self.mount, round.trust.may_share_values());
        let key = &self.key(object);
        if shares && let Some(kept) = self.fetcher.cache.fresh(key, mount.kind.freshness, &mount.tenant) {
            return Ok(Obtained::new(kept, Source::Cached));
        }
        let is_open = shares && self.fetcher.vaults.is_down(&object.vault, &mount.tenant);
        let decision = decide(Situation {
            is_first: mount.kind.is_first,
            has_stale: shares && self.stale(key).is_some(),
            has_replica: replica(object, round).is_some(),
            trouble: if is_open { Trouble::Unavailable } else { mount.trouble(&object.vault) },
            left: mount.deadline.left(),
        });
        let answer = match decision.vault {
            Some(wait) => self.ask((object, key), round, wait).await,
            None => Err(VaultError::of(object, self.fetcher.vaults.circuit_open(&object.vault))),
        };
        match answer {
            Err(error) if error.is_unavailable() => {
                mount.met(&object.vault, trouble(&error));
                // Boxed: this path is rare, and its future is large.
                Box::pin(self.fall_back((object, key), round, decision.replica, error)).await
            }
            answer => answer,
        }
    }

    /// The fallback for an object whose vault is unavailable.
    async fn fall_back(
        self,
        (object, key): KeyedObject<'_>,
        round: Round<'_>,
        wait: Option<Wait>,
        mut error: VaultError,
    ) -> ObjectResult {
        if let (Some(wait), Some(replica)) = (wait, replica(object, round)) {
            let on_replica = ObjectPlan { vault: replica.clone(), failover: None, ..object.clone() };
            match self.ask((&on_replica, &self.key(&on_replica)), round, wait).await {
                Ok(obtained) => {
                    self.mount.provenance.fell_back(Duration::ZERO, &error);
                    return Ok(Obtained::new(obtained.object, Source::Replica));
                }
                Err(refused) => error = error.and_failover(&refused),
            }
        }
        // Looked up late, because the vault may have refused the object to another request of the identity meanwhile.
        let stale = if round.trust.may_share_values() { self.stale(key) } else { None };
        let Some(stale) = stale else { return Err(error) };
        Ok(self.obtained_stale(stale, &error))
    }

    /// Requests the object from its vault, or joins a flight.
    async fn ask(self, object_and_key: KeyedObject<'_>, round: Round<'_>, wait: Wait) -> ObjectResult {
        if round.trust.may_join() {
            self.shared(object_and_key, round, wait).await
        } else {
            // Boxed, too.
            Box::pin(self.alone(object_and_key.0, round, wait)).await
        }
    }

    async fn alone(self, object: &ObjectPlan, round: Round<'_>, wait: Wait) -> ObjectResult {
        let party = self.mount.party();
        let options = FetchOptions {
            token: Some(round.token.secret()),
            trust: round.trust,
            party: &party,
            patience: wait.patience,
            deadline: Deadline::after(wait.longest),
            retries: wait.retries,
        };
        let fetched = self.fetcher.vaults.fetch(object, options).await;
        fetched.map(|object| Obtained::new(Arc::new(object), Source::Vault))
    }

    async fn shared(self, (object, key): KeyedObject<'_>, round: Round<'_>, wait: Wait) -> ObjectResult {
        // A flight holds its token until it ends, so the token's address is unique until then.
        let ticket = if round.same_token { Arc::as_ptr(round.token).addr() } else { 0 };
        let deadline = Deadline::after(wait.longest);
        let mut joined_before = false;
        loop {
            let vaults = Arc::clone(&self.fetcher.vaults);
            let (owned_object, token, trust) = (object.clone(), Arc::clone(round.token), round.trust);
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
            match fetched.unwrap_or_else(|| Err(VaultError::of(object, Failure::TimedOut))) {
                // It may have ended at the deadline of its starter, or in the queue of its tenant.
                Err(error) if joined && !joined_before && error.is_of_its_mount() => joined_before = true,
                fetched => {
                    let source = if joined { Source::Shared } else { Source::Vault };
                    let obtained = fetched.map(|object| Obtained::new(object, source));
                    return obtained.map_err(|error| error.at(object));
                }
            }
        }
    }

    /// After a 401 to a fresh token, or a refusal of a request that was proven meanwhile, evicts the vault's earlier
    /// values.
    pub(super) fn evict_refused(self, answers: &[(usize, ObjectResult)]) {
        for (index, answer) in answers {
            if let (Err(error), Some(object)) = (answer, self.mount.plan.objects.get(*index))
                && (error.is_final() || matches!(error.failure, Failure::Unauthorized { .. }))
            {
                let refused = self.key(object);
                self.fetcher.cache.evict(|key| *key == refused);
            }
        }
    }
}

/// The replica of the object's vault. It must accept the same token.
fn replica<'a>(object: &'a ObjectPlan, round: Round<'_>) -> Option<&'a VaultUrl> {
    object.failover.as_ref().filter(|replica| replica.belongs_to(round.resource))
}

/// The trouble that an error with a fallback indicates for the other objects of its vault.
fn trouble(error: &VaultError) -> Trouble {
    let unavailable = error.evidence() == Evidence::Unavailable || error.is_circuit_open();
    if unavailable { Trouble::Unavailable } else { Trouble::Objects }
}
