//! Token exchange: a service account token in, an access token of Entra out.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{ClientMethodOptions, ClientOptions, Context, Request, RetryOptions, StatusCode};
use azure_identity::{ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions};
use serde::Deserialize;
use url::Url;

use super::error::{IdentityError, Refusal};
use crate::clock::Clock;
use crate::plan::WorkloadIdentity;
use crate::retry::{Deadline, retrying};
use crate::secret::SecretText;
use crate::transport;

/// An access token for Key Vault.
#[derive(Debug)]
pub struct AccessToken {
    text: SecretText,
    /// When Entra stops vouching for it.
    pub(super) expires: SystemTime,
    /// When it was issued to us.
    pub(super) acquired: SystemTime,
}

impl AccessToken {
    /// The token itself, for the `Authorization` header.
    pub fn secret(&self) -> &SecretText {
        &self.text
    }

    #[cfg(test)]
    pub(super) fn fake(text: &str, acquired: SystemTime, life: Duration) -> Self {
        Self { text: SecretText::new(text.to_owned()), expires: acquired + life, acquired }
    }
}

/// All attempts of one exchange end within this time, however long their caller would wait.
const LONGEST: Duration = Duration::from_secs(20);

/// Exchanges tokens at Entra. Remembers nothing: every exchange is a proof of the token it sent.
#[derive(Clone, Debug)]
pub struct Exchange {
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
}

impl Exchange {
    /// Exchanges over `client`.
    pub fn new(client: reqwest::Client, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock }
    }

    /// Sends the identity's own token to `authority` and returns what Entra gives for `scope`.
    ///
    /// # Errors
    /// Entra's refusal, or the last reason why it could not be asked before the deadline.
    pub async fn exchange(
        &self,
        identity: &WorkloadIdentity,
        authority: &Url,
        scope: &str,
        deadline: Deadline,
    ) -> Result<AccessToken, IdentityError> {
        let deadline = deadline.min(Deadline::after(LONGEST));
        let late = || IdentityError::late(authority);
        retrying(deadline, late, || self.attempt(identity, authority, scope)).await
    }

    async fn attempt(
        &self,
        identity: &WorkloadIdentity,
        authority: &Url,
        scope: &str,
    ) -> Result<AccessToken, IdentityError> {
        let host = authority.host_str().unwrap_or_default();
        let assertion = Assertion(SecretText::new(identity.token.expose().to_owned()));
        // A credential of its own for every exchange: it keeps its access token in itself, and a
        // kept one would prove nothing of this pod's token.
        let credential = ClientAssertionCredential::new(
            identity.tenant.as_str().to_owned(),
            identity.client.as_str().to_owned(),
            assertion,
            Some(ClientAssertionCredentialOptions { client_options: self.options(identity, authority) }),
        )
        .map_err(|error| unreachable(host, error.to_string()))?;
        let acquired = self.clock.now();
        let token =
            credential.get_token(&[scope], None).await.map_err(|error| classify(identity, host, &error))?;
        // The SDK reckons the expiry from the machine's clock; only the life counts here.
        let life = SystemTime::from(token.expires_on).duration_since(SystemTime::now()).unwrap_or_default();
        let text = SecretText::new(token.token.secret().to_owned());
        Ok(AccessToken { text, expires: acquired + life, acquired })
    }

    fn options(&self, identity: &WorkloadIdentity, authority: &Url) -> ClientOptions {
        let mut policies: Vec<Arc<dyn Policy>> = vec![Arc::new(Refusals)];
        if identity.tenant.is_adfs() {
            policies.insert(0, Arc::new(AdfsPath));
        }
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = authority.to_string();
        ClientOptions {
            cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
            transport: Some(transport::azure(&self.client)),
            retry: RetryOptions::none(),
            per_try_policies: policies,
            ..ClientOptions::default()
        }
    }
}

#[derive(Debug)]
struct Assertion(SecretText);

#[async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose().to_owned())
    }
}

/// AD FS serves its tokens elsewhere than the SDK asks for them.
#[derive(Debug)]
struct AdfsPath;

#[async_trait]
impl Policy for AdfsPath {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        request.url_mut().set_path("/adfs/oauth2/token");
        transport::send(ctx, request, next).await
    }
}

/// Reads refusals before the SDK does. Left alone, it would report a gateway's HTML page as broken
/// JSON, and so a description with an escaped character, which Entra's often have.
#[derive(Debug)]
struct Refusals;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error_codes: Vec<u64>,
    error_description: String,
}

#[async_trait]
impl Policy for Refusals {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let response = transport::send(ctx, request, next).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let response = response.try_into_raw_response().await?;
        let refused: Refused = response.body().json().unwrap_or_default();
        let code = refused.error_codes.first().map(u64::to_string);
        let kind =
            ErrorKind::HttpResponse { status, error_code: code, raw_response: Some(Box::new(response)) };
        Err(azure_core::Error::with_message(kind, refused.error_description))
    }
}

/// Codes with which Entra says that it, not the identity, has a problem.
const ENTRA_TROUBLE: [&str; 5] = ["90033", "90036", "90012", "50196", "50053"];

fn classify(identity: &WorkloadIdentity, host: &str, error: &azure_core::Error) -> IdentityError {
    // The credential wraps what the pipeline said.
    let inner =
        error.get_ref().and_then(|source| source.downcast_ref::<azure_core::Error>()).unwrap_or(error);
    match inner.kind() {
        ErrorKind::HttpResponse { status, error_code, raw_response } => {
            let code = error_code.clone().unwrap_or_default();
            let decided = status.is_client_error()
                && !matches!(status, StatusCode::TooManyRequests | StatusCode::RequestTimeout);
            if decided && !code.is_empty() && !ENTRA_TROUBLE.contains(&code.as_str()) {
                return IdentityError::Refused(Box::new(Refusal::new(identity, code, &inner.to_string())));
            }
            let retry_after =
                raw_response.as_ref().and_then(|response| transport::retry_after(response.headers()));
            let reason = format!("HTTP status {status} {code}").trim().to_owned();
            IdentityError::Unreachable { authority: host.to_owned(), reason, retry_after }
        }
        ErrorKind::DataConversion => {
            unreachable(host, "its answer is not what a token endpoint gives".to_owned())
        }
        _ => unreachable(host, transport::root_cause(inner)),
    }
}

fn unreachable(host: &str, reason: String) -> IdentityError {
    IdentityError::Unreachable { authority: host.to_owned(), reason, retry_after: None }
}
