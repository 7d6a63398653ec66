//! The API server's discovery of its service account issuer, for a provider that runs in a cluster.

use std::path::PathBuf;

use serde::Deserialize;

use super::keys::fetch;
use crate::secret::SecretText;
use crate::transport;

/// The API server as a pod sees it.
#[derive(Clone, Debug)]
pub struct ClusterApi {
    /// `https://<host>:<port>`, from `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`.
    pub server: String,
    /// The directory with the provider's own `token` and `ca.crt`.
    pub credentials: PathBuf,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

impl ClusterApi {
    /// The issuer, and its keys as a JSON Web Key Set. Every service account may read both, by the
    /// default cluster role `system:service-account-issuer-discovery`.
    pub(super) async fn keys(&self) -> Result<(String, Vec<u8>), String> {
        // Token and CA are read anew each time: kubelet replaces them.
        let token = SecretText::new(String::from_utf8_lossy(&self.read("token").await?).trim().to_owned());
        let roots = reqwest::Certificate::from_pem_bundle(&self.read("ca.crt").await?)
            .map_err(|error| format!("the cluster's CA: {}", transport::root_cause(&error)))?;
        let client = transport::builder()
            .no_proxy()
            .tls_certs_only(roots)
            .build()
            .map_err(|error| transport::root_cause(&error))?;
        let request = |path: &str| client.get(format!("{}{path}", self.server)).bearer_auth(token.expose());
        let discovery = fetch(request("/.well-known/openid-configuration")).await?;
        let discovery: Discovery = serde_json::from_slice(&discovery)
            .map_err(|_| "the API server's OpenID configuration names no issuer".to_owned())?;
        // Not the document's `jwks_uri`: that may be a public copy elsewhere, which can lag behind.
        let keys = fetch(request("/openid/v1/jwks")).await?;
        Ok((discovery.issuer, keys))
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = self.credentials.join(name);
        tokio::fs::read(&path).await.map_err(|error| format!("{}: {error}", path.display()))
    }
}
