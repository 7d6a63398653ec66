//! Secrets: one `GET /secrets/<name>/<version>` each.

use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{ClientMethodOptions, Context, RawResponse, StatusCode};
use azure_security_keyvault_secrets::models::SecretClientGetSecretOptions;
use azure_security_keyvault_secrets::{ResourceExt, SecretClient};
use serde::Deserialize;

use super::bearer::{CHALLENGE, RequestToken};
use super::challenge;
use super::error::{Denial, Failure, VaultError};
use crate::plan::ObjectPlan;
use crate::secret::{SecretBytes, SecretText};
use crate::transport;

/// A secret as the vault gave it.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its text.
    pub value: SecretBytes,
    /// The version that was given.
    pub version: String,
    /// What its owner says it is, for example `application/x-pkcs12`.
    pub content_type: Option<String>,
    /// Whether it backs a certificate of the vault.
    pub backs_certificate: bool,
}

pub(super) async fn get(
    client: &SecretClient,
    object: &ObjectPlan,
    token: Option<&SecretText>,
) -> Result<Fetched, VaultError> {
    let context = match token {
        Some(token) => Context::new().with_value(RequestToken(token.clone())),
        None => Context::new(),
    };
    let options = SecretClientGetSecretOptions {
        method_options: ClientMethodOptions { context },
        secret_version: object.version.exact().map(str::to_owned),
        ..SecretClientGetSecretOptions::default()
    };
    let response = match client.get_secret(object.name.as_str(), Some(options)).await {
        Ok(response) => response,
        Err(error) => return Err(failed(object, &error)),
    };
    let request_id = text(response.headers(), &REQUEST_ID);
    let garbled = |what: &str| {
        VaultError::of(object, Failure::Garbled(what.to_owned())).with_request_id(request_id.clone())
    };
    let secret = response.into_model().map_err(|_| garbled("it is not a secret as Key Vault gives it"))?;
    let version = secret.resource_id().ok().and_then(|id| id.version);
    let version = version.ok_or_else(|| garbled("the secret has no version"))?;
    let value = secret.value.ok_or_else(|| garbled("the secret has no value"))?;
    Ok(Fetched {
        value: SecretBytes::new(value.into_bytes()),
        version,
        content_type: secret.content_type,
        backs_certificate: secret.kid.is_some(),
    })
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");

fn text(headers: &Headers, name: &HeaderName) -> Option<String> {
    // What a server sends may end up in a message: no control characters, no novels.
    headers
        .get_optional_str(name)
        .map(|value| value.chars().filter(char::is_ascii_graphic).take(64).collect())
}

fn failed(object: &ObjectPlan, error: &azure_core::Error) -> VaultError {
    match error.kind() {
        ErrorKind::HttpResponse { status, raw_response, .. } => {
            let response = raw_response.as_deref();
            let request_id = response.and_then(|response| text(response.headers(), &REQUEST_ID));
            VaultError::of(object, refused(object, *status, response)).with_request_id(request_id)
        }
        ErrorKind::DataConversion => {
            VaultError::of(object, Failure::Garbled("it is not an answer of Key Vault".to_owned()))
        }
        _ => VaultError::of(object, Failure::Unreachable(transport::root_cause(error))),
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

fn refused(object: &ObjectPlan, status: StatusCode, response: Option<&RawResponse>) -> Failure {
    let body: ErrorBody = response.and_then(|response| response.body().json().ok()).unwrap_or_default();
    let inner = body.error.innererror.map(|inner| inner.code).unwrap_or_default();
    match status {
        StatusCode::Unauthorized => unauthorized(object, response),
        StatusCode::Forbidden if inner == "SecretDisabled" => Failure::Disabled,
        // A gateway's 403 or 404 is not the vault's word on a secret.
        StatusCode::Forbidden | StatusCode::NotFound if body.error.code.is_empty() => {
            Failure::Failing(u16::from(status))
        }
        StatusCode::Forbidden => Failure::Denied(Denial::from_inner_code(&inner)),
        StatusCode::NotFound => Failure::NotFound,
        StatusCode::TooManyRequests => {
            Failure::Throttled(response.and_then(|response| transport::retry_after(response.headers())))
        }
        status if status.is_client_error() && !body.error.code.is_empty() => {
            Failure::Invalid(body.error.code.chars().filter(char::is_ascii_alphanumeric).take(64).collect())
        }
        status => Failure::Failing(u16::from(status)),
    }
}

fn unauthorized(object: &ObjectPlan, response: Option<&RawResponse>) -> Failure {
    let challenge = response.and_then(|response| response.headers().get_optional_str(&CHALLENGE));
    match challenge.and_then(challenge::resource) {
        Some(resource) if object.vault.belongs_to(resource) => {
            Failure::Unauthorized { resource: Some(resource.to_owned()) }
        }
        Some(foreign) => Failure::Lured(foreign.chars().filter(char::is_ascii_graphic).take(128).collect()),
        None => Failure::Unauthorized { resource: None },
    }
}
