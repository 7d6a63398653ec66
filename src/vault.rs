//! Key Vault: fetching what the plan names.

mod answer;
mod bearer;
mod certificates;
mod challenge;
mod error;
mod keys;
mod secrets;
#[cfg(test)]
mod tests;
mod versions;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use azure_core::http::{ClientOptions, RetryOptions, UserAgentOptions};
use azure_security_keyvault_certificates::{CertificateClient, CertificateClientOptions};
use azure_security_keyvault_keys::{KeyClient, KeyClientOptions};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use lru::LruCache;
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub use error::{Denial, Failure, VaultError};

use crate::bounded::bounded;
use crate::plan::{Endpoints, History, ObjectKind, ObjectPlan, VaultUrl};
use crate::retry::{Deadline, retrying};
use crate::secret::{SecretBytes, SecretText};
use crate::telemetry::Metrics;
use crate::transport;
use bearer::{Bearer, NoCredential};

/// More vaults than pods of one node name; a forgotten one is challenged again.
const VAULTS: usize = 256;

/// One version of an object, as a vault gave it.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The version.
    pub version: String,
    /// What it holds.
    pub content: Content,
}

impl Fetched {
    /// Whether making a file of it takes more than copying.
    pub fn is_costly(&self) -> bool {
        matches!(self.content, Content::Secret { backs_certificate: true, .. })
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let content = match &self.content {
            Content::Secret { text, content_type, .. } => {
                text.len() + content_type.as_ref().map_or(0, String::len)
            }
            Content::Key(material) => {
                let KeyMaterial { curve, modulus, exponent, x, y } = material.as_ref();
                let numbers = [modulus, exponent, x, y].into_iter().flatten().map(Vec::len).sum::<usize>();
                numbers + curve.as_ref().map_or(0, String::len)
            }
            Content::Certificate(certificate) => certificate.len(),
        };
        content + self.version.len()
    }
}

/// What an object holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// A secret.
    Secret {
        /// Its text.
        text: SecretBytes,
        /// What its owner says it is, for example `application/x-pkcs12`.
        content_type: Option<String>,
        /// Whether it backs a certificate of the vault.
        backs_certificate: bool,
    },
    /// The public part of a key.
    Key(Box<KeyMaterial>),
    /// A certificate, DER.
    Certificate(Vec<u8>),
}

/// The public part of a key (RFC 7517): numbers are big-endian.
#[derive(Clone, Debug)]
pub struct KeyMaterial {
    /// `P-256`, `P-384`, `P-521` or `P-256K` of an elliptic curve key.
    pub curve: Option<String>,
    /// The modulus of an RSA key.
    pub modulus: Option<Vec<u8>>,
    /// The public exponent of an RSA key.
    pub exponent: Option<Vec<u8>>,
    /// The point of an elliptic curve key.
    pub x: Option<Vec<u8>>,
    /// The point of an elliptic curve key.
    pub y: Option<Vec<u8>>,
}

/// Versions of one object that are fetched at the same time.
const VERSIONS_AT_ONCE: usize = 4;

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
        let resources = Mutex::new(bounded(VAULTS));
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

    /// Fetches one object with an access token, trying again while that makes sense: one version, or
    /// those of its history, the newest first.
    ///
    /// # Errors
    /// [`VaultError`], the last one if there were several attempts.
    pub async fn fetch(
        &self,
        object: &ObjectPlan,
        token: Option<&SecretText>,
        deadline: Deadline,
    ) -> Result<Vec<Fetched>, VaultError> {
        let Some(history) = object.history else {
            let fetched = self.fetch_version(object, object.version.exact(), token, deadline).await?;
            return Ok(vec![fetched]);
        };
        let versions = self.versions(object, history, token, deadline).await?;
        let fetches =
            versions.iter().map(|version| self.fetch_version(object, Some(version), token, deadline));
        stream::iter(fetches.collect::<Vec<_>>()).buffered(VERSIONS_AT_ONCE).try_collect().await
    }

    async fn fetch_version(
        &self,
        object: &ObjectPlan,
        version: Option<&str>,
        token: Option<&SecretText>,
        deadline: Deadline,
    ) -> Result<Fetched, VaultError> {
        let client = self.client(object)?;
        let late = || VaultError::of(object, Failure::TimedOut);
        retrying(deadline, late, || {
            self.observed(object, async {
                match &client {
                    Client::Secrets(client) => secrets::get(client, object, version, token).await,
                    Client::Keys(client) => keys::get(client, object, version, token).await,
                    Client::Certificates(client) => certificates::get(client, object, version, token).await,
                }
            })
        })
        .await
    }

    async fn versions(
        &self,
        object: &ObjectPlan,
        history: History,
        token: Option<&SecretText>,
        deadline: Deadline,
    ) -> Result<Vec<String>, VaultError> {
        let client = self.client(object)?;
        let late = || VaultError::of(object, Failure::TimedOut);
        let versions = retrying(deadline, late, || {
            self.observed(object, async {
                match &client {
                    Client::Secrets(client) => secrets::versions(client, object, token).await,
                    Client::Keys(client) => keys::versions(client, object, token).await,
                    Client::Certificates(client) => certificates::versions(client, object, token).await,
                }
            })
        });
        versions::choose(versions.await?, object, history)
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
            transport: Some(transport::azure(&self.client)),
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
        client.map_err(|error| VaultError::of(object, Failure::Garbled(error.to_string())))
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
