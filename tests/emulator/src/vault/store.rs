//! The vaults and what is in them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::refusal::{Caller, Refusal};
use crate::lock;
use crate::seed::{Authorization, Identity, Secret, SecretPermission, Vault};

/// All vaults, by lower-case name.
#[derive(Debug)]
pub(crate) struct Store(Mutex<HashMap<String, VaultState>>);

/// What a change names that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownObject {
    Vault,
    Secret,
}

#[derive(Debug)]
pub(crate) struct VaultState {
    pub(crate) name: String,
    authorization: Authorization,
    pub(crate) firewall: bool,
    pub(crate) private_link: bool,
    access: HashMap<String, Vec<SecretPermission>>,
    /// By lower-case name: object names have no case.
    pub(crate) secrets: BTreeMap<String, SecretState>,
}

#[derive(Debug)]
pub(crate) struct SecretState {
    pub(crate) name: String,
    pub(crate) certificate: bool,
    /// Oldest first, never empty.
    pub(crate) versions: Vec<VersionState>,
}

#[derive(Debug, Clone)]
pub(crate) struct VersionState {
    pub(crate) id: String,
    pub(crate) value: String,
    pub(crate) content_type: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) created: OffsetDateTime,
    pub(crate) updated: OffsetDateTime,
    pub(crate) not_before: Option<OffsetDateTime>,
    pub(crate) expires: Option<OffsetDateTime>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Store {
    /// `identities` are those that the vaults' access entries name.
    pub(crate) fn new(vaults: Vec<Vault>, identities: &[Identity]) -> Self {
        let now = OffsetDateTime::now_utc();
        let states = vaults.into_iter().map(|vault| {
            let state = VaultState::new(vault, identities, now);
            (state.name.to_ascii_lowercase(), state)
        });
        Self(Mutex::new(states.collect()))
    }

    pub(crate) fn has(&self, vault: &str) -> bool {
        lock(&self.0).contains_key(&vault.to_ascii_lowercase())
    }

    /// Runs `action` on a vault; `None` if there is no such vault.
    pub(crate) fn with_vault<T>(&self, vault: &str, action: impl FnOnce(&mut VaultState) -> T) -> Option<T> {
        lock(&self.0).get_mut(&vault.to_ascii_lowercase()).map(action)
    }

    /// Runs `action` on the newest version of a secret.
    pub(crate) fn with_newest<T>(
        &self,
        vault: &str,
        name: &str,
        action: impl FnOnce(&mut VersionState) -> T,
    ) -> Result<T, UnknownObject> {
        self.with_vault(vault, |vault| {
            let secret = vault.secrets.get_mut(&name.to_ascii_lowercase());
            secret.and_then(|secret| secret.versions.last_mut()).map(action).ok_or(UnknownObject::Secret)
        })
        .unwrap_or(Err(UnknownObject::Vault))
    }
}

impl VaultState {
    fn new(vault: Vault, identities: &[Identity], now: OffsetDateTime) -> Self {
        let mut access: HashMap<String, Vec<SecretPermission>> = HashMap::new();
        for entry in vault.access {
            for identity in identities.iter().filter(|identity| identity.name == entry.identity) {
                access.entry(identity.client_id.to_ascii_lowercase()).or_default().extend(&entry.secrets);
            }
        }
        let secrets = vault.secrets.into_iter().map(|secret| {
            let state = SecretState::new(secret, now);
            (state.name.to_ascii_lowercase(), state)
        });
        Self {
            name: vault.name,
            authorization: vault.authorization,
            firewall: vault.firewall,
            private_link: vault.private_link,
            access,
            secrets: secrets.collect(),
        }
    }

    /// Gives a client these permissions and no others.
    pub(crate) fn set_access(&mut self, client_id: &str, permissions: &[SecretPermission]) {
        self.access.insert(client_id.to_ascii_lowercase(), permissions.to_vec());
    }

    pub(crate) fn permit(
        &self,
        caller: Caller,
        permission: SecretPermission,
        object: Option<&str>,
    ) -> Result<(), Refusal> {
        if self.access.get(&caller.client_id).is_some_and(|granted| granted.contains(&permission)) {
            return Ok(());
        }
        let vault = self.name.clone();
        let (word, action) = match permission {
            SecretPermission::Get => ("get", "Microsoft.KeyVault/vaults/secrets/getSecret/action"),
            SecretPermission::List => ("list", "Microsoft.KeyVault/vaults/secrets/readMetadata/action"),
            SecretPermission::Set => ("set", "Microsoft.KeyVault/vaults/secrets/setSecret/action"),
        };
        Err(match self.authorization {
            Authorization::Rbac => {
                Refusal::NoRole { caller, vault, action, object: object.map(str::to_lowercase) }
            }
            Authorization::Policy => Refusal::NoPolicy { caller, vault, permission: word },
        })
    }

    /// Adds a version to a secret, which need not exist, after `adjust` has had its way with it, and
    /// returns its id. It is the newest by its time, too: Key Vault keeps whole seconds, and a test writes
    /// several versions in one.
    pub(crate) fn add_version(
        &mut self,
        name: &str,
        value: String,
        adjust: impl FnOnce(&mut VersionState),
    ) -> String {
        let secret = self.secrets.entry(name.to_ascii_lowercase()).or_insert_with(|| SecretState {
            name: name.to_owned(),
            certificate: false,
            versions: Vec::new(),
        });
        let now = OffsetDateTime::now_utc();
        let created = match secret.versions.last() {
            Some(newest) => now.max(newest.created.saturating_add(Duration::SECOND)),
            None => now,
        };
        let mut version = VersionState {
            id: new_version_id(),
            value,
            content_type: None,
            enabled: true,
            created,
            updated: created,
            not_before: None,
            expires: None,
            tags: BTreeMap::new(),
        };
        adjust(&mut version);
        let id = version.id.clone();
        secret.versions.push(version);
        id
    }
}

impl SecretState {
    fn new(secret: Secret, now: OffsetDateTime) -> Self {
        let mut seeded = secret.versions;
        if let Some(value) = secret.value {
            seeded.push(crate::seed::SecretVersion::new(value));
        }
        let mut created = now;
        let mut versions: Vec<VersionState> = seeded
            .into_iter()
            .rev()
            .map(|version| {
                let own = version.created.unwrap_or(created);
                created -= Duration::SECOND;
                VersionState {
                    id: version.version.unwrap_or_else(new_version_id).to_ascii_lowercase(),
                    value: version.value,
                    content_type: version.content_type.or_else(|| secret.content_type.clone()),
                    enabled: version.enabled && secret.enabled,
                    created: own,
                    updated: own,
                    not_before: version.not_before,
                    expires: version.expires,
                    tags: if version.tags.is_empty() { secret.tags.clone() } else { version.tags },
                }
            })
            .collect();
        versions.reverse();
        versions.sort_by_key(|version| version.created);
        Self { name: secret.name, certificate: secret.certificate, versions }
    }
}

fn new_version_id() -> String {
    Uuid::new_v4().simple().to_string()
}
