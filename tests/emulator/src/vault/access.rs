//! Permissions in a vault.

use std::collections::HashMap;

use super::Collection;
use super::refusal::{Caller, Refusal};
use crate::seed::{Access, Authorization, Identity, ReadPermission, SecretPermission};

/// The permissions of each client, by lower-case client ID.
#[derive(Debug)]
pub(crate) struct Grants {
    authorization: Authorization,
    clients: HashMap<String, Vec<(Collection, SecretPermission)>>,
}

impl Grants {
    /// `identities` are those that the entries name.
    pub(crate) fn new(authorization: Authorization, access: &[Access], identities: &[Identity]) -> Self {
        let mut clients: HashMap<String, Vec<_>> = HashMap::new();
        for entry in access {
            for identity in identities.iter().filter(|identity| identity.name == entry.identity) {
                clients.entry(identity.client_id.to_ascii_lowercase()).or_default().extend(granted(entry));
            }
        }
        Self { authorization, clients }
    }

    /// Sets the permissions of a client on secrets.
    pub(crate) fn set_secrets(&mut self, client_id: &str, permissions: &[SecretPermission]) {
        let granted = self.clients.entry(client_id.to_ascii_lowercase()).or_default();
        granted.retain(|(collection, _)| *collection != Collection::Secrets);
        granted.extend(permissions.iter().map(|permission| (Collection::Secrets, *permission)));
    }

    pub(crate) fn permit(
        &self,
        vault: &str,
        caller: Caller,
        (collection, permission): (Collection, SecretPermission),
        object: Option<&str>,
    ) -> Result<(), Refusal> {
        let granted = self.clients.get(&caller.client_id);
        if granted.is_some_and(|granted| granted.contains(&(collection, permission))) {
            return Ok(());
        }
        let vault = vault.to_owned();
        Err(match self.authorization {
            Authorization::Rbac => {
                let action = action(collection, permission);
                let object = object.map(|name| format!("/{}/{}", collection.plural(), name.to_lowercase()));
                Refusal::NoRole { caller, vault, action, object }
            }
            Authorization::Policy => {
                Refusal::NoPolicy { caller, vault, collection, permission: word(permission) }
            }
        })
    }
}

fn granted(entry: &Access) -> impl Iterator<Item = (Collection, SecretPermission)> {
    let read = |collection, permissions: &[ReadPermission]| {
        let permissions = permissions.to_vec();
        permissions.into_iter().map(move |permission| match permission {
            ReadPermission::Get => (collection, SecretPermission::Get),
            ReadPermission::List => (collection, SecretPermission::List),
        })
    };
    let secrets = entry.secrets.iter().map(|permission| (Collection::Secrets, *permission));
    secrets
        .chain(read(Collection::Keys, &entry.keys))
        .chain(read(Collection::Certificates, &entry.certificates))
}

fn word(permission: SecretPermission) -> &'static str {
    match permission {
        SecretPermission::Get => "get",
        SecretPermission::List => "list",
        SecretPermission::Set => "set",
    }
}

/// The data action ("Permissions for Security", Azure RBAC).
fn action(collection: Collection, permission: SecretPermission) -> &'static str {
    match (collection, permission) {
        (Collection::Secrets, SecretPermission::Get) => "Microsoft.KeyVault/vaults/secrets/getSecret/action",
        (Collection::Secrets, SecretPermission::List) => {
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action"
        }
        (Collection::Secrets, SecretPermission::Set) => "Microsoft.KeyVault/vaults/secrets/setSecret/action",
        (Collection::Keys, _) => "Microsoft.KeyVault/vaults/keys/read",
        (Collection::Certificates, _) => "Microsoft.KeyVault/vaults/certificates/read",
    }
}
