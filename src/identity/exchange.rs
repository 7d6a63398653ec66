//! Exchanges a credential for an access token.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::http::policies::Policy;
use azure_core::http::{ClientMethodOptions, ClientOptions, RetryOptions, Transport};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId,
};
use tokio::time::Instant;
use url::Url;

use super::answer::TokenEndpoint;
use super::certificate::ClientCertificate;
use super::error::IdentityError;
use super::policies::{ADFS_PATH, AdfsPath, NodeEndpoint, Refusals};
use super::token_proxy::TokenProxy;
use crate::clock::Clock;
use crate::fair::{FairQueue, Party};
use crate::plan::{ClientCredential, Identity, ServicePrincipal, TenantId, TokenExchange};
use crate::secret::SecretText;
use crate::telemetry::milliseconds_since;
use crate::transport;

/// An access token for Key Vault.
#[derive(Debug)]
pub struct AccessToken {
    text: SecretText,
    pub(super) expires: SystemTime,
    /// When it was issued.
    pub(super) acquired: SystemTime,
}

impl AccessToken {
    /// The token itself, for the `Authorization` header.
    pub fn secret(&self) -> &SecretText {
        &self.text
    }

    /// A token that was issued at `acquired` and is valid for `life`.
    pub fn new(text: SecretText, acquired: SystemTime, life: Duration) -> Self {
        Self { text, expires: acquired + life, acquired }
    }
}

/// The default endpoint of the Azure Instance Metadata Service, which issues tokens of managed identities.
pub const IMDS: &str = "http://169.254.169.254/";

/// Gets tokens from Entra or the node's metadata service. Caches nothing: each exchange proves the credential that it
/// sends.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Connections to Entra.
    pub entra: Transport,
    /// Connections to the node's metadata service: plain HTTP, never through a proxy.
    pub node: Transport,
    /// [`IMDS`], except in tests.
    pub imds: Url,
    /// The token proxy of AKS.
    pub token_proxy: Arc<TokenProxy>,
    /// Permits for CPU-heavy work.
    pub heavy_work: FairQueue,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// Issues access tokens.
#[async_trait]
pub trait TokenSource: Debug + Send + Sync {
    /// Does the work that all attempts of one exchange share, on behalf of the tenants in `party`. Returns the
    /// assertion that [`Self::token`] sends, if the identity's credential is not sent itself.
    ///
    /// # Errors
    /// If the credential cannot be used.
    async fn prepare(
        &self,
        _identity: &Identity,
        _authority: &Url,
        _party: &Party,
    ) -> Result<Option<SecretText>, IdentityError> {
        Ok(None)
    }

    /// Sends the identity's credential to `authority` once, and returns the access token for `scope`.
    ///
    /// # Errors
    /// Entra's refusal, or why there was no answer.
    async fn token(
        &self,
        identity: &Identity,
        authority: &Url,
        scope: &str,
        assertion: Option<&SecretText>,
    ) -> Result<AccessToken, IdentityError>;
}

#[async_trait]
impl TokenSource for Exchange {
    /// Opens a client certificate and signs an assertion with it.
    async fn prepare(
        &self,
        identity: &Identity,
        authority: &Url,
        party: &Party,
    ) -> Result<Option<SecretText>, IdentityError> {
        let Identity::ServicePrincipal(ServicePrincipal { tenant, client, credential }) = identity else {
            return Ok(None);
        };
        let ClientCredential::Certificate(text) = credential else { return Ok(None) };
        let (text, client) = (text.clone(), client.as_str().to_owned());
        let (endpoint, now) = (token_endpoint(authority, tenant), self.clock.now());
        let permit = self.heavy_work.acquire(party, 1).await;
        let signed = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            ClientCertificate::parse(&text)?.assert(&client, &endpoint, now)
        });
        match signed.await {
            Ok(signed) => signed.map(Some).map_err(IdentityError::Certificate),
            Err(_) => Err(IdentityError::Busy),
        }
    }

    async fn token(
        &self,
        identity: &Identity,
        authority: &Url,
        scope: &str,
        assertion: Option<&SecretText>,
    ) -> Result<AccessToken, IdentityError> {
        let endpoint = match identity {
            Identity::Managed(_) => TokenEndpoint::new("the node's metadata service", &self.imds),
            Identity::Workload(workload) if workload.exchange == TokenExchange::TokenProxy => {
                TokenEndpoint::new("the token proxy", self.token_proxy.url())
            }
            Identity::Workload(_) | Identity::ServicePrincipal(_) => TokenEndpoint::new("Entra", authority),
        };
        let started = Instant::now();
        let credential = self.credential(identity, authority, &endpoint, assertion).await?;
        let acquired = self.clock.now();
        let token = credential.get_token(&[scope], None).await.map_err(|error| {
            let error = endpoint.classify(identity, &error);
            tracing::debug!(%error, milliseconds = milliseconds_since(started), "no access token");
            error
        })?;
        tracing::debug!(from = %endpoint, scope, milliseconds = milliseconds_since(started), "access token granted");
        // The SDK computes the expiry with the machine's clock; only the lifetime is used here.
        let life = SystemTime::from(token.expires_on).duration_since(SystemTime::now()).unwrap_or_default();
        Ok(AccessToken::new(SecretText::new(token.token.secret().to_owned()), acquired, life))
    }
}

impl Exchange {
    /// A new credential for each exchange: an SDK credential caches its access token, and a cached token would not prove
    /// the credential of this request.
    async fn credential(
        &self,
        identity: &Identity,
        authority: &Url,
        endpoint: &TokenEndpoint,
        assertion: Option<&SecretText>,
    ) -> Result<Arc<dyn TokenCredential>, IdentityError> {
        let unusable = |error: azure_core::Error| endpoint.unreachable(error.to_string());
        match identity {
            Identity::Workload(workload) => {
                let mut client_options = self.entra_options(&workload.tenant, authority);
                if workload.exchange == TokenExchange::TokenProxy {
                    let route = self.token_proxy.route().await;
                    let (client, rewrite) = route.map_err(|reason| endpoint.unreachable(reason))?;
                    client_options.transport = Some(transport::azure(&client));
                    client_options.per_try_policies.insert(0, Arc::new(rewrite));
                }
                let token = SecretText::new(workload.token.expose().to_owned());
                let client = workload.client.as_str();
                let credential = assertion_credential(&workload.tenant, client, token, client_options);
                credential.map_err(unusable)
            }
            Identity::ServicePrincipal(principal) => {
                let client_options = self.entra_options(&principal.tenant, authority);
                let (tenant, client) = (&principal.tenant, principal.client.as_str());
                match assertion {
                    Some(assertion) => {
                        assertion_credential(tenant, client, assertion.clone(), client_options)
                            .map_err(unusable)
                    }
                    None => {
                        let secret = principal.credential.text().expose().to_owned().into();
                        let options = Some(ClientSecretCredentialOptions { client_options });
                        ClientSecretCredential::new(tenant.as_str(), client.to_owned(), secret, options)
                            .map(|credential| credential as Arc<dyn TokenCredential>)
                            .map_err(unusable)
                    }
                }
            }
            Identity::Managed(managed) => {
                let user_assigned_id =
                    managed.client.as_ref().map(|id| UserAssignedId::ClientId(id.as_str().to_owned()));
                let client_options = ClientOptions {
                    transport: Some(self.node.clone()),
                    retry: RetryOptions::none(),
                    per_try_policies: vec![Arc::new(NodeEndpoint(self.imds.clone())), Arc::new(Refusals)],
                    ..ClientOptions::default()
                };
                let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
                ManagedIdentityCredential::new(Some(options))
                    .map(|credential| credential as Arc<dyn TokenCredential>)
                    .map_err(unusable)
            }
        }
    }

    fn entra_options(&self, tenant: &TenantId, authority: &Url) -> ClientOptions {
        let mut policies: Vec<Arc<dyn Policy>> = vec![Arc::new(Refusals)];
        if tenant.is_adfs() {
            policies.insert(0, Arc::new(AdfsPath));
        }
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = authority.to_string();
        ClientOptions {
            cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
            transport: Some(self.entra.clone()),
            retry: RetryOptions::none(),
            per_try_policies: policies,
            ..ClientOptions::default()
        }
    }
}

fn assertion_credential(
    tenant: &TenantId,
    client: &str,
    assertion: SecretText,
    client_options: ClientOptions,
) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let options = Some(ClientAssertionCredentialOptions { client_options });
    let (tenant, client) = (tenant.as_str().to_owned(), client.to_owned());
    Ok(ClientAssertionCredential::new(tenant, client, Assertion(assertion), options)?)
}

/// The audience of a client's own assertion.
fn token_endpoint(authority: &Url, tenant: &TenantId) -> String {
    let path = if tenant.is_adfs() {
        ADFS_PATH.to_owned()
    } else {
        format!("/{}/oauth2/v2.0/token", tenant.as_str())
    };
    let mut endpoint = authority.clone();
    endpoint.set_path(&path);
    endpoint.into()
}

#[derive(Debug)]
struct Assertion(SecretText);

#[async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose().to_owned())
    }
}
