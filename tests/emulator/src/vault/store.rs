//! The vaults and their objects.

use std::collections::HashMap;
use std::sync::Mutex;

use time::OffsetDateTime;

use super::access::Grants;
use super::object::{Draft, Meta, Object, Objects, Version, history};
use crate::lock;
use crate::public_key::PublicKey;
use crate::seed::{
    Certificate, Identity, Key, KeyError, KeyType, MaterialError, Secret, SecretVersion, SeedError, Vault,
};
use crate::x509::X509;

/// All vaults, by lower-case name.
#[derive(Debug)]
pub(crate) struct Store(Mutex<HashMap<String, VaultState>>);

/// A name in a change that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownObject {
    Vault,
    Secret,
}

#[derive(Debug)]
pub(crate) struct VaultState {
    pub(crate) name: String,
    pub(crate) firewall: bool,
    pub(crate) private_link: bool,
    pub(crate) grants: Grants,
    pub(crate) secrets: Objects<SecretContent>,
    pub(crate) keys: Objects<KeyContent>,
    pub(crate) certificates: Objects<CertificateContent>,
}

#[derive(Debug, Clone)]
pub(crate) struct SecretContent {
    pub(crate) value: String,
    pub(crate) content_type: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct KeyContent {
    pub(crate) kty: KeyType,
    /// Empty for all that its kind can do.
    pub(crate) key_ops: Vec<String>,
    pub(crate) public_key: PublicKey,
}

#[derive(Debug, Clone)]
pub(crate) struct CertificateContent {
    pub(crate) content_type: &'static str,
    pub(crate) leaf: X509,
}

impl Store {
    /// `identities` are those that the vaults' access entries name.
    pub(crate) fn new(vaults: &[Vault], identities: &[Identity]) -> Result<Self, SeedError> {
        let now = OffsetDateTime::now_utc();
        let states = vaults.iter().map(|vault| {
            let state = VaultState::new(vault, identities, now)?;
            Ok((state.name.to_ascii_lowercase(), state))
        });
        Ok(Self(Mutex::new(states.collect::<Result<_, SeedError>>()?)))
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
        action: impl FnOnce(&mut Meta) -> T,
    ) -> Result<T, UnknownObject> {
        self.with_vault(vault, |vault| {
            let newest =
                vault.secrets.get_mut(&name.to_ascii_lowercase()).and_then(|one| one.versions.last_mut());
            newest.map(|version| action(&mut version.meta)).ok_or(UnknownObject::Secret)
        })
        .unwrap_or(Err(UnknownObject::Vault))
    }
}

impl VaultState {
    fn new(vault: &Vault, identities: &[Identity], now: OffsetDateTime) -> Result<Self, SeedError> {
        let mut state = Self {
            name: vault.name.clone(),
            firewall: vault.firewall,
            private_link: vault.private_link,
            grants: Grants::new(vault.authorization, &vault.access, identities),
            secrets: Objects::new(),
            keys: Objects::new(),
            certificates: Objects::new(),
        };
        for secret in &vault.secrets {
            put(
                &mut state.secrets,
                Object::new(&secret.name, secret.certificate, secret_history(secret, now)),
            );
        }
        for key in &vault.keys {
            let versions = key_history(key, now).map_err(|error| unusable(&key.name, &error))?;
            put(&mut state.keys, Object::new(&key.name, false, versions));
        }
        for certificate in &vault.certificates {
            state.put_certificate(certificate, now).map_err(|error| unusable(&certificate.name, &error))?;
        }
        Ok(state)
    }

    /// Adds a version to a secret, which need not exist, and returns its id.
    pub(crate) fn add_secret(&mut self, name: &str, draft: Draft, content: SecretContent) -> String {
        let secret = self.secrets.entry(name.to_ascii_lowercase());
        secret.or_insert_with(|| Object::new(name, false, Vec::new())).add(draft, content)
    }

    /// A certificate is three objects of one name, with the same versions.
    fn put_certificate(
        &mut self,
        certificate: &Certificate,
        now: OffsetDateTime,
    ) -> Result<(), MaterialError> {
        let mut drafts = Vec::new();
        for version in certificate.history() {
            let material = certificate.material(&version)?;
            let draft = Draft {
                id: version.version,
                enabled: version.enabled && certificate.enabled,
                created: version.created,
                not_before: Some(material.leaf.not_before),
                expires: Some(material.leaf.not_after),
                tags: if version.tags.is_empty() { certificate.tags.clone() } else { version.tags },
            };
            drafts.push((draft, material));
        }
        let (mut secrets, mut keys, mut certificates) = (Vec::new(), Vec::new(), Vec::new());
        for Version { meta, content: material } in history(drafts, now) {
            let content_type = material.content_type;
            let value = material.value;
            let public_key = material.leaf.public_key.clone();
            let kty = match public_key {
                PublicKey::Rsa { .. } => KeyType::Rsa,
                PublicKey::Ec { .. } => KeyType::Ec,
            };
            let secret = SecretContent { value, content_type: Some(content_type.to_owned()) };
            let key = KeyContent { kty, key_ops: Vec::new(), public_key };
            secrets.push(Version { meta: meta.clone(), content: secret });
            keys.push(Version { meta: meta.clone(), content: key });
            let content = CertificateContent { content_type, leaf: material.leaf };
            certificates.push(Version { meta, content });
        }
        put(&mut self.secrets, Object::new(&certificate.name, true, secrets));
        put(&mut self.keys, Object::new(&certificate.name, true, keys));
        put(&mut self.certificates, Object::new(&certificate.name, true, certificates));
        Ok(())
    }
}

/// What becomes of a version of a secret that is added on its own.
pub(crate) fn secret_version(version: SecretVersion) -> (Draft, SecretContent) {
    let draft = Draft {
        id: version.version,
        enabled: version.enabled,
        created: version.created,
        not_before: version.not_before,
        expires: version.expires,
        tags: version.tags,
    };
    (draft, SecretContent { value: version.value, content_type: version.content_type })
}

fn secret_history(secret: &Secret, now: OffsetDateTime) -> Vec<Version<SecretContent>> {
    let only = secret.value.as_ref().map(SecretVersion::new);
    let versions = secret.versions.iter().cloned().chain(only).map(|version| {
        let (mut draft, mut content) = secret_version(version);
        draft.enabled &= secret.enabled;
        if draft.tags.is_empty() {
            draft.tags.clone_from(&secret.tags);
        }
        content.content_type = content.content_type.or_else(|| secret.content_type.clone());
        (draft, content)
    });
    history(versions.collect(), now)
}

fn key_history(key: &Key, now: OffsetDateTime) -> Result<Vec<Version<KeyContent>>, KeyError> {
    let versions = key.history().into_iter().map(|version| {
        let public_key = key.material(version.public_key.as_deref())?;
        let draft = Draft {
            id: version.version,
            enabled: version.enabled && key.enabled,
            created: version.created,
            not_before: version.not_before,
            expires: version.expires,
            tags: if version.tags.is_empty() { key.tags.clone() } else { version.tags },
        };
        Ok((draft, KeyContent { kty: key.kty, key_ops: key.key_ops.clone(), public_key }))
    });
    Ok(history(versions.collect::<Result<_, KeyError>>()?, now))
}

fn put<T>(objects: &mut Objects<T>, object: Object<T>) {
    objects.insert(object.name.to_ascii_lowercase(), object);
}

fn unusable(name: &str, error: &impl ToString) -> SeedError {
    SeedError::Invalid(vec![format!("{name}: {}", error.to_string())])
}
