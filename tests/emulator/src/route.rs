//! From host, method and path to the service and the operation.

use http::Method;

use crate::fault::Service;
use crate::hosts::{self, Role};
use crate::record::RequestKind;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    /// Exchange an assertion for an access token.
    Token { tenant: &'a str },
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
    /// A page of a vault's secrets.
    Secrets,
    /// A page of a secret's versions.
    SecretVersions { name: &'a str },
    /// A secret's value; without a version, the newest.
    Secret { name: &'a str, version: Option<&'a str> },
    /// Write a secret.
    SetSecret { name: &'a str },
}

impl Operation<'_> {
    pub(crate) fn kind(self) -> RequestKind {
        match self {
            Self::Token { .. } => RequestKind::Token,
            Self::TenantDiscovery { .. }
            | Self::TenantKeys
            | Self::InstanceDiscovery
            | Self::IssuerDiscovery => RequestKind::Discovery,
            Self::IssuerKeys => RequestKind::Jwks,
            Self::TokenRequest { .. } => RequestKind::TokenRequest,
            Self::Secrets => RequestKind::SecretList,
            Self::SecretVersions { .. } => RequestKind::SecretVersions,
            Self::Secret { .. } => RequestKind::Secret,
            Self::SetSecret { .. } => RequestKind::SecretSet,
        }
    }
}

/// Who is asked at `host` (lower case, no port), and for what if anybody serves that.
pub(crate) fn route<'a>(
    host: &'a str,
    method: &Method,
    path: &'a str,
) -> (Service<'a>, Option<Operation<'a>>) {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let service = match (hosts::role(host), segments.first().copied()) {
        (Role::Issuer, _) | (Role::Any, Some(".well-known" | "openid" | "api")) => Service::Issuer,
        (Role::Vault, _) | (Role::Any, Some("secrets" | "keys" | "certificates")) => {
            Service::Vault(hosts::vault_name(host))
        }
        (Role::Entra | Role::Any, _) => Service::Entra,
    };
    let operation = match service {
        Service::Entra => entra(method, &segments),
        Service::Vault(_) => vault(method, &segments),
        Service::Issuer => issuer(method, &segments),
    };
    (service, operation)
}

fn entra<'a>(method: &Method, segments: &[&'a str]) -> Option<Operation<'a>> {
    match (method.as_str(), segments) {
        ("POST", [tenant, "oauth2", "v2.0", "token"] | [tenant @ "adfs", "oauth2", "token"]) => {
            Some(Operation::Token { tenant })
        }
        ("GET", [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
            Some(Operation::TenantDiscovery { tenant })
        }
        ("GET", [_, "discovery", "v2.0", "keys"]) => Some(Operation::TenantKeys),
        ("GET", ["common", "discovery", "instance"]) => Some(Operation::InstanceDiscovery),
        _ => None,
    }
}

fn vault<'a>(method: &Method, segments: &[&'a str]) -> Option<Operation<'a>> {
    match (method.as_str(), segments) {
        ("GET", ["secrets"] | ["secrets", ""]) => Some(Operation::Secrets),
        ("GET", ["secrets", name] | ["secrets", name, ""]) => Some(Operation::Secret { name, version: None }),
        ("GET", ["secrets", name, "versions"]) => Some(Operation::SecretVersions { name }),
        ("GET", ["secrets", name, version]) => Some(Operation::Secret { name, version: Some(version) }),
        ("PUT", ["secrets", name]) => Some(Operation::SetSecret { name }),
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

    #[test]
    fn a_cloud_host_serves_its_own_paths_and_a_loopback_name_serves_all() {
        let token = Some(Operation::Token { tenant: "t" });
        let path = "/t/oauth2/v2.0/token";
        assert_eq!(route("login.microsoftonline.com", &Method::POST, path), (Service::Entra, token));
        assert_eq!(route("localhost", &Method::POST, path), (Service::Entra, token));
        assert_eq!(route("v.vault.azure.net", &Method::POST, path), (Service::Vault("v"), None));
        assert_eq!(route("oidc.emulator.test", &Method::POST, path), (Service::Issuer, None));

        let secret = Some(Operation::Secret { name: "a", version: None });
        assert_eq!(route("v.localhost", &Method::GET, "/secrets/a/"), (Service::Vault("v"), secret));
        assert_eq!(route("login.microsoftonline.us", &Method::GET, "/secrets/a"), (Service::Entra, None));
    }

    #[test]
    fn ad_fs_serves_its_token_endpoint_under_both_paths() {
        let token = Some(Operation::Token { tenant: "adfs" });
        assert_eq!(route("adfs.stack.test", &Method::POST, "/adfs/oauth2/token"), (Service::Entra, token));
        assert_eq!(
            route("adfs.stack.test", &Method::POST, "/adfs/oauth2/v2.0/token"),
            (Service::Entra, token)
        );
        assert_eq!(route("adfs.stack.test", &Method::POST, "/other/oauth2/token"), (Service::Entra, None));
    }
}
