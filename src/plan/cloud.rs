//! Azure clouds, their endpoints, and vault URLs.

use std::fmt;

use url::{Host, Url};

use super::environment_file::{DIRECTORY, DNS_SUFFIX, EnvironmentFile, VAULT_ENDPOINT};
use super::finding::{Fault, quoted};
use super::names::VaultName;

/// An Azure cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cloud {
    /// The public cloud.
    Public,
    /// Azure US Government.
    UsGovernment,
    /// Azure operated by 21Vianet in China.
    China,
    /// Azure Germany, closed in 2021.
    Germany,
    /// Azure Stack or another private cloud whose endpoints are in an environment file.
    Stack,
}

impl Cloud {
    /// Parses a cloud's name or alias in any case.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        match text.to_ascii_lowercase().as_str() {
            "azurepubliccloud" | "azurecloud" => Ok(Self::Public),
            "azureusgovernmentcloud" | "azureusgovernment" => Ok(Self::UsGovernment),
            "azurechinacloud" => Ok(Self::China),
            "azuregermancloud" => Ok(Self::Germany),
            "azurestackcloud" => Ok(Self::Stack),
            _ => Err(Fault::new(
                format!("{} is not a cloud", quoted(text)),
                "use AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud, AzureGermanCloud or AzureStackCloud",
            )),
        }
    }

    /// The cloud with this Entra URL, which is the value of `AZURE_AUTHORITY_HOST`.
    pub fn of_authority(url: &str) -> Option<Self> {
        let host = Url::parse(url).ok().filter(|url| url.scheme() == "https")?.host_str()?.to_owned();
        [Self::Public, Self::UsGovernment, Self::China, Self::Germany].into_iter().find(|cloud| {
            cloud.endpoints().is_some_and(|endpoints| endpoints.authority.host_str() == Some(host.as_str()))
        })
    }

    /// The cloud's endpoints; `None` for Azure Stack, whose endpoints are in its environment file.
    pub fn endpoints(self) -> Option<Endpoints> {
        let (authority, suffix) = match self {
            Self::Public => ("https://login.microsoftonline.com/", "vault.azure.net"),
            Self::UsGovernment => ("https://login.microsoftonline.us/", "vault.usgovcloudapi.net"),
            Self::China => ("https://login.chinacloudapi.cn/", "vault.azure.cn"),
            Self::Germany => ("https://login.microsoftonline.de/", "vault.microsoftazure.de"),
            Self::Stack => return None,
        };
        Some(Endpoints {
            authority: Url::parse(authority).ok()?,
            vault_suffix: VaultSuffix { host: suffix.to_owned(), port: None },
            vault_resource: Some(format!("https://{suffix}")),
        })
    }
}

/// The endpoints of a cloud's Entra and vaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Base URL of the token endpoints.
    pub authority: Url,
    /// The suffix of the vaults' host names.
    pub vault_suffix: VaultSuffix,
    /// The resource of access tokens for vaults; `None` if only the vault's challenge names it.
    pub vault_resource: Option<String>,
}

impl Endpoints {
    /// Parses the environment file of a private cloud: JSON with `activeDirectoryEndpoint` and `keyVaultDNSSuffix`, or
    /// `keyVaultEndpoint` instead of the suffix. Like Go's decoder, it accepts keys in any case, uses the last of
    /// repeated keys, and ignores `null`.
    pub fn from_environment_file(json: &[u8]) -> Result<Self, Fault> {
        let file: EnvironmentFile = serde_json::from_slice(json).map_err(|error| {
            let problem =
                format!("not an environment file: {} in line {}", json_problem(&error), error.line());
            Fault::new(problem, "the file must contain a JSON object of strings")
        })?;
        let missing =
            |field: &str| Fault::new(format!("`{field}` is missing"), "add it to the environment file");
        let endpoint = file.directory.ok_or_else(|| missing(DIRECTORY))?;
        let mut authority = https(DIRECTORY, &endpoint)?;
        if authority.path().trim_matches('/').eq_ignore_ascii_case("adfs") {
            authority.set_path("/");
        }
        let suffix = match (file.dns_suffix, file.vault_endpoint) {
            (Some(suffix), _) => VaultSuffix::parse(&suffix)?,
            (None, Some(endpoint)) => {
                let url = https(VAULT_ENDPOINT, &endpoint)?;
                VaultSuffix::parse(url.authority())?
            }
            (None, None) => return Err(missing(DNS_SUFFIX)),
        };
        Ok(Self { authority, vault_suffix: suffix, vault_resource: None })
    }
}

fn https(field: &str, text: &str) -> Result<Url, Fault> {
    match Url::parse(text.trim()) {
        Ok(url) if url.scheme() == "https" && url.host_str().is_some() && url.username().is_empty() => {
            Ok(url)
        }
        _ => Err(Fault::new(format!("`{field}` is not an https URL"), "set it to a URL like https://host/")),
    }
}

/// The category of a JSON error. The parser's own message is not used because it may quote the text.
pub(super) fn json_problem(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Io => "unreadable",
        serde_json::error::Category::Syntax => "broken JSON",
        serde_json::error::Category::Data => "a value of the wrong type",
        serde_json::error::Category::Eof => "JSON that ends too early",
    }
}

/// The suffix of the host names of a cloud's vaults, optionally with a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VaultSuffix {
    host: String,
    port: Option<u16>,
}

impl VaultSuffix {
    /// Parses a suffix such as `vault.azure.net` or `vault.local.azurestack.external:8443`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim().trim_start_matches('.');
        let wrong =
            || Fault::new(format!("{} is not a DNS suffix", quoted(text)), "write one like vault.azure.net");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':');
        if text.is_empty() || !text.bytes().all(plain) {
            return Err(wrong());
        }
        let url = Url::parse(&format!("https://{text}/")).map_err(|_| wrong())?;
        match url.host() {
            Some(Host::Domain(host)) if has_dns_labels(host) => {
                Ok(Self { host: host.to_owned(), port: url.port() })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for VaultSuffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// The URL of a vault: scheme `https`, a host below an allowed suffix, and no user, path or query.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VaultUrl {
    url: Url,
    /// The allowed suffix that the host ends with.
    suffix: String,
}

impl VaultUrl {
    /// The URL of the vault `name` in a cloud.
    pub fn of(name: &VaultName, suffix: &VaultSuffix) -> Result<Self, Fault> {
        Url::parse(&format!("https://{}.{suffix}/", name.as_str()))
            .map(|url| Self { url, suffix: suffix.host.clone() })
            .map_err(|_| {
                Fault::new(
                    format!("{} does not form a valid URL", quoted(name.as_str())),
                    "check the vault's name",
                )
            })
    }

    /// Parses a URL whose host must be a subdomain of one of `suffixes`.
    pub fn parse(text: &str, suffixes: &[&VaultSuffix]) -> Result<Self, Fault> {
        let wrong = || {
            Fault::new(
                format!("{} is not the URL of a vault", quoted(text)),
                "write https://<vault>.<suffix>/, without user, path or query",
            )
        };
        let url = Url::parse(text).map_err(|_| wrong())?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none();
        let Some(Host::Domain(host)) = url.host() else { return Err(wrong()) };
        if url.scheme() != "https" || !bare || !has_dns_labels(host) {
            return Err(wrong());
        }
        let admits = |suffix: &&&VaultSuffix| url.port() == suffix.port && is_subdomain(host, &suffix.host);
        if let Some(suffix) = suffixes.iter().find(admits) {
            let suffix = suffix.host.clone();
            return Ok(Self { url, suffix });
        }
        let listed = suffixes.iter().map(|suffix| format!(".{suffix}")).collect::<Vec<_>>().join(" or ");
        Err(Fault::new(
            format!("the host of {} does not end with {listed}", quoted(text)),
            "check cloudName, or ask the operator to allow the suffix with --allowed-vault-suffix",
        ))
    }

    /// The URL of the vault `name` with the same suffix.
    pub fn with_name(&self, name: &VaultName) -> Result<Self, Fault> {
        let suffix = VaultSuffix { host: self.suffix.clone(), port: self.url.port() };
        Self::of(name, &suffix)
    }

    /// The host without the allowed suffix: the vault's name, or several labels.
    pub fn prefix(&self) -> &str {
        self.host().strip_suffix(&self.suffix).unwrap_or_default().trim_end_matches('.')
    }

    /// The vault's name, if the prefix is a valid one.
    pub fn name(&self) -> Option<VaultName> {
        VaultName::parse(self.prefix()).ok()
    }

    /// The URL, ending with `/`.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The host, without the port.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The host, and the port if the URL has one. Suitable as a cache key.
    pub fn authority(&self) -> &str {
        self.url.authority()
    }

    /// Whether this vault belongs to the resource (audience) of an access token.
    ///
    /// The vault's host must be a subdomain of the resource's host, which the Key Vault SDKs check as well. The
    /// resource's host must not be above the vault's allowed suffix. A malicious server can therefore neither obtain a
    /// token for another resource nor redirect a token to another host.
    pub fn belongs_to(&self, resource: &str) -> bool {
        let Ok(resource) = Url::parse(resource) else { return false };
        resource.scheme() == "https"
            && resource.host_str().is_some_and(|host| {
                is_subdomain(self.host(), host) && (host == self.suffix || is_subdomain(host, &self.suffix))
            })
    }
}

impl fmt::Display for VaultUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.authority())
    }
}

/// Whether a host consists of DNS labels (RFC 1035, 2.3.4). Resolvers treat empty labels differently.
fn has_dns_labels(host: &str) -> bool {
    host.len() <= 253 && host.split('.').all(|label| (1..=63).contains(&label.len()))
}

fn is_subdomain(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix).and_then(|prefix| prefix.strip_suffix('.')).is_some_and(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_aliases_are_parsed_in_any_case() {
        for (text, cloud) in [
            ("AzurePublicCloud", Cloud::Public),
            ("azurecloud", Cloud::Public),
            ("AZUREUSGOVERNMENT", Cloud::UsGovernment),
            ("AzureUSGovernmentCloud", Cloud::UsGovernment),
            ("AzureChinaCloud", Cloud::China),
            ("AzureGermanCloud", Cloud::Germany),
            ("AzureStackCloud", Cloud::Stack),
        ] {
            assert_eq!(Cloud::parse(text).unwrap(), cloud);
        }
        assert!(Cloud::parse("AzureMoonCloud").is_err());
    }

    #[test]
    fn a_cloud_is_found_by_its_authority() {
        let of = Cloud::of_authority;
        assert_eq!(of("https://login.microsoftonline.com/"), Some(Cloud::Public));
        assert_eq!(of("https://login.microsoftonline.us"), Some(Cloud::UsGovernment));
        assert_eq!(of("https://login.chinacloudapi.cn/"), Some(Cloud::China));
        for unknown in ["http://login.microsoftonline.com/", "https://login.evil.test/", "login", ""] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_vault_url_is_bare_and_below_an_allowed_suffix() {
        let azure = VaultSuffix::parse("vault.azure.net").unwrap();
        let own = VaultSuffix::parse(".vault.corp.test:8443").unwrap();
        let parse = |text| VaultUrl::parse(text, &[&azure, &own]);
        assert_eq!(
            parse("https://MyVault.vault.azure.net").unwrap().as_str(),
            "https://myvault.vault.azure.net/"
        );
        assert!(parse("https://a.vault.corp.test:8443/").is_ok());
        for bad in [
            "http://a.vault.azure.net/",
            "https://a.vault.azure.net.evil.test/",
            "https://evilvault.azure.net/",
            "https://vault.azure.net/",
            "https://.vault.azure.net/",
            "https://a..vault.azure.net/",
            "https://a.b...vault.azure.net/",
            "https://..a.vault.azure.net/",
            "https://a.vault.azure.net./",
            "https://user@a.vault.azure.net/",
            "https://a.vault.azure.net/secrets",
            "https://a.vault.azure.net/?x=y",
            "https://a.vault.azure.net:8443/",
            "https://a.vault.corp.test/",
            "https://127.0.0.1/",
            "a.vault.azure.net",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_suffix_has_no_empty_label() {
        for bad in ["vault..azure.net", "vault.azure.net.", "..", "a..", "vault.azure.net..:8443"] {
            assert!(VaultSuffix::parse(bad).is_err(), "{bad}");
            let json = format!(
                r#"{{"activeDirectoryEndpoint":"https://login.test","keyVaultEndpoint":"https://{bad}/"}}"#
            );
            assert!(Endpoints::from_environment_file(json.as_bytes()).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn every_accepted_vault_has_a_host_of_whole_labels_below_its_suffix(
            host in "[a-zA-Z0-9.%-]{0,70}(\\.vault\\.azure\\.net|vault\\.azure\\.net|\\.{1,2}net)?(:[0-9]{1,5})?",
        ) {
            let suffix = VaultSuffix::parse("vault.azure.net").unwrap();
            if let Ok(vault) = VaultUrl::parse(&format!("https://{host}"), &[&suffix]) {
                prop_assert!(vault.host().split('.').all(|label| (1..=63).contains(&label.len())));
                prop_assert!(vault.host().ends_with(".vault.azure.net") && !vault.prefix().is_empty());
                prop_assert_eq!(vault.as_str(), format!("https://{}/", vault.host()));
            }
        }
    }

    #[test]
    fn a_token_belongs_only_to_hosts_below_its_resource() {
        let suffix = VaultSuffix::parse("vault.azure.net").unwrap();
        let url = VaultUrl::parse("https://a.vault.azure.net/", &[&suffix]).unwrap();
        assert!(url.belongs_to("https://vault.azure.net"));
        assert!(!url.belongs_to("http://vault.azure.net"));
        assert!(!url.belongs_to("https://azure.net"));
        assert!(!url.belongs_to("https://net"));
        assert!(!url.belongs_to("https://azure.net.evil.test"));
        assert!(!url.belongs_to("https://ault.azure.net"));
        assert!(!url.belongs_to("https://a.vault.azure.net"));
        assert!(!url.belongs_to("nonsense"));
    }

    #[test]
    fn environment_files_are_parsed_and_mistakes_are_reported() {
        let read = |json: &str| Endpoints::from_environment_file(json.as_bytes());
        let good = read(
            r#"{"name":"x","activeDirectoryEndpoint":"https://login.stack.test/adfs","keyVaultDNSSuffix":"vault.stack.test:8443"}"#,
        )
        .unwrap();
        assert_eq!(good.authority.as_str(), "https://login.stack.test/");
        assert_eq!(good.vault_suffix.to_string(), "vault.stack.test:8443");
        for spelling in [
            r#"{"Name":"x","ActiveDirectoryEndpoint":"https://login.stack.test","KeyVaultDNSSuffix":"vault.stack.test"}"#,
            r#"{"activedirectoryendpoint":"https://login.stack.test","KEYVAULTDNSSUFFIX":".vault.stack.test"}"#,
            r#"{"activeDirectoryEndpoint":"https://old.test","ActiveDirectoryEndpoint":"https://login.stack.test","keyVaultEndpoint":"https://vault.stack.test/","keyVaultDnsSuffix":null}"#,
            r#"{"activeDirectoryEndpoint":"https://login.stack.test","keyVaultDNSSuffix":"vault.stack.test","resourceIdentifiers":{"keyVault":"x"},"other":[1]}"#,
        ] {
            let endpoints = read(spelling).unwrap();
            assert_eq!(endpoints.authority.as_str(), "https://login.stack.test/", "{spelling}");
            assert_eq!(endpoints.vault_suffix.to_string(), "vault.stack.test", "{spelling}");
        }
        assert!(read(r#"{"activeDirectoryEndpoint":7}"#).unwrap_err().problem.contains("wrong type"));
        assert!(read("[]").unwrap_err().problem.contains("wrong type"));
        assert!(read("{").unwrap_err().problem.contains("ends too early"));
        assert!(read("{}").unwrap_err().problem.contains("activeDirectoryEndpoint"));
        let plain = r#"{"activeDirectoryEndpoint":"http://login.test","keyVaultDNSSuffix":"v.test"}"#;
        assert!(read(plain).unwrap_err().problem.contains("https"));
    }
}
