//! The emulated Azure, what changes in it, and what was true when.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

use keyvault_emulator::{
    Certificate, CertificateVersion, Emulator, Identity, Key, KeyType, KeyVersion, ManagedIdentity,
    ReadPermission, Secret, SecretPermission, SecretVersion, Seed, Vault,
};
use provider_launcher::Environment;

use crate::Result;
use crate::findings::lock;
use crate::objects::{
    FIXED_VAULT, FIXED_VERSION, LEAF, MAYBE, P256, PFX, REPLICA, RSA, SECRETS, VAULTS, value, vault,
    version_id,
};
use crate::timeline::Timeline;

pub(crate) const NAMESPACE: &str = "soak";
const CLIENT_SECRET: &str = "client-secret-of-the-principal";
const GET_AND_LIST: [SecretPermission; 2] = [SecretPermission::Get, SecretPermission::List];

/// How an identity logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    Workload,
    Principal,
    Managed,
}

/// An identity and what it may read.
#[derive(Debug)]
pub(crate) struct Who {
    /// Its name, and its service account's.
    pub(crate) name: &'static str,
    pub(crate) client_id: &'static str,
    pub(crate) login: Login,
    /// Vaults, by their index.
    pub(crate) reads: &'static [usize],
}

/// The last of them is none: another's service account that claims to be the first.
pub(crate) static IDENTITIES: [Who; 5] = [
    Who { name: "reader", client_id: READER, login: Login::Workload, reads: &[0, 1] },
    Who {
        name: "other",
        client_id: "22222222-2222-4222-8222-222222222222",
        login: Login::Workload,
        reads: &[1, 2],
    },
    Who {
        name: "principal",
        client_id: "33333333-3333-4333-8333-333333333333",
        login: Login::Principal,
        reads: &[0, 2],
    },
    Who {
        name: "node",
        client_id: "44444444-4444-4444-8444-444444444444",
        login: Login::Managed,
        reads: &[1],
    },
    Who { name: "stranger", client_id: READER, login: Login::Workload, reads: &[] },
];
const READER: &str = "11111111-1111-4111-8111-111111111111";
/// The identity that claims to be another.
pub(crate) const STRANGER: usize = 4;
/// The identity, and the vault, whose access comes and goes.
pub(crate) const TOGGLED: (usize, usize) = (1, 2);

/// Where a secret is: its vault's index, and its own.
pub(crate) type Location = (usize, usize);

/// A secret that changes.
struct Changing {
    newest: u64,
    /// The version that is given out; none while it is disabled.
    given: Timeline<Option<u64>>,
}

pub(crate) struct Azure {
    pub(crate) emulator: Emulator,
    pub(crate) tenant: String,
    pub(crate) environment: Environment,
    pub(crate) key_flags: Vec<String>,
    secrets: Mutex<HashMap<Location, Changing>>,
    /// Whether [`TOGGLED`] has access.
    access: Mutex<Timeline<bool>>,
}

impl Azure {
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let seed = seed();
        let tenant = seed.tenant.clone();
        let options =
            keyvault_emulator::Options { keep_requests: false, ..keyvault_emulator::Options::default() };
        let emulator = Emulator::start_with(seed, options).await?;
        let environment = provider_launcher::environment(&emulator, folder)?;
        let key_flags = provider_launcher::key_flags(&emulator, folder)?;
        let places =
            (0..VAULTS.len()).flat_map(|vault| (0..SECRETS.len()).map(move |secret| (vault, secret)));
        let secrets = places
            .map(|location| (location, Changing { newest: 1, given: Timeline::new(Some(1)) }))
            .collect();
        let access = Mutex::new(Timeline::new(true));
        let secrets = Mutex::new(secrets);
        Ok(Self { emulator, tenant, environment, key_flags, secrets, access })
    }

    /// Parameters that say who asks.
    pub(crate) fn parameters(&self, who: &Who) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("tenantID", self.tenant.clone()), ("keyvaultName", vault(0).to_owned())];
        match who.login {
            Login::Workload => parameters.push(("clientID", who.client_id.to_owned())),
            Login::Principal => {}
            Login::Managed => parameters.extend([
                ("useVMManagedIdentity", "true".to_owned()),
                ("userAssignedIdentityID", who.client_id.to_owned()),
            ]),
        }
        parameters
    }

    /// What kubelet reads from the Secret of a service principal, JSON.
    pub(crate) fn credentials(who: &Who) -> String {
        match who.login {
            Login::Principal => {
                serde_json::json!({"clientid": who.client_id, "clientsecret": CLIENT_SECRET}).to_string()
            }
            Login::Workload | Login::Managed => "null".to_owned(),
        }
    }

    /// Writes a new version of a secret.
    pub(crate) fn write(&self, location: Location) -> Result<()> {
        let (vault, secret) = (vault(location.0), SECRETS.get(location.1).copied().unwrap_or_default());
        let mut secrets = lock(&self.secrets);
        let Changing { newest, given } = secrets.get_mut(&location).ok_or("there is no such secret")?;
        *newest += 1;
        let version = SecretVersion {
            version: Some(version_id(*newest)),
            ..SecretVersion::new(value(vault, secret, *newest))
        };
        given.change(Some(*newest), || self.emulator.add_version(vault, secret, version).map(|_| ()))?;
        Ok(())
    }

    /// Disables the newest version of an optional secret, or enables it again.
    pub(crate) fn toggle(&self, vault_index: usize, enabled: Option<bool>) -> Result<()> {
        let vault = vault(vault_index);
        let mut secrets = lock(&self.secrets);
        let location = (vault_index, SECRETS.iter().position(|name| *name == MAYBE).unwrap_or_default());
        let Changing { newest, given } = secrets.get_mut(&location).ok_or("there is no such secret")?;
        let enabled = enabled.unwrap_or(given.now().flatten().is_none());
        let state = enabled.then_some(*newest);
        given.change(state, || self.emulator.set_enabled(vault, MAYBE, enabled))?;
        Ok(())
    }

    /// Gives [`TOGGLED`] access, or takes it.
    pub(crate) fn grant(&self, granted: Option<bool>) -> Result<()> {
        let mut access = lock(&self.access);
        let granted = granted.unwrap_or(access.now() == Some(false));
        let Some(who) = IDENTITIES.get(TOGGLED.0) else { return Ok(()) };
        let permissions = if granted { GET_AND_LIST.as_slice() } else { &[] };
        access.change(granted, || self.emulator.set_access(vault(TOGGLED.1), who.client_id, permissions))?;
        Ok(())
    }

    /// The time line of a secret, to be asked.
    pub(crate) fn secret<T>(
        &self,
        location: Location,
        ask: impl FnOnce(&Timeline<Option<u64>>) -> T,
    ) -> Option<T> {
        lock(&self.secrets).get(&location).map(|secret| ask(&secret.given))
    }

    /// The time line of [`TOGGLED`], to be asked.
    pub(crate) fn access<T>(&self, ask: impl FnOnce(&Timeline<bool>) -> T) -> T {
        ask(&lock(&self.access))
    }
}

fn seed() -> Seed {
    let mut seed = Seed::default();
    for who in IDENTITIES.iter().take(STRANGER) {
        let identity = Identity::new(who.name, who.client_id);
        seed = seed.identity(match who.login {
            Login::Workload => identity.federated(NAMESPACE, who.name),
            Login::Principal => identity.client_secret(CLIENT_SECRET),
            Login::Managed => identity.managed(ManagedIdentity::User),
        });
    }
    for (index, name) in VAULTS.into_iter().enumerate() {
        let readers = IDENTITIES.iter().filter(|who| who.reads.contains(&index));
        let mut vault = filled(name);
        for reader in readers.clone() {
            vault = vault.access(reader.name, &GET_AND_LIST);
        }
        if index == FIXED_VAULT {
            vault =
                vault.key(key("signing-p256", KeyType::Ec, P256)).key(key("signing-rsa", KeyType::Rsa, RSA));
            vault = vault.certificate(certificate());
            for reader in readers {
                let both = [ReadPermission::Get, ReadPermission::List];
                vault = vault.key_access(reader.name, &both).certificate_access(reader.name, &both);
            }
        }
        seed = seed.vault(vault);
    }
    let mut replica = filled(REPLICA);
    for reader in IDENTITIES.iter().filter(|who| who.reads.contains(&0)) {
        replica = replica.access(reader.name, &GET_AND_LIST);
    }
    seed.vault(replica)
}

/// A vault with the first version of every secret.
fn filled(name: &str) -> Vault {
    SECRETS.into_iter().fold(Vault::new(name), |vault, secret| {
        let first =
            SecretVersion { version: Some(version_id(1)), ..SecretVersion::new(value(name, secret, 1)) };
        vault.secret(Secret::with_versions(secret, vec![first]))
    })
}

fn key(name: &str, kty: KeyType, public_key: &str) -> Key {
    let version = KeyVersion {
        version: Some(FIXED_VERSION.to_owned()),
        public_key: Some(public_key.to_owned()),
        ..KeyVersion::default()
    };
    Key { versions: vec![version], ..Key::new(name, kty) }
}

fn certificate() -> Certificate {
    let mut version = CertificateVersion::from_pfx(PFX.to_vec(), Vec::new());
    version.version = Some(FIXED_VERSION.to_owned());
    version.cer = Some(LEAF.to_owned());
    Certificate::with_versions("web", vec![version])
}
