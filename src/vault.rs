//! Key Vault: fetching what the plan names.

mod answer;
mod bearer;
mod certificates;
mod challenge;
mod error;
mod fetched;
mod keys;
mod secrets;
#[cfg(test)]
mod tests;
mod versions;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azure_core::http::{ClientOptions, RetryOptions, Transport, UserAgentOptions};
use azure_security_keyvault_certificates::{CertificateClient, CertificateClientOptions};
use azure_security_keyvault_keys::{KeyClient, KeyClientOptions};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use lru::LruCache;
use tokio::time::Instant;

pub use error::{AccessDenial, Failure, VaultError};
pub use fetched::{Content, Fetched, KeyMaterial, Object};

use crate::bounded::bounded;
use crate::breaker::Evidence;
use crate::cache::Weigh;
use crate::fair::Party;
use crate::flight::Flights;
use crate::lanes::{Caller, Lanes, Late, Limit, Limits, ServiceHealth};
use crate::plan::{Endpoints, History, ObjectKind, ObjectPlan, VaultUrl};
use crate::retry::{Deadline, Transient};
use crate::secret::SecretText;
use crate::telemetry::{Metrics, milliseconds_since};
use crate::tenant::Tenant;
use crate::trust::Trust;
use bearer::{Bearer, NoCredential};

/// Requests under way, and so connections. Mounts of one vault take turns; four vaults must be slow at once before a
/// fifth one waits.
pub const REQUESTS: Limits = Limits {
    each: Limit { open: 8, reserve: 56 },
    all: Limit { open: 32, reserve: 160 },
    silent: Limit { open: 8, reserve: 48 },
};
/// More vaults than pods of one node name; a forgotten one is challenged again.
const VAULTS: usize = 256;
/// The most bytes of one object, all versions of its history together. A hundred of Key Vault's largest
/// secrets have 2.5 million; the driver takes no more than this in one response.
const LARGEST_OBJECT: usize = 4 << 20;

/// On whose behalf a vault is asked, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The access token; none to learn which one the vault wants.
    pub token: Option<&'a SecretText>,
    /// How far the request is trusted.
    pub trust: Trust,
    /// The tenants that wait for the answer.
    pub party: &'a Party,
    /// How long all attempts may take together. The time in queues does not count.
    pub patience: Duration,
    /// When the answer must be there.
    pub deadline: Deadline,
    /// Whether a failed attempt may be followed by another.
    pub retries: bool,
}

/// Versions of one object that are fetched at the same time.
const VERSIONS_AT_ONCE: usize = 4;

/// All vaults, over one transport.
#[derive(Debug)]
pub struct Vaults {
    transport: Transport,
    application_id: Option<String>,
    metrics: Arc<Metrics>,
    lanes: Lanes<String>,
    /// What trusted requests have learnt of vaults, by authority.
    learnt: Mutex<LruCache<String, Learnt>>,
    challenges: Flights<String, Result<String, VaultError>>,
}

/// What is known of one vault.
#[derive(Clone, Debug, Default)]
struct Learnt {
    /// The resource that it asks tokens for, where the cloud does not say it.
    resource: Option<String>,
    /// Why it was unavailable the last time.
    outage: Option<Failure>,
}

impl Vaults {
    /// Vaults over `transport`. `application_id` goes before the SDK's user agent.
    pub fn new(transport: Transport, application_id: Option<String>, metrics: Arc<Metrics>) -> Self {
        Self {
            transport,
            application_id,
            metrics,
            lanes: Lanes::new(REQUESTS),
            learnt: Mutex::new(bounded(VAULTS)),
            challenges: Flights::default(),
        }
    }

    /// The resource to ask an access token for, so that `object`'s vault takes it. Known clouds say it; another vault
    /// is challenged for it, once while it is remembered. Only what a trusted request learns is remembered.
    ///
    /// # Errors
    /// What the vault answers instead of a challenge, or a challenge that no token may follow.
    pub async fn resource(
        self: &Arc<Self>,
        object: &ObjectPlan,
        endpoints: &Endpoints,
        trust: Trust,
        (tenant, deadline): (&Tenant, Deadline),
    ) -> Result<String, VaultError> {
        if let Some(resource) =
            endpoints.vault_resource.as_deref().filter(|known| object.vault.belongs_to(known))
        {
            return Ok(resource.to_owned());
        }
        let authority = object.vault.authority();
        let known = lock(&self.learnt).get(authority).and_then(|learnt| learnt.resource.clone());
        if let Some(resource) = known.filter(|known| object.vault.belongs_to(known)) {
            return Ok(resource);
        }
        if !trust.may_join() {
            let party = Party::new(tenant.clone());
            return self.challenge(object, trust, &party, deadline).await;
        }
        let (flight, _) = self.challenges.join_or_start(authority.to_owned(), tenant, |party| {
            let (vaults, object) = (Arc::clone(self), object.clone());
            async move {
                let resource = vaults.challenge(&object, trust, &party, deadline).await?;
                vaults.learn(&object.vault, &resource);
                Ok(resource)
            }
        });
        match deadline.limit(flight).await {
            Some(resource) => resource.map_err(|error| error.also_of(object)),
            None => Err(VaultError::of(object, Failure::TimedOut)),
        }
    }

    /// Remembers the resource that a vault asked a trusted request for, or one that has been proven since.
    pub(crate) fn learn(&self, vault: &VaultUrl, resource: &str) {
        let mut learnt = lock(&self.learnt);
        learnt.get_or_insert_mut(vault.authority().to_owned(), Learnt::default).resource =
            Some(resource.to_owned());
    }

    async fn challenge(
        &self,
        object: &ObjectPlan,
        trust: Trust,
        party: &Party,
        deadline: Deadline,
    ) -> Result<String, VaultError> {
        let asking = Asking { token: None, trust, party, patience: deadline.left(), deadline, retries: true };
        let failure = match self.fetch(object, asking).await {
            Err(error) => match error.failure {
                Failure::Unauthorized { resource: Some(resource) } => return Ok(resource),
                Failure::Unauthorized { resource: None } => {
                    Failure::Malformed("it refuses a request without a token, and asks for none".to_owned())
                }
                failure => failure,
            },
            Ok(_) => Failure::Malformed("it gave a secret to a request without a token".to_owned()),
        };
        Err(VaultError::of(object, failure))
    }

    /// Fetches one object with an access token, trying again while that makes sense: one version, or
    /// those of its history, the newest first.
    ///
    /// # Errors
    /// [`VaultError`], the last one if there were several attempts.
    pub async fn fetch(&self, object: &ObjectPlan, asking: Asking<'_>) -> Result<Object, VaultError> {
        // Without a token it is a challenge that is asked for.
        let counted = asking.token.is_some();
        let fetched = self.fetch_all(object, asking).await;
        if counted {
            let failure = fetched.as_ref().err().map(|error| error.failure.class());
            self.metrics.object_fetch(object.kind.name(), failure);
        }
        fetched
    }

    async fn fetch_all(&self, object: &ObjectPlan, asking: Asking<'_>) -> Result<Object, VaultError> {
        let Some(history) = object.history else {
            let fetched = self.fetch_version(object, object.version.exact(), asking).await?;
            return Ok(Object(vec![fetched]));
        };
        let versions = self.versions(object, history, asking).await?;
        let fetches = versions.iter().map(|version| self.fetch_version(object, Some(version), asking));
        let mut fetches = stream::iter(fetches.collect::<Vec<_>>()).buffered(VERSIONS_AT_ONCE);
        let mut all = Object(Vec::with_capacity(versions.len()));
        while let Some(fetched) = fetches.try_next().await? {
            all.0.push(fetched);
            if all.weight() > LARGEST_OBJECT {
                return Err(VaultError::of(object, Failure::TooMuch(LARGEST_OBJECT)));
            }
        }
        Ok(all)
    }

    async fn fetch_version(
        &self,
        object: &ObjectPlan,
        version: Option<&str>,
        asking: Asking<'_>,
    ) -> Result<Fetched, VaultError> {
        let (client, token, begun) = (self.client(object)?, asking.token, Instant::now());
        let fetched = self.send(object, asking, || async {
            match &client {
                Client::Secrets(client) => secrets::get(client, object, version, token).await,
                Client::Keys(client) => keys::get(client, object, version, token).await,
                Client::Certificates(client) => certificates::get(client, object, version, token).await,
            }
        });
        let fetched = fetched.await?;
        let ObjectPlan { kind, name, vault, .. } = object;
        let (version, milliseconds) = (&fetched.version, milliseconds_since(begun));
        tracing::debug!(%vault, %kind, %name, version, milliseconds, "object fetched");
        Ok(fetched)
    }

    async fn versions(
        &self,
        object: &ObjectPlan,
        history: History,
        asking: Asking<'_>,
    ) -> Result<Vec<String>, VaultError> {
        let (client, token) = (self.client(object)?, asking.token);
        let versions = self.send(object, asking, || async {
            match &client {
                Client::Secrets(client) => secrets::versions(client, object, token).await,
                Client::Keys(client) => keys::versions(client, object, token).await,
                Client::Certificates(client) => certificates::versions(client, object, token).await,
            }
        });
        versions::choose(versions.await?, object, history)
    }

    async fn send<T, F: Future<Output = Result<T, VaultError>>>(
        &self,
        object: &ObjectPlan,
        asking: Asking<'_>,
        request: impl Fn() -> F,
    ) -> Result<T, VaultError> {
        let late = |late| {
            let failure = match late {
                Late::Unanswered => Failure::TimedOut,
                Late::Queued => Failure::Queued,
                Late::Paused(left) => Failure::Throttled(Some(left)),
                Late::Open(wait) => self.open_for(&object.vault, wait),
            };
            VaultError::of(object, failure)
        };
        let authority = object.vault.authority().to_owned();
        let Asking { token, trust, party, patience, deadline, retries } = asking;
        let is_evidence = trust.is_evidence();
        // In a box: a request that waits for its turn, as thousands may, is not made yet.
        let request = || {
            Box::pin(async {
                let begun = Instant::now();
                let answer = self.observed(object, request()).await;
                if let (Err(error), Some(_)) = (&answer, token) {
                    tracing::debug!(%error, milliseconds = milliseconds_since(begun), "object not fetched");
                }
                if let Err(error) = &answer
                    && is_evidence
                    && error.evidence() == Evidence::Unavailable
                {
                    let mut learnt = lock(&self.learnt);
                    learnt.get_or_insert_mut(authority.clone(), Learnt::default).outage =
                        Some(error.failure.clone());
                }
                answer
            })
        };
        let caller = Caller { party, is_evidence, patience, deadline, retries };
        self.lanes.send(&authority, caller, late, request).await
    }

    /// The failure of a vault that is not asked because its circuit breaker is open.
    pub(crate) fn circuit_open(&self, vault: &VaultUrl) -> Failure {
        self.open_for(vault, Duration::ZERO)
    }

    fn open_for(&self, vault: &VaultUrl, wait: Duration) -> Failure {
        let reason = lock(&self.learnt).get(vault.authority()).and_then(|learnt| learnt.outage.clone());
        Failure::CircuitOpen(Box::new(reason.unwrap_or(Failure::TimedOut)), wait)
    }

    /// How the vaults do that were asked last.
    pub(crate) fn health(&self) -> Vec<ServiceHealth<String>> {
        self.lanes.health()
    }

    /// Whether the circuit breaker of `vault` lets `tenant` ask it nothing now.
    pub(crate) fn is_down(&self, vault: &VaultUrl, tenant: &Tenant) -> bool {
        self.lanes.is_open(&vault.authority().to_owned(), tenant)
    }

    /// Counts a request. One that is cut off was a request all the same.
    async fn observed<T>(
        &self,
        object: &ObjectPlan,
        request: impl Future<Output = Result<T, VaultError>>,
    ) -> Result<T, VaultError> {
        let class = Failure::TimedOut.class();
        let object_type = object.kind.name();
        let mut observed = Observed { metrics: &self.metrics, start: Instant::now(), object_type, class };
        let answer = request.await;
        observed.class = answer.as_ref().err().map_or("", |error| error.failure.class());
        answer
    }

    /// A client without any identity in it: the token travels with each request. Making one costs a
    /// few allocations; what is expensive, the connections, is in the shared transport.
    fn client(&self, object: &ObjectPlan) -> Result<Client, VaultError> {
        let url = object.vault.as_str();
        let client_options = ClientOptions {
            per_try_policies: vec![Arc::new(Bearer::new(object.vault.clone()))],
            transport: Some(self.transport.clone()),
            retry: RetryOptions::none(),
            user_agent: UserAgentOptions { application_id: self.application_id.clone() },
            ..ClientOptions::default()
        };
        let nobody = Arc::new(NoCredential);
        let client = match object.kind {
            ObjectKind::Secret => {
                let options = SecretClientOptions { client_options, ..SecretClientOptions::default() };
                SecretClient::new(url, nobody, Some(options)).map(Client::Secrets)
            }
            ObjectKind::Key => {
                let options = KeyClientOptions { client_options, ..KeyClientOptions::default() };
                KeyClient::new(url, nobody, Some(options)).map(Client::Keys)
            }
            ObjectKind::Certificate => {
                let options =
                    CertificateClientOptions { client_options, ..CertificateClientOptions::default() };
                CertificateClient::new(url, nobody, Some(options)).map(Client::Certificates)
            }
        };
        client.map_err(|error| VaultError::of(object, Failure::Malformed(error.to_string())))
    }
}

enum Client {
    Secrets(SecretClient),
    Keys(KeyClient),
    Certificates(CertificateClient),
}

struct Observed<'a> {
    metrics: &'a Metrics,
    start: Instant,
    object_type: &'static str,
    class: &'static str,
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        self.metrics.keyvault_request(self.object_type, self.class, self.start.elapsed());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
