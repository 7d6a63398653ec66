//! Who asks Key Vault: from a service account token to an access token.
//!
//! A service account token is a claim until it is proven, and nothing fetched for one pod reaches
//! another but behind a proof. Two things prove a token: the cluster's keys (`keys`), or, where
//! there are none at hand, that Entra accepted this very token for this very identity
//! (`proofs`). Only proven requests share; the others fly alone.

mod accounts;
mod answer;
mod certificate;
mod cluster;
mod entra_codes;
mod error;
mod exchange;
mod held;
mod key;
mod keys;
mod login;
mod policies;
mod proofs;
mod refusal;
mod sharing;
#[cfg(test)]
mod tests;
mod token_proxy;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use data_encoding::HEXLOWER;
use tokio::time::timeout;
use url::Url;

pub use accounts::ServiceAccounts;
pub use cluster::ClusterApi;
pub use error::IdentityError;
pub use exchange::{AccessToken, EXCHANGES, Exchange, IMDS, TokenSource};
pub use key::IdentityKey;
pub use keys::{KeySource, ServiceAccountKeys, Verdict};
pub use login::{Access, Login};
pub use refusal::Refusal;
pub use token_proxy::TokenProxy;

use crate::clock::Clock;
use crate::plan::{Identity, IdentityMode, PlannedIdentity, Through, WorkloadIdentity};
use crate::retry::{Deadline, Transient};
use crate::secret::SecretText;
use held::Freshness;
use login::Standing;
use sharing::Sharing;

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
    /// Proves tokens with `keys` or by asking `source`. `refused` is told of an identity that Entra refuses in
    /// answer to a proven token: nothing that was fetched for it may be shown any more.
    pub fn new(
        keys: ServiceAccountKeys,
        accounts: ServiceAccounts,
        source: Arc<dyn TokenSource>,
        clock: Arc<dyn Clock>,
        refused: impl Fn(&IdentityKey) + Send + Sync + 'static,
    ) -> Self {
        let sharing = Arc::new(Sharing::new(source, clock, Box::new(refused)));
        Self { keys, accounts, sharing, fingerprints: OnceLock::new() }
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
        let (IdentityKey { mode, tenant, .. }, client) = (key.as_ref(), identity.shown_client());
        tracing::debug!(?mode, client, tenant, "identity known");
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

    /// Whether a token is at hand that may be used.
    pub fn has_token(&self, login: &Login, scope: &str) -> bool {
        self.sharing.held(&login.key, scope).is_some_and(|(_, freshness)| freshness != Freshness::Expired)
    }

    /// Whether who grants tokens has not answered lately, and is not asked just now.
    pub fn is_down(&self, login: &Login) -> bool {
        self.sharing.is_down(&login.key)
    }

    /// Who grants tokens, by authority and mode, and whether it has not answered lately; for whoever scrapes.
    pub fn grantors(&self) -> impl Fn() -> Vec<(String, IdentityMode, bool)> + Send + Sync + 'static {
        let sharing = Arc::clone(&self.sharing);
        move || sharing.grantors()
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
            Standing::Alone => self.fly_alone(login, scope, deadline).await.map(Access::Ready),
            Standing::Claimed => {
                let proof = self.fly_alone(login, scope, deadline);
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
            Standing::Claimed | Standing::Alone => self.fly_alone(login, scope, deadline).await,
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
                    Ok(Ok(Err(error))) if error.is_transient() => Ok(token),
                    Ok(Err(_)) | Err(_) => Ok(token),
                    Ok(Ok(renewed)) => renewed,
                }
            }
            Some((_, Freshness::Expired)) | None => self.fly(login, scope, deadline).await,
        }
    }

    fn renewal(&self, login: &Login, scope: &str) -> sharing::Flight {
        Arc::clone(&self.sharing).flight(login, scope, Deadline::after(BACKGROUND)).0
    }

    /// Waits for the identity's exchange.
    async fn fly(
        &self,
        login: &Login,
        scope: &str,
        deadline: Deadline,
    ) -> Result<Arc<AccessToken>, IdentityError> {
        land(|| Arc::clone(&self.sharing).flight(login, scope, deadline)).await
    }

    /// Waits for the exchange of this very token, which proves a claim.
    fn fly_alone(
        &self,
        login: &Login,
        scope: &str,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Arc<AccessToken>, IdentityError>> + Send + 'static {
        let (sharing, login, scope) = (Arc::clone(&self.sharing), login.clone(), scope.to_owned());
        async move { land(|| Arc::clone(&sharing).lone_flight(&login, &scope, deadline)).await }
    }
}

/// Waits for a flight. One that another began may end at that one's deadline, or be refused for that
/// one's token; then this one begins its own.
async fn land(flight: impl Fn() -> (sharing::Flight, bool)) -> Result<Arc<AccessToken>, IdentityError> {
    let (first, joined) = flight();
    match first.await {
        Err(_) if joined => flight().0.await,
        landed => landed,
    }
}

/// How long a mount waits for a renewal while its token is still good.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a renewal in the background may take.
const BACKGROUND: Duration = Duration::from_secs(20);
