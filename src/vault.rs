//! Fetches objects from Key Vault.

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

use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure_core::http::{ClientOptions, RetryOptions, Transport, UserAgentOptions};
use azure_security_keyvault_certificates::{CertificateClient, CertificateClientOptions};
use azure_security_keyvault_keys::{KeyClient, KeyClientOptions};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use lru::LruCache;
use tokio::time::Instant;

pub use error::{AccessDenial, VaultError, VaultFailure};
pub use fetched::{Content, FetchedObject, FetchedVersion, KeyMaterial};

use crate::bounded::bounded;
use crate::breaker::Evidence;
use crate::cache::Weigh;
use crate::fair::Party;
use crate::flight::Flights;
use crate::lanes::{Lanes, Limit, Limits, NoAnswer, RequestOptions, ServiceHealth};
use crate::lock::LockUnpoisoned;
use crate::plan::{Endpoints, History, ObjectKind, ObjectPlan, VaultUrl};
use crate::retry::{Deadline, Transient};
use crate::secret::SecretText;
use crate::telemetry::{Metrics, milliseconds_since};
use crate::tenant::Tenant;
use crate::trust::Trust;
use bearer::{Bearer, NoCredential};

/// Concurrent requests, and so connections. Mounts of one vault take turns; four vaults must be slow at once before a
/// fifth one waits.
pub const REQUESTS: Limits = Limits {
    each: Limit { open: 8, reserve: 56 },
    all: Limit { open: 32, reserve: 160 },
    silent: Limit { open: 8, reserve: 48 },
};
/// More vaults than the pods of one node use; an evicted one is challenged again.
const VAULTS: usize = 256;
/// Maximum bytes of one object, including all versions of its history. A hundred of Key Vault's largest
/// secrets have 2.5 million; the driver accepts no more than this in one response.
const LARGEST_OBJECT: usize = 4 << 20;

/// The tenants that a request to a vault is sent for, and its limits.
#[derive(Clone, Copy, Debug)]
pub struct FetchOptions<'a> {
    /// The access token; `None` to be challenged for one.
    pub token: Option<&'a SecretText>,
    /// The trust of the request.
    pub trust: Trust,
    /// The tenants that wait for the answer.
    pub party: &'a Party,
    /// Limit for all attempts together, without the time in queues.
    pub patience: Duration,
    /// The deadline of the mount.
    pub deadline: Deadline,
    /// Whether failed attempts are retried.
    pub retries: bool,
}

/// Versions of one object that are fetched concurrently.
const VERSIONS_AT_ONCE: usize = 4;

/// All vaults, over one HTTP transport.
#[derive(Debug)]
pub struct Vaults {
    transport: Transport,
    application_id: Option<String>,
    metrics: Arc<Metrics>,
    lanes: Lanes<String>,
    /// What trusted requests learned about vaults, by authority.
    learned: Mutex<LruCache<String, VaultInfo>>,
    challenges: Flights<String, Result<String, VaultError>>,
}

/// What is known about one vault.
#[derive(Clone, Debug, Default)]
struct VaultInfo {
    /// The resource that it requests tokens for, if the cloud does not define it.
    resource: Option<String>,
    /// Why it was unavailable last time.
    outage: Option<VaultFailure>,
}

impl Vaults {
    /// Vaults over `transport`. `application_id` is prepended to the SDK's user agent.
    pub fn new(transport: Transport, application_id: Option<String>, metrics: Arc<Metrics>) -> Self {
        Self {
            transport,
            application_id,
            metrics,
            lanes: Lanes::new(REQUESTS),
            learned: Mutex::new(bounded(VAULTS)),
            challenges: Flights::default(),
        }
    }

    /// The resource of the access token for `object`'s vault. Known clouds define it; other vaults are challenged for
    /// it, once while it is remembered. Only the answer to a trusted request is remembered.
    ///
    /// # Errors
    /// The vault's answer if it is not a challenge, or a challenge for a resource that is not the vault's.
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
        let known =
            self.learned.lock_unpoisoned().get(authority).and_then(|learned| learned.resource.clone());
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
            Some(resource) => resource.map_err(|error| error.for_object(object)),
            None => Err(VaultError::of(object, VaultFailure::TimedOut)),
        }
    }

    /// Remembers the resource of a vault, as learned by a trusted request.
    pub(crate) fn learn(&self, vault: &VaultUrl, resource: &str) {
        let mut learned = self.learned.lock_unpoisoned();
        learned.get_or_insert_mut(vault.authority().to_owned(), VaultInfo::default).resource =
            Some(resource.to_owned());
    }

    async fn challenge(
        &self,
        object: &ObjectPlan,
        trust: Trust,
        party: &Party,
        deadline: Deadline,
    ) -> Result<String, VaultError> {
        let options =
            FetchOptions { token: None, trust, party, patience: deadline.left(), deadline, retries: true };
        let failure = match self.fetch(object, options).await {
            Err(error) => match error.failure {
                VaultFailure::Unauthorized { resource: Some(resource) } => return Ok(resource),
                VaultFailure::Unauthorized { resource: None } => VaultFailure::Malformed(
                    "it refuses a request without a token, but sends no challenge".to_owned(),
                ),
                failure => failure,
            },
            Ok(_) => VaultFailure::Malformed("it returned a secret to a request without a token".to_owned()),
        };
        Err(VaultError::of(object, failure))
    }

    /// Fetches one object with an access token, with retries: one version, or the versions of its history, newest
    /// first.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub async fn fetch(
        &self,
        object: &ObjectPlan,
        options: FetchOptions<'_>,
    ) -> Result<FetchedObject, VaultError> {
        // A request without a token is sent to get a challenge.
        let counted = options.token.is_some();
        let fetched = self.fetch_all(object, options).await;
        if counted {
            let failure = fetched.as_ref().err().map(|error| error.failure.class());
            self.metrics.object_fetch(object.kind.name(), failure);
        }
        fetched
    }

    async fn fetch_all(
        &self,
        object: &ObjectPlan,
        options: FetchOptions<'_>,
    ) -> Result<FetchedObject, VaultError> {
        let Some(history) = object.history else {
            let fetched = self.fetch_version(object, object.version.exact(), options).await?;
            return Ok(FetchedObject(vec![fetched]));
        };
        let versions = self.versions(object, history, options).await?;
        let fetches = versions.iter().map(|version| self.fetch_version(object, Some(version), options));
        let mut fetches = stream::iter(fetches.collect::<Vec<_>>()).buffered(VERSIONS_AT_ONCE);
        let mut all = FetchedObject(Vec::with_capacity(versions.len()));
        while let Some(fetched) = fetches.try_next().await? {
            all.0.push(fetched);
            if all.weight() > LARGEST_OBJECT {
                return Err(VaultError::of(object, VaultFailure::TooLarge(LARGEST_OBJECT)));
            }
        }
        Ok(all)
    }

    async fn fetch_version(
        &self,
        object: &ObjectPlan,
        version: Option<&str>,
        options: FetchOptions<'_>,
    ) -> Result<FetchedVersion, VaultError> {
        let (client, token, started) = (self.client(object)?, options.token, Instant::now());
        let fetched = self.send(object, options, || async {
            match &client {
                Client::Secrets(client) => secrets::get(client, object, version, token).await,
                Client::Keys(client) => keys::get(client, object, version, token).await,
                Client::Certificates(client) => certificates::get(client, object, version, token).await,
            }
        });
        let fetched = fetched.await?;
        let ObjectPlan { kind, name, vault, .. } = object;
        let (version, milliseconds) = (&fetched.version, milliseconds_since(started));
        tracing::debug!(%vault, %kind, %name, version, milliseconds, "object fetched");
        Ok(fetched)
    }

    async fn versions(
        &self,
        object: &ObjectPlan,
        history: History,
        options: FetchOptions<'_>,
    ) -> Result<Vec<String>, VaultError> {
        let (client, token) = (self.client(object)?, options.token);
        let versions = self.send(object, options, || async {
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
        options: FetchOptions<'_>,
        request: impl Fn() -> F,
    ) -> Result<T, VaultError> {
        let late = |late| {
            let failure = match late {
                NoAnswer::TimedOut => VaultFailure::TimedOut,
                NoAnswer::Queued => VaultFailure::Queued,
                NoAnswer::Throttled(left) => VaultFailure::Throttled(Some(left)),
                NoAnswer::CircuitOpen(wait) => self.open_for(&object.vault, wait),
            };
            VaultError::of(object, failure)
        };
        let authority = object.vault.authority().to_owned();
        let FetchOptions { token, trust, party, patience, deadline, retries } = options;
        let is_evidence = trust.is_evidence();
        // Boxed: thousands of requests may wait for their turn.
        let request = || {
            Box::pin(async {
                let started = Instant::now();
                let answer = self.count_request(object, request()).await;
                if let (Err(error), Some(_)) = (&answer, token) {
                    tracing::debug!(%error, milliseconds = milliseconds_since(started), "object not fetched");
                }
                if let Err(error) = &answer
                    && is_evidence
                    && error.evidence() == Evidence::Unavailable
                {
                    let mut learned = self.learned.lock_unpoisoned();
                    learned.get_or_insert_mut(authority.clone(), VaultInfo::default).outage =
                        Some(error.failure.clone());
                }
                answer
            })
        };
        let options = RequestOptions { party, is_evidence, patience, deadline, retries };
        self.lanes.send(&authority, options, late, request).await
    }

    /// The failure when the vault's circuit breaker is open.
    pub(crate) fn circuit_open(&self, vault: &VaultUrl) -> VaultFailure {
        self.open_for(vault, Duration::ZERO)
    }

    fn open_for(&self, vault: &VaultUrl, wait: Duration) -> VaultFailure {
        let reason =
            self.learned.lock_unpoisoned().get(vault.authority()).and_then(|learned| learned.outage.clone());
        VaultFailure::CircuitOpen(Box::new(reason.unwrap_or(VaultFailure::TimedOut)), wait)
    }

    /// The health of the vaults that were used last.
    pub(crate) fn health(&self) -> Vec<ServiceHealth<String>> {
        self.lanes.health()
    }

    /// Whether the circuit breaker of `vault` rejects all requests of `tenant` now.
    pub(crate) fn is_down(&self, vault: &VaultUrl, tenant: &Tenant) -> bool {
        self.lanes.is_open(&vault.authority().to_owned(), tenant)
    }

    /// Counts a request, also one that is cancelled.
    async fn count_request<T>(
        &self,
        object: &ObjectPlan,
        request: impl Future<Output = Result<T, VaultError>>,
    ) -> Result<T, VaultError> {
        let class = VaultFailure::TimedOut.class();
        let object_type = object.kind.name();
        let mut timer = RequestTimer { metrics: &self.metrics, start: Instant::now(), object_type, class };
        let answer = request.await;
        timer.class = answer.as_ref().err().map_or("", |error| error.failure.class());
        answer
    }

    /// A client without credentials: the token travels with each request. Creating one costs a few allocations; the
    /// connections are in the shared transport.
    fn client(&self, object: &ObjectPlan) -> Result<Client, VaultError> {
        let url = object.vault.as_str();
        let client_options = ClientOptions {
            per_try_policies: vec![Arc::new(Bearer::new(object.vault.clone()))],
            transport: Some(self.transport.clone()),
            retry: RetryOptions::none(),
            user_agent: UserAgentOptions { application_id: self.application_id.clone() },
            ..ClientOptions::default()
        };
        let credential = Arc::new(NoCredential);
        let client = match object.kind {
            ObjectKind::Secret => {
                let options = SecretClientOptions { client_options, ..SecretClientOptions::default() };
                SecretClient::new(url, credential, Some(options)).map(Client::Secrets)
            }
            ObjectKind::Key => {
                let options = KeyClientOptions { client_options, ..KeyClientOptions::default() };
                KeyClient::new(url, credential, Some(options)).map(Client::Keys)
            }
            ObjectKind::Certificate => {
                let options =
                    CertificateClientOptions { client_options, ..CertificateClientOptions::default() };
                CertificateClient::new(url, credential, Some(options)).map(Client::Certificates)
            }
        };
        client.map_err(|error| VaultError::of(object, VaultFailure::Malformed(error.to_string())))
    }
}

enum Client {
    Secrets(SecretClient),
    Keys(KeyClient),
    Certificates(CertificateClient),
}

struct RequestTimer<'a> {
    metrics: &'a Metrics,
    start: Instant,
    object_type: &'static str,
    class: &'static str,
}

impl Drop for RequestTimer<'_> {
    fn drop(&mut self) {
        self.metrics.keyvault_request(self.object_type, self.class, self.start.elapsed());
    }
}
