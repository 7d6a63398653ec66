//! Getting objects side by side: what is fresh enough from the cache, the rest in flights that other requests of the
//! same identity may join, or what stands in for them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::MountError;
use super::fallback::{Situation, Trouble, Wait, decide};
use super::fetcher::FetchContext;
use super::object_key::ObjectKey;
use super::obtained::{Answer, Obtained};
use crate::breaker::Evidence;
use crate::cache::{Finality, Weigh};
use crate::identity::AccessToken;
use crate::plan::{ObjectPlan, VaultUrl};
use crate::retry::{Deadline, Transient};
use crate::telemetry::Source;
use crate::trust::Trust;
use crate::vault::{Asking, Failure, VaultError};

/// An object, and its key.
type Asked<'a> = (&'a ObjectPlan, &'a ObjectKey);

/// Objects of one mount that are fetched at the same time.
const OBJECTS_AT_ONCE: usize = 16;

/// What a group of objects is asked with.
#[derive(Clone, Copy)]
pub(super) struct Round<'a> {
    pub(super) token: &'a Arc<AccessToken>,
    /// What the token is for.
    pub(super) resource: &'a str,
    /// How far the request is trusted by now.
    pub(super) trust: Trust,
    /// Whether only flights with the same token may be joined: the vault has rejected others.
    pub(super) same_token: bool,
}

impl FetchContext<'_> {
    /// Gets the objects of `group`.
    pub(super) async fn side_by_side(
        self,
        group: &[(usize, &ObjectPlan)],
        round: Round<'_>,
    ) -> Result<Vec<(usize, Answer)>, MountError> {
        let mut rest = group.iter();
        let mut under_way = FuturesUnordered::new();
        let mut answers = Vec::with_capacity(group.len());
        loop {
            // Each future is made when its turn comes: hundreds of mounts wait at the same time.
            let free = OBJECTS_AT_ONCE.saturating_sub(under_way.len());
            for (index, object) in rest.by_ref().take(free) {
                under_way.push(async move {
                    let answer = self.one(object, round).await;
                    // Waits in here, so that the others go on meanwhile, and give back their permits.
                    let bytes = answer.as_ref().map_or(0, |obtained| obtained.object.weight());
                    (*index, answer, self.mount.budget.add(bytes).await)
                });
            }
            let Some((index, answer, bytes)) = under_way.next().await else { return Ok(answers) };
            self.mount.largest.check(bytes)?;
            answers.push((index, answer));
        }
    }

    async fn one(self, object: &ObjectPlan, round: Round<'_>) -> Answer {
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
                // In a box: this is the rare way, and its future is large.
                Box::pin(self.fall_back((object, key), round, decision.replica, error)).await
            }
            answer => answer,
        }
    }

    /// What can be had instead of an object whose vault is unavailable.
    async fn fall_back(
        self,
        (object, key): Asked<'_>,
        round: Round<'_>,
        wait: Option<Wait>,
        mut error: VaultError,
    ) -> Answer {
        if let (Some(wait), Some(replica)) = (wait, replica(object, round)) {
            let asked = ObjectPlan { vault: replica.clone(), failover: None, ..object.clone() };
            match self.ask((&asked, &self.key(&asked)), round, wait).await {
                Ok(obtained) => {
                    self.mount.provenance.fell_back(Duration::ZERO, &error);
                    return Ok(Obtained::new(obtained.object, Source::Replica));
                }
                Err(refused) => error = error.and_failover(&refused),
            }
        }
        // Looked for only now: meanwhile the vault may have refused the object to another request of the identity.
        let stale = if round.trust.may_share_values() { self.stale(key) } else { None };
        let Some(stale) = stale else { return Err(error) };
        Ok(self.obtained_stale(stale, &error))
    }

    /// Asks the object's vault, or waits for what other requests have asked it.
    async fn ask(self, asked: Asked<'_>, round: Round<'_>, wait: Wait) -> Answer {
        if round.trust.may_join() {
            self.shared(asked, round, wait).await
        } else {
            // In a box, too.
            Box::pin(self.alone(asked.0, round, wait)).await
        }
    }

    async fn alone(self, object: &ObjectPlan, round: Round<'_>, wait: Wait) -> Answer {
        let party = self.mount.party();
        let asking = Asking {
            token: Some(round.token.secret()),
            trust: round.trust,
            party: &party,
            patience: wait.patience,
            deadline: Deadline::after(wait.longest),
            retries: wait.retries,
        };
        let fetched = self.fetcher.vaults.fetch(object, asking).await;
        fetched.map(|object| Obtained::new(Arc::new(object), Source::Vault))
    }

    async fn shared(self, (object, key): Asked<'_>, round: Round<'_>, wait: Wait) -> Answer {
        // A flight holds its token until it has its answer: until then the address is that token's alone.
        let ticket = if round.same_token { Arc::as_ptr(round.token).addr() } else { 0 };
        let deadline = Deadline::after(wait.longest);
        let mut joined_before = false;
        loop {
            let vaults = Arc::clone(&self.fetcher.vaults);
            let (asked, token, trust) = (object.clone(), Arc::clone(round.token), round.trust);
            let (flight, joined) =
                self.fetcher.cache.flight(key.clone(), ticket, &self.mount.tenant, |party| async move {
                    let asking = Asking {
                        token: Some(token.secret()),
                        trust,
                        party: &party,
                        patience: wait.patience,
                        deadline,
                        retries: wait.retries,
                    };
                    vaults.fetch(&asked, asking).await
                });
            let landed = deadline.limit(flight).await;
            match landed.unwrap_or_else(|| Err(VaultError::of(object, Failure::TimedOut))) {
                // It may have ended at the deadline of the request that started it, or in its tenant's queue.
                Err(error) if joined && !joined_before && error.is_of_its_mount() => joined_before = true,
                landed => {
                    let source = if joined { Source::Shared } else { Source::Vault };
                    let obtained = landed.map(|object| Obtained::new(object, source));
                    return obtained.map_err(|error| error.at(object));
                }
            }
        }
    }

    /// After a 401 to a fresh token, or a refusal of a request that was proven while it was under way, nothing is shown
    /// that the vault gave before.
    pub(super) fn evict_refused(self, answers: &[(usize, Answer)]) {
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

/// The vault that may be asked instead. It must take the same token.
fn replica<'a>(object: &'a ObjectPlan, round: Round<'_>) -> Option<&'a VaultUrl> {
    object.failover.as_ref().filter(|replica| replica.belongs_to(round.resource))
}

/// What an error that allows a fallback says about the other objects of its vault.
fn trouble(error: &VaultError) -> Trouble {
    let unavailable = error.evidence() == Evidence::Unavailable || error.is_circuit_open();
    if unavailable { Trouble::Unavailable } else { Trouble::Objects }
}
