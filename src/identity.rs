//! Turns a pod's service account token into an access token for Key Vault.
//!
//! A credential is a claim until it is proven, and no value fetched for one pod reaches another without a
//! proof. Two things prove a credential: the cluster's keys (`keys`), or that Entra accepted this very credential
//! for this very identity (`proofs`). [`Trust`] defines what each of them permits.

mod accounts;
mod answer;
mod cached_token;
mod certificate;
mod cluster;
mod entra_codes;
mod error;
mod exchange;
mod key;
mod keys;
mod login;
mod policies;
mod proofs;
mod refusal;
#[cfg(test)]
mod tests;
mod token_proxy;
mod tokens;

use std::hash::RandomState;
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
pub use exchange::{AccessToken, Exchange, IMDS, TokenSource};
pub use key::IdentityKey;
pub use keys::{KeySource, ServiceAccountKeys, Verification};
pub use login::{Access, Login};
pub use refusal::Refusal;
pub use token_proxy::TokenProxy;
pub use tokens::Issuer;

use crate::clock::Clock;
use crate::flight::Flight;
use crate::lanes::ServiceHealth;
use crate::plan::{Identity, PlannedIdentity, TokenExchange};
use crate::retry::Deadline;
use crate::secret::SecretText;
use crate::telemetry::Metrics;
use crate::tenant::Tenant;
use crate::trust::Trust;
use cached_token::TokenFreshness;
use tokens::{Exchanged, Tokens};

/// Logs identities in, and shares their access tokens as far as trust allows.
#[derive(Debug)]
pub struct Identities {
    keys: ServiceAccountKeys,
    accounts: ServiceAccounts,
    tokens: Arc<Tokens>,
    /// Created on first use: the first random number takes about fifty milliseconds.
    fingerprints: OnceLock<hmac::Key>,
    hasher: RandomState,
}

impl Identities {
    /// Proves tokens with `keys` or through `source`. `on_refused` is called for an identity that Entra refuses in
    /// answer to a proven credential: values fetched for it may not be served any more.
    pub fn new(
        keys: ServiceAccountKeys,
        accounts: ServiceAccounts,
        source: Arc<dyn TokenSource>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        on_refused: impl Fn(&IdentityKey) + Send + Sync + 'static,
    ) -> Self {
        let tokens = Arc::new(Tokens::new(source, clock, metrics, Box::new(on_refused)));
        Self { keys, accounts, tokens, fingerprints: OnceLock::new(), hasher: RandomState::new() }
    }

    /// Completes an identity from the annotations of its service account, if its ids are not in the class.
    ///
    /// # Errors
    /// Ids are missing, or the token is not proven: annotations are never disclosed to an unproven request.
    pub async fn complete(&self, planned: &PlannedIdentity) -> Result<Identity, IdentityError> {
        let annotated = match planned {
            PlannedIdentity::Known(identity) => return Ok(identity.clone()),
            PlannedIdentity::Annotated(annotated) => annotated,
        };
        match self.keys.verify(&annotated.token, TokenExchange::Entra.audience(), self.tokens.now()).await {
            Verification::Proven => self.accounts.complete(annotated).await.map(Identity::Workload),
            Verification::Failed(reason) => Err(IdentityError::Unproven(reason)),
            Verification::NoKeys if self.accounts.has_cluster() => Err(IdentityError::Unreachable {
                authority: "the API server".to_owned(),
                reason: "the cluster's keys, which prove the pod's token, cannot be loaded".to_owned(),
            }),
            Verification::NoKeys => Err(IdentityError::Unproven("the provider runs outside a cluster")),
        }
    }

    /// Decides how far a request is trusted, without asking Entra.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub async fn login(
        &self,
        identity: &Identity,
        authority: &Url,
        tenant: &Tenant,
    ) -> Result<Login, IdentityError> {
        let fingerprint = match identity {
            Identity::ServicePrincipal(principal) => self.fingerprint(principal.credential.text())?,
            Identity::Workload(_) | Identity::Managed(_) => String::new(),
        };
        let key = Arc::new(IdentityKey::of(identity, authority, &fingerprint, &self.hasher));
        let trust = self.trust(identity, &key).await;
        let (IdentityKey { mode, tenant: entra_tenant, .. }, client) =
            (key.as_ref(), identity.shown_client());
        tracing::debug!(?mode, client, tenant = entra_tenant, ?trust, "trust determined");
        let (identity, authority, tenant) = (identity.clone(), authority.clone(), tenant.clone());
        Ok(Login { identity, authority, key, trust, tenant })
    }

    /// The keyed hash of a credential.
    fn fingerprint(&self, credential: &SecretText) -> Result<String, IdentityError> {
        let key = match self.fingerprints.get() {
            Some(key) => key,
            None => {
                let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
                let key = key.map_err(|_| {
                    IdentityError::timed_out_for("the system's source of random numbers".to_owned())
                })?;
                self.fingerprints.get_or_init(|| key)
            }
        };
        Ok(HEXLOWER.encode(hmac::sign(key, credential.expose().as_bytes()).as_ref()))
    }

    async fn trust(&self, identity: &Identity, key: &IdentityKey) -> Trust {
        let workload = match identity {
            Identity::Workload(workload) => workload,
            // The node's identity does not depend on a claim of the pod.
            Identity::Managed(_) => return Trust::Proven,
            Identity::ServicePrincipal(_) => return self.trust_by_entra(identity, key),
        };
        match self.keys.verify(&workload.token, workload.exchange.audience(), self.tokens.now()).await {
            Verification::Proven => Trust::Proven,
            Verification::Failed(reason) => {
                let claims = workload.token.claims();
                let (subject, issuer) = (&claims.subject, &claims.issuer);
                tracing::debug!(reason, subject, issuer, "token not proven; the request is isolated");
                Trust::Isolated
            }
            Verification::NoKeys => self.trust_by_entra(identity, key),
        }
    }

    fn trust_by_entra(&self, identity: &Identity, key: &IdentityKey) -> Trust {
        if self.tokens.has_proof(identity, key) { Trust::Proven } else { Trust::Unproven }
    }

    /// Whether a usable token is cached.
    pub fn has_token(&self, login: &Login, scope: &str) -> bool {
        self.tokens
            .cached(&login.key, scope)
            .is_some_and(|(_, freshness)| freshness != TokenFreshness::Expired)
    }

    /// Whether the circuit breaker of the login's issuer rejects all requests of its tenant now.
    pub fn is_down(&self, login: &Login) -> bool {
        self.tokens.is_down(login)
    }

    /// The health of the token issuers that were used last, for metrics.
    pub fn health(&self) -> impl Fn() -> Vec<ServiceHealth<Issuer>> + Send + Sync + 'static {
        let tokens = Arc::clone(&self.tokens);
        move || tokens.health()
    }

    /// An access token for `scope`. All attempts together may take as long as `patience`, without the time in queues, and
    /// end at the deadline.
    ///
    /// # Errors
    /// Entra's refusal, or that Entra is unavailable and no token is cached.
    pub async fn access(
        &self,
        login: &Login,
        scope: &str,
        (patience, deadline): (Duration, Deadline),
    ) -> Result<Access, IdentityError> {
        let wait = (patience, deadline);
        if login.trust.may_share_values() {
            return self.shared(login, scope, wait).await.map(Access::Ready);
        }
        let proof = self.exchange(login, scope, wait);
        match self.tokens.cached(&login.key, scope) {
            Some((token, freshness))
                if login.trust.can_be_proven() && freshness != TokenFreshness::Expired =>
            {
                Ok(Access::Proving(token, Box::pin(proof)))
            }
            _ => proof.await.map(Access::Ready),
        }
    }

    /// Another access token, after the vault answered 401 to `rejected` or requested another scope.
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
        // An unproven credential may have been proven meanwhile.
        let proven_since =
            || login.trust.can_be_proven() && self.tokens.has_proof(&login.identity, &login.key);
        let is_proven = login.trust.may_share_values() || proven_since();
        if !is_proven {
            return self.exchange(login, scope, (deadline.left(), deadline)).await;
        }
        let login = Login { trust: Trust::Proven, ..login.clone() };
        if let Some(rejected) = rejected {
            self.tokens.reject(&login.key, scope, rejected);
        }
        self.shared(&login, scope, (deadline.left(), deadline)).await
    }

    /// Returns the cached token of proven requests. It is renewed ahead in the background, and at least hourly while
    /// Entra answers.
    async fn shared(
        &self,
        login: &Login,
        scope: &str,
        (patience, deadline): (Duration, Deadline),
    ) -> Result<Arc<AccessToken>, IdentityError> {
        match self.tokens.cached(&login.key, scope) {
            Some((token, TokenFreshness::Fresh)) => Ok(token),
            Some((token, TokenFreshness::RenewAhead)) => {
                if self.tokens.begin_renewal(&login.key, scope) {
                    tokio::spawn(self.renewal(login, scope));
                }
                Ok(token)
            }
            Some((token, TokenFreshness::RenewFirst)) => {
                if !self.tokens.begin_renewal(&login.key, scope) {
                    return Ok(token);
                }
                // It continues if this mount gives up, for the benefit of later mounts.
                let renewal = tokio::spawn(self.renewal(login, scope));
                match timeout(PATIENCE.min(deadline.left() / 4), renewal).await {
                    Ok(Ok(Err(error))) if error.is_unavailable() => Ok(token),
                    Ok(Err(_)) | Err(_) => Ok(token),
                    Ok(Ok(renewed)) => renewed,
                }
            }
            Some((_, TokenFreshness::Expired)) | None => {
                self.exchange(login, scope, (patience, deadline)).await
            }
        }
    }

    fn renewal(&self, login: &Login, scope: &str) -> Flight<Exchanged> {
        self.tokens.exchange(login, scope, (BACKGROUND, Deadline::after(BACKGROUND))).0
    }

    /// Waits for the exchange that the request may share. An exchange started by another request may end at that
    /// request's deadline or be refused for its token; then this request starts its own.
    fn exchange(
        &self,
        login: &Login,
        scope: &str,
        (patience, deadline): (Duration, Deadline),
    ) -> impl Future<Output = Exchanged> + Send + use<> {
        let (tokens, login, scope) = (Arc::clone(&self.tokens), login.clone(), scope.to_owned());
        async move {
            let wait = (patience, deadline);
            let (first, joined) = tokens.exchange(&login, &scope, wait);
            // The request that started it may have more time.
            let limit = if joined { deadline.min(Deadline::after(patience)) } else { deadline };
            let Some(exchanged) = limit.limit(first).await else {
                return Err(IdentityError::timed_out(&login.authority));
            };
            match exchanged {
                Err(error) if joined && (error.is_specific_to_mount() || error.is_refusal()) => {
                    tokens.exchange(&login, &scope, wait).0.await
                }
                exchanged => exchanged,
            }
        }
    }
}

/// How long a mount waits for a renewal while its token is still valid.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a renewal in the background may take.
const BACKGROUND: Duration = Duration::from_secs(20);
