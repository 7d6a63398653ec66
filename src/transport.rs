//! The one pooled HTTP client that everything shares.

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

/// Makes the client for the node's own metadata service, which has no TLS and must be asked directly.
///
/// # Errors
/// As [`client`].
pub fn plain_client() -> Result<reqwest::Client, reqwest::Error> {
    // No TLS, and so no need to hold the CA certificates once more.
    builder().https_only(false).no_proxy().tls_certs_only([]).build()
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
pub fn azure(client: &reqwest::Client) -> Transport {
    let client: Arc<dyn HttpClient> = Arc::new(client.clone());
    Transport::new(client)
}

/// The largest answer of Key Vault or Entra. A secret has 25 kB at most; escaped, and with its tags,
/// it is still far from this.
const LARGEST_ANSWER: usize = 256 << 10;

/// Sends a request down the pipeline, from the last policy of this program on: its answer is bounded.
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

/// The longest time that a server may ask to be left alone and still be believed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How long the server asks to be left alone.
pub(crate) fn retry_after(headers: &Headers) -> Option<Duration> {
    let number =
        |name: &HeaderName| headers.get_optional_str(name).and_then(|text| text.trim().parse::<u64>().ok());
    number(&X_MS_RETRY_AFTER_MS)
        .or_else(|| number(&RETRY_AFTER_MS))
        .map(Duration::from_millis)
        .or_else(|| number(&RETRY_AFTER).map(Duration::from_secs))
        .map(|wait| wait.min(LONGEST_RETRY_AFTER))
}

/// The form of an answer that is not the service's own, without a word of what it says.
pub(crate) fn described(status: StatusCode, response: Option<&RawResponse>) -> String {
    let body = response.map(|response| response.body().as_ref().trim_ascii()).unwrap_or_default();
    let is_html = body.starts_with(b"<")
        || response
            .and_then(|response| response.headers().get_optional_str(&CONTENT_TYPE))
            .is_some_and(|kind| kind.starts_with("text/html"));
    let form = match body {
        [] => "no body",
        _ if is_html => "an HTML page",
        [b'{', ..] => "JSON of another form",
        _ => "text of another form",
    };
    format!("HTTP status {status} with {form}")
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
