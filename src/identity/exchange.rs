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
        let attempts = retrying(deadline, || self.attempt(identity, authority, scope));
        deadline.limit(attempts).await.unwrap_or_else(|| Err(IdentityError::late(authority)))
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
            Some(ClientAssertionCredentialOptions { client_options: self.options(authority) }),
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

    fn options(&self, authority: &Url) -> ClientOptions {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = authority.to_string();
        ClientOptions {
            cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
            transport: Some(transport::azure(&self.client)),
            retry: RetryOptions::none(),
            per_try_policies: vec![Arc::new(StatusFirst)],
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

/// Reports a failing server by its status. Left alone, the SDK would try to read JSON from a
/// gateway's HTML page and report that.
#[derive(Debug)]
struct StatusFirst;

#[async_trait]
impl Policy for StatusFirst {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let Some((policy, rest)) = next.split_first() else {
            return Err(azure_core::Error::with_message(ErrorKind::Other, "the pipeline has no transport"));
        };
        let response = policy.send(ctx, request, rest).await?;
        let status = response.status();
        if status.is_server_error()
            || matches!(status, StatusCode::TooManyRequests | StatusCode::RequestTimeout)
        {
            let kind = ErrorKind::HttpResponse { status, error_code: None, raw_response: None };
            return Err(azure_core::Error::with_message(kind, format!("HTTP status {status}")));
        }
        Ok(response)
    }
}

/// Codes with which Entra says that it, not the identity, has a problem.
const ENTRA_TROUBLE: [&str; 5] = ["90033", "90036", "90012", "50196", "50053"];

fn classify(identity: &WorkloadIdentity, host: &str, error: &azure_core::Error) -> IdentityError {
    // The credential wraps what the pipeline said.
    let inner =
        error.get_ref().and_then(|source| source.downcast_ref::<azure_core::Error>()).unwrap_or(error);
    match inner.kind() {
        ErrorKind::HttpResponse { status, error_code, .. } => {
            let code = error_code.clone().unwrap_or_default();
            if status.is_client_error() && !code.is_empty() && !ENTRA_TROUBLE.contains(&code.as_str()) {
                let description = inner.get_ref().map(ToString::to_string).unwrap_or_default();
                return IdentityError::Refused(Box::new(Refusal::new(identity, code, &description)));
            }
            unreachable(host, format!("HTTP status {status} {code}").trim().to_owned())
        }
        ErrorKind::DataConversion => {
            unreachable(host, "its answer is not what a token endpoint gives".to_owned())
        }
        _ => unreachable(host, transport::root_cause(inner)),
    }
}

fn unreachable(host: &str, reason: String) -> IdentityError {
    IdentityError::Unreachable { authority: host.to_owned(), reason }
}
