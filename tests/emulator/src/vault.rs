//! Key Vault: permissions, and the operations on a vault's objects.

mod access;
mod certificates;
mod collection;
mod keys;
mod listing;
pub(crate) mod names;
mod object;
mod refusal;
mod secrets;
mod store;

use http::StatusCode;
use http::header::{HeaderName, WWW_AUTHENTICATE};
use uuid::Uuid;

use crate::entra::{Bearer, Entra, Scrutiny};
use crate::hosts;
use crate::reply::{self, Reply};
use crate::route::Operation;
use crate::seed::SecretPermission;

pub(crate) use collection::Collection;
pub(crate) use refusal::{Refusal, failure};
pub(crate) use store::{Store, UnknownObject, secret_version};

use refusal::Caller;
use store::VaultState;

/// A request to a vault.
pub(crate) struct VaultRequest<'a> {
    /// The vault's name, in lower case.
    pub(crate) vault: &'a str,
    /// The host in lower case, with the port if there was one: what object ids begin with.
    pub(crate) authority: &'a str,
    pub(crate) bearer: Option<&'a str>,
    pub(crate) scrutiny: Scrutiny,
    pub(crate) query: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) operation: Option<Operation<'a>>,
}

impl VaultRequest<'_> {
    fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.into_owned())
    }
}

/// Answers a request, with the checks in the order of a real vault: vault, authentication, network, form of the
/// request, permission, and existence of the object.
pub(crate) fn answer(store: &Store, entra: &Entra, request: &VaultRequest<'_>) -> Reply {
    let answer = store
        .with_vault(request.vault, |vault| checked(vault, entra, request))
        .unwrap_or_else(|| Err(Refusal::UnknownVault(request.authority.to_owned())));
    answer.unwrap_or_else(|refusal| {
        let mut reply = refusal.reply();
        if reply.status() == StatusCode::UNAUTHORIZED {
            challenge(&mut reply, entra, request.authority);
        }
        reply
    })
}

fn checked(vault: &mut VaultState, entra: &Entra, request: &VaultRequest<'_>) -> Result<Reply, Refusal> {
    let caller = caller(entra, request)?;
    if vault.private_link {
        return Err(Refusal::PrivateLink { caller, vault: vault.name.clone() });
    }
    if vault.firewall {
        return Err(Refusal::Firewall { caller, vault: vault.name.clone() });
    }
    if request.parameter("api-version").is_none_or(|version| version.is_empty()) {
        return Err(Refusal::BadParameter("api-version must be specified".to_owned()));
    }
    let Some(operation) = request.operation else {
        return Err(Refusal::NoSuchOperation);
    };
    if let Operation::Object { name, .. } | Operation::Versions { name, .. } | Operation::SetSecret { name } =
        operation
    {
        valid_name(name)?;
    }
    match operation {
        Operation::Object { collection, name, version } => {
            valid_version(version)?;
            permit(vault, caller, (collection, SecretPermission::Get), Some(name))?;
            match collection {
                Collection::Secrets => secrets::read(vault, request, name, version),
                Collection::Keys => keys::read(vault, request, name, version),
                Collection::Certificates => certificates::read(vault, request, name, version),
            }
        }
        Operation::Versions { collection, name } => {
            permit(vault, caller, (collection, SecretPermission::List), Some(name))?;
            match collection {
                Collection::Secrets => secrets::versions(vault, request, name),
                Collection::Keys => keys::versions(vault, request, name),
                Collection::Certificates => certificates::versions(vault, request, name),
            }
        }
        Operation::Objects { collection } => {
            permit(vault, caller, (collection, SecretPermission::List), None)?;
            match collection {
                Collection::Secrets => secrets::list(vault, request),
                Collection::Keys => keys::list(vault, request),
                Collection::Certificates => certificates::list(vault, request),
            }
        }
        Operation::SetSecret { name } => {
            permit(vault, caller, (Collection::Secrets, SecretPermission::Set), Some(name))?;
            secrets::write(vault, request, name)
        }
        _ => Err(Refusal::NoSuchOperation),
    }
}

fn permit(
    vault: &VaultState,
    caller: Caller,
    what: (Collection, SecretPermission),
    object: Option<&str>,
) -> Result<(), Refusal> {
    vault.grants.permit(&vault.name, caller, what, object)
}

fn caller(entra: &Entra, request: &VaultRequest<'_>) -> Result<Caller, Refusal> {
    let Some(token) = request.bearer else {
        return Err(Refusal::NoToken);
    };
    let expected = hosts::resource(hosts::without_port(request.authority));
    match entra.bearer(token, request.scrutiny) {
        Bearer::Unknown => Err(Refusal::InvalidToken),
        Bearer::Expired => Err(Refusal::ExpiredToken),
        Bearer::NotYetValid => Err(Refusal::EarlyToken),
        Bearer::Valid { resource, .. } if resource != expected => {
            Err(Refusal::WrongAudience { expected, found: resource })
        }
        Bearer::Valid { client_id, .. } => Ok(Caller { client_id, tenant: entra.tenant_id().to_owned() }),
    }
}

fn valid_name(name: &str) -> Result<(), Refusal> {
    if names::is_object(name) {
        return Ok(());
    }
    Err(Refusal::BadParameter(format!("The request URI contains an invalid name: {name}")))
}

fn valid_version(version: Option<&str>) -> Result<(), Refusal> {
    match version {
        Some(version) if !names::is_version(version) => {
            Err(Refusal::BadParameter(format!("The request URI contains an invalid version: {version}")))
        }
        _ => Ok(()),
    }
}

/// The challenge with the authority and resource of the token.
pub(crate) fn challenge(reply: &mut Reply, entra: &Entra, authority: &str) {
    let value = format!(
        "Bearer authorization=\"{}/{}\", resource=\"{}\"",
        hosts::login_url(authority),
        entra.tenant_id(),
        hosts::resource(hosts::without_port(authority)),
    );
    reply::set_header(reply, WWW_AUTHENTICATE, &value);
}

/// The headers of every answer of a vault.
pub(crate) fn set_service_headers(reply: &mut Reply, client_request_id: Option<&str>) {
    let request_id = Uuid::new_v4().to_string();
    for (name, value) in [
        ("x-ms-request-id", request_id.as_str()),
        ("x-ms-keyvault-region", "westeurope"),
        ("x-ms-keyvault-service-version", "2.0.0.0"),
        ("cache-control", "no-cache"),
    ] {
        reply::set_header(reply, HeaderName::from_static(name), value);
    }
    if let Some(id) = client_request_id {
        reply::set_header(reply, HeaderName::from_static("x-ms-client-request-id"), id);
    }
}
