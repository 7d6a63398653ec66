//! Entra's discovery documents, as authentication libraries want them before their first request.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Entra, Refusal};
use crate::hosts;
use crate::reply::{self, Reply};

/// A tenant's metadata, served at `authority` (a host, perhaps with a port).
pub(crate) fn tenant(entra: &Entra, authority: &str, tenant: &str) -> Result<Reply, Refusal> {
    if !entra.knows_tenant(tenant) {
        return Err(Refusal::UnknownTenant(tenant.to_owned()));
    }
    let base = format!("https://{authority}/{tenant}");
    let body = json!({
        "issuer": format!("{base}/v2.0"),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
    });
    Ok(reply::json(StatusCode::OK, &body))
}

/// Access tokens are opaque here: there is no key to check them with.
pub(crate) fn tenant_keys() -> Reply {
    reply::json(StatusCode::OK, &json!({"keys": []}))
}

/// Which authorities are Microsoft's. The one that is asked about, in the query's
/// `authorization_endpoint`, is always one of them, so that clients trust a private cloud's too.
pub(crate) fn instance(entra: &Entra, authority: &str, query: &str) -> Reply {
    let asked = form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "authorization_endpoint")
        .and_then(|(_, url)| authority_of(&url).map(str::to_owned))
        .unwrap_or_else(|| authority.to_owned());
    let host = hosts::without_port(&asked);
    let mut known = vec![host];
    known.extend(hosts::authorities().filter(|known| *known != host));
    let metadata: Vec<Value> = known
        .into_iter()
        .map(|host| json!({"preferred_network": host, "preferred_cache": host, "aliases": [host]}))
        .collect();
    let body = json!({
        "tenant_discovery_endpoint":
            format!("https://{asked}/{}/v2.0/.well-known/openid-configuration", entra.tenant_id()),
        "api-version": "1.1",
        "metadata": metadata,
    });
    reply::json(StatusCode::OK, &body)
}

fn authority_of(url: &str) -> Option<&str> {
    url.strip_prefix("https://")?.split('/').next()
}
