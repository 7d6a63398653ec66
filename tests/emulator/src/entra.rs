//! Entra ID: exchanges credentials for access tokens, and keeps the issued tokens.

mod assertion;
mod client;
mod discovery;
mod refusal;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use crate::issuer::Issuer;
use crate::reply::{self, Reply};
use crate::seed::{FederatedCredential, Identity, ManagedIdentity, SeedError};
use crate::{hosts, jwt, lock};

pub(crate) use discovery::{instance, tenant, tenant_keys};
pub(crate) use refusal::{Refusal, failure};

use client::Client;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Clock skew that vaults tolerate behind Entra's clock: tokens become valid a little before they
/// are issued.
const TOLERANCE: Duration = Duration::from_mins(5);

/// Number of access tokens that are kept before expired ones are removed.
const MANY_TOKENS: usize = 4096;

/// The tenant's directory and its issued access tokens.
#[derive(Debug)]
pub(crate) struct Entra {
    tenant: String,
    resources: Vec<String>,
    lifetime: Duration,
    clients: Mutex<Vec<Client>>,
    tokens: Mutex<HashMap<String, AccessToken>>,
}

#[derive(Debug, Clone)]
struct AccessToken {
    client_id: String,
    resource: String,
    issued: Instant,
    expires: Instant,
}

/// A token request.
pub(crate) struct TokenRequest<'a> {
    pub(crate) tenant: &'a str,
    /// The request's URL, without query.
    pub(crate) endpoint: String,
    /// The token endpoint.
    pub(crate) version: EndpointVersion,
    /// Whether the request came through the cluster's token proxy.
    pub(crate) at_token_proxy: bool,
    /// The time of Entra's clock.
    pub(crate) now: OffsetDateTime,
    /// The form.
    pub(crate) body: &'a [u8],
}

/// Entra's token endpoints. They differ in how a client names the resource, and in the form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndpointVersion {
    /// `/<tenant>/oauth2/token` with `resource`, as older client libraries use it.
    V1,
    /// `/<tenant>/oauth2/v2.0/token` with `scope`.
    V2,
}

/// A newly issued access token.
pub(crate) struct Granted {
    pub(crate) token: String,
    /// Its lifetime.
    pub(crate) seconds: u64,
}

/// The reason why no managed identity of the machine matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownIdentity {
    NotFound,
    /// There are several, and the request does not select one.
    Ambiguous,
}

/// How a vault checks access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scrutiny {
    /// Seconds that the vault's clock is ahead.
    pub(crate) clock_skew: time::Duration,
    /// Tokens issued before this time are refused.
    pub(crate) revoked: Option<Instant>,
}

/// The state of an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bearer {
    /// Not issued, or revoked.
    Unknown,
    Expired,
    NotYetValid,
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
    ) -> Result<Self, SeedError> {
        let resources = resources.iter().map(|resource| trimmed(resource)).collect();
        let clients = identities.into_iter().map(Client::new).collect::<Result<_, _>>()?;
        Ok(Self { tenant, resources, lifetime, clients: Mutex::new(clients), tokens: Mutex::default() })
    }

    pub(crate) fn tenant_id(&self) -> &str {
        &self.tenant
    }

    /// Whether this is the tenant of the seed, or that of AD FS clouds.
    pub(crate) fn knows_tenant(&self, tenant: &str) -> bool {
        tenant.eq_ignore_ascii_case(&self.tenant) || tenant == "adfs"
    }

    /// Checks an access token as strictly as `scrutiny` says.
    pub(crate) fn bearer(&self, token: &str, scrutiny: Scrutiny) -> Bearer {
        let now = Instant::now();
        let ahead = Duration::try_from(scrutiny.clock_skew).unwrap_or_default();
        let behind = Duration::try_from(-scrutiny.clock_skew).unwrap_or_default();
        match lock(&self.tokens).get(token) {
            None => Bearer::Unknown,
            Some(token) if scrutiny.revoked.is_some_and(|then| token.issued < then) => Bearer::Unknown,
            Some(token) if token.expires <= now + ahead => Bearer::Expired,
            Some(token) if now + TOLERANCE < token.issued + behind => Bearer::NotYetValid,
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
        let mut clients = lock(&self.clients);
        let client = clients.iter_mut().find(|client| is(&client.identity, client_id))?;
        change(&mut client.identity.federated_credentials);
        Some(())
    }

    pub(crate) fn knows_client(&self, client_id: &str) -> bool {
        self.client(client_id).is_ok()
    }

    /// The client ID of a managed identity of this machine: the requested one, or the system-assigned one,
    /// or the only user-assigned one.
    pub(crate) fn managed_identity(&self, client_id: Option<&str>) -> Result<String, UnknownIdentity> {
        let clients = lock(&self.clients);
        let managed = || clients.iter().filter(|client| client.identity.managed_identity.is_some());
        let system = |client: &&Client| client.identity.managed_identity == Some(ManagedIdentity::System);
        let found = match client_id {
            Some(client_id) => managed().find(|client| is(&client.identity, client_id)),
            None => match managed().find(system) {
                None if managed().count() > 1 => return Err(UnknownIdentity::Ambiguous),
                found => found.or_else(|| managed().next()),
            },
        };
        found.map(|client| client.identity.client_id.clone()).ok_or(UnknownIdentity::NotFound)
    }

    /// Answers a token request.
    pub(crate) fn exchange(&self, issuer: &Issuer, request: &TokenRequest<'_>) -> Result<Reply, Refusal> {
        if !self.knows_tenant(request.tenant) {
            return Err(Refusal::UnknownTenant(request.tenant.to_owned()));
        }
        let form: HashMap<String, String> = form_urlencoded::parse(request.body).into_owned().collect();
        let field = |name: &'static str| form.get(name).ok_or(Refusal::MissingParameter(name));
        let grant_type = field("grant_type")?;
        if grant_type != "client_credentials" {
            return Err(Refusal::GrantType(grant_type.clone()));
        }
        let client_id = field("client_id")?;
        let resource = match request.version {
            EndpointVersion::V1 => field("resource")?,
            EndpointVersion::V2 => scoped_resource(field("scope")?)?,
        };
        let client = self.client(client_id)?;
        authenticate(&client, issuer, request, &form)?;
        let granted = self.grant(client_id, resource)?;
        Ok(reply::json(StatusCode::OK, &answer(request, resource, &granted)))
    }

    /// Issues an access token.
    pub(crate) fn grant(&self, client_id: &str, resource: &str) -> Result<Granted, Refusal> {
        let resource = trimmed(resource);
        if !hosts::is_vault_resource(&resource) && !self.resources.contains(&resource) {
            return Err(Refusal::UnknownResource { resource, tenant: self.tenant.clone() });
        }
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let issued = Instant::now();
        let expires = issued + self.lifetime;
        let access = AccessToken { client_id: client_id.to_ascii_lowercase(), resource, issued, expires };
        let mut tokens = lock(&self.tokens);
        if tokens.len() >= MANY_TOKENS && tokens.len().is_power_of_two() {
            // Limits memory: tokens that expired long ago are treated as unknown.
            tokens.retain(|_, token| token.expires + self.lifetime > issued);
        }
        tokens.insert(token.clone(), access);
        Ok(Granted { token, seconds: self.lifetime.as_secs() })
    }

    fn client(&self, client_id: &str) -> Result<Client, Refusal> {
        let clients = lock(&self.clients);
        let client = clients.iter().find(|client| is(&client.identity, client_id));
        client.cloned().ok_or_else(|| Refusal::UnknownClient {
            client_id: client_id.to_owned(),
            tenant: self.tenant.clone(),
        })
    }
}

/// The scopes of OpenID Connect that client libraries add to the resource's.
const OPENID_SCOPES: [&str; 4] = ["openid", "offline_access", "profile", "email"];

/// The resource of a scope such as `https://vault.azure.net/.default openid profile`.
fn scoped_resource(scope: &str) -> Result<&str, Refusal> {
    let mut others = scope.split_ascii_whitespace().filter(|part| !OPENID_SCOPES.contains(part));
    match (others.next().and_then(|first| first.strip_suffix("/.default")), others.next()) {
        (Some(resource), None) => Ok(resource),
        _ => Err(Refusal::Scope(scope.to_owned())),
    }
}

fn answer(request: &TokenRequest<'_>, resource: &str, Granted { token, seconds }: &Granted) -> Value {
    match request.version {
        // This endpoint writes numbers as strings.
        EndpointVersion::V1 => {
            let now = request.now.unix_timestamp();
            json!({
                "token_type": "Bearer",
                "expires_in": seconds.to_string(),
                "ext_expires_in": seconds.to_string(),
                "expires_on": now.saturating_add_unsigned(*seconds).to_string(),
                "not_before": now.to_string(),
                "resource": resource,
                "access_token": token,
            })
        }
        EndpointVersion::V2 => json!({
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": token,
        }),
    }
}

/// Authenticates by a secret, by the client's own assertion, or by one of a trusted issuer. The cluster's token
/// proxy accepts only the last.
fn authenticate(
    client: &Client,
    issuer: &Issuer,
    request: &TokenRequest<'_>,
    form: &HashMap<String, String>,
) -> Result<(), Refusal> {
    let direct = !request.at_token_proxy;
    if let Some(secret) = form.get("client_secret").filter(|_| direct) {
        return client.check_secret(secret);
    }
    if form.get("client_assertion_type").is_none_or(|kind| kind != JWT_BEARER) {
        return Err(Refusal::NoCredential);
    }
    let assertion = form.get("client_assertion").ok_or(Refusal::NoCredential)?;
    let (header, claims) = jwt::read(assertion).ok_or(Refusal::MalformedAssertion)?;
    if direct && client.is_self_signed(&claims) {
        return client.check_assertion(assertion, (&header, &claims), request);
    }
    let credentials = &client.identity.federated_credentials;
    assertion::check(assertion, (&header, &claims), credentials, issuer, request)
}

fn is(identity: &Identity, client_id: &str) -> bool {
    identity.client_id.eq_ignore_ascii_case(client_id)
}

/// Clients send scopes as `https://vault.azure.net/.default` and as `https://vault.azure.net//.default`.
fn trimmed(resource: &str) -> String {
    resource.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_have_long_expired_do_not_pile_up() {
        let entra = Entra::new("t".to_owned(), Vec::new(), &[], Duration::ZERO).unwrap();
        for _ in 0..=2 * MANY_TOKENS {
            entra.grant("app", "https://vault.azure.net").unwrap();
        }
        assert!(lock(&entra.tokens).len() <= MANY_TOKENS + 1);
    }
}
