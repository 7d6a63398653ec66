//! The initial state of the emulator: a tenant, its identities, vaults and their objects, a cluster.

mod account;
mod certificate;
mod check;
mod identity;
mod key;
mod secret;
mod vault;

use serde::Deserialize;

pub use account::ServiceAccount;
pub use certificate::{Certificate, CertificateVersion};
pub use identity::{ClientSecret, FederatedCredential, Identity, ManagedIdentity};
pub use key::{Curve, Key, KeyType, KeyVersion};
pub use secret::{Secret, SecretVersion};
pub use vault::{Access, Authorization, ReadPermission, SecretPermission, Vault};

pub(crate) use certificate::MaterialError;
pub(crate) use key::KeyError;

/// The reason why a seed is refused.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The YAML has errors; the message contains line and column.
    #[error("the seed is not valid YAML for this emulator: {0}")]
    Yaml(#[from] Box<serde_saphyr::Error>),
    /// Values are invalid; every finding begins with its location.
    #[error("the seed is invalid: {}", .0.join("; "))]
    Invalid(Vec<String>),
}

/// The initial state of the emulator.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Seed {
    /// The only tenant of Entra, besides `adfs`.
    pub tenant: String,
    /// Applications and managed identities of the tenant.
    pub identities: Vec<Identity>,
    /// Key Vaults.
    pub vaults: Vec<Vault>,
    /// Resources that Entra issues tokens for, besides those of Key Vault.
    pub resources: Vec<String>,
    /// Service accounts of the Kubernetes API server. Tokens can be issued for others, too.
    pub service_accounts: Vec<ServiceAccount>,
}

impl Default for Seed {
    fn default() -> Self {
        Self {
            tenant: "00000000-0000-4000-8000-000000000001".to_owned(),
            identities: Vec::new(),
            vaults: Vec::new(),
            resources: Vec::new(),
            service_accounts: Vec::new(),
        }
    }
}

impl Seed {
    /// Parses a seed. An error contains the location: line and column, or the field.
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

    /// Adds a service account to the cluster.
    #[must_use]
    pub fn service_account(mut self, account: ServiceAccount) -> Self {
        self.service_accounts.push(account);
        self
    }
}

fn yes() -> bool {
    true
}
