//! The instance metadata service: tokens for the machine's managed identities ("How to use managed identities
//! to get an access token", Azure VMs).

use std::time::SystemTime;

use http::StatusCode;
use serde_json::json;

use crate::entra::{Entra, UnknownIdentity};
use crate::reply::{self, Reply};

/// A token request.
#[derive(Debug)]
pub(crate) struct ImdsRequest<'a> {
    /// The header `Metadata`.
    pub(crate) metadata: Option<&'a str>,
    pub(crate) query: &'a str,
}

impl ImdsRequest<'_> {
    fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.into_owned())
            .filter(|value| !value.is_empty())
    }
}

/// The versions that Microsoft's SDKs use; the real service supports more.
const VERSIONS: [&str; 2] = ["2019-08-01", "2018-02-01"];

pub(crate) fn token(entra: &Entra, request: &ImdsRequest<'_>) -> Reply {
    if request.metadata.is_none_or(|value| !value.eq_ignore_ascii_case("true")) {
        // The header prevents requests through a link (SSRF).
        return refused("invalid_request", "Required metadata header not specified");
    }
    if request.parameter("api-version").is_none_or(|version| !VERSIONS.contains(&version.as_str())) {
        let message = "Bad request. api-version is invalid or was not specified in the request.";
        return reply::json(StatusCode::BAD_REQUEST, &json!({"error": message, "newest-versions": VERSIONS}));
    }
    let Some(resource) = request.parameter("resource") else {
        return refused("invalid_request", "Required audience parameter not specified");
    };
    let client_id = match entra.managed_identity(request.parameter("client_id").as_deref()) {
        Ok(client_id) => client_id,
        Err(UnknownIdentity::NotFound) => return refused("invalid_request", "Identity not found"),
        Err(UnknownIdentity::Ambiguous) => {
            let message = "Multiple user assigned identities exist, please specify the clientId / resourceId \
                           of the identity in the token request";
            return refused("invalid_request", message);
        }
    };
    match entra.grant(&client_id, &resource) {
        Ok(granted) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            reply::json(
                StatusCode::OK,
                &json!({
                    "access_token": granted.token,
                    "client_id": client_id,
                    "expires_in": granted.seconds.to_string(),
                    "expires_on": (now + granted.seconds).to_string(),
                    "ext_expires_in": granted.seconds.to_string(),
                    "not_before": now.to_string(),
                    "resource": resource,
                    "token_type": "Bearer",
                }),
            )
        }
        // Entra's error is forwarded, without its status.
        Err(refusal) => {
            let mut reply = refusal.reply(None);
            *reply.status_mut() = StatusCode::BAD_REQUEST;
            reply
        }
    }
}

/// An error body in the service's form.
pub(crate) fn failure(status: StatusCode, error: &str, description: &str) -> Reply {
    reply::json(status, &json!({"error": error, "error_description": description}))
}

fn refused(error: &str, description: &str) -> Reply {
    failure(StatusCode::BAD_REQUEST, error, description)
}
