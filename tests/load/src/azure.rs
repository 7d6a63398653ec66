//! The Azure that pods mount from: the emulator in this process, or an external one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use keyvault_emulator::{
    Emulator, Fault, Identity, RequestKind, Rule, Secret, SecretPermission, Seed, Target, Vault,
};
use provider_launcher::Environment;
use serde::Deserialize;

use crate::Result;
use crate::options::Options;

const VAULT: &str = "load-vault";
const NAMESPACE: &str = "load";

/// Timeout of a request for counts.
const PATIENCE: Duration = Duration::from_secs(10);

/// An emulator's counts, in the form of its admin endpoint.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Counts {
    /// Requests that were answered, by kind.
    pub(crate) answered: BTreeMap<String, u64>,
    /// TLS handshakes.
    pub(crate) connections: u64,
}

pub(crate) enum Azure {
    Emulated(Box<Emulated>),
    Given(Given),
}

pub(crate) struct Emulated {
    emulator: Emulator,
    tenant: String,
    environment: Environment,
    key_flags: Vec<String>,
}

pub(crate) struct Given {
    parameters: BTreeMap<String, String>,
    tokens: String,
    admin: Option<(reqwest::Client, String)>,
}

/// A pod's parameters, without the attributes of the pod itself.
pub(crate) struct Claim {
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    pub(crate) parameters: BTreeMap<String, String>,
    /// Expected number of files, if known.
    pub(crate) files: Option<usize>,
}

impl Azure {
    pub(crate) async fn start(options: &Options, folder: &Path) -> Result<Self> {
        match (&options.parameters, &options.token_file) {
            (Some(parameters), Some(token)) => {
                Given::read(parameters, token, options.admin.as_deref()).map(Self::Given)
            }
            _ => Ok(Self::Emulated(Box::new(Emulated::start(options, folder).await?))),
        }
    }

    pub(crate) fn claim(&self, options: &Options, pod: u32) -> Claim {
        match self {
            Self::Emulated(emulated) => emulated.claim(options, pod),
            Self::Given(given) => Claim {
                namespace: NAMESPACE.to_owned(),
                service_account: "load".to_owned(),
                parameters: given.parameters.clone(),
                files: None,
            },
        }
    }

    /// The tokens attribute of a pod, as kubelet would fill it now.
    pub(crate) fn tokens(&self, claim: &Claim, (pod, uid): (&str, &str)) -> String {
        match self {
            Self::Emulated(emulated) => {
                emulated.emulator.token(&claim.namespace, &claim.service_account).pod(pod, uid).attribute()
            }
            Self::Given(given) => given.tokens.clone(),
        }
    }

    /// The environment for this Azure; none if this process's own environment is used.
    pub(crate) fn environment(&self) -> Option<Environment> {
        match self {
            Self::Emulated(emulated) => Some(emulated.environment.clone()),
            Self::Given(_) => None,
        }
    }

    /// The built-in provider's flags for the cluster's keys.
    pub(crate) fn key_flags(&self) -> &[String] {
        match self {
            Self::Emulated(emulated) => &emulated.key_flags,
            Self::Given(_) => &[],
        }
    }

    /// Counts of requests, if they are available.
    pub(crate) async fn counts(&self) -> Result<Option<Counts>> {
        match self {
            Self::Emulated(emulated) => Ok(Some(emulated.counts())),
            Self::Given(Given { admin: Some((client, url)), .. }) => {
                let answer = client.get(url).timeout(PATIENCE).send().await?.error_for_status()?;
                Ok(Some(serde_json::from_slice(&answer.bytes().await?)?))
            }
            Self::Given(_) => Ok(None),
        }
    }

    pub(crate) async fn forget_requests(&self) -> Result<()> {
        match self {
            Self::Emulated(emulated) => emulated.emulator.clear_requests(),
            Self::Given(Given { admin: Some((client, url)), .. }) => {
                client.delete(url).timeout(PATIENCE).send().await?.error_for_status()?;
            }
            Self::Given(_) => {}
        }
        Ok(())
    }
}

impl Emulated {
    async fn start(options: &Options, folder: &Path) -> Result<Self> {
        let seed = seed(options);
        let tenant = seed.tenant.clone();
        let settings =
            keyvault_emulator::Options { keep_requests: false, ..keyvault_emulator::Options::default() };
        let emulator = Emulator::start_with(seed, settings).await?;
        let latency =
            options.vault_latency.map(|delay| Rule::new(Target::AllVaults, Fault::Latency(delay.into())));
        for rule in options.fault.iter().cloned().chain(latency) {
            emulator.inject_rule(rule)?;
        }
        let environment = provider_launcher::environment(&emulator, folder)?;
        let key_flags = provider_launcher::key_flags(&emulator, folder)?;
        let key_flags = if options.without_keys { Vec::new() } else { key_flags };
        if let Some(path) = &options.env_file {
            let lines = environment.iter().map(|(name, value)| format!("{name}={value}\n"));
            std::fs::write(path, lines.collect::<String>())
                .map_err(|error| format!("--env-file: {}: {error}", path.display()))?;
        }
        Ok(Self { emulator, tenant, environment, key_flags })
    }

    fn claim(&self, options: &Options, pod: u32) -> Claim {
        let identity = pod % options.identities;
        let objects = object_names(options, pod)
            .map(|name| format!("  - |\n    objectName: {name}\n    objectType: secret\n"));
        let parameters = [
            ("tenantID", self.tenant.clone()),
            ("clientID", client_id(identity)),
            ("keyvaultName", VAULT.to_owned()),
            ("objects", format!("array:\n{}", objects.collect::<String>())),
        ];
        Claim {
            namespace: NAMESPACE.to_owned(),
            service_account: service_account(identity),
            parameters: parameters.map(|(key, value)| (key.to_owned(), value)).into(),
            files: usize::try_from(options.objects).ok(),
        }
    }

    fn counts(&self) -> Counts {
        let count = |kind: RequestKind| (kind.name().to_owned(), self.emulator.count(kind) as u64);
        let answered = RequestKind::ALL.map(count).into_iter().filter(|(_, requests)| *requests > 0);
        Counts { answered: answered.collect(), connections: self.emulator.connections() as u64 }
    }
}

impl Given {
    fn read(parameters: &Path, token: &Path, admin: Option<&str>) -> Result<Self> {
        let read = |option: &str, path: &Path| {
            std::fs::read_to_string(path).map_err(|error| format!("{option}: {}: {error}", path.display()))
        };
        let yaml = read("--parameters", parameters)?;
        let wrong = |error| format!("--parameters: {}: not a map of strings: {error}", parameters.display());
        let parameters = serde_saphyr::from_str(&yaml).map_err(wrong)?;
        let token = read("--token-file", token)?.trim().to_owned();
        let tokens = if token.starts_with('{') { token } else { attribute(&token) };
        let admin = match admin {
            Some(url) => {
                let client = reqwest::Client::builder().no_proxy().build()?;
                Some((client, format!("{}/requests", url.trim_end_matches('/'))))
            }
            None => None,
        };
        Ok(Self { parameters, tokens, admin })
    }
}

/// A token in kubelet's format; the provider ignores its expirationTimestamp.
fn attribute(token: &str) -> String {
    let entry = serde_json::json!({"token": token, "expirationTimestamp": "2099-01-01T00:00:00Z"});
    serde_json::json!({"api://AzureADTokenExchange": entry}).to_string()
}

fn seed(options: &Options) -> Seed {
    let mut vault = Vault::new(VAULT);
    let mut seed = Seed::default();
    for identity in 0..options.identities {
        let name = service_account(identity);
        seed = seed.identity(Identity::new(&name, client_id(identity)).federated(NAMESPACE, &name));
        vault = vault.access(&name, &[SecretPermission::Get]);
    }
    let owners = if options.distinct { options.pods } else { 1 };
    for name in (0..owners).flat_map(|pod| object_names(options, pod)) {
        let value = std::iter::repeat_with(fastrand::alphanumeric).take(options.value_size as usize);
        vault = vault.secret(Secret::new(name, value.collect::<String>()));
    }
    seed.vault(vault)
}

fn object_names(options: &Options, pod: u32) -> impl Iterator<Item = String> + use<> {
    let owner = if options.distinct { format!("pod-{pod}-") } else { String::new() };
    (0..options.objects).map(move |object| format!("{owner}object-{object}"))
}

fn service_account(identity: u32) -> String {
    format!("load-{identity}")
}

fn client_id(identity: u32) -> String {
    format!("00000000-0000-4000-8000-{identity:012}")
}
