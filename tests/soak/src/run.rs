//! One run, with one file writer, from its start to its report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use keyvault_csi_provider::deliver::FileWriter;
use keyvault_emulator::RequestKind;
use provider_launcher::Usage;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::azure::Azure;
use crate::driver::Driver;
use crate::findings::Findings;
use crate::judge::Denials;
use crate::logs::Logs;
use crate::options::Options;
use crate::report::{Report, Tally};
use crate::restarts::{Changes, Providers};
use crate::storms::Storms;
use crate::{Result, changes, pods, storms};

/// Time for a process to release what it does not need.
const PATIENCE: Duration = Duration::from_mins(1);
/// Descriptors that an idle process may have more than it had when it began: what it keeps once it has been
/// asked for the first time.
const KEPT_DESCRIPTORS: usize = 2;
/// Memory may grow by a half and this much, in KiB, after a third of the process's life: the allocator's part.
const SLACK_KIB: u64 = 32 << 10;

/// The phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    Storms,
    /// Nothing new begins.
    Over,
    /// All faults have ended.
    Calm,
}

/// State shared by all tasks of a run.
pub(crate) struct Run {
    pub(crate) azure: Azure,
    pub(crate) storms: Storms,
    pub(crate) restarts: Changes,
    pub(crate) denials: Denials,
    pub(crate) logs: Logs,
    pub(crate) findings: Findings,
    pub(crate) tally: Tally,
    pub(crate) driver: Driver,
    pub(crate) writer: FileWriter,
    pub(crate) socket: PathBuf,
    /// Where volumes are, if the provider writes into them.
    pub(crate) volumes: Option<tempfile::TempDir>,
    phase: watch::Sender<Phase>,
}

impl Run {
    async fn start(writer: FileWriter, folder: &Path) -> Result<Self> {
        let socket = folder.join("azure.sock");
        let volumes =
            (writer == FileWriter::Provider).then(|| tempfile::tempdir_in("/dev/shm")).transpose()?;
        Ok(Self {
            azure: Azure::start(folder).await?,
            storms: Storms::default(),
            restarts: Changes::default(),
            denials: Denials::default(),
            logs: Logs::default(),
            findings: Findings::default(),
            tally: Tally::default(),
            driver: Driver::new(&socket),
            writer,
            socket,
            volumes,
            phase: watch::Sender::new(Phase::Storms),
        })
    }

    pub(crate) fn goes_on(&self) -> bool {
        *self.phase.borrow() == Phase::Storms
    }

    /// Waits until all faults have ended.
    pub(crate) async fn calmed(&self) {
        // The sender lives as long as `self`.
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Calm).await;
    }
}

/// Runs for `duration`, and until everything has recovered.
pub(crate) async fn one(
    options: &Options,
    writer: FileWriter,
    duration: Duration,
    mut rng: Rng,
    folder: &Path,
) -> Result<Report> {
    let run = Arc::new(Run::start(writer, folder).await?);
    let mut providers = Providers::start(&run, folder, rng.fork()).await?;
    let fresh = providers.usage()?;
    let begin = Instant::now();

    let mut trouble = JoinSet::new();
    let (shared, forked) = (Arc::clone(&run), rng.fork());
    trouble.spawn(async move { changes::make(&shared, forked).await });
    let (shared, forked) = (Arc::clone(&run), rng.fork());
    trouble.spawn(async move { storms::rage(&shared, forked).await });
    let mut pods = JoinSet::new();
    for slot in 0..options.pods {
        let (shared, forked) = (Arc::clone(&run), rng.fork());
        pods.spawn(async move { pods::live(&shared, slot, forked).await });
    }

    // The process that comes last lives for half of the time, so that it shows what it loses.
    providers.restart_until(&run, begin + duration / 2).await?;
    providers.look_after(begin + duration * 2 / 3).await?;
    let warm = providers.usage()?;
    providers.look_after(begin + duration).await?;
    run.phase.send_replace(Phase::Over);
    while let Some(ended) = trouble.join_next().await {
        ended??;
    }
    run.phase.send_replace(Phase::Calm);
    let recovered = async {
        while let Some(ended) = pods.join_next().await {
            ended??;
        }
        Ok(())
    };
    tokio::select! {
        recovered = recovered => recovered,
        died = providers.look_after(begin + Duration::from_secs(u64::from(u32::MAX))) => died,
    }?;
    let run = Arc::into_inner(run).ok_or("a task is left over")?;
    finish(run, providers, [fresh, warm]).await
}

/// Lets the process become idle, and ends it.
async fn finish(run: Run, providers: Providers, [fresh, warm]: [Usage; 2]) -> Result<Report> {
    let Run { azure, storms, restarts, driver, findings, tally, logs, writer, .. } = run;
    let requests = RequestKind::ALL.map(|kind| azure.emulator.count(kind)).into_iter().sum();
    // With the emulator go all connections to Azure, which would else be kept for a while.
    drop((azure, driver));
    let begin = Instant::now();
    let mut idle = providers.usage()?;
    while idle.descriptors > fresh.descriptors + KEPT_DESCRIPTORS && begin.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50)).await;
        idle = providers.usage()?;
    }
    if idle.descriptors > fresh.descriptors + KEPT_DESCRIPTORS {
        let (now, before) = (idle.descriptors, fresh.descriptors);
        let open = providers.descriptors()?.join(", ");
        findings.add(format!("an idle process has {now} descriptors, and had {before}: {open}"));
    }
    if idle.rss_kib > warm.rss_kib * 3 / 2 + SLACK_KIB {
        findings.add(format!("memory has grown from {} KiB to {} KiB", warm.rss_kib, idle.rss_kib));
    }
    providers.stop(&findings).await?;
    logs.said("", &findings)?;
    let (restarted, killed) = restarts.count();
    Ok(Report {
        writer,
        mounts: tally.mounts(),
        repeated: tally.repeated(),
        injected: storms.injected(),
        requests,
        restarted,
        killed,
        usage: [fresh, warm, idle],
        findings: findings.all(),
    })
}
