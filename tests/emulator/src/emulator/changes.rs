//! Changes while the emulator runs.

use time::OffsetDateTime;

use super::Emulator;
use crate::seed::{FederatedCredential, SecretPermission, SecretVersion, ServiceAccount};
use crate::vault::{UnknownObject, names, secret_version};

/// The reason why a change was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// No vault has this name.
    #[error("vault {0:?} does not exist")]
    UnknownVault(String),
    /// No secret of that vault has this name.
    #[error("secret {0:?} does not exist")]
    UnknownSecret(String),
    /// The name is not valid in a vault.
    #[error("{0:?} is not a name of a secret")]
    BadName(String),
    /// A version's id is not 32 hexadecimal digits, or there is such a version already.
    #[error("{0:?} is not an ID for a new version")]
    BadVersion(String),
    /// No identity has this client id.
    #[error("client {0:?} does not exist")]
    UnknownClient(String),
}

impl Emulator {
    /// Writes a secret, new or not, and returns the id of the new version.
    pub fn set_secret(&self, vault: &str, name: &str, value: &str) -> Result<String, ChangeError> {
        if !names::is_object(name) {
            return Err(ChangeError::BadName(name.to_owned()));
        }
        let (draft, content) = secret_version(SecretVersion::new(value));
        self.shared
            .store
            .with_vault(vault, |vault| vault.add_secret(name, draft, content))
            .ok_or_else(|| ChangeError::UnknownVault(vault.to_owned()))
    }

    /// Adds a version to a secret, new or not, and returns its id. It takes its place by its creation time,
    /// after those of the same time; without a time of its own it is the newest.
    pub fn add_version(
        &self,
        vault: &str,
        name: &str,
        version: SecretVersion,
    ) -> Result<String, ChangeError> {
        if !names::is_object(name) {
            return Err(ChangeError::BadName(name.to_owned()));
        }
        let id = version.version.clone();
        let added = self.shared.store.with_vault(vault, |vault| {
            let secret = vault.secrets.get(&name.to_ascii_lowercase());
            let taken = |id: &String| secret.is_some_and(|secret| secret.version(Some(id)).is_some());
            if let Some(id) = id.filter(|id| !names::is_version(id) || taken(id)) {
                return Err(ChangeError::BadVersion(id));
            }
            let (draft, content) = secret_version(version);
            Ok(vault.add_secret(name, draft, content))
        });
        added.ok_or_else(|| ChangeError::UnknownVault(vault.to_owned()))?
    }

    /// Enables or disables the newest version of a secret.
    pub fn set_enabled(&self, vault: &str, name: &str, enabled: bool) -> Result<(), ChangeError> {
        let change = self.shared.store.with_newest(vault, name, |version| {
            version.enabled = enabled;
            version.updated = OffsetDateTime::now_utc().max(version.created);
        });
        change.map_err(|unknown| match unknown {
            UnknownObject::Vault => ChangeError::UnknownVault(vault.to_owned()),
            UnknownObject::Secret => ChangeError::UnknownSecret(name.to_owned()),
        })
    }

    /// Deletes a secret with all its versions.
    pub fn delete_secret(&self, vault: &str, name: &str) -> Result<(), ChangeError> {
        let removed = self
            .shared
            .store
            .with_vault(vault, |vault| vault.secrets.remove(&name.to_ascii_lowercase()).is_some())
            .ok_or_else(|| ChangeError::UnknownVault(vault.to_owned()))?;
        if removed { Ok(()) } else { Err(ChangeError::UnknownSecret(name.to_owned())) }
    }

    /// Sets the permissions of a client on a vault's secrets.
    pub fn set_access(
        &self,
        vault: &str,
        client_id: &str,
        secrets: &[SecretPermission],
    ) -> Result<(), ChangeError> {
        if !self.shared.entra.knows_client(client_id) {
            return Err(ChangeError::UnknownClient(client_id.to_owned()));
        }
        self.shared
            .store
            .with_vault(vault, |vault| vault.grants.set_secrets(client_id, secrets))
            .ok_or_else(|| ChangeError::UnknownVault(vault.to_owned()))
    }

    /// Adds a federated credential to this client.
    pub fn add_federated_credential(
        &self,
        client_id: &str,
        credential: FederatedCredential,
    ) -> Result<(), ChangeError> {
        self.change_credentials(client_id, |credentials| credentials.push(credential))
    }

    /// Removes all federated credentials of this client. Access tokens that were issued before stay valid.
    pub fn remove_federated_credentials(&self, client_id: &str) -> Result<(), ChangeError> {
        self.change_credentials(client_id, Vec::clear)
    }

    /// Writes a service account, new or not.
    pub fn set_service_account(&self, account: ServiceAccount) {
        self.shared.accounts.set(account);
    }

    fn change_credentials(
        &self,
        client_id: &str,
        change: impl FnOnce(&mut Vec<FederatedCredential>),
    ) -> Result<(), ChangeError> {
        self.shared
            .entra
            .change_credentials(client_id, change)
            .ok_or_else(|| ChangeError::UnknownClient(client_id.to_owned()))
    }
}
