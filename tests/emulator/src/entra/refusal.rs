//! Entra's refusals, in its own form.
//!
//! Codes and wording after "Microsoft Entra authentication and authorization error codes" and, where
//! that page is silent, after answers that users have reported.

use http::StatusCode;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::reply::{self, Reply};

const FEDERATION_HELP: &str = "Check your federated identity credential Subject, Audience and Issuer against \
    the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

const ASSERTION_HELP: &str = "Review the documentation at \
    https://learn.microsoft.com/entra/identity-platform/certificate-credentials .";

/// The reason why Entra issues no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    UnknownTenant(String),
    MissingParameter(&'static str),
    GrantType(String),
    Scope(String),
    UnknownClient {
        client_id: String,
        tenant: String,
    },
    NoCredential,
    MalformedAssertion,
    Issuer(String),
    Subject(String),
    Audience(String),
    /// No key of the issuer has this id.
    UnknownKey {
        kid: String,
        issuer: String,
    },
    /// The key with this id did not sign the assertion. Entra has no code of its own for federated
    /// assertions here: it is the one of assertions signed with a client's certificate.
    Signature {
        kid: String,
    },
    /// The secret is none of the application with this client id.
    WrongSecret(String),
    /// It was one.
    ExpiredSecret(String),
    /// An assertion of the client's own does not say which certificate it is signed with.
    NoThumbprint,
    /// The certificate is none of the application, or did not sign the assertion.
    ClientCertificate {
        reason: &'static str,
        thumbprint: String,
        client_id: String,
    },
    /// An assertion of the client's own names another client.
    OtherClient,
    /// An assertion of the client's own is for another endpoint.
    OtherEndpoint,
    TimeRange {
        now: OffsetDateTime,
        not_before: i64,
        expires: i64,
    },
    UnknownResource {
        resource: String,
        tenant: String,
    },
}

impl Refusal {
    /// AADSTS number, status and OAuth error.
    fn class(&self) -> (u32, StatusCode, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
        match self {
            Self::UnknownTenant(_) => (90002, BAD, "invalid_request"),
            Self::MissingParameter(_) => (900_144, BAD, "invalid_request"),
            Self::GrantType(_) => (70003, BAD, "unsupported_grant_type"),
            Self::Scope(_) => (1_002_012, BAD, "invalid_scope"),
            Self::UnknownClient { .. } => (700_016, BAD, "unauthorized_client"),
            Self::NoCredential => (7_000_218, UNAUTHORIZED, "invalid_client"),
            Self::MalformedAssertion => (50027, BAD, "invalid_request"),
            Self::Issuer(_) => (700_211, UNAUTHORIZED, "invalid_client"),
            Self::Subject(_) => (700_213, UNAUTHORIZED, "invalid_client"),
            Self::Audience(_) => (700_212, UNAUTHORIZED, "invalid_client"),
            Self::UnknownKey { .. } => (7_000_272, UNAUTHORIZED, "invalid_client"),
            Self::Signature { .. } | Self::ClientCertificate { .. } => {
                (700_027, UNAUTHORIZED, "invalid_client")
            }
            Self::WrongSecret(_) => (7_000_215, UNAUTHORIZED, "invalid_client"),
            Self::ExpiredSecret(_) => (7_000_222, UNAUTHORIZED, "invalid_client"),
            Self::NoThumbprint => (5_002_723, BAD, "invalid_request"),
            Self::OtherClient => (700_021, UNAUTHORIZED, "invalid_client"),
            Self::OtherEndpoint => (700_023, UNAUTHORIZED, "invalid_client"),
            Self::TimeRange { .. } => (700_024, UNAUTHORIZED, "invalid_client"),
            Self::UnknownResource { .. } => (500_011, BAD, "invalid_resource"),
        }
    }

    fn message(&self) -> String {
        let no_record = |what: &str, value: &str| {
            format!(
                "No matching federated identity record found for presented assertion {what} '{value}'. {FEDERATION_HELP}"
            )
        };
        match self {
            Self::UnknownTenant(tenant) => format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing \
                 into the correct cloud. Check with your subscription administrator, this may happen if there \
                 are no active subscriptions for the tenant."
            ),
            Self::MissingParameter(name) => {
                format!("The request body must contain the following parameter: '{name}'.")
            }
            Self::GrantType(grant_type) => {
                format!("The app requested an unsupported grant type '{grant_type}'.")
            }
            Self::Scope(scope) => format!(
                "The provided value for scope {scope} is not valid. Client credential flows must have a scope \
                 value with /.default suffixed to the resource identifier (application ID URI)."
            ),
            Self::UnknownClient { client_id, tenant } => format!(
                "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can \
                 happen if the application has not been installed by the administrator of the tenant or \
                 consented to by any user in the tenant. You may have sent your authentication request to the \
                 wrong tenant."
            ),
            Self::NoCredential => {
                "The request body must contain the following parameter: 'client_assertion' or \
                 'client_secret'."
                    .to_owned()
            }
            Self::MalformedAssertion => "JWT token is invalid or malformed.".to_owned(),
            Self::Issuer(issuer) => no_record("issuer", issuer),
            Self::Subject(subject) => no_record("subject", subject),
            Self::Audience(audience) => no_record("audience", audience),
            Self::UnknownKey { kid, issuer } => format!(
                "The certificate with identifier {kid} used to sign the federated credential could not be found \
                 in the metadata of identity provider {issuer}. Please validate that your Identity Provider's \
                 metadata exposes the key used to sign the incoming token."
            ),
            Self::Signature { kid } => format!(
                "Client assertion failed signature validation. [Reason - The provided signature value did not \
                 match the expected signature value., Thumbprint of key used by client: '{kid}']"
            ),
            Self::WrongSecret(client_id) => format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client \
                 secret value, not the client secret ID, for a secret added to app '{client_id}'."
            ),
            Self::ExpiredSecret(client_id) => format!(
                "The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to \
                 create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate \
                 credentials for added security: https://aka.ms/certCreds."
            ),
            Self::NoThumbprint => {
                "Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor keyId \
                 are specified in token header."
                    .to_owned()
            }
            Self::ClientCertificate { reason, thumbprint, client_id } => format!(
                "The certificate with identifier used to sign the client assertion is not registered on \
                 application. [Reason - {reason}, Thumbprint of key used by client: '{thumbprint}', Please visit \
                 the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id \
                 '{client_id}'.]"
            ),
            Self::OtherClient => {
                format!("Client assertion application identifier doesn't match 'client_id' parameter. {ASSERTION_HELP}")
            }
            Self::OtherEndpoint => {
                format!("Client assertion audience claim does not match Realm issuer. {ASSERTION_HELP}")
            }
            Self::TimeRange { now, not_before, expires } => format!(
                "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, \
                 expiry time of assertion {}. {ASSERTION_HELP}",
                written(*now),
                written_seconds(*not_before),
                written_seconds(*expires),
            ),
            Self::UnknownResource { resource, tenant } => format!(
                "The resource principal named {resource} was not found in the tenant named {tenant}. This can \
                 happen if the application has not been installed by the administrator of the tenant or \
                 consented to by any user in the tenant. You might have sent your authentication request to the \
                 wrong tenant."
            ),
        }
    }

    /// The answer; `correlation_id` is the client's own request id, if it sent one.
    pub(crate) fn reply(&self, correlation_id: Option<&str>) -> Reply {
        let (code, status, error) = self.class();
        failure(status, error, code, &self.message(), correlation_id)
    }
}

/// An error body in Entra's form.
pub(crate) fn failure(
    status: StatusCode,
    error: &str,
    code: u32,
    message: &str,
    correlation_id: Option<&str>,
) -> Reply {
    let trace_id = Uuid::new_v4().to_string();
    let correlation_id = correlation_id.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let timestamp = written(OffsetDateTime::now_utc()).replace('T', " ");
    reply::json(
        status,
        &json!({
            "error": error,
            "error_description": format!(
                "AADSTS{code}: {message} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}"
            ),
            "error_codes": [code],
            "timestamp": timestamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        }),
    )
}

fn written(time: OffsetDateTime) -> String {
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    whole.format(&Rfc3339).unwrap_or_default()
}

fn written_seconds(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| seconds.to_string(), written)
}
