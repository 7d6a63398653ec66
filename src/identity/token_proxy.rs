//! The token proxy of AKS (identity binding): Entra's token endpoint, reached through the cluster.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use azure_core::http::headers::HeaderName;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};
use data_encoding::BASE32HEX_NOPAD;
use reqwest::tls::TlsInfo;
use tokio::time::timeout;
use url::Url;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::flight::Flights;
use crate::tenant::Tenant;
use crate::transport;

/// Lifetime of a route: the proxy's addresses may change.
const ROUTE_LIFETIME: Duration = Duration::from_mins(10);
/// How long a failure is cached, so that mounts do not fail one after another.
const FAILURE_LIFETIME: Duration = Duration::from_secs(5);
/// Timeout for setting up a route.
const ATTEMPT: Duration = Duration::from_secs(5);

/// The token proxy and how to reach it.
#[derive(Debug)]
pub struct TokenProxy {
    url: Url,
    server_name: Option<String>,
    ca_file: PathBuf,
    /// Attempts to set up a route, by the cluster's CA at that time.
    routes: Flights<Vec<u8>, Result<Route, String>>,
}

/// A client that connects to the proxy under its server name, and the policy that sends Entra's requests
/// to it.
type Route = (reqwest::Client, Rewrite);

fn remember(route: &Result<Route, String>) -> Duration {
    if route.is_ok() { ROUTE_LIFETIME } else { FAILURE_LIFETIME }
}

impl TokenProxy {
    /// The default URL.
    pub const URL: &str = "https://kubernetes.default.svc.cluster.local";

    /// The proxy at `url`, with a certificate of the CA in `ca_file`. Without `server_name`, the name is computed from
    /// the API server's certificate.
    pub fn new(url: Url, server_name: Option<String>, ca_file: PathBuf) -> Self {
        Self { url, server_name, ca_file, routes: Flights::remembering(remember) }
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The route to the proxy, set up again when the CA changes.
    pub(super) async fn route(self: &Arc<Self>) -> Result<Route, String> {
        let file = self.ca_file.display();
        let ca = tokio::fs::read(&self.ca_file)
            .await
            .map_err(|error| format!("the cluster's CA {file}: {error}"))?;
        let (flight, _) = self.routes.join_or_start(ca.clone(), &Tenant::new(""), |_| {
            let proxy = Arc::clone(self);
            async move {
                let made = timeout(ATTEMPT, proxy.make(&ca)).await;
                made.unwrap_or_else(|_| Err("no answer in time".to_owned()))
            }
        });
        flight.await
    }

    async fn make(&self, ca: &[u8]) -> Result<Route, String> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => self.computed_server_name(ca).await?,
        };
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.url.port_or_known_default().unwrap_or(443);
        let addresses = tokio::net::lookup_host((host, port)).await;
        let addresses = addresses.map_err(|error| format!("{host}: {error}"))?.collect::<Vec<SocketAddr>>();
        // TLS uses the server name for SNI and verification; DNS does not resolve it.
        let builder = Self::builder(ca)?.http1_only().resolve_to_addrs(&name, &addresses);
        let client = builder.build().map_err(|error| transport::root_cause(&error))?;
        let mut to = self.url.clone();
        to.set_host(Some(&name)).map_err(|_| format!("{name:?} is not a server name"))?;
        Ok((client, Rewrite { to, authority: Arc::from(self.url.authority()) }))
    }

    fn builder(ca: &[u8]) -> Result<reqwest::ClientBuilder, String> {
        let roots = reqwest::Certificate::from_pem_bundle(ca);
        let roots = roots.map_err(|error| format!("the cluster's CA: {}", transport::root_cause(&error)))?;
        Ok(transport::builder().no_proxy().tls_certs_only(roots))
    }

    /// The server name of the cluster's own proxy, computed from the name in the API server's certificate.
    async fn computed_server_name(&self, ca: &[u8]) -> Result<String, String> {
        let client =
            Self::builder(ca)?.tls_info(true).build().map_err(|error| transport::root_cause(&error))?;
        let response =
            client.get(self.url.clone()).send().await.map_err(|error| transport::root_cause(&error))?;
        let certificate = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
        certificate.and_then(cluster_id).map(|id| server_name(&id)).ok_or_else(|| {
            "the API server's certificate has no name hcp-kubernetes.<id>.svc.cluster.local; set --sni-name"
                .to_owned()
        })
    }
}

/// The id in the first DNS name of the form `hcp-kubernetes.<id>.svc.cluster.local`.
fn cluster_id(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| {
        let GeneralName::DNSName(name) = name else { return None };
        let id = name.strip_prefix("hcp-kubernetes.")?.strip_suffix(".svc.cluster.local")?;
        (!id.is_empty() && !id.contains('.')).then(|| id.to_owned())
    })
}

fn server_name(cluster_id: &str) -> String {
    let hash = digest(&SHA256, format!("identity-binding{cluster_id}").as_bytes());
    format!("a{}.ests.aks", BASE32HEX_NOPAD.encode(hash.as_ref()).to_lowercase())
}

/// Sends Entra's requests to the proxy: scheme, host and path prefix are the proxy's; the request's path is appended
/// and its query kept.
#[derive(Clone, Debug)]
pub(super) struct Rewrite {
    to: Url,
    /// For the `Host` header, because the URL's host is the server name.
    authority: Arc<str>,
}

#[async_trait]
impl Policy for Rewrite {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let mut url = self.to.clone();
        url.set_path(&format!("{}{}", self.to.path().trim_end_matches('/'), request.url().path()));
        url.set_query(request.url().query());
        *request.url_mut() = url;
        request.insert_header(HeaderName::from_static("host"), self.authority.to_string());
        transport::send(ctx, request, next).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_name_is_the_hash_of_the_clusters_id() {
        let name = server_name("0123456789abcdef");
        // Computed with Python's hashlib and base64.
        assert_eq!(name, "arpmu42rfss2aagac5mnjjq7ginogh09jprkj0g82ua1k7u95bc3g.ests.aks");
        assert!(name.starts_with('a') && name.ends_with(".ests.aks"), "{name}");
        // 256 bits in base32 digits.
        assert_eq!(name.len(), 1 + 52 + ".ests.aks".len());
        assert!(name[1..53].bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v')), "{name}");
        assert_ne!(name, server_name("0123456789abcdee"));
    }
}
