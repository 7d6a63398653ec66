//! Entra ID: exchanges service account tokens for access tokens, and remembers what it gave out.

mod assertion;
mod discovery;
mod refusal;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::issuer::Issuer;
use crate::reply::{self, Reply};
use crate::seed::{FederatedCredential, Identity};
use crate::{hosts, lock};

pub(crate) use discovery::{instance, tenant, tenant_keys};
pub(crate) use refusal::{Refusal, failure};

/// The tenant's directory and the access tokens it has given out.
#[derive(Debug)]
pub(crate) struct Entra {
    tenant: String,
    resources: Vec<String>,
    lifetime: Duration,
    identities: Mutex<Vec<Identity>>,
    tokens: Mutex<HashMap<String, AccessToken>>,
}

#[derive(Debug, Clone)]
struct AccessToken {
    client_id: String,
    resource: String,
    expires: Instant,
}

/// What an access token is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bearer {
    /// Never given out, or revoked.
    Unknown,
    Expired,
    Valid {
        client_id: String,
        resource: String,
    },
}

impl Entra {
    pub(crate) fn new(
        tenant: String,
        identities: Vec<Identity>,
        resources: &[String],
        lifetime: Duration,
    ) -> Self {
        let resources = resources.iter().map(|resource| trimmed(resource)).collect();
        Self { tenant, resources, lifetime, identities: Mutex::new(identities), tokens: Mutex::default() }
    }

    pub(crate) fn tenant_id(&self) -> &str {
        &self.tenant
    }

    /// Whether this is the tenant of the seed, or that of AD FS clouds.
    pub(crate) fn knows_tenant(&self, tenant: &str) -> bool {
        tenant.eq_ignore_ascii_case(&self.tenant) || tenant == "adfs"
    }

    /// What `token` is worth now.
    pub(crate) fn bearer(&self, token: &str) -> Bearer {
        match lock(&self.tokens).get(token) {
            None => Bearer::Unknown,
            Some(token) if token.expires <= Instant::now() => Bearer::Expired,
            Some(token) => {
                Bearer::Valid { client_id: token.client_id.clone(), resource: token.resource.clone() }
            }
        }
    }

    pub(crate) fn revoke_access_tokens(&self) {
        lock(&self.tokens).clear();
    }

    /// Runs `change` on the federated credentials of a client; `None` if there is no such client.
    pub(crate) fn change_credentials(
        &self,
        client_id: &str,
        change: impl FnOnce(&mut Vec<FederatedCredential>),
    ) -> Option<()> {
        let mut identities = lock(&self.identities);
        let identity = identities.iter_mut().find(|identity| is(identity, client_id))?;
        change(&mut identity.federated_credentials);
        Some(())
    }

    pub(crate) fn knows_client(&self, client_id: &str) -> bool {
        lock(&self.identities).iter().any(|identity| is(identity, client_id))
    }

    /// Answers a token request whose form is `body`.
    pub(crate) fn exchange(&self, issuer: &Issuer, tenant: &str, body: &[u8]) -> Result<Reply, Refusal> {
        if !self.knows_tenant(tenant) {
            return Err(Refusal::UnknownTenant(tenant.to_owned()));
        }
        let form: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let field = |name: &'static str| form.get(name).ok_or(Refusal::MissingParameter(name));
        let grant_type = field("grant_type")?;
        if grant_type != "client_credentials" {
            return Err(Refusal::GrantType(grant_type.clone()));
        }
        let client_id = field("client_id")?;
        let scope = field("scope")?;
        let Some(resource) = scope.strip_suffix("/.default") else {
            return Err(Refusal::Scope(scope.clone()));
        };
        let credentials = self.credentials(client_id)?;
        let jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        if form.get("client_assertion_type").is_none_or(|kind| kind != jwt_bearer) {
            return Err(Refusal::NoCredential);
        }
        let assertion = form.get("client_assertion").ok_or(Refusal::NoCredential)?;
        assertion::check(assertion, &credentials, issuer)?;

        let resource = trimmed(resource);
        if !hosts::is_vault_resource(&resource) && !self.resources.contains(&resource) {
            return Err(Refusal::UnknownResource { resource, tenant: self.tenant.clone() });
        }
        Ok(self.issue(client_id, resource))
    }

    fn credentials(&self, client_id: &str) -> Result<Vec<FederatedCredential>, Refusal> {
        let identities = lock(&self.identities);
        let identity = identities.iter().find(|identity| is(identity, client_id));
        identity.map(|identity| identity.federated_credentials.clone()).ok_or_else(|| {
            Refusal::UnknownClient { client_id: client_id.to_owned(), tenant: self.tenant.clone() }
        })
    }

    fn issue(&self, client_id: &str, resource: String) -> Reply {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let expires = Instant::now() + self.lifetime;
        let access = AccessToken { client_id: client_id.to_ascii_lowercase(), resource, expires };
        lock(&self.tokens).insert(token.clone(), access);
        let seconds = self.lifetime.as_secs();
        reply::json(
            StatusCode::OK,
            &json!({
                "token_type": "Bearer",
                "expires_in": seconds,
                "ext_expires_in": seconds,
                "access_token": token,
            }),
        )
    }
}

fn is(identity: &Identity, client_id: &str) -> bool {
    identity.client_id.eq_ignore_ascii_case(client_id)
}

/// Scopes come as `https://vault.azure.net/.default` and as `https://vault.azure.net//.default`.
fn trimmed(resource: &str) -> String {
    resource.trim_end_matches('/').to_owned()
}
