//! Hosts and their services: clouds, authorities, vault suffixes, and hosts behind the proxy.

use std::net::IpAddr;

/// A cloud with its own hosts.
struct Cloud {
    authority: &'static str,
    vault_suffix: &'static str,
}

const CLOUDS: [Cloud; 4] = [
    Cloud { authority: "login.microsoftonline.com", vault_suffix: "vault.azure.net" },
    Cloud { authority: "login.microsoftonline.us", vault_suffix: "vault.usgovcloudapi.net" },
    Cloud { authority: "login.chinacloudapi.cn", vault_suffix: "vault.azure.cn" },
    Cloud { authority: "login.microsoftonline.de", vault_suffix: "vault.microsoftazure.de" },
];

const ISSUER_HOST: &str = "oidc.emulator.test";

/// Address of the instance metadata service on every machine in Azure.
const IMDS_HOST: &str = "169.254.169.254";

/// The services of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// An authority of a public cloud: Entra and nothing else.
    Entra,
    /// A vault, by its name.
    Vault,
    /// The service account issuer and nothing else.
    Issuer,
    /// Everything, told apart by path: loopback names and private clouds' authorities.
    Any,
}

/// The host of an authority such as `vault.test:8443` or `[::1]:8443`, without the port.
pub(crate) fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// What `host` (lower case, no port) serves.
pub(crate) fn role(host: &str) -> Role {
    if host == ISSUER_HOST {
        Role::Issuer
    } else if CLOUDS.iter().any(|cloud| host == cloud.authority) {
        Role::Entra
    } else if cloud_of(host).is_some() || (is_private(host) && after_first_label(host).starts_with("vault."))
    {
        Role::Vault
    } else {
        Role::Any
    }
}

/// Whether the proxy knows `host` (lower case, no port) at `port`. Private clouds may use any port.
pub(crate) fn is_reachable(host: &str, port: u16) -> bool {
    let public = CLOUDS.iter().any(|cloud| host == cloud.authority) || cloud_of(host).is_some();
    (public && port == 443) || is_private(host)
}

/// Whether `host` (lower case, no port) is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        || host == "localhost"
        || host.ends_with(".localhost")
}

/// Whether `host` (lower case, no port) at `port` is the instance metadata service, which speaks plain HTTP.
pub(crate) fn is_imds(host: &str, port: u16) -> bool {
    host == IMDS_HOST && port == 80
}

/// Whether `server_name`, as asked for by TLS, is the cluster's token proxy for identity binding.
pub(crate) fn is_token_proxy(server_name: &str) -> bool {
    server_name.to_ascii_lowercase().ends_with(".ests.aks")
}

/// Whether the Kubernetes API server answers at `host` (lower case, no port), among others perhaps.
pub(crate) fn has_api_server(host: &str) -> bool {
    matches!(role(host), Role::Any | Role::Issuer) && !is_token_proxy(host)
}

/// The vault that `host` names: its first label.
pub(crate) fn vault_name(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

/// The resource that a token for the vault at `host` (lower case, no port) must be made for.
pub(crate) fn resource(host: &str) -> String {
    format!("https://{}", after_first_label(host))
}

/// The authority that the vault at `authority` (a host, perhaps with a port) sends its callers to.
///
/// A private cloud's is the vault suffix with `login` for `vault`; a loopback name's is that name,
/// without the vault, because there everything is served at one address.
pub(crate) fn login_url(authority: &str) -> String {
    let host = without_port(authority);
    if let Some(cloud) = cloud_of(host) {
        return format!("https://{}", cloud.authority);
    }
    let suffix = after_first_label(authority);
    match suffix.strip_prefix("vault.") {
        Some(domain) => format!("https://login.{domain}"),
        None => format!("https://{suffix}"),
    }
}

/// Whether `resource` is what some vault asks for, in any cloud.
pub(crate) fn is_vault_resource(resource: &str) -> bool {
    let Some(host) = resource.strip_prefix("https://") else {
        return false;
    };
    CLOUDS.iter().any(|cloud| host == cloud.vault_suffix)
        || (is_private(host) && host.starts_with("vault."))
        || is_loopback(host)
}

/// The authorities of the public clouds.
pub(crate) fn authorities<'a>() -> impl Iterator<Item = &'a str> {
    CLOUDS.iter().map(|cloud| cloud.authority)
}

fn cloud_of(vault_host: &str) -> Option<&'static Cloud> {
    let suffix = after_first_label(vault_host);
    CLOUDS.iter().find(|cloud| cloud.vault_suffix == suffix)
}

/// Whether `host` (lower case, no port) is the authority of a private cloud, by its usual names.
pub(crate) fn is_private_authority(host: &str) -> bool {
    is_private(host) && (host.starts_with("login.") || host.starts_with("adfs."))
}

/// Whether `host` (lower case, no port) is below the domain of private clouds and of the cluster.
pub(crate) fn is_private(host: &str) -> bool {
    host.rsplit_once('.').is_some_and(|(_, last)| last == "test")
}

fn after_first_label(host: &str) -> &str {
    host.split_once('.').map_or(host, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_sends_its_callers_to_the_authority_of_its_own_cloud() {
        for (vault, login, resource_url) in [
            ("v.vault.azure.net", "https://login.microsoftonline.com", "https://vault.azure.net"),
            (
                "v.vault.usgovcloudapi.net",
                "https://login.microsoftonline.us",
                "https://vault.usgovcloudapi.net",
            ),
            ("v.vault.azure.cn", "https://login.chinacloudapi.cn", "https://vault.azure.cn"),
            (
                "v.vault.microsoftazure.de",
                "https://login.microsoftonline.de",
                "https://vault.microsoftazure.de",
            ),
            ("v.vault.stack.test:8443", "https://login.stack.test:8443", "https://vault.stack.test"),
            ("v.localhost:8443", "https://localhost:8443", "https://localhost"),
        ] {
            assert_eq!(login_url(vault), login);
            assert_eq!(resource(without_port(vault)), resource_url);
            assert!(is_vault_resource(resource_url), "{resource_url}");
        }
    }

    #[test]
    fn the_proxy_knows_azure_at_its_port_and_private_clouds_at_any() {
        assert!(is_reachable("v.vault.azure.net", 443));
        assert!(is_reachable("login.microsoftonline.de", 443));
        assert!(is_reachable("v.vault.stack.test", 8443));
        assert!(!is_reachable("v.vault.azure.net", 8443));
        assert!(!is_reachable("vault.azure.net", 443));
        assert!(!is_reachable("management.azure.com", 443));
        assert!(!is_reachable("test", 443));
    }

    #[test]
    fn the_api_server_is_where_no_azure_is() {
        for host in ["localhost", "kubernetes.test", "oidc.emulator.test", "kubernetes.default.svc"] {
            assert!(has_api_server(host), "{host}");
        }
        for host in ["v.vault.azure.net", "login.microsoftonline.com", "a1b2.ests.aks"] {
            assert!(!has_api_server(host), "{host}");
        }
        assert!(is_token_proxy("A1B2.ests.AKS") && !is_token_proxy("ests.aks.test"));
    }

    #[test]
    fn loopback_goes_by_names_and_addresses() {
        for host in ["127.0.0.1", "[::1]", "localhost", "v.localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        assert!(!is_loopback("10.0.0.1"));
        assert!(!is_loopback("nolocalhost"));
    }

    #[test]
    fn a_port_is_no_part_of_a_host_and_brackets_are() {
        assert_eq!(without_port("v.vault.azure.net:443"), "v.vault.azure.net");
        assert_eq!(without_port("[::1]:8443"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
        assert_eq!(without_port("localhost"), "localhost");
    }
}
