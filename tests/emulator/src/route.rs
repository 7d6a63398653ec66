//! From host, method and path to the service and the operation.

use http::Method;

use crate::entra::EndpointVersion::{self, V1, V2};
use crate::fault::Service;
use crate::hosts::{self, Role};
use crate::record::RequestKind;
use crate::vault::Collection;

/// The listener of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// TLS: the host selects the service.
    Tls,
    /// TLS with the server name of the cluster's token proxy: the path selects the operation.
    TokenProxy,
    /// Plain HTTP at the instance metadata service.
    Imds,
}

/// The operation of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    /// Exchange an assertion for an access token.
    Token { tenant: &'a str, version: EndpointVersion },
    /// A tenant's discovery document.
    TenantDiscovery { tenant: &'a str },
    /// The keys that a tenant's access tokens are signed with.
    TenantKeys,
    /// Which authority hosts belong together.
    InstanceDiscovery,
    /// The service account issuer's discovery document.
    IssuerDiscovery,
    /// The service account issuer's keys.
    IssuerKeys,
    /// A token for a service account.
    TokenRequest { namespace: &'a str, account: &'a str },
    /// A service account.
    ServiceAccount { namespace: &'a str, account: &'a str },
    /// A page of a vault's secrets, keys or certificates.
    Objects { collection: Collection },
    /// A page of an object's versions.
    Versions { collection: Collection, name: &'a str },
    /// An object; without a version, the newest.
    Object { collection: Collection, name: &'a str, version: Option<&'a str> },
    /// Write a secret.
    SetSecret { name: &'a str },
    /// An access token for a managed identity.
    ManagedIdentity,
}

impl<'a> Operation<'a> {
    /// The name of the requested object of a vault.
    pub(crate) fn object(self) -> Option<&'a str> {
        match self {
            Self::Object { name, .. } | Self::Versions { name, .. } | Self::SetSecret { name } => Some(name),
            _ => None,
        }
    }

    pub(crate) fn kind(self) -> RequestKind {
        match self {
            Self::Token { .. } => RequestKind::Token,
            Self::TenantDiscovery { .. }
            | Self::TenantKeys
            | Self::InstanceDiscovery
            | Self::IssuerDiscovery => RequestKind::Discovery,
            Self::IssuerKeys => RequestKind::Jwks,
            Self::TokenRequest { .. } => RequestKind::TokenRequest,
            Self::ServiceAccount { .. } => RequestKind::ServiceAccount,
            Self::Objects { collection: Collection::Secrets } => RequestKind::SecretList,
            Self::Objects { collection: Collection::Keys } => RequestKind::KeyList,
            Self::Objects { collection: Collection::Certificates } => RequestKind::CertificateList,
            Self::Versions { collection: Collection::Secrets, .. } => RequestKind::SecretVersions,
            Self::Versions { collection: Collection::Keys, .. } => RequestKind::KeyVersions,
            Self::Versions { collection: Collection::Certificates, .. } => RequestKind::CertificateVersions,
            Self::Object { collection: Collection::Secrets, .. } => RequestKind::Secret,
            Self::Object { collection: Collection::Keys, .. } => RequestKind::Key,
            Self::Object { collection: Collection::Certificates, .. } => RequestKind::Certificate,
            Self::SetSecret { .. } => RequestKind::SecretSet,
            Self::ManagedIdentity => RequestKind::Imds,
        }
    }
}

/// The service at `host` (lower case, no port), and the request to it if the service has one for this path.
pub(crate) fn route<'a>(
    entrance: Entrance,
    host: &'a str,
    method: &Method,
    path: &'a str,
) -> (Service<'a>, Option<Operation<'a>>) {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match entrance {
        Entrance::Imds => (Service::Imds, imds(method, &segments)),
        Entrance::TokenProxy => (Service::Entra, token_proxy(method, &segments)),
        Entrance::Tls => by_host(host, method, &segments),
    }
}

fn by_host<'a>(host: &'a str, method: &Method, segments: &[&'a str]) -> (Service<'a>, Option<Operation<'a>>) {
    match (hosts::role(host), segments.first().copied()) {
        (Role::Issuer, _) | (Role::Any, Some(".well-known" | "openid" | "api")) => {
            match api_server(method, segments) {
                Some(operation) => (Service::ApiServer, Some(operation)),
                None => (Service::Issuer, issuer(method, segments)),
            }
        }
        (Role::Vault, _) | (Role::Any, Some("secrets" | "keys" | "certificates")) => {
            (Service::Vault(hosts::vault_name(host)), vault(method, segments))
        }
        (Role::Entra | Role::Any, _) => (Service::Entra, entra(method, segments)),
    }
}

fn entra<'a>(method: &Method, segments: &[&'a str]) -> Option<Operation<'a>> {
    match (method.as_str(), segments) {
        ("POST", [tenant, "oauth2", "v2.0", "token"] | [tenant @ "adfs", "oauth2", "token"]) => {
            Some(Operation::Token { tenant, version: V2 })
        }
        ("POST", [tenant, "oauth2", "token"]) => Some(Operation::Token { tenant, version: V1 }),
        ("GET", [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
            Some(Operation::TenantDiscovery { tenant })
        }
        ("GET", [_, "discovery", "v2.0", "keys"]) => Some(Operation::TenantKeys),
        ("GET", ["common", "discovery", "instance"]) => Some(Operation::InstanceDiscovery),
        _ => None,
    }
}

/// The cluster's token proxy keeps the end of the path and adds a prefix.
fn token_proxy<'a>(method: &Method, segments: &[&'a str]) -> Option<Operation<'a>> {
    match (method.as_str(), segments) {
        ("POST", [.., tenant, "oauth2", "v2.0", "token"]) => Some(Operation::Token { tenant, version: V2 }),
        _ => None,
    }
}

fn imds<'a>(method: &Method, segments: &[&'a str]) -> Option<Operation<'a>> {
    match (method.as_str(), segments) {
        ("GET", ["metadata", "identity", "oauth2", "token"]) => Some(Operation::ManagedIdentity),
        _ => None,
    }
}

fn vault<'a>(method: &Method, segments: &[&'a str]) -> Option<Operation<'a>> {
    let (first, rest) = segments.split_first()?;
    let collection = Collection::named(first)?;
    match (method.as_str(), rest) {
        ("GET", [] | [""]) => Some(Operation::Objects { collection }),
        ("GET", [name] | [name, ""]) => Some(Operation::Object { collection, name, version: None }),
        ("GET", [name, "versions"]) => Some(Operation::Versions { collection, name }),
        ("GET", [name, version]) => Some(Operation::Object { collection, name, version: Some(version) }),
        ("PUT", [name]) if collection == Collection::Secrets => Some(Operation::SetSecret { name }),
        _ => None,
    }
}

fn api_server<'a>(method: &Method, segments: &[&'a str]) -> Option<Operation<'a>> {
    match (method.as_str(), segments) {
        ("GET", ["api", "v1", "namespaces", namespace, "serviceaccounts", account]) => {
            Some(Operation::ServiceAccount { namespace, account })
        }
        _ => None,
    }
}

fn issuer<'a>(method: &Method, segments: &[&'a str]) -> Option<Operation<'a>> {
    match (method.as_str(), segments) {
        ("GET", [".well-known", "openid-configuration"]) => Some(Operation::IssuerDiscovery),
        ("GET", ["openid", "v1", "jwks"]) => Some(Operation::IssuerKeys),
        ("POST", ["api", "v1", "namespaces", namespace, "serviceaccounts", account, "token"]) => {
            Some(Operation::TokenRequest { namespace, account })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(host: &'a str, method: &Method, path: &'a str) -> (Service<'a>, Option<Operation<'a>>) {
        route(Entrance::Tls, host, method, path)
    }

    #[test]
    fn a_cloud_host_serves_its_own_paths_and_a_loopback_name_serves_all() {
        let token = Some(Operation::Token { tenant: "t", version: V2 });
        let path = "/t/oauth2/v2.0/token";
        assert_eq!(at("login.microsoftonline.com", &Method::POST, path), (Service::Entra, token));
        assert_eq!(at("localhost", &Method::POST, path), (Service::Entra, token));
        assert_eq!(at("v.vault.azure.net", &Method::POST, path), (Service::Vault("v"), None));
        assert_eq!(at("oidc.emulator.test", &Method::POST, path), (Service::Issuer, None));

        let secret = Some(Operation::Object { collection: Collection::Secrets, name: "a", version: None });
        assert_eq!(at("v.localhost", &Method::GET, "/secrets/a/"), (Service::Vault("v"), secret));
        assert_eq!(at("login.microsoftonline.us", &Method::GET, "/secrets/a"), (Service::Entra, None));
    }

    #[test]
    fn ad_fs_serves_its_token_endpoint_under_both_paths() {
        let token = Some(Operation::Token { tenant: "adfs", version: V2 });
        assert_eq!(at("adfs.stack.test", &Method::POST, "/adfs/oauth2/token"), (Service::Entra, token));
        assert_eq!(at("adfs.stack.test", &Method::POST, "/adfs/oauth2/v2.0/token"), (Service::Entra, token));
        let legacy = Some(Operation::Token { tenant: "other", version: V1 });
        assert_eq!(at("adfs.stack.test", &Method::POST, "/other/oauth2/token"), (Service::Entra, legacy));
    }
}
