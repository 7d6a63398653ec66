//! Fetching a plan's objects, side by side, with a token that may have to prove itself.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, join_all, select};

use super::gather::{Answer, Round, Sharing};
use super::held::Held;
use super::instead::WITH_STALE;
use super::{MountError, Mounter, ObjectError};
use crate::cache::Freshness;
use crate::identity::{Access, AccessToken, IdentityError, Login};
use crate::plan::{MountPlan, ObjectPlan};
use crate::retry::{Deadline, Transient};
use crate::vault::{Failure, Object, VaultError};

/// Objects that one access token is good for, by their index in the plan.
type Group<'a> = Vec<(usize, &'a ObjectPlan)>;

/// Why there is a mount.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occasion {
    /// Whether the volume is mounted for the first time.
    pub(super) first: bool,
    /// How fresh a shared value must be.
    pub(super) freshness: Freshness,
}

/// What the fetching of one mount needs at every step.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) mounter: &'a Mounter,
    pub(super) plan: &'a MountPlan,
    pub(super) login: &'a Login,
    pub(super) deadline: Deadline,
    pub(super) occasion: Occasion,
    /// How long to wait in all, if there is something older to serve for everything that is waited for.
    pub(super) patience: Deadline,
    /// Bytes fetched so far.
    pub(super) held: &'a Held,
}

impl Mounter {
    /// Fetches every object of the plan, in its order; none of one that is optional and not there.
    ///
    /// # Errors
    /// What Entra said, or every object that could not be fetched.
    pub(super) async fn fetch(
        &self,
        plan: &MountPlan,
        occasion: Occasion,
        held: &Held,
        deadline: Deadline,
    ) -> Result<Vec<Option<Arc<Object>>>, MountError> {
        let authority = &plan.endpoints.authority;
        let patience = deadline.min(Deadline::after(WITH_STALE));
        let login = async {
            let identity = self.identities.complete(&plan.identity).await?;
            self.identities.login(&identity, authority).await
        };
        let login = deadline.limit(login).await.ok_or_else(|| late(plan))??;
        let errand = Errand { mounter: self, plan, login: &login, deadline, occasion, patience, held };
        let mut answers = BTreeMap::new();
        let groups = errand.groups(&mut answers).await;
        let fetched = groups.into_iter().map(|(resource, group)| errand.fetch_group(resource, group));
        for group in join_all(fetched).await {
            answers.extend(group?);
        }
        let mut fetched = Vec::with_capacity(answers.len());
        let mut errors = Vec::new();
        let mut left_out = Vec::new();
        for (answer, object) in answers.into_values().zip(&plan.objects) {
            match answer {
                Ok(object) => fetched.push(Some(object)),
                Err(error) if object.optional && error.is_missing() => {
                    let ObjectPlan { place, kind, name, vault, .. } = object;
                    left_out.push(format!(
                        "{place}: {kind} {name} of {vault} is missing or disabled; it is optional, and left out"
                    ));
                    fetched.push(None);
                }
                Err(error) => errors.push(ObjectError::Vault(error)),
            }
        }
        self.metrics.objects_left_out(left_out.len());
        self.told.tell(&plan.pod, &left_out);
        if errors.is_empty() { Ok(fetched) } else { Err(MountError::Objects(errors)) }
    }
}

impl<'a> Errand<'a> {
    /// Groups objects by the resource that their vaults want tokens for. A vault that cannot even say
    /// that is not asked for its other objects: it would say nothing new.
    async fn groups(self, answers: &mut BTreeMap<usize, Answer>) -> BTreeMap<String, Group<'a>> {
        let mut vaults: BTreeMap<_, Group<'a>> = BTreeMap::new();
        for (index, object) in self.plan.objects.iter().enumerate() {
            vaults.entry(&object.vault).or_default().push((index, object));
        }
        let vaults = vaults.into_values().filter_map(|group| {
            let (_, first) = group.first().copied()?;
            let asked = &self.mounter.vaults;
            let resource = asked.resource(first, &self.plan.endpoints, self.login.is_proven(), self.deadline);
            Some(async move { (resource.await, group) })
        });
        let mut groups: BTreeMap<String, Group<'a>> = BTreeMap::new();
        for (resource, group) in join_all(vaults).await {
            match resource {
                Ok(resource) => groups.entry(resource).or_default().extend(group),
                Err(error) => {
                    answers.extend(group.iter().map(|(index, object)| (*index, Err(error.also_of(object)))));
                }
            }
        }
        groups
    }

    async fn fetch_group(
        self,
        resource: String,
        group: Group<'a>,
    ) -> Result<Vec<(usize, Answer)>, MountError> {
        let Mounter { vaults, known, .. } = self.mounter;
        let access = match self.access(&resource, &group).await {
            Err(error) if error.is_transient() => {
                return self.all_stale(&group, &error).ok_or(MountError::Identity(error));
            }
            access => access?,
        };
        let round = |token, sharing| Round { token, resource: resource.as_str(), sharing };
        let (used, newest, mut answers) = match access {
            Access::Ready(token) => {
                let sharing = if self.login.shares() { Sharing::Shared } else { Sharing::Alone };
                let answers = self.side_by_side(&group, round(&token, sharing)).await?;
                (Arc::clone(&token), token, answers)
            }
            Access::Beside(token, proof) if let Some(_place) = known.beside(self.login, &group) => {
                let fetching = pin!(self.side_by_side(&group, round(&token, Sharing::Alone)));
                // Whatever the vault says, an error too, is said only after the proof; a refusal
                // ends the fetching at once.
                let (proven, answers) = match select(pin!(self.in_time(proof)), fetching).await {
                    Either::Left((proven, fetching)) => (proven?, fetching.await?),
                    Either::Right((answers, proof)) => (proof.await?, answers?),
                };
                let decided = answers.iter().filter(|(_, answer)| !is_unauthorized(answer)).cloned();
                self.evict_refused(&decided.collect::<Vec<_>>());
                (Arc::clone(&token), proven, answers)
            }
            Access::Beside(_, proof) => {
                let proven = self.in_time(proof).await?;
                let answers = self.side_by_side(&group, round(&proven, Sharing::Shared)).await?;
                (Arc::clone(&proven), proven, answers)
            }
        };
        // By now Entra has granted the claim. A proven login had its vaults remembered when they were
        // challenged, and fetches nothing beside a proof.
        let claimed = self.login.is_claim();
        if claimed && self.plan.endpoints.vault_resource.as_ref() != Some(&resource) {
            for (_, object) in &group {
                vaults.learn(&object.vault, &resource);
            }
        }
        let rejected = take_rejected(&mut answers);
        answers.extend(self.again(&resource, &used, &newest, &group, rejected).await?);
        if claimed {
            known.remember(self.login, &group, &answers);
        }
        Ok(answers)
    }

    /// One new token, one retry: the vault answered 401, so the token was revoked meanwhile, or the
    /// vault wants one for another resource.
    async fn again(
        self,
        resource: &str,
        used: &Arc<AccessToken>,
        newest: &Arc<AccessToken>,
        group: &[(usize, &'a ObjectPlan)],
        rejected: Vec<(usize, Option<String>)>,
    ) -> Result<Vec<(usize, Answer)>, MountError> {
        let mut wanted: BTreeMap<String, Group<'a>> = BTreeMap::new();
        for (index, asked) in rejected {
            let objects = group.iter().filter(|(candidate, _)| *candidate == index);
            wanted.entry(asked.unwrap_or_else(|| resource.to_owned())).or_default().extend(objects);
        }
        let mut answers = Vec::new();
        for (asked, group) in wanted {
            let same = asked == resource;
            let token = if same && !Arc::ptr_eq(used, newest) {
                Arc::clone(newest)
            } else {
                let scope = scope(&asked);
                let rejected = same.then_some(used);
                self.in_time(self.mounter.identities.renew(self.login, &scope, rejected, self.deadline))
                    .await?
            };
            let sharing = if self.login.shares() { Sharing::SameToken } else { Sharing::Alone };
            let round = Round { token: &token, resource: &asked, sharing };
            let again = self.side_by_side(&group, round).await?;
            if sharing == Sharing::SameToken {
                self.evict_refused(&again);
            }
            answers.extend(again);
        }
        Ok(answers)
    }

    /// Access to the group's vaults; where Entra is not needed for what can be served, not waited for long.
    async fn access(self, resource: &str, group: &[(usize, &ObjectPlan)]) -> Result<Access, IdentityError> {
        let (identities, scope) = (&self.mounter.identities, scope(resource));
        let late = || IdentityError::late(&self.plan.endpoints.authority);
        // Looked for only where Entra must be waited for: mostly a token is at hand.
        let dispensable = !identities.has_token(self.login, &scope) && self.all_are_kept(group);
        if dispensable && identities.is_down(self.login) {
            return Err(late());
        }
        let deadline = if dispensable { self.patience } else { self.deadline };
        let access = deadline.limit(identities.access(self.login, &scope, deadline)).await;
        access.unwrap_or_else(|| Err(late()))
    }

    async fn in_time<T>(
        self,
        entra: impl Future<Output = Result<T, IdentityError>>,
    ) -> Result<T, MountError> {
        match self.deadline.limit(entra).await {
            Some(answer) => Ok(answer?),
            None => Err(late(self.plan)),
        }
    }
}

/// Takes the answers out that were 401, with the resource that each asked for.
fn take_rejected(answers: &mut Vec<(usize, Answer)>) -> Vec<(usize, Option<String>)> {
    let mut rejected = Vec::new();
    answers.retain(|(index, answer)| {
        if let Err(VaultError { failure: Failure::Unauthorized { resource }, .. }) = answer {
            rejected.push((*index, resource.clone()));
            return false;
        }
        true
    });
    rejected
}

fn is_unauthorized(answer: &Answer) -> bool {
    matches!(answer, Err(VaultError { failure: Failure::Unauthorized { .. }, .. }))
}

fn scope(resource: &str) -> String {
    format!("{resource}/.default")
}

fn late(plan: &MountPlan) -> MountError {
    IdentityError::late(&plan.endpoints.authority).into()
}
