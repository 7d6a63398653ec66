//! Classifies a vault's answers for all kinds of objects.

use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{Context, RawResponse, StatusCode};
use serde::Deserialize;

use super::bearer::{CHALLENGE, RequestToken};
use super::challenge;
use super::error::{AccessDenial, ForeignAnswer, VaultError, VaultFailure};
use crate::plan::ObjectPlan;
use crate::secret::SecretText;
use crate::transport;

/// The context of a request with its token.
pub(super) fn context(token: Option<&SecretText>) -> Context<'static> {
    match token {
        Some(token) => Context::new().with_value(RequestToken(token.clone())),
        None => Context::new(),
    }
}

/// The error of a malformed answer.
pub(super) fn malformed(object: &ObjectPlan, headers: &Headers, what: &str) -> VaultError {
    VaultError::of(object, VaultFailure::Malformed(what.to_owned()))
        .with_request_id(text(headers, &REQUEST_ID))
}

/// Rejects a disabled object, even if the vault returns it, as Key Vault does for the public parts of keys and
/// certificates.
pub(super) fn check_enabled(
    object: &ObjectPlan,
    headers: &Headers,
    enabled: Option<bool>,
) -> Result<(), VaultError> {
    if enabled.unwrap_or(true) {
        return Ok(());
    }
    Err(VaultError::of(object, VaultFailure::Disabled).with_request_id(text(headers, &REQUEST_ID)))
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");

fn text(headers: &Headers, name: &HeaderName) -> Option<String> {
    // Text from the server may be shown in a message: remove control characters and limit the length.
    headers
        .get_optional_str(name)
        .map(|value| value.chars().filter(char::is_ascii_graphic).take(64).collect())
}

/// The error of a request that the SDK reports as failed.
pub(super) fn failed(object: &ObjectPlan, error: &azure_core::Error) -> VaultError {
    match error.kind() {
        ErrorKind::HttpResponse { status, raw_response, .. } => {
            let response = raw_response.as_deref();
            let request_id = response.and_then(|response| text(response.headers(), &REQUEST_ID));
            VaultError::of(object, refused(object, *status, response)).with_request_id(request_id)
        }
        ErrorKind::DataConversion => {
            VaultError::of(object, VaultFailure::Malformed("it is not in Key Vault's format".to_owned()))
        }
        _ => VaultError::of(object, VaultFailure::Unreachable(transport::root_cause(error))),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorDetail {
    code: String,
    innererror: Option<InnerError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InnerError {
    code: String,
}

fn refused(object: &ObjectPlan, status: StatusCode, response: Option<&RawResponse>) -> VaultFailure {
    let body: ErrorBody = response.and_then(|response| response.body().json().ok()).unwrap_or_default();
    let retry_after = response.and_then(|response| transport::retry_after(response.headers()));
    if body.error.code.is_empty() && !is_challenge(status, response) {
        return without_code(status, response, retry_after);
    }
    let inner = body.error.innererror.map(|inner| inner.code).unwrap_or_default();
    match status {
        StatusCode::Unauthorized => unauthorized(object, response),
        StatusCode::Forbidden if DISABLED.contains(&inner.as_str()) => VaultFailure::Disabled,
        StatusCode::Forbidden => VaultFailure::Denied(AccessDenial::from_inner_code(&inner)),
        StatusCode::NotFound => VaultFailure::NotFound,
        StatusCode::TooManyRequests => VaultFailure::Throttled(retry_after),
        status if status.is_client_error() => VaultFailure::Invalid(
            body.error.code.chars().filter(char::is_ascii_alphanumeric).take(64).collect(),
        ),
        status => VaultFailure::Failing(u16::from(status)),
    }
}

/// Key Vault's errors have a code, whatever their status. Its gateway may fail without a body. Any other answer comes
/// from a server in between, and is no evidence about the object.
fn without_code(
    status: StatusCode,
    response: Option<&RawResponse>,
    retry_after: Option<Duration>,
) -> VaultFailure {
    let is_empty = response.is_none_or(|response| response.body().as_ref().trim_ascii().is_empty());
    match status {
        StatusCode::TooManyRequests if is_empty => return VaultFailure::Throttled(retry_after),
        status if is_empty && status.is_server_error() => return VaultFailure::Failing(u16::from(status)),
        _ => {}
    }
    let form = transport::describe_form(status, response);
    VaultFailure::Intercepted(Box::new(ForeignAnswer { status: u16::from(status), form, retry_after }))
}

/// Whether this is a 401 with a challenge for a token.
fn is_challenge(status: StatusCode, response: Option<&RawResponse>) -> bool {
    let challenge = response.and_then(|response| response.headers().get_optional_str(&CHALLENGE));
    status == StatusCode::Unauthorized && challenge.and_then(challenge::resource).is_some()
}

/// Inner codes of a 403 for a disabled object.
const DISABLED: [&str; 3] = ["SecretDisabled", "KeyDisabled", "CertificateDisabled"];

fn unauthorized(object: &ObjectPlan, response: Option<&RawResponse>) -> VaultFailure {
    let challenge = response.and_then(|response| response.headers().get_optional_str(&CHALLENGE));
    match challenge.and_then(challenge::resource) {
        Some(resource) if object.vault.belongs_to(resource) => {
            VaultFailure::Unauthorized { resource: Some(resource.to_owned()) }
        }
        Some(foreign) => {
            VaultFailure::WrongResource(foreign.chars().filter(char::is_ascii_graphic).take(128).collect())
        }
        None => VaultFailure::Unauthorized { resource: None },
    }
}
