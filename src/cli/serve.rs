//! `serve`: the server, with the process interface of the Go provider.

mod compatible;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::builder::ArgAction;
use clap::{Args, ValueEnum};
use url::Url;

use super::pipeline::{PipelineArgs, parse_bool, parse_port};
use crate::audit::Destination;
use crate::deliver::FileWriter;
use crate::identity::{ClusterApi, KeySource};
use crate::plan::Defaults;
use crate::server::{self, Listen, socket};
use crate::settings::{Pipeline, Settings, VolumeMemorySettings};
use crate::telemetry::{Metrics, logs};
use compatible::CompatibleArgs;

/// Flags of the server.
#[derive(Args, Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the Go provider, or one like them")]
pub struct ServeArgs {
    /// The socket the driver calls
    #[arg(long, default_value = "unix:///tmp/azure.sock")]
    pub endpoint: String,
    /// Replace whoever serves the socket, even if it is another provider
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_value = "false", default_missing_value = "true")]
    pub takeover: bool,
    /// Port of the health check and of /readyz; 0 for none
    #[arg(long, default_value_t = 8989, value_parser = parse_port)]
    pub healthz_port: u16,
    /// Address that the health check and /readyz listen on, such as 127.0.0.1; all addresses by default
    #[arg(long, value_name = "ADDRESS")]
    pub healthz_address: Option<IpAddr>,
    /// Path of the health check
    #[arg(long, default_value = "/healthz")]
    pub healthz_path: String,
    /// How long a health check may take
    #[arg(long, default_value = "5s")]
    pub healthz_timeout: humantime::Duration,
    /// Where metrics go; prometheus is the only choice
    #[arg(long, default_value = "prometheus")]
    pub metrics_backend: String,
    /// Port of /metrics; 0 for none
    #[arg(long, default_value_t = 8898, value_parser = parse_port)]
    pub prometheus_port: u16,
    /// Address that /metrics listens on, such as 127.0.0.1; all addresses by default
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_address: Option<IpAddr>,
    /// Folder that the files named by cloudEnvFileName must lie in; any folder but kubelet's by default
    #[arg(long, value_name = "DIR")]
    pub cloud_environment_dir: Option<PathBuf>,
    /// How long running mounts may take to finish after SIGTERM
    #[arg(long, default_value = "30s")]
    pub drain_timeout: humantime::Duration,
    /// Who writes the files: the driver from the response, or this provider into the volume
    #[arg(long, value_enum, default_value = "driver")]
    pub file_writer: FileWriterArg,
    /// Memory that the files of all mounted volumes may take, with --file-writer=provider. The container's memory
    /// limit must be larger by 100 MiB
    #[arg(long, default_value_t = 128 << 20, value_name = "BYTES")]
    pub volume_memory_bytes: u64,
    /// Directory that survives a restart of the container, such as an emptyDir. With --file-writer=provider, the
    /// memory of mounted volumes is recorded there
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The largest response, as the driver's --max-call-recv-msg-size has it
    #[arg(long, default_value_t = 4 << 20)]
    pub max_response_bytes: usize,
    /// How old a value may be with which an already mounted volume is refreshed; 0s asks Key Vault each
    /// time. A first mount asks it always
    #[arg(long, default_value = "1m")]
    pub rotation_max_age: humantime::Duration,
    /// The longest rotationMaxAge that a class may ask for
    #[arg(long, default_value = "24h")]
    pub rotation_max_age_limit: humantime::Duration,
    /// How old a value may be that is served while Key Vault or Entra cannot be reached; 0s for none
    #[arg(long, default_value = "24h")]
    pub stale_if_error: humantime::Duration,
    /// A file of rules, YAML, that say which namespaces may mount which objects; what no rule allows is denied
    #[arg(long, value_name = "FILE")]
    pub policy_file: Option<PathBuf>,
    /// Audit log: one JSON line for each object delivered or refused. A file, opened again on SIGHUP, or stdout
    #[arg(long, value_name = "FILE|stdout")]
    pub audit_log: Option<PathBuf>,
    /// How many bytes of fetched objects are kept in memory, at most
    #[arg(long, default_value_t = 32 << 20)]
    pub cache_max_bytes: usize,
    /// Public keys of the cluster's service account issuer, a JSON Web Key Set: a file or an https
    /// URL. In a cluster they come from the API server by themselves
    #[arg(long)]
    pub service_account_jwks: Option<String>,
    /// The issuer whose keys --service-account-jwks holds
    #[arg(long)]
    pub service_account_issuer: Option<String>,
    /// How to mount
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_value = "false", default_missing_value = "true")]
    pub version: bool,
    #[command(flatten)]
    compatible: CompatibleArgs,
}

/// The values of `--file-writer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileWriterArg {
    /// The driver, from the response.
    Driver,
    /// This process, into the volume's tmpfs.
    Provider,
}

impl From<FileWriterArg> for FileWriter {
    fn from(value: FileWriterArg) -> Self {
        match value {
            FileWriterArg::Driver => Self::Driver,
            FileWriterArg::Provider => Self::Provider,
        }
    }
}

impl ServeArgs {
    /// Checks the flags, and adds what the environment says: `KUBERNETES_SERVICE_HOST` and
    /// `KUBERNETES_SERVICE_PORT`, which every pod has, and `AZURE_ENVIRONMENT_FILEPATH`. `HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`
    /// and `SSL_CERT_DIR` are read where connections are made.
    ///
    /// # Errors
    /// A sentence that names the flag.
    pub(super) fn settings(
        self: &ServeArgs,
        environment: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Settings> {
        if !self.healthz_path.starts_with('/') || self.healthz_path.contains(['{', '}', '*', ' ', '?', '#']) {
            bail!("--healthz-path={:?} is not a plain path such as /healthz", self.healthz_path);
        }
        if !self.metrics_backend.eq_ignore_ascii_case("prometheus") {
            bail!("--metrics-backend={:?} is not known; the only one is prometheus", self.metrics_backend);
        }
        let (rotation_max_age, rotation_max_age_limit) =
            (*self.rotation_max_age, *self.rotation_max_age_limit);
        if rotation_max_age > rotation_max_age_limit {
            bail!(
                "--rotation-max-age={} is more than --rotation-max-age-limit={}",
                self.rotation_max_age,
                self.rotation_max_age_limit
            );
        }
        let pipeline = self.pipeline.check(environment)?;
        let file_writer = FileWriter::from(self.file_writer);
        let keys = keys(self, pipeline.cluster.as_ref())?;
        Ok(Settings {
            listen: Listen {
                socket: socket::path(&self.endpoint)?,
                takeover: self.takeover,
                health_port: self.healthz_port,
                health_address: self.healthz_address,
                health_path: self.healthz_path.clone(),
                health_timeout: self.healthz_timeout.into(),
                metrics_port: self.prometheus_port,
                metrics_address: self.metrics_address,
                drain_timeout: self.drain_timeout.into(),
            },
            pipeline: Pipeline {
                defaults: Defaults {
                    rotation_max_age,
                    rotation_max_age_limit,
                    stale_if_error: *self.stale_if_error,
                    ..pipeline.defaults
                },
                cloud_environment_dir: cloud_environment_dir(self.cloud_environment_dir.as_deref())?,
                policy_file: self.policy_file.clone(),
                audit_log: self.audit_log.as_deref().map(audit_log).transpose()?,
                cache_max_bytes: self.cache_max_bytes,
                file_writer,
                volume_memory: (file_writer == FileWriter::Provider).then(|| VolumeMemorySettings {
                    bytes: self.volume_memory_bytes,
                    state_dir: self.state_dir.clone(),
                }),
                max_response_bytes: self.max_response_bytes,
                keys,
                ..pipeline
            },
        })
    }
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

/// Serves until it is told to stop. `ignored` is what follows the flags.
///
/// # Errors
/// If the settings are wrong, or a socket or port cannot be bound.
pub fn run(args: &ServeArgs, ignored: &[String]) -> anyhow::Result<()> {
    logs::start(args.pipeline.log_format_json, args.pipeline.verbosity);
    args.compatible.warn();
    if let [word, ..] = ignored {
        tracing::warn!(
            "{word:?} is not a flag and ends the flags, as in the Go provider; ignored: {}",
            ignored.join(" ")
        );
    }
    let settings = args.settings(|name| std::env::var(name).ok())?;
    let listen = settings.listen.clone();
    let metrics = Arc::new(Metrics::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(async {
        let mounter = settings.pipeline.mounter(&metrics)?;
        server::serve(listen, mounter, metrics).await
    });
    // An abandoned mount must not hold the process.
    runtime.shutdown_background();
    served
}
