//! `mount`: one mount without a cluster, by the pipeline that the server runs.

mod caller;
mod class;
mod dry_run;
mod explain;
mod request;
mod target;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

use super::pipeline::PipelineArgs;
use crate::identity::KeySource;
use crate::mount::{MountError, Mounted, Mounter};
use crate::plan::{Cloud, TenantId};
use crate::proto::MountRequest;
use crate::retry::Deadline;
use crate::settings::Pipeline;
use crate::telemetry::{Metrics, logs};
use caller::{Caller, CallerArgs, Token};
use class::Class;
use target::Target;

/// No mount takes longer than this, as on a node.
const LONGEST_MOUNT: Duration = Duration::from_secs(60);

/// Fetch a class's objects and write them into a directory, once, without a cluster.
///
/// Reads a class, logs in to Entra, asks Key Vault and writes the files, by the same steps as
/// the server with --file-writer=provider: for debugging on a node, for a virtual machine, and for the
/// secrets that must be there before there is a cluster.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = ORDER)]
pub struct MountArgs {
    /// A manifest with the class, a `SecretProviderClass`; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The directory for the files, on a tmpfs such as /dev/shm or /run. If it is missing it is made, with
    /// mode 0700; what it lies in must be there
    #[arg(long, value_name = "DIR")]
    target: PathBuf,
    /// The class to mount, if the manifest has several
    #[arg(long, value_name = "CLASS")]
    name: Option<String>,
    #[command(flatten)]
    caller: CallerArgs,
    /// Show what would be fetched, as whom, and written. Nothing leaves this machine, and nothing is written
    #[arg(long)]
    dry_run: bool,
    /// Tell on standard error what each step did and how long it took, and after a failure what to check next
    #[arg(long, conflicts_with_all = ["log_format_json", "verbosity"])]
    explain: bool,
    #[command(flatten)]
    pipeline: PipelineArgs,
}

const ORDER: &str = "\
Who asks is the first of these that there is:
  1. the managed identity of this machine, if the class says useVMManagedIdentity, or with --managed-identity
  2. the service account whose token is in --token-file, or else in AZURE_FEDERATED_TOKEN_FILE; its
     application is the class's clientID, or else AZURE_CLIENT_ID, or else, in a cluster, what the service
     account's annotation azure.workload.identity/client-id says
  3. the service principal AZURE_CLIENT_ID, with AZURE_CLIENT_SECRET or with the file
     AZURE_CLIENT_CERTIFICATE_PATH. These stand for the Secret of nodePublishSecretRef, and a clientID in the
     class is left aside: nobody's secret but the principal's own is here

What a class leaves out, the flags say, and else the environment:
  tenant     tenantID of the class, --default-tenant-id, AZURE_TENANT_ID
  cloud      cloudName of the class, --cloud-name, the cloud of AZURE_AUTHORITY_HOST, AzurePublicCloud
  namespace  --namespace, the token's, the manifest's, default

Exit codes: 0 mounted, or shown; 1 it failed, and the files that were there are untouched; 2 wrong usage.";

/// Mounts once, or shows what would be done.
///
/// # Errors
/// Whatever is wrong with the manifest, the identity or the directory; or why the mount failed, with nothing
/// written.
pub fn run(args: &MountArgs) -> anyhow::Result<()> {
    if args.explain {
        logs::start_with(explain::Explanation::new(), LevelFilter::DEBUG);
    } else {
        logs::start(args.pipeline.log_format_json, args.pipeline.verbosity);
    }
    let environment = |name: &str| {
        std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let class = Class::read(&args.file, args.name.as_deref())?;
    tracing::debug!(name = class.name, at = class.location, "class read");
    let caller = Caller::choose(&class, &args.caller, &environment)?;
    tracing::debug!("identity chosen: {caller}");
    let target = Target::find(&args.target)?;
    tracing::debug!("directory found: {target}");

    let pipeline = pipeline(args, &class, &caller, &environment)?;
    let request = request::build(&class, &caller, &args.caller, &target)?;
    let mounter = pipeline.mounter(&Arc::new(Metrics::default()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = |error| told(error, &caller, args.explain);
    let done = runtime.block_on(async {
        if args.dry_run {
            let plan = mounter.plan(request).await.map_err(told)?;
            return dry_run::show(&plan, &caller, &target, mounter.render_options);
        }
        let brought = mount(&mounter, request, target, told).await?;
        let objects = brought.response.object_version.len();
        tracing::info!(objects, target = %args.target.display(), "mounted");
        Ok(())
    });
    // An abandoned request must not hold the process.
    runtime.shutdown_background();
    done
}

/// What the flags, and then the environment, say where the class does not.
fn pipeline(
    args: &MountArgs,
    class: &Class,
    caller: &Caller,
    environment: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<Pipeline> {
    let mut pipeline = args.pipeline.check(environment)?;
    if pipeline.default_tenant.is_none()
        && let Some(tenant) = environment("AZURE_TENANT_ID")
    {
        let tenant = TenantId::parse(&tenant)
            .map_err(|fault| anyhow!("AZURE_TENANT_ID: {}; {}", fault.problem, fault.help))?;
        pipeline.defaults.tenant = Some(tenant.clone());
        pipeline.default_tenant = Some(tenant);
    }
    if class.text("cloudName").is_none()
        && args.pipeline.cloud_name.is_none()
        && let Some(authority) = environment("AZURE_AUTHORITY_HOST")
    {
        pipeline.defaults.cloud = Cloud::of_authority(&authority).with_context(|| {
            format!(
                "AZURE_AUTHORITY_HOST={authority:?} is the Entra of no known cloud; a class names a private one by cloudName: AzureStackCloud and cloudEnvFileName"
            )
        })?;
    }
    // Only who is to be asked about a service account must have its token proven first.
    if let Caller::ServiceAccount(Token { client: None, .. }) = caller {
        let Some(cluster) = &pipeline.cluster else {
            bail!(
                "the class has no clientID; set it there, or AZURE_CLIENT_ID, to the client id of the identity whose federated credential names the service account"
            );
        };
        pipeline.keys = KeySource::Cluster(cluster.clone());
    }
    Ok(pipeline)
}

/// Mounts, or gives up on the first signal to end. A writer that is under way is waited for: it puts all new
/// files in place or none.
async fn mount(
    mounter: &Mounter,
    request: MountRequest,
    mut target: Target,
    told: impl Fn(MountError) -> anyhow::Error,
) -> anyhow::Result<Mounted> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    target.make()?;
    let done = tokio::select! {
        answer = mounter.mount(request, Deadline::after(LONGEST_MOUNT)) => answer.map_err(told),
        _ = interrupt.recv() => Err(anyhow!(INTERRUPTED)),
        _ = terminate.recv() => Err(anyhow!(INTERRUPTED)),
    };
    mounter.delivery.settle(target.path()).await;
    if done.is_err() {
        target.unmake();
    }
    done
}

const INTERRUPTED: &str = "interrupted: the directory has the files that were there, or all of the new ones";

/// The error as the command tells it: the request's `secrets` and tokens came from somewhere else than the
/// message, which is written for pods, can know.
fn told(error: MountError, caller: &Caller, explain: bool) -> anyhow::Error {
    let (step, next) = explain::next(&error);
    let error = match error {
        MountError::Identity(error) => anyhow!(error).context(caller.to_string()),
        error => anyhow!(error),
    };
    if explain { anyhow!("the mount failed at the {step}: {error:#}; check next: {next}") } else { error }
}
