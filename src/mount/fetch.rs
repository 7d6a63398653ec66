//! Fetches a plan's objects, with a token that may have to be proven first.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, join_all, select};

use super::MountError;
use super::error::ObjectError;
use super::fallback::WITH_STALE;
use super::fetcher::{FetchContext, Fetcher, Mount};
use super::objects::GroupAccess;
use super::obtained::{ObjectResult, Obtained};
use crate::identity::{Access, AccessToken, IdentityError};
use crate::plan::{MountPlan, ObjectPlan};
use crate::vault::{FetchedObject, VaultError, VaultFailure};

/// Objects that can be fetched with the same access token, by their index in the plan.
type Group<'a> = Vec<(usize, &'a ObjectPlan)>;

/// The objects of a mount, in the plan's order.
pub(super) struct FetchedObjects {
    /// `None` for an optional object that is missing.
    pub(super) objects: Vec<Option<Arc<FetchedObject>>>,
    /// The optional objects that are missing or disabled.
    pub(super) left_out: Vec<String>,
}

impl Fetcher {
    /// Fetches every object of the plan.
    ///
    /// # Errors
    /// Entra's error, or the errors of all objects that could not be fetched.
    pub(super) async fn fetch(&self, mount: &Mount<'_>) -> Result<FetchedObjects, MountError> {
        let plan = mount.plan;
        let login = async {
            let identity = self.identities.complete(&plan.identity).await?;
            if let Some(audit) = mount.audit {
                audit.identified(&identity);
            }
            self.identities.login(&identity, &plan.endpoints.authority, &mount.tenant).await
        };
        let login = mount.deadline.limit(login).await.ok_or_else(|| late(plan))??;
        let context = FetchContext { fetcher: self, mount, login: &login };
        let mut answers = BTreeMap::new();
        let groups = context.groups(&mut answers).await;
        let fetched = groups.into_iter().map(|(resource, group)| context.fetch_group(resource, group));
        for group in join_all(fetched).await {
            answers.extend(group?);
        }
        let mut fetched = FetchedObjects { objects: Vec::with_capacity(answers.len()), left_out: Vec::new() };
        let mut errors = Vec::new();
        for (answer, object) in answers.into_values().zip(&plan.objects) {
            if let Some(audit) = mount.audit {
                audit.answered(object, &answer);
            }
            match answer {
                Ok(Obtained { object, source }) => {
                    self.metrics.object_served(source);
                    mount.provenance.record_source(source);
                    fetched.objects.push(Some(object));
                }
                Err(error) if object.optional && error.is_missing() => {
                    let ObjectPlan { location, kind, name, vault, .. } = object;
                    fetched.left_out.push(format!("{location} ({kind} {name} of {vault})"));
                    fetched.objects.push(None);
                }
                Err(error) => errors.push(ObjectError::Vault(error)),
            }
        }
        self.metrics.objects_left_out(fetched.left_out.len());
        if errors.is_empty() { Ok(fetched) } else { Err(MountError::Objects(errors)) }
    }
}

impl<'a> FetchContext<'a> {
    /// Groups objects by the resource of their vaults' tokens. If a vault does not return its resource, the error applies
    /// to all of its objects.
    async fn groups(self, answers: &mut BTreeMap<usize, ObjectResult>) -> BTreeMap<String, Group<'a>> {
        let mut vaults: BTreeMap<_, Group<'a>> = BTreeMap::new();
        for (index, object) in self.mount.plan.objects.iter().enumerate() {
            vaults.entry(&object.vault).or_default().push((index, object));
        }
        let vaults = vaults.into_values().filter_map(|group| {
            let (_, first) = group.first().copied()?;
            let Mount { plan, tenant, deadline, .. } = self.mount;
            let vaults = &self.fetcher.vaults;
            let resource = vaults.resource(first, &plan.endpoints, self.login.trust(), (tenant, *deadline));
            Some(async move { (resource.await, group) })
        });
        let mut groups: BTreeMap<String, Group<'a>> = BTreeMap::new();
        for (resource, group) in join_all(vaults).await {
            match resource {
                Ok(resource) => groups.entry(resource).or_default().extend(group),
                Err(error) => {
                    answers
                        .extend(group.iter().map(|(index, object)| (*index, Err(error.for_object(object)))));
                }
            }
        }
        groups
    }

    async fn fetch_group(
        self,
        resource: String,
        group: Group<'a>,
    ) -> Result<Vec<(usize, ObjectResult)>, MountError> {
        let Fetcher { vaults, history, .. } = self.fetcher;
        let trust = self.login.trust();
        let access = match self.access(&resource, &group).await {
            Err(error) if error.is_unavailable() => {
                return self.all_stale(&group, &error).ok_or(MountError::Identity(error));
            }
            access => access?,
        };
        let with =
            |token, trust| GroupAccess { token, resource: resource.as_str(), trust, same_token: false };
        let (used, newest, mut answers) = match access {
            Access::Ready(token) => {
                let answers = self.get_all(&group, with(&token, trust.accepted())).await?;
                (Arc::clone(&token), token, answers)
            }
            Access::Proving(token, proof)
                if let Some(_permit) = history.permit_before_proof(self.login, &group) =>
            {
                let fetching = pin!(self.get_all(&group, with(&token, trust)));
                // Values and errors of the vault are returned only after the proof; a refusal cancels
                // the fetching.
                let (proven, answers) = match select(pin!(self.in_time(proof)), fetching).await {
                    Either::Left((proven, fetching)) => (proven?, fetching.await?),
                    Either::Right((answers, proof)) => (proof.await?, answers?),
                };
                let decided = answers.iter().filter(|(_, answer)| !is_unauthorized(answer)).cloned();
                self.evict_refused(&decided.collect::<Vec<_>>());
                (Arc::clone(&token), proven, answers)
            }
            Access::Proving(_, proof) => {
                let proven = self.in_time(proof).await?;
                let answers = self.get_all(&group, with(&proven, trust.accepted())).await?;
                (Arc::clone(&proven), proven, answers)
            }
        };
        // Entra has accepted the credential by now. For a login that was proven before, its vaults were remembered when
        // they were challenged, and nothing is fetched in parallel with a proof.
        let is_new = trust.can_be_proven();
        if is_new && self.mount.plan.endpoints.vault_resource.as_ref() != Some(&resource) {
            for (_, object) in &group {
                vaults.learn(&object.vault, &resource);
            }
        }
        let rejected = take_rejected(&mut answers);
        answers.extend(self.retry_with_new_token(&resource, &used, &newest, &group, rejected).await?);
        if is_new {
            for (index, object) in &group {
                if answers.iter().any(|(answered, answer)| answered == index && answer.is_ok()) {
                    history.remember(self.login, object);
                }
            }
        }
        Ok(answers)
    }

    /// Retries once with a new token after a 401: the token was revoked, or the vault requires one for another
    /// resource.
    async fn retry_with_new_token(
        self,
        resource: &str,
        used: &Arc<AccessToken>,
        newest: &Arc<AccessToken>,
        group: &[(usize, &'a ObjectPlan)],
        rejected: Vec<(usize, Option<String>)>,
    ) -> Result<Vec<(usize, ObjectResult)>, MountError> {
        let mut by_resource: BTreeMap<String, Group<'a>> = BTreeMap::new();
        for (index, required) in rejected {
            let objects = group.iter().filter(|(candidate, _)| *candidate == index);
            by_resource.entry(required.unwrap_or_else(|| resource.to_owned())).or_default().extend(objects);
        }
        let mut answers = Vec::new();
        for (required, group) in by_resource {
            let same = required == resource;
            let token = if same && !Arc::ptr_eq(used, newest) {
                Arc::clone(newest)
            } else {
                let scope = scope(&required);
                let rejected = same.then_some(used);
                let renewed =
                    self.fetcher.identities.renew(self.login, &scope, rejected, self.mount.deadline);
                self.in_time(renewed).await?
            };
            let trust = self.login.trust().accepted();
            let access = GroupAccess { token: &token, resource: &required, trust, same_token: true };
            let retried = self.get_all(&group, access).await?;
            if trust.may_evict() {
                self.evict_refused(&retried);
            }
            answers.extend(retried);
        }
        Ok(answers)
    }

    /// Access to the group's vaults. If stale values can be served for all objects, the wait for Entra is short.
    async fn access(self, resource: &str, group: &[(usize, &ObjectPlan)]) -> Result<Access, IdentityError> {
        let (identities, scope, deadline) = (&self.fetcher.identities, scope(resource), self.mount.deadline);
        let late = || IdentityError::timed_out(&self.mount.plan.endpoints.authority);
        // Checked only without a cached token, which is rare.
        let dispensable = !identities.has_token(self.login, &scope)
            && self.login.trust().may_share_values()
            && group.iter().all(|(_, object)| self.stale(&self.key(object)).is_some());
        if dispensable && identities.is_down(self.login) {
            return Err(late());
        }
        let patience = if dispensable { WITH_STALE.min(deadline.left()) } else { deadline.left() };
        let access = deadline.limit(identities.access(self.login, &scope, (patience, deadline))).await;
        access.unwrap_or_else(|| Err(late()))
    }

    /// The stale values of all objects of the group, if all are available. While Entra is unavailable, only an
    /// earlier proof allows a request to use them.
    fn all_stale(
        self,
        group: &[(usize, &ObjectPlan)],
        error: &IdentityError,
    ) -> Option<Vec<(usize, ObjectResult)>> {
        if !self.login.trust().may_share_values() {
            return None;
        }
        let stale = group.iter().map(|(index, object)| Some((*index, self.stale(&self.key(object))?)));
        let stale = stale.collect::<Option<Vec<_>>>()?;
        let answers = stale.into_iter().map(|(index, stale)| (index, Ok(self.obtained_stale(stale, error))));
        Some(answers.collect())
    }

    async fn in_time<T>(
        self,
        entra: impl Future<Output = Result<T, IdentityError>>,
    ) -> Result<T, MountError> {
        match self.mount.deadline.limit(entra).await {
            Some(answer) => Ok(answer?),
            None => Err(late(self.mount.plan)),
        }
    }
}

/// Removes the answers with a 401, and returns them with the resource that each requires.
fn take_rejected(answers: &mut Vec<(usize, ObjectResult)>) -> Vec<(usize, Option<String>)> {
    let mut rejected = Vec::new();
    answers.retain(|(index, answer)| {
        if let Err(VaultError { failure: VaultFailure::Unauthorized { resource }, .. }) = answer {
            rejected.push((*index, resource.clone()));
            return false;
        }
        true
    });
    rejected
}

fn is_unauthorized(answer: &ObjectResult) -> bool {
    matches!(answer, Err(VaultError { failure: VaultFailure::Unauthorized { .. }, .. }))
}

fn scope(resource: &str) -> String {
    format!("{resource}/.default")
}

fn late(plan: &MountPlan) -> MountError {
    IdentityError::timed_out(&plan.endpoints.authority).into()
}
