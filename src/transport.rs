//! The pooled HTTP client of the process.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::{
    CONTENT_TYPE, HeaderName, Headers, RETRY_AFTER, RETRY_AFTER_MS, X_MS_RETRY_AFTER_MS,
};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{AsyncRawResponse, Context, HttpClient, RawResponse, Request, StatusCode, Transport};
use futures_util::StreamExt;

/// Timeout for a connection, including TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout for the next bytes of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are closed before Azure's load balancers drop them after four minutes.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Creates the client. It honours `HTTPS_PROXY` and `NO_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`,
/// uses TLS only and follows no redirects.
///
/// # Errors
/// If no trusted CA certificate can be loaded.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    builder().build()
}

/// Creates the client for the node's metadata service, which has no TLS and must be reached without a proxy.
///
/// # Errors
/// As [`client`].
pub fn plain_client() -> Result<reqwest::Client, reqwest::Error> {
    // Without TLS, so that the CA certificates are not loaded twice.
    builder().https_only(false).no_proxy().tls_certs_only([]).build()
}

/// The client's settings, to which a caller may add its own CA certificates.
pub(crate) fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .tcp_keepalive(Duration::from_mins(1))
        .redirect(reqwest::redirect::Policy::none())
        .https_only(true)
}

/// The client as a transport of the Azure SDK.
pub fn azure(client: &reqwest::Client) -> Transport {
    let client: Arc<dyn HttpClient> = Arc::new(client.clone());
    Transport::new(client)
}

/// Maximum size of an answer of Key Vault or Entra. A secret has 25 kB at most; escaped and with its tags, it is far
/// smaller than this.
const LARGEST_ANSWER: usize = 256 << 10;

/// Sends a request from this program's last policy down the pipeline, and limits the size of its answer.
pub(crate) async fn send(ctx: &Context<'_>, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
    let Some((policy, rest)) = next.split_first() else {
        return Err(azure_core::Error::with_message(ErrorKind::Other, "the pipeline has no transport"));
    };
    let (status, headers, body) = policy.send(ctx, request, rest).await?.deconstruct();
    let mut left = LARGEST_ANSWER;
    let bounded = body.map(move |chunk| {
        let chunk = chunk?;
        left = left.checked_sub(chunk.len()).ok_or_else(|| {
            azure_core::Error::with_message(ErrorKind::DataConversion, "the answer is too large")
        })?;
        Ok(chunk)
    });
    Ok(AsyncRawResponse::new(status, headers, Box::pin(bounded)))
}

/// Limit for the delay that a server may request.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// The delay that the server requests.
pub(crate) fn retry_after(headers: &Headers) -> Option<Duration> {
    let number =
        |name: &HeaderName| headers.get_optional_str(name).and_then(|text| text.trim().parse::<u64>().ok());
    number(&X_MS_RETRY_AFTER_MS)
        .or_else(|| number(&RETRY_AFTER_MS))
        .map(Duration::from_millis)
        .or_else(|| number(&RETRY_AFTER).map(Duration::from_secs))
        .map(|wait| wait.min(LONGEST_RETRY_AFTER))
}

/// Describes the form of an answer that is not the service's own, without its content.
pub(crate) fn describe_form(status: StatusCode, response: Option<&RawResponse>) -> String {
    let body = response.map(|response| response.body().as_ref().trim_ascii()).unwrap_or_default();
    let is_html = body.starts_with(b"<")
        || response
            .and_then(|response| response.headers().get_optional_str(&CONTENT_TYPE))
            .is_some_and(|kind| kind.starts_with("text/html"));
    let form = match body {
        [] => "no body",
        _ if is_html => "an HTML page",
        [b'{', ..] => "JSON of an unknown form",
        _ => "text of an unknown form",
    };
    format!("HTTP status {status} with {form}")
}

/// The last error in a chain of causes, which names the reason: `Connection refused`, a DNS failure,
/// an untrusted certificate.
pub(crate) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
