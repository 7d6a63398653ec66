//! The API server of the cluster: the issuer's keys, and service accounts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::secret::{SecretBytes, SecretText};
use crate::transport;

/// How a pod reaches the API server.
#[derive(Clone, Debug)]
pub struct ClusterApi {
    /// `https://<host>:<port>`, from `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`.
    pub server: String,
    /// The directory with the provider's own `token` and `ca.crt`.
    pub credentials: PathBuf,
}

/// Why a document could not be fetched from the API server or a key server.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The server answered with an error.
    #[error("HTTP status {status} from {url}")]
    Status { status: reqwest::StatusCode, url: String },
    /// There was no answer, or it cannot be parsed.
    #[error("{0}")]
    Other(String),
}

impl FetchError {
    /// Whether the server denied the request, and did not only fail.
    pub(super) fn is_decision(&self) -> bool {
        matches!(self, Self::Status { status, .. } if matches!(status.as_u16(), 401 | 403 | 404))
    }

    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::Status { .. })
    }
}

impl From<String> for FetchError {
    fn from(reason: String) -> Self {
        Self::Other(reason)
    }
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        Self::Other(transport::root_cause(&error))
    }
}

const LARGEST_DOCUMENT: usize = 1 << 20;

/// Fetches a small document.
pub(super) async fn fetch(request: reqwest::RequestBuilder) -> Result<Vec<u8>, FetchError> {
    let mut response = request.send().await?;
    let url = response.url().to_string();
    if !response.status().is_success() {
        return Err(FetchError::Status { status: response.status(), url });
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        document.extend_from_slice(&chunk);
        if document.len() > LARGEST_DOCUMENT {
            return Err(FetchError::Other(format!("{url} is larger than {LARGEST_DOCUMENT} bytes")));
        }
    }
    Ok(document)
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

#[derive(Deserialize)]
struct ServiceAccount {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl ClusterApi {
    /// The issuer, and its keys as a JSON Web Key Set. The default cluster role
    /// `system:service-account-issuer-discovery` lets every service account read both.
    pub(super) async fn keys(&self) -> Result<(String, Vec<u8>), FetchError> {
        let api = self.api().await?;
        let discovery = fetch(api.request("/.well-known/openid-configuration")).await?;
        let discovery: Discovery = serde_json::from_slice(&discovery)
            .map_err(|_| "the API server's OpenID configuration has no issuer".to_owned())?;
        // Not from the document's `jwks_uri`, which may be a public copy that lags behind.
        let keys = fetch(api.request("/openid/v1/jwks")).await?;
        Ok((discovery.issuer, keys))
    }

    pub(super) async fn annotations(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<BTreeMap<String, String>, FetchError> {
        let api = self.api().await?;
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}");
        let account = fetch(api.request(&path)).await?;
        let account: ServiceAccount = serde_json::from_slice(&account)
            .map_err(|_| "the API server's answer is not a ServiceAccount".to_owned())?;
        Ok(account.metadata.annotations)
    }

    /// Reads token and CA on each call, because kubelet replaces them.
    async fn api(&self) -> Result<ApiClient, String> {
        let token = SecretBytes::new(self.read("token").await?);
        let token = std::str::from_utf8(token.expose())
            .map_err(|_| "the provider's service account token is not valid UTF-8".to_owned())?;
        let token = SecretText::new(token.trim().to_owned());
        let roots = reqwest::Certificate::from_pem_bundle(&self.read("ca.crt").await?)
            .map_err(|error| format!("the cluster's CA: {}", transport::root_cause(&error)))?;
        let client = transport::builder().no_proxy().tls_certs_only(roots).build();
        let client = client.map_err(|error| transport::root_cause(&error))?;
        Ok(ApiClient { client, token, server: self.server.clone() })
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = self.credentials.join(name);
        tokio::fs::read(&path).await.map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// A client of the API server with the provider's credentials.
struct ApiClient {
    client: reqwest::Client,
    token: SecretText,
    server: String,
}

impl ApiClient {
    fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("{}{path}", self.server)).bearer_auth(self.token.expose())
    }
}
