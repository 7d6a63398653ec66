//! `mount`: one mount without a cluster, by the pipeline that the server runs.

mod caller;
mod class;
mod failure;
mod json;
mod message;
mod preparation;
mod request;
mod target;
mod text;
mod token;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use super::pipeline::PipelineArgs;
use crate::mount::{MountError, Mounted, Mounter};
use crate::proto::{MountRequest, ObjectVersion};
use crate::retry::Deadline;
use crate::settings::Pipeline;
use crate::telemetry::Metrics;
use caller::CallerArgs;
use class::Class;
use message::{Console, Message};
use preparation::Preparation;
use target::Target;

/// No mount takes longer than this, as on a node.
const LONGEST_MOUNT: Duration = Duration::from_mins(1);

/// Mount one class into a directory, without a cluster.
///
/// Reads a `SecretProviderClass`, logs in to Entra, fetches the objects from Key Vault and writes the files, with the same
/// code as the server with --file-writer=provider. Use it to debug on a node, on a virtual machine, and for secrets that
/// a new cluster needs before it exists.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, after_long_help = format!("{ORDER}\n\n{EXAMPLES}"))]
pub struct MountArgs {
    /// Manifest with the `SecretProviderClass`; - reads standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Manifest, as with kubectl
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "file")]
    filename: Option<PathBuf>,
    /// Directory for the files, on a tmpfs such as /dev/shm or /run. Created with mode 0700 if it does not exist; its parent
    /// directory must exist. Required except with --dry-run
    #[arg(long, value_name = "DIR")]
    target: Option<PathBuf>,
    /// Name of the class, if the manifest has several
    #[arg(long, value_name = "CLASS")]
    name: Option<String>,
    #[command(flatten)]
    caller: CallerArgs,
    /// Show which objects would be fetched, with which identity, and which files would be written. Sends no request and
    /// writes no file; needs neither a token nor a directory
    #[arg(long)]
    dry_run: bool,
    /// Show each step and its time on standard error
    #[arg(long, conflicts_with_all = ["log_format_json", "verbosity"])]
    explain: bool,
    /// Print identity, objects and files, never a value, in this format [default: text with --dry-run, otherwise nothing]
    #[arg(short = 'o', long, value_enum, value_name = "FORMAT")]
    output: Option<Output>,
    #[command(flatten)]
    pipeline: PipelineArgs,
}

/// The format of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs: one JSON object
    Json,
}

const EXAMPLES: &str = "\
Examples:
  Show what a class would mount, without a token or a network:
    keyvault-csi-provider mount -f class.yaml --dry-run
  Mount with the identity of a pod, and show each step:
    kubectl create token shop-sa -n shop --audience api://AzureADTokenExchange > token
    keyvault-csi-provider mount class.yaml --target /dev/shm/secrets --token-file token --explain
  On a virtual machine of Azure:
    keyvault-csi-provider mount class.yaml --target /run/secrets --managed-identity";

const ORDER: &str = "\
The identity is the first of these that is set:
  1. the managed identity of this machine, if the class sets useVMManagedIdentity, or with --managed-identity
  2. the service account of the token in --token-file, or AZURE_FEDERATED_TOKEN_FILE; its application is the
     class's clientID, or AZURE_CLIENT_ID, or, in a cluster, the service account's annotation
     azure.workload.identity/client-id
  3. the service principal AZURE_CLIENT_ID, with AZURE_CLIENT_SECRET or with the file
     AZURE_CLIENT_CERTIFICATE_PATH. They replace the Secret of nodePublishSecretRef, and a clientID in the
     class has no effect

Flags and environment set what the class omits:
  tenant     tenantID of the class, --default-tenant-id, AZURE_TENANT_ID
  cloud      cloudName of the class, --cloud-name, the cloud of AZURE_AUTHORITY_HOST, AzurePublicCloud
  namespace  --namespace, the token's, the manifest's, default

Exit codes: 0 success; 1 failure, and existing files are untouched; 2 wrong usage: a flag is missing, unknown or
wrong.";

/// Mounts once, or shows what would be done.
pub fn run(args: &MountArgs) -> ExitCode {
    let console = Console::start(args);
    let Err(mistakes) = mount_once(args, console) else { return ExitCode::SUCCESS };
    for mistake in &mistakes {
        console.say(mistake);
    }
    ExitCode::from(if mistakes.iter().any(Message::is_usage) { 2 } else { 1 })
}

/// Mounts once, or shows what would be done.
///
/// # Errors
/// Every mistake in the manifest, the identity, the directory and the flags; or why the mount failed, with nothing
/// written.
fn mount_once(args: &MountArgs, console: Console) -> Result<(), Vec<Message>> {
    let failed = |error: io::Error| vec![Message::error("", format!("the mount cannot start: {error}"))];
    let environment = |name: &str| {
        std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let done = runtime.block_on(async {
        let (preparation, pipeline, request) = preparation::prepare(args, &environment, console).await?;
        match &preparation.target {
            Some(target) if !args.dry_run => {
                let target = target.clone();
                mount_prepared(args, &preparation, pipeline, request, target).await
            }
            _ => show(args.output.unwrap_or(Output::Text), &preparation, None),
        }
    });
    // An abandoned request must not hold the process.
    runtime.shutdown_background();
    done
}

impl MountArgs {
    /// The class of the manifest that is named.
    fn class(&self) -> Result<Class, Vec<Message>> {
        let Some(file) = self.file.as_ref().or(self.filename.as_ref()) else {
            let mistake = Message::error("FILE", "it is missing: there is no manifest with the class");
            let help = "name it, as an argument or with -f; - is standard input";
            return Err(vec![mistake.help(help).usage()]);
        };
        Class::read(file, self.name.as_deref())
    }
}

async fn mount_prepared(
    args: &MountArgs,
    preparation: &Preparation,
    pipeline: Pipeline,
    request: MountRequest,
    target: Target,
) -> Result<(), Vec<Message>> {
    let imds = pipeline.imds.clone();
    let mounter = pipeline.mounter(&Arc::new(Metrics::default()));
    let mounter = mounter.map_err(|error| vec![Message::error("", format!("{error:#}"))])?;
    // They have been shown, with their lines.
    mounter.warnings.mark_logged(&preparation.plan.pod, &preparation.plan.warnings);
    let directory = target.path().to_owned();
    let brought = match mount(&mounter, request, target).await {
        Ok(brought) => brought,
        Err(Failure::Mount(error)) => {
            let hosts = failure::Hosts { imds: imds.as_str(), token_proxy: &args.pipeline.token_proxy_url };
            return Err(failure::explain(error, preparation, &hosts, args.explain));
        }
        Err(Failure::Other(message)) => return Err(vec![message]),
    };
    let versions = &brought.response.object_version;
    tracing::info!(objects = versions.len(), target = %directory.display(), "mounted");
    match args.output {
        Some(output) => show(output, preparation, Some(versions)),
        None => Ok(()),
    }
}

/// Writes what is mounted to standard output; `versions` are those that have been.
fn show(
    output: Output,
    preparation: &Preparation,
    versions: Option<&[ObjectVersion]>,
) -> Result<(), Vec<Message>> {
    let text = match output {
        Output::Text => text::describe(preparation, versions.is_some()),
        Output::Json => json::describe(preparation, versions),
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(vec![Message::error("standard output", error.to_string())])
        }
        _ => Ok(()),
    }
}

enum Failure {
    Mount(MountError),
    Other(Message),
}

/// Mounts, or gives up on the first signal to end. A writer that is under way is waited for: it puts all new
/// files in place or none.
async fn mount(mounter: &Mounter, request: MountRequest, mut target: Target) -> Result<Mounted, Failure> {
    let waiting =
        |error: io::Error| Failure::Other(Message::error("", format!("cannot wait for signals: {error}")));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(waiting)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(waiting)?;
    target.make().map_err(Failure::Other)?;
    let interrupted = || Err(Failure::Other(Message::error("interrupted", INTERRUPTED)));
    let done = tokio::select! {
        answer = mounter.mount(request, Deadline::after(LONGEST_MOUNT)) => answer.map_err(Failure::Mount),
        _ = interrupt.recv() => interrupted(),
        _ = terminate.recv() => interrupted(),
    };
    mounter.delivery.settle(target.path()).await;
    if done.is_err() {
        target.unmake();
    }
    done
}

const INTERRUPTED: &str = "the directory has the files that were there, or all of the new ones";
