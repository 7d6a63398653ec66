//! Key Vault: fetching what the plan names.

mod bearer;
mod challenge;
mod error;
mod secrets;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azure_core::http::{ClientOptions, RetryOptions, UserAgentOptions};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use lru::LruCache;
use tokio::sync::OnceCell;

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
    /// it; another vault is challenged for it, once in the life of this process.
    ///
    /// # Errors
    /// What the vault answers instead of a challenge, or a challenge that no token may follow.
    pub async fn resource(
        &self,
        object: &ObjectPlan,
        endpoints: &Endpoints,
        deadline: Deadline,
    ) -> Result<String, VaultError> {
        if let Some(resource) =
            endpoints.vault_resource.as_deref().filter(|known| object.vault.belongs_to(known))
        {
            return Ok(resource.to_owned());
        }
        let cell = self
            .resources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(object.vault.authority().to_owned(), Arc::default)
            .clone();
        // Another mount, with more time, may be at it.
        let resource = cell.get_or_try_init(|| self.challenge(object, deadline));
        match deadline.limit(resource).await {
            Some(resource) => resource.cloned(),
            None => Err(VaultError::of(object, Failure::TimedOut)),
        }
    }

    async fn challenge(&self, object: &ObjectPlan, deadline: Deadline) -> Result<String, VaultError> {
        let failure = match self.fetch(object, None, deadline).await {
            Err(error) => match error.failure {
                Failure::Unauthorized { resource: Some(resource) } => return Ok(resource),
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
        let attempts = retrying(deadline, || self.attempt(&client, object, token));
        deadline.limit(attempts).await.unwrap_or_else(|| Err(VaultError::of(object, Failure::TimedOut)))
    }

    async fn attempt(
        &self,
        client: &SecretClient,
        object: &ObjectPlan,
        token: Option<&SecretText>,
    ) -> Result<Fetched, VaultError> {
        let start = tokio::time::Instant::now();
        let fetched = secrets::get(client, object, token).await;
        let class = fetched.as_ref().err().map_or("", |error| error.failure.class());
        self.metrics.keyvault_request("secret", class, start.elapsed());
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

/// The longest time that a server may ask to be left alone and still be believed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
