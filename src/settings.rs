//! The operator's settings, and the components built from them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use url::Url;

use crate::audit::{AuditLog, Destination};
use crate::cache::Cache;
use crate::clock::SystemClock;
use crate::deliver::{FileWriter, Targets};
use crate::environment_file::EnvironmentFiles;
use crate::fair::FairQueue;
use crate::identity::{
    ClusterApi, Exchange, Identities, KeySource, ServiceAccountKeys, ServiceAccounts, TokenProxy,
};
use crate::mount::{
    self, Audit, Delivery, FetchHistory, Fetcher, Memory, Mounter, ObjectKey, Volumes, WarningDedup,
};
use crate::plan::{Defaults, TenantId};
use crate::policy::PolicyFile;
use crate::render;
use crate::server::Listen;
use crate::telemetry::{Labels, MetricKind, Metrics};
use crate::transport;
use crate::vault::Vaults;
use crate::volume_memory::VolumeMemory;

/// All settings of the server.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: Listen,
    /// How to mount.
    pub pipeline: Pipeline,
}

/// The settings for all mounts.
#[derive(Debug)]
pub struct Pipeline {
    /// Defaults for values that requests omit.
    pub defaults: Defaults,
    /// The directory of environment files that classes may name; `None` for any directory.
    pub cloud_environment_dir: Option<PathBuf>,
    /// The policy file; `None` for no policy.
    pub policy_file: Option<PathBuf>,
    /// The destination of the audit log, if any.
    pub audit_log: Option<Destination>,
    /// How certificates are rendered.
    pub render_options: render::Options,
    /// Who writes the files.
    pub file_writer: FileWriter,
    /// The memory of volumes, if the provider writes the files.
    pub volume_memory: Option<VolumeMemorySettings>,
    /// Maximum size of a response.
    pub max_response_bytes: usize,
    /// Maximum bytes of cached objects.
    pub cache_max_bytes: usize,
    /// A prefix for the SDK's user agent.
    pub application_id: Option<String>,
    /// The node's metadata service.
    pub imds: Url,
    /// The token proxy of AKS.
    pub token_proxy: TokenProxy,
    /// The cluster's API server, if the provider runs in a cluster.
    pub cluster: Option<ClusterApi>,
    /// The tenant for service accounts and classes that name none.
    pub default_tenant: Option<TenantId>,
    /// The source of the keys that prove service account tokens.
    pub keys: KeySource,
}

/// Settings for the memory of volumes that the provider writes.
#[derive(Clone, Debug)]
pub struct VolumeMemorySettings {
    /// Limit for all volumes together.
    pub bytes: u64,
    /// The directory for its records, which must survive a restart of the container.
    pub state_dir: Option<PathBuf>,
}

impl Pipeline {
    /// Builds the components of the mount pipeline.
    ///
    /// # Errors
    /// If the policy file is invalid, the audit log cannot be opened, or no trusted CA certificate can be loaded.
    pub fn mounter(self, metrics: &Arc<Metrics>) -> anyhow::Result<Mounter> {
        let open = |path| PolicyFile::open(path, Arc::clone(metrics));
        let policy = self.policy_file.map(open).transpose()?;
        let open = |destination| AuditLog::open(destination, Arc::clone(metrics)).context("--audit-log");
        let audit = self.audit_log.map(open).transpose()?.map(|log| Audit::new(Arc::new(log)));
        let client = transport::client()
            .map_err(|error| anyhow::anyhow!(transport::root_cause(&error)))
            .context("cannot create the HTTPS client; install CA certificates, or set SSL_CERT_FILE")?;
        let clock = Arc::new(SystemClock);
        let node =
            transport::plain_client().map_err(|error| anyhow::anyhow!(transport::root_cause(&error)))?;
        let accounts = ServiceAccounts::new(self.cluster, self.default_tenant);
        let token_proxy = Arc::new(self.token_proxy);
        // At least one of two cores remains for mounts without CPU-heavy work.
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
        let object_cache = Arc::clone(&cache);
        let identities = Identities::new(
            ServiceAccountKeys::new(self.keys, client.clone()),
            accounts,
            Arc::new(exchange),
            clock,
            Arc::clone(metrics),
            move |refused| object_cache.evict(|key: &ObjectKey| key.identity() == refused),
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
            delivery: Delivery {
                file_writer: self.file_writer,
                max_response_bytes: self.max_response_bytes,
                volume_memory,
                targets: Targets::default(),
            },
            heavy_work,
            memory: Memory::default(),
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
        MetricKind::Gauge,
        "keyvault_csi_volume_bytes",
        "Memory used by the files of mounted volumes, with --file-writer=provider",
        #[allow(clippy::cast_precision_loss, reason = "no node has so much memory")]
        move || vec![(Labels::new(), watched.bytes() as f64)],
    );
    Ok(memory)
}
