//! The one pooled HTTP client that everything shares.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::{HttpClient, Transport};

/// How long a connection may take to be made, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are dropped before Azure's load balancers forget them, after four minutes.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Makes the client. It honours `HTTPS_PROXY` and `NO_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`,
/// speaks TLS only and follows no redirects.
///
/// # Errors
/// If no trusted CA certificate can be loaded.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    builder().build()
}

/// The client's settings, to which a caller may add its own trust.
pub(crate) fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .tcp_keepalive(Duration::from_secs(60))
        .redirect(reqwest::redirect::Policy::none())
        .https_only(true)
}

/// The client as the Azure SDK takes it.
pub(crate) fn azure(client: &reqwest::Client) -> Transport {
    let client: Arc<dyn HttpClient> = Arc::new(client.clone());
    Transport::new(client)
}

/// The end of an error's chain of causes, where the reason is: `Connection refused`, a DNS failure,
/// a certificate that is not trusted.
pub(crate) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
