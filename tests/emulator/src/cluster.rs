//! The Kubernetes API server: discovery of the issuer, its keys, `TokenRequest`, service accounts.

mod account;

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::ISSUER;
use crate::claims::TokenBuilder;
use crate::issuer::Issuer;
use crate::reply::{self, Reply};

pub(crate) use account::{Accounts, forbidden, not_found, unauthorized};

/// Shortest lifetime that Kubernetes grants, in seconds.
const SHORTEST: i64 = 600;

#[derive(Deserialize)]
struct TokenRequest {
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default = "one_hour")]
    expiration_seconds: i64,
    #[serde(default)]
    bound_object_ref: Option<BoundObject>,
}

#[derive(Deserialize)]
struct BoundObject {
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    uid: String,
}

pub(crate) fn discovery() -> Reply {
    reply::json(
        StatusCode::OK,
        &json!({
            "issuer": ISSUER,
            "jwks_uri": format!("{ISSUER}openid/v1/jwks"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }),
    )
}

pub(crate) fn keys(issuer: &Issuer) -> Reply {
    reply::json(StatusCode::OK, &issuer.jwks())
}

/// `now` is the time of the issuer's clock.
pub(crate) fn token_request(
    issuer: &Arc<Issuer>,
    (namespace, account): (&str, &str),
    now: OffsetDateTime,
    body: &[u8],
) -> Reply {
    let request: TokenRequest = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return failure(StatusCode::BAD_REQUEST, "BadRequest", &error.to_string()),
    };
    let spec = request.spec;
    if spec.expiration_seconds < SHORTEST {
        let message = "spec.expirationSeconds: may not specify a duration less than 10 minutes";
        return failure(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
    }
    let mut audiences: Vec<&str> = spec.audiences.iter().map(String::as_str).collect();
    if audiences.is_empty() {
        // The default audience of a cluster is its issuer.
        audiences.push(ISSUER);
    }
    let mut builder = TokenBuilder::new(Arc::clone(issuer), namespace, account, now)
        .audiences(&audiences)
        .expires_in(spec.expiration_seconds);
    let mut bound = Value::Null;
    if let Some(BoundObject { kind, name, uid }) = spec.bound_object_ref {
        if kind != "Pod" {
            let message =
                format!("spec.boundObjectRef.kind: this emulator binds to pods only, not to {kind:?}");
            return failure(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", &message);
        }
        bound = json!({"kind": kind, "apiVersion": "v1", "name": name, "uid": uid});
        builder = builder.pod(name, uid);
    }
    reply::json(
        StatusCode::CREATED,
        &json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": account, "namespace": namespace},
            "spec": {
                "audiences": audiences,
                "expirationSeconds": spec.expiration_seconds,
                "boundObjectRef": bound,
            },
            "status": {"token": builder.build(), "expirationTimestamp": builder.expiration_timestamp()},
        }),
    )
}

/// An error in the API server's form: a `Status` object.
pub(crate) fn failure(status: StatusCode, reason: &str, message: &str) -> Reply {
    let body: Value = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status.as_u16(),
    });
    reply::json(status, &body)
}

fn one_hour() -> i64 {
    3600
}
