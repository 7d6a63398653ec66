//! Key Vault: fetching what the plan names.

mod bearer;
mod challenge;
mod error;
mod secrets;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use azure_core::http::{ClientOptions, RetryOptions, UserAgentOptions};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use lru::LruCache;
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub use error::{Denial, Failure, VaultError};
pub use secrets::Fetched;

use crate::plan::{Endpoints, ObjectPlan, VaultUrl};
use crate::retry::{Deadline, retrying};
use crate::secret::SecretText;
use crate::telemetry::Metrics;
use crate::transport;
use bearer::{Bearer, NoCredential};

/// More vaults than pods of one node name; a forgotten one is challenged again.
const VAULTS: usize = 256;

/// All vaults, over one pooled client.
#[derive(Debug)]
pub struct Vaults {
    client: reqwest::Client,
    application_id: Option<String>,
    metrics: Arc<Metrics>,
    /// The resources that vaults asked tokens for, where the cloud does not say them.
    resources: Mutex<LruCache<String, Arc<OnceCell<String>>>>,
}

impl Vaults {
    /// Vaults over `client`. `application_id` goes before the SDK's user agent.
    pub fn new(client: reqwest::Client, application_id: Option<String>, metrics: Arc<Metrics>) -> Self {
        let resources = Mutex::new(LruCache::new(NonZeroUsize::new(VAULTS).unwrap_or(NonZeroUsize::MIN)));
        Self { client, application_id, metrics, resources }
    }

    /// The resource to ask an access token for, so that `object`'s vault takes it. Known clouds say
    /// it; another vault is challenged for it, once in the life of this process. Only for a `proven`
    /// request is that remembered, or waited for together with others.
    ///
    /// # Errors
    /// What the vault answers instead of a challenge, or a challenge that no token may follow.
    pub async fn resource(
        &self,
        object: &ObjectPlan,
        endpoints: &Endpoints,
        proven: bool,
        deadline: Deadline,
    ) -> Result<String, VaultError> {
        if let Some(resource) =
            endpoints.vault_resource.as_deref().filter(|known| object.vault.belongs_to(known))
        {
            return Ok(resource.to_owned());
        }
        let key = object.vault.authority();
        let known = lock(&self.resources).get(key).and_then(|cell| cell.get().cloned());
        if let Some(resource) = known.filter(|known| object.vault.belongs_to(known)) {
            return Ok(resource);
        }
        if !proven {
            return self.challenge(object, deadline).await;
        }
        let cell = Arc::clone(lock(&self.resources).get_or_insert(key.to_owned(), Arc::default));
        let resource = cell.get_or_try_init(|| self.challenge(object, deadline));
        match deadline.limit(resource).await {
            Some(resource) => resource.cloned(),
            None => Err(VaultError::of(object, Failure::TimedOut)),
        }
    }

    /// Remembers what a vault asked of a request that has been proven since.
    pub fn learn(&self, vault: &VaultUrl, resource: &str) {
        let mut resources = lock(&self.resources);
        let cell = resources.get_or_insert(vault.authority().to_owned(), Arc::default);
        // Whoever was first has learned the same.
        let _ = cell.set(resource.to_owned());
    }

    async fn challenge(&self, object: &ObjectPlan, deadline: Deadline) -> Result<String, VaultError> {
        let failure = match self.fetch(object, None, deadline).await {
            Err(error) => match error.failure {
                Failure::Unauthorized { resource: Some(resource) } => return Ok(resource),
                Failure::Unauthorized { resource: None } => {
                    Failure::Garbled("it refuses a request without a token, and asks for none".to_owned())
                }
                failure => failure,
            },
            Ok(_) => Failure::Garbled("it gave a secret to someone without a token".to_owned()),
        };
        Err(VaultError::of(object, failure))
    }

    /// Fetches one object with an access token, trying again while that makes sense.
    ///
    /// # Errors
    /// [`VaultError`], the last one if there were several attempts.
    pub async fn fetch(
        &self,
        object: &ObjectPlan,
        token: Option<&SecretText>,
        deadline: Deadline,
    ) -> Result<Fetched, VaultError> {
        let client = self.secret_client(&object.vault).map_err(|error| VaultError::of(object, error))?;
        let late = || VaultError::of(object, Failure::TimedOut);
        retrying(deadline, late, || self.attempt(&client, object, token)).await
    }

    async fn attempt(
        &self,
        client: &SecretClient,
        object: &ObjectPlan,
        token: Option<&SecretText>,
    ) -> Result<Fetched, VaultError> {
        // An attempt that is cut off was a request all the same.
        let mut observed =
            Observed { metrics: &self.metrics, start: Instant::now(), class: Failure::TimedOut.class() };
        let fetched = secrets::get(client, object, token).await;
        observed.class = fetched.as_ref().err().map_or("", |error| error.failure.class());
        fetched
    }

    /// A client without any identity in it: the token travels with each request. Making one costs a
    /// few allocations; what is expensive, the connections, is in the shared transport.
    fn secret_client(&self, vault: &VaultUrl) -> Result<SecretClient, Failure> {
        let client_options = ClientOptions {
            per_try_policies: vec![Arc::new(Bearer::new(vault.clone()))],
            transport: Some(transport::azure(&self.client)),
            retry: RetryOptions::none(),
            user_agent: UserAgentOptions { application_id: self.application_id.clone() },
            ..ClientOptions::default()
        };
        let options = SecretClientOptions { client_options, ..SecretClientOptions::default() };
        SecretClient::new(vault.as_str(), Arc::new(NoCredential), Some(options))
            .map_err(|error| Failure::Garbled(error.to_string()))
    }
}

struct Observed<'a> {
    metrics: &'a Metrics,
    start: Instant,
    class: &'static str,
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        self.metrics.keyvault_request("secret", self.class, self.start.elapsed());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
