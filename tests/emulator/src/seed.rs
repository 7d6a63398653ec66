//! What the emulator starts with: a tenant, its identities, vaults and their secrets.

mod check;

use std::collections::BTreeMap;

use serde::Deserialize;
use time::OffsetDateTime;

use crate::{ISSUER, TOKEN_EXCHANGE_AUDIENCE};

/// Why a seed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The YAML does not fit; the message names line and column.
    #[error("the seed is not what it should be: {0}")]
    Yaml(#[from] Box<serde_saphyr::Error>),
    /// The YAML fits and makes no sense; every finding begins with its place.
    #[error("the seed makes no sense: {}", .0.join("; "))]
    Invalid(Vec<String>),
}

/// Everything that exists when the emulator starts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Seed {
    /// The one tenant that Entra knows, besides `adfs`.
    pub tenant: String,
    /// Applications and managed identities of the tenant.
    pub identities: Vec<Identity>,
    /// Key Vaults.
    pub vaults: Vec<Vault>,
    /// Resources that Entra issues tokens for, besides those of Key Vault.
    pub resources: Vec<String>,
}

/// An application or managed identity.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Identity {
    /// What the seed calls it.
    pub name: String,
    /// Its client id.
    pub client_id: String,
    /// The service accounts that may act as it.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredential>,
}

/// A service account that may act as an identity.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FederatedCredential {
    /// `system:serviceaccount:<namespace>:<name>`.
    pub subject: String,
    /// The issuer of its tokens; the emulator's own by default.
    #[serde(default = "default_issuer")]
    pub issuer: String,
    /// The audience of its tokens; `api://AzureADTokenExchange` by default.
    #[serde(default = "default_audience")]
    pub audience: String,
}

/// A Key Vault.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Vault {
    /// Its name; case does not matter.
    pub name: String,
    /// How it decides who may do what.
    #[serde(default)]
    pub authorization: Authorization,
    /// Who may do what.
    #[serde(default)]
    pub access: Vec<Access>,
    /// Whether its firewall refuses everybody.
    #[serde(default)]
    pub firewall: bool,
    /// Whether it is open to private links only, so that everybody here is refused.
    #[serde(default)]
    pub private_link: bool,
    /// Its secrets.
    #[serde(default)]
    pub secrets: Vec<Secret>,
}

/// How a vault decides who may do what: it shows in how it refuses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Authorization {
    /// By role assignments.
    #[default]
    Rbac,
    /// By access policies.
    Policy,
}

/// What one identity may do in a vault.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Access {
    /// The name of an identity of the seed.
    pub identity: String,
    /// What it may do with secrets.
    #[serde(default)]
    pub secrets: Vec<SecretPermission>,
}

/// A permission on a vault's secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretPermission {
    /// Read a value.
    Get,
    /// List secrets and versions, without values.
    List,
    /// Write a value.
    Set,
}

/// A secret: either one `value` or a history of `versions`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Secret {
    /// Its name; case does not matter.
    pub name: String,
    /// The value of its only version.
    #[serde(default)]
    pub value: Option<String>,
    /// The content type of all versions that have none of their own.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Whether its versions may be read.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The tags of all versions that have none of their own.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Whether it backs a certificate of the same name: then it is managed and names a key.
    #[serde(default)]
    pub certificate: bool,
    /// Its versions, oldest first.
    #[serde(default)]
    pub versions: Vec<SecretVersion>,
}

/// One version of a secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SecretVersion {
    /// 32 hexadecimal digits; made up if left out.
    #[serde(default)]
    pub version: Option<String>,
    /// The value.
    pub value: String,
    /// When it was made; if left out, the last version is made at the start of the emulator and those
    /// before it a second earlier each.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub created: Option<OffsetDateTime>,
    /// Not to be used before; Key Vault gives it out all the same.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub not_before: Option<OffsetDateTime>,
    /// Not to be used after; Key Vault gives it out all the same.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expires: Option<OffsetDateTime>,
    /// Whether it may be read.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Its content type, if it is not the secret's.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Its tags, if they are not the secret's.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl Default for Seed {
    fn default() -> Self {
        Self {
            tenant: "00000000-0000-4000-8000-000000000001".to_owned(),
            identities: Vec::new(),
            vaults: Vec::new(),
            resources: Vec::new(),
        }
    }
}

impl Seed {
    /// Reads a seed. The error names the place: line and column, or the field.
    pub fn from_yaml(yaml: &str) -> Result<Self, SeedError> {
        let seed: Self = serde_saphyr::from_str(yaml).map_err(Box::new)?;
        seed.check()?;
        Ok(seed)
    }

    /// Adds an identity.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identities.push(identity);
        self
    }

    /// Adds a vault.
    #[must_use]
    pub fn vault(mut self, vault: Vault) -> Self {
        self.vaults.push(vault);
        self
    }
}

impl Identity {
    /// An identity that no service account may act as yet.
    pub fn new(name: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self { name: name.into(), client_id: client_id.into(), federated_credentials: Vec::new() }
    }

    /// Lets a service account of the emulator's own issuer act as it.
    #[must_use]
    pub fn federated(mut self, namespace: &str, service_account: &str) -> Self {
        self.federated_credentials.push(FederatedCredential::new(namespace, service_account));
        self
    }
}

impl FederatedCredential {
    /// For a service account of the emulator's own issuer, with the usual audience.
    pub fn new(namespace: &str, service_account: &str) -> Self {
        Self {
            subject: format!("system:serviceaccount:{namespace}:{service_account}"),
            issuer: default_issuer(),
            audience: default_audience(),
        }
    }
}

impl Vault {
    /// An empty vault, authorized by role assignments, that nobody may use yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            authorization: Authorization::default(),
            access: Vec::new(),
            firewall: false,
            private_link: false,
            secrets: Vec::new(),
        }
    }

    /// Lets an identity, by the seed's name for it, do something with secrets.
    #[must_use]
    pub fn access(mut self, identity: impl Into<String>, secrets: &[SecretPermission]) -> Self {
        self.access.push(Access { identity: identity.into(), secrets: secrets.to_vec() });
        self
    }

    /// Adds a secret.
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }
}

impl Secret {
    /// A secret with one version.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { value: Some(value.into()), ..Self::empty(name.into()) }
    }

    /// A secret with these versions, oldest first.
    pub fn with_versions(name: impl Into<String>, versions: Vec<SecretVersion>) -> Self {
        Self { versions, ..Self::empty(name.into()) }
    }

    fn empty(name: String) -> Self {
        Self {
            name,
            value: None,
            content_type: None,
            enabled: true,
            tags: BTreeMap::new(),
            certificate: false,
            versions: Vec::new(),
        }
    }
}

impl SecretVersion {
    /// An enabled version whose id and times are made up.
    pub fn new(value: impl Into<String>) -> Self {
        Self {
            version: None,
            value: value.into(),
            created: None,
            not_before: None,
            expires: None,
            enabled: true,
            content_type: None,
            tags: BTreeMap::new(),
        }
    }
}

fn default_issuer() -> String {
    ISSUER.to_owned()
}

fn default_audience() -> String {
    TOKEN_EXCHANGE_AUDIENCE.to_owned()
}

fn yes() -> bool {
    true
}
