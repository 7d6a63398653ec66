//! `serve`: the server, with the flags of the Go provider.

mod compatible;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::builder::ArgAction;
use clap::{Args, ValueEnum};
use url::Url;

use super::pipeline::{
    CACHE, FILES, HEALTH, IDENTITIES, POLICY, PipelineArgs, SOCKET, parse_bool, parse_port,
};
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
    /// Socket of the provider, which the driver connects to
    #[arg(help_heading = SOCKET, long, default_value = "unix:///tmp/azure.sock")]
    pub endpoint: String,
    /// Replace the process that serves the socket, even another provider
    #[arg(help_heading = SOCKET, long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_value = "false", default_missing_value = "true")]
    pub takeover: bool,
    /// Time for running mounts to finish after SIGTERM
    #[arg(help_heading = SOCKET, long, default_value = "30s")]
    pub drain_timeout: humantime::Duration,
    /// File or https URL of the service account issuer's JSON Web Key Set [default in a cluster: from the API server]
    #[arg(help_heading = IDENTITIES, long)]
    pub service_account_jwks: Option<String>,
    /// Issuer of the keys in --service-account-jwks
    #[arg(help_heading = IDENTITIES, long)]
    pub service_account_issuer: Option<String>,
    /// Maximum age of a cached value used to refresh a mounted volume; 0s to always fetch from Key Vault
    #[arg(help_heading = CACHE, long, default_value = "1m")]
    pub rotation_max_age: humantime::Duration,
    /// Maximum rotationMaxAge of a class
    #[arg(help_heading = CACHE, long, default_value = "24h")]
    pub rotation_max_age_limit: humantime::Duration,
    /// Maximum age of a stale value served while Key Vault or Entra is unavailable; 0s to disable
    #[arg(help_heading = CACHE, long, default_value = "24h")]
    pub stale_if_error: humantime::Duration,
    /// Maximum memory for cached objects
    #[arg(help_heading = CACHE, long, default_value_t = 32 << 20)]
    pub cache_max_bytes: usize,
    /// Process that writes the files: the driver, or this provider
    #[arg(help_heading = FILES, long, value_enum, default_value = "driver")]
    pub file_writer: FileWriterArg,
    /// Memory limit for the files of all volumes with --file-writer=provider; set the container's limit at least 100 MiB
    /// higher
    #[arg(help_heading = FILES, long, default_value_t = 128 << 20, value_name = "BYTES")]
    pub volume_memory_bytes: u64,
    /// Directory for the records of mounted volumes with --file-writer=provider; must survive a container restart, like an
    /// emptyDir
    #[arg(help_heading = FILES, long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Maximum size of a response; the driver's --max-call-recv-msg-size
    #[arg(help_heading = FILES, long, default_value_t = 4 << 20)]
    pub max_response_bytes: usize,
    /// Directory for the files of cloudEnvFileName [default: any directory except kubelet's]
    #[arg(help_heading = POLICY, long, value_name = "DIR")]
    pub cloud_environment_dir: Option<PathBuf>,
    /// YAML file of rules that allow namespaces to mount objects; everything else is denied
    #[arg(help_heading = POLICY, long, value_name = "FILE")]
    pub policy_file: Option<PathBuf>,
    /// Audit log with a JSON line for each object delivered or denied: stdout, or a file, which is reopened on SIGHUP
    #[arg(help_heading = POLICY, long, value_name = "FILE|stdout")]
    pub audit_log: Option<PathBuf>,
    /// Port of the health check and of /readyz; 0 to disable
    #[arg(help_heading = HEALTH, long, default_value_t = 8989, value_parser = parse_port)]
    pub healthz_port: u16,
    /// Address of the health check and /readyz, such as 127.0.0.1 [default: all addresses]
    #[arg(help_heading = HEALTH, long, value_name = "ADDRESS")]
    pub healthz_address: Option<IpAddr>,
    /// Path of the health check
    #[arg(help_heading = HEALTH, long, default_value = "/healthz")]
    pub healthz_path: String,
    /// Timeout of a health check
    #[arg(help_heading = HEALTH, long, default_value = "5s")]
    pub healthz_timeout: humantime::Duration,
    /// Metrics backend; only prometheus is supported
    #[arg(help_heading = HEALTH, long, default_value = "prometheus")]
    pub metrics_backend: String,
    /// Port of /metrics; 0 to disable
    #[arg(help_heading = HEALTH, long, default_value_t = 8898, value_parser = parse_port)]
    pub prometheus_port: u16,
    /// Address of /metrics, such as 127.0.0.1 [default: all addresses]
    #[arg(help_heading = HEALTH, long, value_name = "ADDRESS")]
    pub metrics_address: Option<IpAddr>,
    /// How to mount
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_value = "false", default_missing_value = "true")]
    pub version: bool,
    #[command(flatten)]
    compatible: CompatibleArgs,
}

/// Values of `--file-writer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileWriterArg {
    /// The driver writes the files of the response
    Driver,
    /// This provider writes the files into the volume's tmpfs
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
    /// Checks the flags and adds settings from the environment: `KUBERNETES_SERVICE_HOST` and
    /// `KUBERNETES_SERVICE_PORT`, which every pod has, and `AZURE_ENVIRONMENT_FILEPATH`. `HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`
    /// and `SSL_CERT_DIR` are read where connections are made.
    ///
    /// # Errors
    /// A message that names the flag.
    pub(super) fn settings(
        self: &ServeArgs,
        environment: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Settings> {
        if !self.healthz_path.starts_with('/') || self.healthz_path.contains(['{', '}', '*', ' ', '?', '#']) {
            bail!("--healthz-path={:?} is not a plain path such as /healthz", self.healthz_path);
        }
        if !self.metrics_backend.eq_ignore_ascii_case("prometheus") {
            bail!("--metrics-backend={:?} is not supported; use prometheus", self.metrics_backend);
        }
        let (rotation_max_age, rotation_max_age_limit) =
            (*self.rotation_max_age, *self.rotation_max_age_limit);
        if rotation_max_age > rotation_max_age_limit {
            bail!(
                "--rotation-max-age={} exceeds --rotation-max-age-limit={}",
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

/// Parses `--audit-log`: the word `stdout`, or an absolute path.
fn audit_log(text: &Path) -> anyhow::Result<Destination> {
    if text == Path::new("stdout") {
        return Ok(Destination::Stdout);
    }
    if !text.is_absolute() {
        bail!("--audit-log={} is neither an absolute path nor stdout", text.display());
    }
    Ok(Destination::File(text.to_owned()))
}

fn cloud_environment_dir(directory: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    if let Some(directory) = directory.filter(|directory| !directory.is_absolute()) {
        bail!(
            "--cloud-environment-dir={} is not an absolute path such as /etc/kubernetes",
            directory.display()
        );
    }
    Ok(directory.map(Path::to_owned))
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
            "--service-account-jwks and --service-account-issuer must be set together: keys prove only the tokens of their issuer"
        ),
    }
}

/// Serves until SIGTERM or SIGINT. `ignored` are the arguments after the flags.
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
    // A cancelled mount must not keep the process alive.
    runtime.shutdown_background();
    served
}
