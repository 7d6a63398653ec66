//! What this program adds to the SDK's token requests.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};
use serde::Deserialize;
use url::Url;

use crate::transport;

/// Where AD FS serves its tokens.
pub(super) const ADFS_PATH: &str = "/adfs/oauth2/token";

/// The SDK has the address of the metadata service fixed.
#[derive(Debug)]
pub(super) struct NodeEndpoint(pub(super) Url);

#[async_trait]
impl Policy for NodeEndpoint {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let mut url = self.0.clone();
        url.set_path(request.url().path());
        url.set_query(request.url().query());
        *request.url_mut() = url;
        transport::send(ctx, request, next).await
    }
}

/// AD FS serves its tokens elsewhere than the SDK asks for them.
#[derive(Debug)]
pub(super) struct AdfsPath;

#[async_trait]
impl Policy for AdfsPath {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        request.url_mut().set_path(ADFS_PATH);
        transport::send(ctx, request, next).await
    }
}

/// Reads refusals before the SDK does. Left alone, it would report a gateway's HTML page as broken
/// JSON, and so a description with an escaped character, which Entra's often have.
#[derive(Debug)]
pub(super) struct Refusals;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    /// A word; all that the node's metadata service has for a code.
    error: String,
    error_codes: Vec<u64>,
    error_description: String,
}

/// A code such as `invalid_request`, and nothing else that a server may have put there.
fn word(error: &str) -> String {
    error.chars().filter(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '_')).take(40).collect()
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
        let code = refused.error_codes.first().map(u64::to_string).or_else(|| Some(word(&refused.error)));
        let kind =
            ErrorKind::HttpResponse { status, error_code: code, raw_response: Some(Box::new(response)) };
        let words =
            if refused.error_description.is_empty() { refused.error } else { refused.error_description };
        Err(azure_core::Error::with_message(kind, words))
    }
}
