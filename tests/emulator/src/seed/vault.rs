//! A vault and the permissions on it.

use serde::Deserialize;

use super::{Certificate, Key, Secret};

/// A Key Vault.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Vault {
    /// Its name; case does not matter.
    pub name: String,
    /// Its authorization model.
    #[serde(default)]
    pub authorization: Authorization,
    /// Its permissions.
    #[serde(default)]
    pub access: Vec<Access>,
    /// Whether its firewall refuses all clients.
    #[serde(default)]
    pub firewall: bool,
    /// Whether it accepts only private links, so that all clients here are refused.
    #[serde(default)]
    pub private_link: bool,
    /// Its secrets.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// Its keys.
    #[serde(default)]
    pub keys: Vec<Key>,
    /// Its certificates, each with a secret and a key of the same name.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
}

/// The authorization model of a vault, which decides the form of its refusals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Authorization {
    /// By role assignments.
    #[default]
    Rbac,
    /// By access policies.
    Policy,
}

/// The permissions of an identity in a vault.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Access {
    /// The name of an identity of the seed.
    pub identity: String,
    /// What it may do with secrets.
    #[serde(default)]
    pub secrets: Vec<SecretPermission>,
    /// What it may do with keys.
    #[serde(default)]
    pub keys: Vec<ReadPermission>,
    /// What it may do with certificates.
    #[serde(default)]
    pub certificates: Vec<ReadPermission>,
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

/// A permission on a vault's keys or certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReadPermission {
    /// Read one.
    Get,
    /// List them and their versions.
    List,
}

impl Vault {
    /// An empty vault with authorization by roles, and no role assignments.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            authorization: Authorization::default(),
            access: Vec::new(),
            firewall: false,
            private_link: false,
            secrets: Vec::new(),
            keys: Vec::new(),
            certificates: Vec::new(),
        }
    }

    /// Lets an identity, by the seed's name for it, do something with secrets.
    #[must_use]
    pub fn access(mut self, identity: impl Into<String>, secrets: &[SecretPermission]) -> Self {
        self.access.push(Access { secrets: secrets.to_vec(), ..Access::new(identity.into()) });
        self
    }

    /// Lets an identity, by the seed's name for it, do something with keys.
    #[must_use]
    pub fn key_access(mut self, identity: impl Into<String>, keys: &[ReadPermission]) -> Self {
        self.access.push(Access { keys: keys.to_vec(), ..Access::new(identity.into()) });
        self
    }

    /// Lets an identity, by the seed's name for it, do something with certificates.
    #[must_use]
    pub fn certificate_access(
        mut self,
        identity: impl Into<String>,
        certificates: &[ReadPermission],
    ) -> Self {
        self.access.push(Access { certificates: certificates.to_vec(), ..Access::new(identity.into()) });
        self
    }

    /// Adds a secret.
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Adds a key.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds a certificate.
    #[must_use]
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificates.push(certificate);
        self
    }
}

impl Access {
    fn new(identity: String) -> Self {
        Self { identity, secrets: Vec::new(), keys: Vec::new(), certificates: Vec::new() }
    }
}
