//! Policies for the SDK's token requests.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{AsyncRawResponse, Context, Request};
use serde::Deserialize;
use url::Url;

use super::entra_codes::KUBERNETES_STATUS;
use crate::transport;

/// Path of AD FS's token endpoint.
pub(super) const ADFS_PATH: &str = "/adfs/oauth2/token";

/// Replaces the SDK's fixed address of the metadata service.
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

/// Replaces the SDK's path of the token endpoint by that of AD FS.
#[derive(Debug)]
pub(super) struct AdfsPath;

#[async_trait]
impl Policy for AdfsPath {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        request.url_mut().set_path(ADFS_PATH);
        transport::send(ctx, request, next).await
    }
}

/// Parses answers before the SDK does. The SDK would report a gateway's HTML page, and a description with an escaped
/// character, as malformed JSON, and would panic on a lifetime beyond the range of dates.
#[derive(Debug)]
pub(super) struct Refusals;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    /// A word; the only code of the node's metadata service.
    error: String,
    error_codes: Vec<u64>,
    error_description: String,
    /// The API server's format, when it has no token proxy.
    kind: String,
    message: String,
}

impl Refused {
    /// Entra's number, or the word; `None` if the answer is not in the format of a token endpoint.
    fn code(&self) -> Option<String> {
        if self.kind == "Status" {
            return Some(KUBERNETES_STATUS.to_owned());
        }
        let number = self.error_codes.first().map(u64::to_string);
        number.or_else(|| described_number(&self.error_description)).or_else(|| {
            let word = word(&self.error);
            (!word.is_empty()).then_some(word)
        })
    }
}

/// The number in `AADSTS700016: Application …`, if `error_codes` is missing.
fn described_number(description: &str) -> Option<String> {
    let rest = description.trim_start().strip_prefix("AADSTS")?;
    let (digits, _) = rest.split_once(|character: char| !character.is_ascii_digit())?;
    (1..=9).contains(&digits.len()).then(|| digits.to_owned())
}

/// The lifetime that Entra grants. The node's metadata service sends it as a string, which the SDK handles.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Granted {
    /// In seconds.
    expires_in: i64,
}

/// A hundred years, in seconds.
const MAX_LIFETIME: u64 = 100 * 365 * 24 * 60 * 60;

/// A code such as `invalid_request`, reduced to the characters of codes.
fn word(error: &str) -> String {
    error.chars().filter(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '_')).take(40).collect()
}

#[async_trait]
impl Policy for Refusals {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let response = transport::send(ctx, request, next).await?;
        let status = response.status();
        if status.is_success() {
            let (status, headers, body) = response.deconstruct();
            let body = body.collect().await?;
            let granted: Granted = serde_json::from_slice(&body).unwrap_or_default();
            if granted.expires_in.unsigned_abs() > MAX_LIFETIME {
                return Err(azure_core::Error::with_message(
                    ErrorKind::DataConversion,
                    "the token's lifetime is out of range",
                ));
            }
            return Ok(AsyncRawResponse::from_bytes(status, headers, body));
        }
        let response = response.try_into_raw_response().await?;
        let refused: Refused = response.body().json().unwrap_or_default();
        let code = refused.code();
        let kind =
            ErrorKind::HttpResponse { status, error_code: code, raw_response: Some(Box::new(response)) };
        let Refused { error, error_description, message, .. } = refused;
        let words = [error_description, message, error].into_iter().find(|words| !words.is_empty());
        Err(azure_core::Error::with_message(kind, words.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::headers::Headers;
    use azure_core::http::{Method, StatusCode};

    use super::*;

    /// A token endpoint with a fixed answer.
    #[derive(Debug)]
    struct Answering(u16, String);

    #[async_trait]
    impl Policy for Answering {
        async fn send(&self, _: &Context, _: &mut Request, _: &[Arc<dyn Policy>]) -> PolicyResult {
            let status = StatusCode::from(self.0);
            Ok(AsyncRawResponse::from_bytes(status, Headers::new(), self.1.clone()))
        }
    }

    async fn answer(status: u16, body: String) -> PolicyResult {
        let mut request = Request::new(Url::parse("https://login.example/").unwrap(), Method::Post);
        Refusals.send(&Context::new(), &mut request, &[Arc::new(Answering(status, body))]).await
    }

    #[tokio::test]
    async fn a_token_lifetime_beyond_all_dates_is_an_error() {
        for life in [i64::MAX, i64::MIN, 999_999_999_999_999] {
            let error =
                answer(200, format!(r#"{{"expires_in":{life},"access_token":"t"}}"#)).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::DataConversion), "{error:?}");
        }
        for body in [r#"{"expires_in":3599}"#, r#"{"expires_in":"3599"}"#, "<html>"] {
            let passed = answer(200, body.to_owned()).await.unwrap().try_into_raw_response().await.unwrap();
            assert_eq!(passed.body().as_ref(), body.as_bytes(), "passed to the SDK unchanged");
        }
    }

    #[tokio::test]
    async fn a_code_contains_only_the_characters_of_codes() {
        for (error, code) in [("invalid_request", "invalid_request"), ("eyJhbGci.T0K3N", "eyhbci03")] {
            let refused = answer(500, format!(r#"{{"error":"{error}"}}"#)).await.unwrap_err();
            let ErrorKind::HttpResponse { error_code, .. } = refused.kind() else { panic!("{refused:?}") };
            assert_eq!(error_code.as_deref(), Some(code));
        }
    }

    #[tokio::test]
    async fn an_answer_has_a_code_if_it_has_the_form_of_a_token_endpoints() {
        for (body, code) in [
            (r#"{"error":"invalid_client","error_codes":[7000215]}"#, Some("7000215")),
            (r#"{"error":"invalid_client","error_description":"AADSTS700016: No."}"#, Some("700016")),
            (r#"{"error":"invalid_client","error_description":"MSIS9623: No."}"#, Some("invalid_client")),
            (r#"{"kind":"Status","message":"not found","code":404}"#, Some("kubernetes_status")),
            (r#"{"message":"blocked"}"#, None),
            (r#"{"error":{"code":"Forbidden"}}"#, None),
            ("<html>blocked</html>", None),
            ("", None),
        ] {
            let refused = answer(403, body.to_owned()).await.unwrap_err();
            let ErrorKind::HttpResponse { error_code, .. } = refused.kind() else { panic!("{refused:?}") };
            assert_eq!(error_code.as_deref(), code, "{body}");
        }
    }
}
