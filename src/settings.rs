//! Flags and environment, checked, as one value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use url::Url;

use crate::audit::{AuditLog, Destination};
use crate::cache::Cache;
use crate::cli::pipeline::PipelineArgs;
use crate::cli::serve::ServeArgs;
use crate::clock::SystemClock;
use crate::deliver::{FileWriter, Targets};
use crate::environment_file::EnvironmentFiles;
use crate::fair::FairQueue;
use crate::identity::{
    ClusterApi, Exchange, Identities, KeySource, ServiceAccountKeys, ServiceAccounts, TokenProxy,
};
use crate::mount::{self, Audit, FetchHistory, Fetcher, Memory, Mounter, ObjectKey, Volumes, WarningDedup};
use crate::plan::{Cloud, Defaults, Fault, TenantId, VaultName, VaultSuffix};
use crate::policy::PolicyFile;
use crate::render;
use crate::server::{Listen, socket};
use crate::telemetry::{Kind, Labels, Metrics};
use crate::transport;
use crate::vault::Vaults;
use crate::volume_memory::VolumeMemory;

/// The variable by which the Go provider finds the environment file of a private cloud.
const ENVIRONMENT_FILE: &str = "AZURE_ENVIRONMENT_FILEPATH";

/// Everything that an operator decides.
#[derive(Debug)]
pub struct Settings {
    /// Where and how to serve.
    pub listen: Listen,
    /// How to mount.
    pub pipeline: Pipeline,
}

/// What an operator decides of all mounts.
#[derive(Debug)]
pub struct Pipeline {
    /// What requests leave out.
    pub defaults: Defaults,
    /// The folder of the files that classes may name to describe private clouds; any folder without one.
    pub cloud_environment_dir: Option<PathBuf>,
    /// The file that says what may be mounted; without one it is for Key Vault alone to say.
    pub policy_file: Option<PathBuf>,
    /// Where the audit log goes, if the operator wants one.
    pub audit_log: Option<Destination>,
    /// What becomes of certificates.
    pub render_options: render::Options,
    /// Who writes files.
    pub file_writer: FileWriter,
    /// The memory of the volumes that are written here.
    pub volume_memory: Option<VolumeMemorySettings>,
    /// The largest response.
    pub max_response_bytes: usize,
    /// How many bytes of objects are kept.
    pub cache_max_bytes: usize,
    /// What goes before the SDK's user agent.
    pub application_id: Option<String>,
    /// The node's metadata service.
    pub imds: Url,
    /// The token proxy of AKS.
    pub token_proxy: TokenProxy,
    /// The cluster's API server, if the provider runs in a cluster.
    pub cluster: Option<ClusterApi>,
    /// The tenant of service accounts and classes that name none.
    pub default_tenant: Option<TenantId>,
    /// Where the keys are that prove service account tokens.
    pub keys: KeySource,
}

/// The memory of the volumes that the provider writes.
#[derive(Clone, Debug)]
pub struct VolumeMemorySettings {
    /// The limit for all volumes together.
    pub bytes: u64,
    /// The directory of its records, which survives a restart of the container.
    pub state_dir: Option<PathBuf>,
}

impl Settings {
    /// Checks the flags, and adds what the environment says: `KUBERNETES_SERVICE_HOST` and
    /// `KUBERNETES_SERVICE_PORT`, which every pod has, and `AZURE_ENVIRONMENT_FILEPATH`. `HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`
    /// and `SSL_CERT_DIR` are read where connections are made.
    ///
    /// # Errors
    /// A sentence that names the flag.
    pub fn new(args: &ServeArgs, environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        if !args.healthz_path.starts_with('/') || args.healthz_path.contains(['{', '}', '*', ' ', '?', '#']) {
            bail!("--healthz-path={:?} is not a plain path such as /healthz", args.healthz_path);
        }
        if !args.metrics_backend.eq_ignore_ascii_case("prometheus") {
            bail!("--metrics-backend={:?} is not known; the only one is prometheus", args.metrics_backend);
        }
        let (rotation_max_age, rotation_max_age_limit) =
            (*args.rotation_max_age, *args.rotation_max_age_limit);
        if rotation_max_age > rotation_max_age_limit {
            bail!(
                "--rotation-max-age={} is more than --rotation-max-age-limit={}",
                args.rotation_max_age,
                args.rotation_max_age_limit
            );
        }
        let pipeline = Pipeline::new(&args.pipeline, environment)?;
        let keys = keys(args, pipeline.cluster.as_ref())?;
        Ok(Self {
            listen: Listen {
                socket: socket::path(&args.endpoint)?,
                takeover: args.takeover,
                health_port: args.healthz_port,
                health_address: args.healthz_address,
                health_path: args.healthz_path.clone(),
                health_timeout: args.healthz_timeout.into(),
                metrics_port: args.prometheus_port,
                metrics_address: args.metrics_address,
                drain_timeout: args.drain_timeout.into(),
            },
            pipeline: Pipeline {
                defaults: Defaults {
                    rotation_max_age,
                    rotation_max_age_limit,
                    stale_if_error: *args.stale_if_error,
                    ..pipeline.defaults
                },
                cloud_environment_dir: cloud_environment_dir(args.cloud_environment_dir.as_deref())?,
                policy_file: args.policy_file.clone(),
                audit_log: args.audit_log.as_deref().map(audit_log).transpose()?,
                cache_max_bytes: args.cache_max_bytes,
                file_writer: args.file_writer,
                volume_memory: (args.file_writer == FileWriter::Provider).then(|| VolumeMemorySettings {
                    bytes: args.volume_memory_bytes,
                    state_dir: args.state_dir.clone(),
                }),
                max_response_bytes: args.max_response_bytes,
                keys,
                ..pipeline
            },
        })
    }
}

impl Pipeline {
    /// Checks the flags, and adds what the environment says, as [`Settings::new`] does. What is for a
    /// server to decide is as one mount needs it: nothing is shared, and the files are written here.
    ///
    /// # Errors
    /// A sentence that names the flag.
    pub fn new(args: &PipelineArgs, environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let default_tenant = default_tenant(args)?;
        let suffixes = args.allowed_vault_suffix.iter().map(|text| vault_suffix(text));
        Ok(Self {
            defaults: Defaults {
                cloud: cloud(args)?,
                environment_file: environment(ENVIRONMENT_FILE)
                    .filter(|file| !file.is_empty())
                    .map(PathBuf::from),
                tenant: default_tenant.clone(),
                allowed_vault_suffixes: suffixes.collect::<Result<_, _>>()?,
                failover_vaults: failover_vaults(&args.failover_vault)?,
                ..Defaults::default()
            },
            cloud_environment_dir: None,
            policy_file: None,
            audit_log: None,
            cache_max_bytes: 0,
            render_options: render::Options {
                construct_chain: args.construct_pem_chain,
                separate_files: args.write_cert_and_key_in_separate_files,
            },
            file_writer: FileWriter::Provider,
            volume_memory: None,
            max_response_bytes: usize::MAX,
            application_id: args.custom_user_agent.clone().filter(|agent| !agent.is_empty()),
            imds: imds(args)?,
            token_proxy: token_proxy(args)?,
            keys: KeySource::None,
            cluster: cluster(args, environment),
            default_tenant,
        })
    }

    /// Every flag that cannot be used, where [`Self::new`] stops at the first.
    pub fn mistakes(args: &PipelineArgs) -> Vec<FlagError> {
        let mut mistakes = Vec::new();
        mistakes.extend(cloud(args).err());
        mistakes.extend(default_tenant(args).err());
        mistakes.extend(args.allowed_vault_suffix.iter().filter_map(|text| vault_suffix(text).err()));
        mistakes.extend(failover_vaults(&args.failover_vault).err());
        mistakes.extend(imds(args).err());
        mistakes.extend(token_proxy(args).err());
        mistakes
    }

    /// Puts the parts together.
    ///
    /// # Errors
    /// If there is no policy in the policy's file, the audit log cannot be opened, or no trusted CA certificate can be
    /// loaded.
    pub fn mounter(self, metrics: &Arc<Metrics>) -> anyhow::Result<Mounter> {
        let open = |path| PolicyFile::open(path, Arc::clone(metrics));
        let policy = self.policy_file.map(open).transpose()?;
        let open = |destination| AuditLog::open(destination, Arc::clone(metrics)).context("--audit-log");
        let audit = self.audit_log.map(open).transpose()?.map(|log| Audit::new(Arc::new(log)));
        let client =
            transport::client().map_err(|error| anyhow::anyhow!(transport::root_cause(&error))).context(
                "cannot make the HTTPS client; are CA certificates installed, or named by SSL_CERT_FILE?",
            )?;
        let clock = Arc::new(SystemClock);
        let node =
            transport::plain_client().map_err(|error| anyhow::anyhow!(transport::root_cause(&error)))?;
        let accounts = ServiceAccounts::new(self.cluster, self.default_tenant);
        let token_proxy = Arc::new(self.token_proxy);
        // One core of two is always left for mounts that copy.
        let heavy_work = FairQueue::new(1, 0);
        let exchange = Exchange {
            entra: transport::azure(&client),
            node: transport::azure(&node),
            imds: self.imds,
            token_proxy,
            heavy_work: heavy_work.clone(),
            clock: clock.clone(),
        };
        let Defaults { rotation_max_age_limit, stale_if_error, .. } = self.defaults;
        let cache = Arc::new(Cache::new(self.cache_max_bytes, rotation_max_age_limit.max(stale_if_error)));
        let kept = Arc::clone(&cache);
        let identities = Identities::new(
            ServiceAccountKeys::new(self.keys, client.clone()),
            accounts,
            Arc::new(exchange),
            clock,
            Arc::clone(metrics),
            move |refused| kept.evict(|key: &ObjectKey| key.identity() == refused),
        );
        let vaults = Vaults::new(transport::azure(&client), self.application_id, Arc::clone(metrics));
        let fetcher = Fetcher {
            identities,
            vaults: Arc::new(vaults),
            cache,
            history: FetchHistory::default(),
            metrics: Arc::clone(metrics),
        };
        let volume_memory =
            self.volume_memory.map(|settings| volume_memory(settings, metrics)).transpose()?;
        mount::watch(&fetcher, metrics);
        Ok(Mounter {
            defaults: self.defaults,
            environment_files: EnvironmentFiles::new(self.cloud_environment_dir),
            policy,
            audit,
            fetcher,
            render_options: self.render_options,
            file_writer: self.file_writer,
            max_response_bytes: self.max_response_bytes,
            heavy_work,
            memory: Memory::default(),
            volume_memory,
            targets: Targets::default(),
            warnings: WarningDedup::default(),
            volumes: Volumes::default(),
        })
    }
}

fn volume_memory(settings: VolumeMemorySettings, metrics: &Metrics) -> anyhow::Result<Arc<VolumeMemory>> {
    let VolumeMemorySettings { bytes, state_dir } = settings;
    let shown = state_dir.as_deref().unwrap_or(Path::new("")).display().to_string();
    let opened = VolumeMemory::open(bytes, state_dir);
    let memory = Arc::new(opened.with_context(|| format!("cannot read --state-dir={shown}"))?);
    let watched = Arc::clone(&memory);
    metrics.watch(
        Kind::Gauge,
        "keyvault_csi_volume_bytes",
        "Memory that the files of mounted volumes take, with --file-writer=provider",
        #[allow(clippy::cast_precision_loss, reason = "no node has so much memory")]
        move || vec![(Labels::new(), watched.bytes() as f64)],
    );
    Ok(memory)
}

/// `--audit-log`: the word `stdout`, or an absolute path.
fn audit_log(text: &Path) -> anyhow::Result<Destination> {
    if text == Path::new("stdout") {
        return Ok(Destination::Stdout);
    }
    if !text.is_absolute() {
        bail!("--audit-log={} is neither an absolute path nor the word stdout", text.display());
    }
    Ok(Destination::File(text.to_owned()))
}

fn cloud_environment_dir(folder: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    if let Some(folder) = folder.filter(|folder| !folder.is_absolute()) {
        bail!("--cloud-environment-dir={} is not an absolute path such as /etc/kubernetes", folder.display());
    }
    Ok(folder.map(Path::to_owned))
}

/// `--failover-vault main=replica`, as often as it is there.
fn failover_vaults(texts: &[String]) -> Result<BTreeMap<VaultName, VaultName>, FlagError> {
    let mut vaults = BTreeMap::new();
    for text in texts {
        let wrong = |problem, help| FlagError::new(format!("--failover-vault={text:?} {problem}"), help);
        let (vault, replica) = text.split_once('=').ok_or_else(|| {
            wrong("is not VAULT=REPLICA", "write the names of two vaults, with = between them")
        })?;
        let name = |name| VaultName::parse(name).map_err(|fault| FlagError::of("--failover-vault", fault));
        let (vault, replica) = (name(vault)?, name(replica)?);
        if vault == replica {
            return Err(wrong("names one vault twice", "name the vault that replaces it after the ="));
        }
        if vaults.insert(vault, replica).is_some() {
            return Err(wrong("gives its vault a second replica", "keep one replica for each vault"));
        }
    }
    Ok(vaults)
}

fn cloud(args: &PipelineArgs) -> Result<Cloud, FlagError> {
    let cloud = args.cloud_name.as_deref().map_or(Ok(Cloud::Public), Cloud::parse);
    cloud.map_err(|fault| FlagError::of("--cloud-name", fault))
}

fn default_tenant(args: &PipelineArgs) -> Result<Option<TenantId>, FlagError> {
    let tenant = args.default_tenant_id.as_deref().map(TenantId::parse).transpose();
    tenant.map_err(|fault| FlagError::of("--default-tenant-id", fault))
}

fn vault_suffix(text: &str) -> Result<VaultSuffix, FlagError> {
    VaultSuffix::parse(text).map_err(|fault| FlagError::of("--allowed-vault-suffix", fault))
}

fn imds(args: &PipelineArgs) -> Result<Url, FlagError> {
    let problem = || format!("--imds-endpoint={:?} is not a URL", args.imds_endpoint);
    Url::parse(&args.imds_endpoint)
        .map_err(|_| FlagError::new(problem(), "leave it out for Azure's own metadata service"))
}

fn token_proxy(args: &PipelineArgs) -> Result<TokenProxy, FlagError> {
    let given = Some(args.token_proxy_url.as_str()).filter(|url| !url.is_empty());
    let url = Url::parse(given.unwrap_or(TokenProxy::URL))
        .ok()
        .filter(|url| url.scheme() == "https" && url.host_str().is_some());
    let problem = || format!("--token-proxy-url={:?} is not an https URL", args.token_proxy_url);
    let url = url.ok_or_else(|| FlagError::new(problem(), "leave it out for the token proxy of AKS"))?;
    let server_name = args.sni_name.clone().filter(|name| !name.is_empty());
    Ok(TokenProxy::new(url, server_name, args.service_account_dir.join("ca.crt")))
}

/// A flag that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {help}")]
pub struct FlagError {
    /// The flag, and what is wrong with its value.
    pub problem: String,
    /// How to fix it.
    pub help: String,
}

impl FlagError {
    fn new(problem: String, help: &str) -> Self {
        Self { problem, help: help.to_owned() }
    }

    fn of(flag: &str, fault: Fault) -> Self {
        Self { problem: format!("{flag}: {}", fault.problem), help: fault.mend }
    }
}

/// Every pod is told where its cluster's API server is.
fn cluster(args: &PipelineArgs, environment: impl Fn(&str) -> Option<String>) -> Option<ClusterApi> {
    let host = environment("KUBERNETES_SERVICE_HOST")?;
    let port = environment("KUBERNETES_SERVICE_PORT")?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Some(ClusterApi {
        server: format!("https://{host}:{port}"),
        credentials: args.service_account_dir.clone(),
    })
}

fn keys(args: &ServeArgs, cluster: Option<&ClusterApi>) -> anyhow::Result<KeySource> {
    match (&args.service_account_jwks, &args.service_account_issuer) {
        (Some(source), Some(issuer)) if source.contains("://") => {
            let url = Url::parse(source).ok().filter(|url| url.scheme() == "https");
            let url = url.with_context(|| {
                format!("--service-account-jwks={source:?} is neither a file nor an https URL")
            })?;
            Ok(KeySource::Url(url, issuer.clone()))
        }
        (Some(source), Some(issuer)) => Ok(KeySource::File(PathBuf::from(source), issuer.clone())),
        (None, None) => Ok(cluster.map_or(KeySource::None, |api| KeySource::Cluster(api.clone()))),
        _ => bail!(
            "--service-account-jwks and --service-account-issuer go together: keys prove the tokens of their issuer only"
        ),
    }
}
