//! While the vault or Entra cannot be reached: the failover vault, then what was fetched earlier.

use std::sync::Arc;
use std::time::Duration;

use super::fetch::Errand;
use super::gather::{Answer, Asked, Round, Sharing};
use super::object_key::ObjectKey;
use crate::identity::IdentityError;
use crate::plan::{ObjectPlan, VaultUrl};
use crate::retry::Deadline;
use crate::telemetry::Served;
use crate::vault::{Object, VaultError};

/// How long Entra, the vault and its failover vault are waited for together where there is something to serve
/// instead. The pod then mounts within five seconds.
pub(super) const WITH_STALE: Duration = Duration::from_secs(4);
/// The failover vault's part of it.
const FAILOVER_WITH_STALE: Duration = Duration::from_millis(1500);
/// How long the vault is waited for where there is only its failover vault.
const WITH_FAILOVER: Duration = Duration::from_secs(10);

impl Errand<'_> {
    /// How long to wait for the object's vault, if there is something else to try after it.
    pub(super) fn patience(self, (object, key): Asked<'_>, round: Round<'_>) -> Option<Deadline> {
        let replica = self.failover(object, round).is_some();
        match (self.stale(key, round.sharing).is_some(), replica) {
            (true, true) => Some(Deadline::after(self.patience.left().saturating_sub(FAILOVER_WITH_STALE))),
            (true, false) => Some(self.patience),
            (false, true) => Some(Deadline::after(WITH_FAILOVER.min(self.deadline.left() / 2))),
            (false, false) => None,
        }
    }

    /// Whether all objects of the group could be served without Entra.
    pub(super) fn all_are_kept(self, group: &[(usize, &ObjectPlan)]) -> bool {
        group.iter().all(|(_, object)| self.stale_without_entra(object).is_some())
    }

    /// What can be had instead of an object whose vault is unavailable.
    pub(super) async fn instead(
        self,
        (object, key): Asked<'_>,
        round: Round<'_>,
        mut error: VaultError,
    ) -> Answer {
        if let Some(replica) = self.failover(object, round) {
            let asked = ObjectPlan { vault: replica.clone(), failover: None, ..object.clone() };
            let stale = self.stale(key, round.sharing).is_some();
            let deadline = if stale { self.patience } else { self.deadline };
            match self.ask((&asked, &ObjectKey::of(self.login, &asked)), round, deadline).await.0 {
                Ok(fetched) => {
                    self.served(Served::Failover);
                    self.held.instead(Duration::ZERO, &error);
                    return Ok(fetched);
                }
                Err(refused) => error = error.and_failover(&refused),
            }
        }
        // Looked for only now: meanwhile somebody may have been told that nobody may have it any more.
        let Some((kept, age)) = self.stale(key, round.sharing) else { return Err(error) };
        self.served_stale(age, &error);
        Ok(kept)
    }

    /// What was fetched earlier for all objects of the group, if it is all there.
    pub(super) fn all_stale(
        self,
        group: &[(usize, &ObjectPlan)],
        error: &IdentityError,
    ) -> Option<Vec<(usize, Answer)>> {
        let kept = group.iter().map(|(index, object)| Some((*index, self.stale_without_entra(object)?)));
        let kept = kept.collect::<Option<Vec<_>>>()?;
        let answers = kept.into_iter().map(|(index, (kept, age))| {
            self.served_stale(age, error);
            (index, Ok(kept))
        });
        Some(answers.collect())
    }

    fn served_stale(self, age: Duration, reason: &dyn ToString) {
        self.served(Served::Stale);
        self.mounter.metrics.stale_age(age);
        self.held.instead(age, reason);
    }

    /// As [`Self::stale`], for whom Entra says nothing: only the cluster's keys, or an earlier word of Entra's,
    /// prove the token then.
    fn stale_without_entra(self, object: &ObjectPlan) -> Option<(Arc<Object>, Duration)> {
        let sharing = if self.login.is_proven() { Sharing::Shared } else { Sharing::Alone };
        self.stale(&ObjectKey::of(self.login, object), sharing)
    }

    fn stale(self, key: &ObjectKey, sharing: Sharing) -> Option<(Arc<Object>, Duration)> {
        let longest = self.plan.stale_if_error;
        let may = sharing != Sharing::Alone && !longest.is_zero();
        may.then(|| self.mounter.cache.stale(key, longest)).flatten()
    }

    /// The vault to ask instead, on a first mount: a running pod is not rotated onto a replica. It must take
    /// the same token.
    fn failover<'a>(self, object: &'a ObjectPlan, round: Round<'_>) -> Option<&'a VaultUrl> {
        object.failover.as_ref().filter(|replica| self.occasion.first && replica.belongs_to(round.resource))
    }
}
