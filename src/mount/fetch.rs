//! Fetching a plan's objects, side by side, with a token that may have to prove itself.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{Either, join_all, select};
use futures_util::stream::{self, StreamExt};

use super::{MountError, Mounter, ObjectError};
use crate::identity::{Access, AccessToken, IdentityError, Login};
use crate::plan::{MountPlan, ObjectPlan};
use crate::retry::Deadline;
use crate::vault::{Failure, Fetched, VaultError};

/// Objects of one mount that are fetched at the same time.
const OBJECTS_AT_ONCE: usize = 16;

pub(super) type Answer = Result<Vec<Fetched>, VaultError>;

/// Objects that one access token is good for, by their index in the plan.
type Group<'a> = Vec<(usize, &'a ObjectPlan)>;

/// What the fetching of one mount needs at every step.
#[derive(Clone, Copy)]
struct Errand<'a> {
    mounter: &'a Mounter,
    plan: &'a MountPlan,
    login: &'a Login,
    deadline: Deadline,
    /// Bytes fetched so far.
    held: &'a AtomicUsize,
}

impl Mounter {
    /// Fetches every object of the plan, in its order.
    ///
    /// # Errors
    /// What Entra said, or every object that could not be fetched.
    pub(super) async fn fetch(
        &self,
        plan: &MountPlan,
        deadline: Deadline,
    ) -> Result<Vec<Vec<Fetched>>, MountError> {
        let authority = &plan.endpoints.authority;
        let login = async {
            let identity = self.identities.complete(&plan.identity).await?;
            self.identities.login(&identity, authority).await
        };
        let login = deadline.limit(login).await.ok_or_else(|| late(plan))??;
        let held = AtomicUsize::new(0);
        let errand = Errand { mounter: self, plan, login: &login, deadline, held: &held };
        let mut answers = BTreeMap::new();
        let groups = errand.groups(&mut answers).await;
        let fetched = groups.into_iter().map(|(resource, group)| errand.fetch_group(resource, group));
        for group in join_all(fetched).await {
            answers.extend(group?);
        }
        let mut fetched = Vec::with_capacity(answers.len());
        let mut errors = Vec::new();
        for answer in answers.into_values() {
            match answer {
                Ok(object) => fetched.push(object),
                Err(error) => errors.push(ObjectError::Vault(error)),
            }
        }
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
        let Mounter { identities, vaults, known, .. } = self.mounter;
        let access = self.in_time(identities.access(self.login, &scope(&resource), self.deadline)).await?;
        let (used, newest, mut answers) = match access {
            Access::Ready(token) => {
                let answers = self.side_by_side(&group, &token).await?;
                (Arc::clone(&token), token, answers)
            }
            Access::Beside(token, proof) if known.holds_all(self.login, &group) => {
                let fetching = pin!(self.side_by_side(&group, &token));
                // Whatever the vault says, an error too, is said only after the proof; a refusal
                // ends the fetching at once.
                let (proven, answers) = match select(pin!(self.in_time(proof)), fetching).await {
                    Either::Left((proven, fetching)) => (proven?, fetching.await?),
                    Either::Right((answers, proof)) => (proof.await?, answers?),
                };
                (Arc::clone(&token), proven, answers)
            }
            // Nobody's token goes where its identity has not been before on the word of a claim.
            Access::Beside(_, proof) => {
                let proven = self.in_time(proof).await?;
                let answers = self.side_by_side(&group, &proven).await?;
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
            answers.extend(self.side_by_side(&group, &token).await?);
        }
        Ok(answers)
    }

    async fn side_by_side(
        self,
        group: &[(usize, &ObjectPlan)],
        token: &AccessToken,
    ) -> Result<Vec<(usize, Answer)>, MountError> {
        let vaults = &self.mounter.vaults;
        let fetches = group.iter().map(|(index, object)| async move {
            (*index, vaults.fetch(object, Some(token.secret()), self.deadline).await)
        });
        let mut fetches = stream::iter(fetches.collect::<Vec<_>>()).buffer_unordered(OBJECTS_AT_ONCE);
        let mut answers = Vec::with_capacity(group.len());
        while let Some((index, answer)) = fetches.next().await {
            let size = answer.iter().flatten().map(Fetched::size).sum::<usize>();
            let held = self.held.fetch_add(size, Ordering::Relaxed) + size;
            self.mounter.check_size(held)?;
            answers.push((index, answer));
        }
        Ok(answers)
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

fn scope(resource: &str) -> String {
    format!("{resource}/.default")
}

fn late(plan: &MountPlan) -> MountError {
    IdentityError::late(&plan.endpoints.authority).into()
}
