//! Getting objects side by side: what is fresh enough from the cache, the rest in flights that others
//! of the same identity may join.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::MountError;
use super::fetch::Errand;
use super::object_key::ObjectKey;
use crate::cache::{Verdict, Weigh};
use crate::identity::AccessToken;
use crate::plan::ObjectPlan;
use crate::retry::Deadline;
use crate::telemetry::Served;
use crate::vault::{Asking, Failure, Object, VaultError};

/// Objects of one mount that are fetched at the same time.
const OBJECTS_AT_ONCE: usize = 16;

pub(super) type Answer = Result<Arc<Object>, VaultError>;

/// An object, and what is kept of it for whom.
pub(super) type Asked<'a> = (&'a ObjectPlan, &'a ObjectKey);

/// In which flights a request may take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Nobody's but its own: it has not been proven.
    Alone,
    /// Its identity's, with whatever token they left.
    Shared,
    /// Its identity's, if they left with the same token: the vault has rejected others.
    SameToken,
}

/// With what a group of objects is asked for.
#[derive(Clone, Copy)]
pub(super) struct Round<'a> {
    pub(super) token: &'a Arc<AccessToken>,
    /// What the token is for.
    pub(super) resource: &'a str,
    pub(super) sharing: Sharing,
}

impl Errand<'_> {
    /// Gets the objects of `group`: if they may be shared, from the cache or from flights, of which others
    /// may have begun some.
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
                    // Waits in here, so that the others go on meanwhile, and give back their turns.
                    let held = self.held.add(answer.as_ref().map_or(0, |object| object.weight())).await;
                    (*index, answer, held)
                });
            }
            let Some((index, answer, held)) = under_way.next().await else { return Ok(answers) };
            self.mounter.check_size(held?)?;
            answers.push((index, answer));
        }
    }

    async fn one(self, object: &ObjectPlan, round: Round<'_>) -> Answer {
        let key = &ObjectKey::of(self.login, object);
        if round.sharing != Sharing::Alone
            && let Some(kept) = self.mounter.cache.fresh(key, self.occasion.freshness)
        {
            self.served(Served::Fresh);
            return Ok(kept);
        }
        let Some(patience) = self.patience((object, key), round) else {
            return self.counted(self.ask((object, key), round, self.deadline).await);
        };
        let vaults = &self.mounter.vaults;
        if vaults.is_down(&object.vault) {
            let tripped = vaults.tripped(&object.vault, Duration::ZERO);
            return Box::pin(self.instead((object, key), round, VaultError::of(object, tripped))).await;
        }
        let answer = if patience.left().is_zero() {
            Err(VaultError::of(object, Failure::TimedOut))
        } else {
            self.counted(self.ask((object, key), round, patience).await)
        };
        match answer {
            // In a box: this is the rare way, and its future is large.
            Err(error) if error.is_unavailable() => Box::pin(self.instead((object, key), round, error)).await,
            answer => answer,
        }
    }

    /// Asks the object's vault, or waits for what others have asked it.
    pub(super) async fn ask(
        self,
        asked: Asked<'_>,
        round: Round<'_>,
        deadline: Deadline,
    ) -> (Answer, Served) {
        match round.sharing {
            // In a box, too.
            Sharing::Alone => (Box::pin(self.alone(asked.0, round.token, deadline)).await, Served::Vault),
            Sharing::Shared => self.shared(asked, round.token, 0, deadline).await,
            // A flight holds its token until it has its answer: until then the address is that token's alone.
            Sharing::SameToken => {
                self.shared(asked, round.token, Arc::as_ptr(round.token).addr(), deadline).await
            }
        }
    }

    fn counted(self, (answer, by): (Answer, Served)) -> Answer {
        if answer.is_ok() {
            self.served(by);
        }
        answer
    }

    /// Counts an object that came this way, for everybody and for this mount.
    pub(super) fn served(self, by: Served) {
        self.mounter.metrics.object_served(by);
        self.held.served(by);
    }

    async fn alone(self, object: &ObjectPlan, token: &AccessToken, deadline: Deadline) -> Answer {
        let asking = Asking { token: Some(token.secret()), proven: false, deadline };
        self.mounter.vaults.fetch(object, asking).await.map(Arc::new)
    }

    async fn shared(
        self,
        (object, key): Asked<'_>,
        token: &Arc<AccessToken>,
        ticket: usize,
        deadline: Deadline,
    ) -> (Answer, Served) {
        let mut joined_before = false;
        loop {
            let vaults = Arc::clone(&self.mounter.vaults);
            let (asked, token) = (object.clone(), Arc::clone(token));
            let (flight, joined) = self.mounter.cache.flight(key.clone(), ticket, async move {
                let asking = Asking { token: Some(token.secret()), proven: true, deadline };
                vaults.fetch(&asked, asking).await
            });
            let landed = deadline.limit(flight).await;
            match landed.unwrap_or_else(|| Err(VaultError::of(object, Failure::TimedOut))) {
                // It may have ended at the deadline of whoever began it.
                Err(error) if joined && !joined_before && error.is_unavailable() => joined_before = true,
                landed => {
                    let by = if joined { Served::Flight } else { Served::Vault };
                    return (landed.map_err(|error| error.at(object)), by);
                }
            }
        }
    }

    /// Nobody is shown what the vault gave before it said 401 to a fresh token, or no to a request that was
    /// proven while it was under way.
    pub(super) fn evict_refused(self, answers: &[(usize, Answer)]) {
        for (index, answer) in answers {
            if let (Err(error), Some(object)) = (answer, self.plan.objects.get(*index))
                && (error.is_final() || matches!(error.failure, Failure::Unauthorized { .. }))
            {
                let refused = ObjectKey::of(self.login, object);
                self.mounter.cache.evict(|key| *key == refused);
            }
        }
    }
}
