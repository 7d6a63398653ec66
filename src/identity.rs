//! Who asks Key Vault: from a service account token to an access token.
//!
//! A service account token is a claim until it is proven, and nothing fetched for one pod reaches
//! another but behind a proof. Two things prove a token: the cluster's keys (`keys`), or, where
//! there are none at hand, that Entra accepted this very token for this very identity
//! (`proofs`). Only proven requests share; the others fly alone.

mod accounts;
mod certificate;
mod cluster;
mod error;
mod exchange;
mod held;
mod keys;
mod policies;
mod proofs;
mod sharing;
#[cfg(test)]
mod tests;
mod token_proxy;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use data_encoding::HEXLOWER;
use futures_util::future::BoxFuture;
use tokio::time::timeout;
use url::Url;

pub use accounts::ServiceAccounts;
pub use cluster::ClusterApi;
pub use error::{IdentityError, Refusal};
pub use exchange::{AccessToken, Exchange, IMDS};
pub use keys::{KeySource, ServiceAccountKeys, Verdict};
pub use token_proxy::TokenProxy;

use crate::clock::Clock;
use crate::plan::{Claims, ClientId, Identity, PlannedIdentity, ServicePrincipal, Through, WorkloadIdentity};
use crate::retry::Deadline;
use crate::secret::SecretText;
use held::Freshness;
use sharing::Sharing;

/// How an identity proves itself to Entra.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A federated credential trusts the pod's service account.
    WorkloadIdentity,
    /// The token proxy of AKS trusts the pod's service account.
    IdentityBinding,
    /// It has a client secret or certificate.
    ServicePrincipal,
    /// It is assigned to the node.
    ManagedIdentity,
}

/// What everything that is kept is partitioned by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdentityKey {
    authority: String,
    tenant: String,
    client: String,
    mode: Mode,
    issuer: String,
    subject: String,
}

impl IdentityKey {
    fn same_subject(&self, other: &Self) -> bool {
        match self.mode {
            Mode::WorkloadIdentity | Mode::IdentityBinding => {
                self.issuer == other.issuer && self.subject == other.subject
            }
            Mode::ServicePrincipal | Mode::ManagedIdentity => {
                (self.mode, &self.authority, &self.tenant, &self.client)
                    == (other.mode, &other.authority, &other.tenant, &other.client)
            }
        }
    }

    /// A client's credential enters as a keyed hash, whose key lives and dies with this process.
    fn of(identity: &Identity, authority: &Url, fingerprint: &str) -> Self {
        let key = |mode, tenant: &str, client: &str, issuer: &str, subject: &str| Self {
            authority: authority.as_str().to_owned(),
            tenant: tenant.to_ascii_lowercase(),
            client: client.to_ascii_lowercase(),
            mode,
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
        };
        match identity {
            Identity::Workload(workload) => {
                let Claims { issuer, subject, .. } = workload.token.claims();
                let mode = match workload.through {
                    Through::Entra => Mode::WorkloadIdentity,
                    Through::TokenProxy => Mode::IdentityBinding,
                };
                key(mode, workload.tenant.as_str(), workload.client.as_str(), issuer, subject)
            }
            Identity::ServicePrincipal(ServicePrincipal { tenant, client, .. }) => {
                key(Mode::ServicePrincipal, tenant.as_str(), client.as_str(), "", fingerprint)
            }
            Identity::Managed(managed) => {
                key(Mode::ManagedIdentity, "", managed.client.as_ref().map_or("", ClientId::as_str), "", "")
            }
        }
    }
}

/// What is known of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is its subject's: it may share.
    Proven,
    /// There are no keys to tell, and Entra has not yet been asked.
    Claimed,
    /// The cluster's keys do not vouch for it: Entra decides, for it alone.
    Alone,
}

/// One pod's request for access, with what is known of its token.
#[derive(Clone, Debug)]
pub struct Login {
    identity: Identity,
    authority: Url,
    key: Arc<IdentityKey>,
    standing: Standing,
}

impl Login {
    /// What everything of this login is kept under.
    pub fn key(&self) -> &Arc<IdentityKey> {
        &self.key
    }

    /// Whether the token is known to be its subject's.
    pub fn is_proven(&self) -> bool {
        self.standing == Standing::Proven
    }

    /// Whether the token is a claim that Entra's grant of its exchange proves.
    pub fn is_claim(&self) -> bool {
        self.standing == Standing::Claimed
    }
}

/// Access to Key Vault, perhaps on condition.
pub enum Access {
    /// The token may be used, and what it fetches may be answered.
    Ready(Arc<AccessToken>),
    /// The token of a proven request may fetch beside the proof, but nothing, not even an error
    /// of the vault, may be answered before the proof has come.
    Beside(Arc<AccessToken>, BoxFuture<'static, Result<Arc<AccessToken>, IdentityError>>),
}

/// Logs pods in, and shares what may be shared.
#[derive(Debug)]
pub struct Identities {
    keys: ServiceAccountKeys,
    accounts: ServiceAccounts,
    sharing: Arc<Sharing>,
    /// Made when it is needed: the first random number costs some fifty milliseconds.
    fingerprints: OnceLock<hmac::Key>,
}

impl Identities {
    /// Proves tokens with `keys` or by `exchange`.
    pub fn new(
        keys: ServiceAccountKeys,
        accounts: ServiceAccounts,
        exchange: Exchange,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let fingerprints = OnceLock::new();
        Self { keys, accounts, sharing: Arc::new(Sharing::new(exchange, clock)), fingerprints }
    }

    /// Completes an identity that only the cluster can tell.
    ///
    /// # Errors
    /// What is missing, or that the token is not proven: nobody is told of another's annotations.
    pub async fn complete(&self, planned: &PlannedIdentity) -> Result<Identity, IdentityError> {
        let annotated = match planned {
            PlannedIdentity::Known(identity) => return Ok(identity.clone()),
            PlannedIdentity::Annotated(annotated) => annotated,
        };
        match self.keys.verify(&annotated.token, Through::Entra.audience(), self.sharing.now()).await {
            Verdict::Proven => self.accounts.complete(annotated).await.map(Identity::Workload),
            Verdict::Failed(reason) => Err(IdentityError::Unproven(reason)),
            Verdict::NoKeys if self.accounts.has_cluster() => Err(IdentityError::Unreachable {
                authority: "the API server".to_owned(),
                reason: "the cluster's keys, which prove the pod's token, cannot be loaded".to_owned(),
                retry_after: None,
            }),
            Verdict::NoKeys => Err(IdentityError::Unproven("the provider runs outside a cluster")),
        }
    }

    /// Finds out what is known of the identity, without asking Entra. A client secret is its own
    /// proof: what is kept under its hash was got with it. The node's identity is no pod's claim.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub async fn login(&self, identity: &Identity, authority: &Url) -> Result<Login, IdentityError> {
        let fingerprint = match identity {
            Identity::ServicePrincipal(principal) => self.fingerprint(principal.credential.text())?,
            Identity::Workload(_) | Identity::Managed(_) => String::new(),
        };
        let key = Arc::new(IdentityKey::of(identity, authority, &fingerprint));
        let standing = match identity {
            Identity::Workload(workload) => self.standing(workload, &key).await,
            Identity::ServicePrincipal(_) | Identity::Managed(_) => Standing::Proven,
        };
        Ok(Login { identity: identity.clone(), authority: authority.clone(), key, standing })
    }

    /// The keyed hash of a credential.
    fn fingerprint(&self, credential: &SecretText) -> Result<String, IdentityError> {
        let key = match self.fingerprints.get() {
            Some(key) => key,
            None => {
                let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
                let key = key.map_err(|_| {
                    IdentityError::late_from("the system's source of random numbers".to_owned())
                })?;
                self.fingerprints.get_or_init(|| key)
            }
        };
        Ok(HEXLOWER.encode(hmac::sign(key, credential.expose().as_bytes()).as_ref()))
    }

    async fn standing(&self, workload: &WorkloadIdentity, key: &IdentityKey) -> Standing {
        match self.keys.verify(&workload.token, workload.through.audience(), self.sharing.now()).await {
            Verdict::Proven => Standing::Proven,
            Verdict::Failed(reason) => {
                let claims = workload.token.claims();
                tracing::debug!(
                    reason,
                    subject = claims.subject,
                    issuer = claims.issuer,
                    "a token shares nothing"
                );
                Standing::Alone
            }
            Verdict::NoKeys if self.sharing.remembers(&workload.token, key) => Standing::Proven,
            Verdict::NoKeys => Standing::Claimed,
        }
    }

    /// An access token for `scope`.
    ///
    /// # Errors
    /// Entra's refusal, or that it cannot be reached and no token is at hand.
    pub async fn access(
        &self,
        login: &Login,
        scope: &str,
        deadline: Deadline,
    ) -> Result<Access, IdentityError> {
        match login.standing {
            Standing::Proven => self.shared(login, scope, deadline).await.map(Access::Ready),
            Standing::Alone => self.sharing.exchange_alone(login, scope, deadline).await.map(Access::Ready),
            Standing::Claimed => {
                let proof = Arc::clone(&self.sharing).prove(login.clone(), scope.to_owned(), deadline);
                match self.sharing.held(&login.key, scope) {
                    Some((token, freshness)) if freshness != Freshness::Expired => {
                        Ok(Access::Beside(token, Box::pin(proof)))
                    }
                    _ => proof.await.map(Access::Ready),
                }
            }
        }
    }

    /// Another access token, after the vault answered 401 to `rejected` or asked for another scope.
    ///
    /// # Errors
    /// As [`Self::access`].
    pub async fn renew(
        &self,
        login: &Login,
        scope: &str,
        rejected: Option<&Arc<AccessToken>>,
        deadline: Deadline,
    ) -> Result<Arc<AccessToken>, IdentityError> {
        let standing = match (login.standing, &login.identity) {
            // What was a claim may have been proven since.
            (Standing::Claimed, Identity::Workload(workload))
                if self.sharing.remembers(&workload.token, &login.key) =>
            {
                Standing::Proven
            }
            (standing, _) => standing,
        };
        match standing {
            Standing::Proven => {
                if let Some(rejected) = rejected {
                    self.sharing.forget_token(&login.key, scope, rejected);
                }
                self.shared(login, scope, deadline).await
            }
            Standing::Claimed => {
                Arc::clone(&self.sharing).prove(login.clone(), scope.to_owned(), deadline).await
            }
            Standing::Alone => self.sharing.exchange_alone(login, scope, deadline).await,
        }
    }

    /// What proven requests share: the held token, renewed ahead in the background, and at least
    /// hourly while Entra answers.
    async fn shared(
        &self,
        login: &Login,
        scope: &str,
        deadline: Deadline,
    ) -> Result<Arc<AccessToken>, IdentityError> {
        match self.sharing.held(&login.key, scope) {
            Some((token, Freshness::Fresh)) => Ok(token),
            Some((token, Freshness::RenewAhead)) => {
                if self.sharing.may_renew(&login.key, scope) {
                    tokio::spawn(self.renewal(login, scope));
                }
                Ok(token)
            }
            Some((token, Freshness::RenewFirst)) => {
                if !self.sharing.may_renew(&login.key, scope) {
                    return Ok(token);
                }
                // Goes on if this mount gives up: the next ones profit.
                let renewal = tokio::spawn(self.renewal(login, scope));
                match timeout(PATIENCE.min(deadline.left() / 4), renewal).await {
                    Ok(Ok(Err(IdentityError::Unreachable { .. })) | Err(_)) | Err(_) => Ok(token),
                    Ok(Ok(renewed)) => renewed,
                }
            }
            Some((_, Freshness::Expired)) | None => self.fly(login, scope, deadline).await,
        }
    }

    fn renewal(&self, login: &Login, scope: &str) -> sharing::Flight {
        Arc::clone(&self.sharing).flight(login, scope, Deadline::after(BACKGROUND)).0
    }

    /// Waits for the identity's exchange. One that another began may end at that one's deadline, or
    /// be refused for that one's token; then this one begins its own.
    async fn fly(
        &self,
        login: &Login,
        scope: &str,
        deadline: Deadline,
    ) -> Result<Arc<AccessToken>, IdentityError> {
        let (flight, joined) = Arc::clone(&self.sharing).flight(login, scope, deadline);
        match flight.await {
            Err(_) if joined => Arc::clone(&self.sharing).flight(login, scope, deadline).0.await,
            landed => landed,
        }
    }
}

/// How long a mount waits for a renewal while its token is still good.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a renewal in the background may take.
const BACKGROUND: Duration = Duration::from_secs(20);
