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

/// Fetch a class's objects and write them into a directory, once, without a cluster.
///
/// Reads a class, logs in to Entra, asks Key Vault and writes the files, by the same steps as
/// the server with --file-writer=provider: for debugging on a node, for a virtual machine, and for the
/// secrets that must be there before there is a cluster.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, after_long_help = format!("{ORDER}\n\n{EXAMPLES}"))]
pub struct MountArgs {
    /// A manifest with the class, a `SecretProviderClass`; - is standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same, as a flag, which kubectl has
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "file")]
    filename: Option<PathBuf>,
    /// The directory for the files, on a tmpfs such as /dev/shm or /run. If it is missing it is made, with
    /// mode 0700; what it lies in must be there. Only a dry run needs none
    #[arg(long, value_name = "DIR")]
    target: Option<PathBuf>,
    /// The class to mount, if the manifest has several
    #[arg(long, value_name = "CLASS")]
    name: Option<String>,
    #[command(flatten)]
    caller: CallerArgs,
    /// Show what would be fetched, as whom, and written. Nothing leaves this machine, and nothing is written. It
    /// needs neither a token nor a directory
    #[arg(long)]
    dry_run: bool,
    /// Show on standard error what each step did and how long it took
    #[arg(long, conflicts_with_all = ["log_format_json", "verbosity"])]
    explain: bool,
    /// How standard output shows what is mounted: identity, objects and files, never a value. By default, only a
    /// dry run shows it
    #[arg(short = 'o', long, value_enum, value_name = "FORMAT")]
    output: Option<Output>,
    #[command(flatten)]
    pipeline: PipelineArgs,
}

/// How standard output shows what is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs: one JSON object
    Json,
}

const EXAMPLES: &str = "\
Examples:
  What a class would mount, without a token and without a network:
    keyvault-csi-provider mount -f class.yaml --dry-run
  What a pod would get, step by step:
    kubectl create token shop-sa -n shop --audience api://AzureADTokenExchange > token
    keyvault-csi-provider mount class.yaml --target /dev/shm/secrets --token-file token --explain
  On a virtual machine of Azure:
    keyvault-csi-provider mount class.yaml --target /run/secrets --managed-identity";

const ORDER: &str = "\
The identity is the first of these that there is:
  1. the managed identity of this machine, if the class says useVMManagedIdentity, or with --managed-identity
  2. the service account whose token is in --token-file, or else in AZURE_FEDERATED_TOKEN_FILE; its
     application is the class's clientID, or else AZURE_CLIENT_ID, or else, in a cluster, what the service
     account's annotation azure.workload.identity/client-id says
  3. the service principal AZURE_CLIENT_ID, with AZURE_CLIENT_SECRET or with the file
     AZURE_CLIENT_CERTIFICATE_PATH. These stand for the Secret of nodePublishSecretRef, and a clientID in the
     class has no effect

What a class leaves out, the flags say, and else the environment:
  tenant     tenantID of the class, --default-tenant-id, AZURE_TENANT_ID
  cloud      cloudName of the class, --cloud-name, the cloud of AZURE_AUTHORITY_HOST, AzurePublicCloud
  namespace  --namespace, the token's, the manifest's, default

Exit codes: 0 mounted, or shown; 1 it failed, and the files that were there are untouched; 2 wrong usage: a flag is
missing, unknown or wrong.";

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
