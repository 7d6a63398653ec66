//! The provider's processes, one after the other.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;
use keyvault_csi_provider::deliver::FileWriter;
use nix::sys::signal::Signal;
use provider_launcher::{Launch, Process, Usage};
use tokio::time::{Instant, sleep};

use crate::Result;
use crate::findings::{Findings, lock};
use crate::objects::{REPLICA, VAULTS};
use crate::run::Run;

/// Interval of checks that the process is running.
const PAUSE: Duration = Duration::from_millis(100);

/// When processes changed.
#[derive(Default)]
pub(crate) struct Changes(Mutex<Vec<Change>>);

struct Change {
    from: Instant,
    until: Option<Instant>,
    killed: bool,
}

impl Changes {
    /// Whether a process was killed while something went on from `begin` to `end`.
    pub(crate) fn killed(&self, begin: Instant, end: Instant) -> bool {
        self.any(begin, end, |change| change.killed)
    }

    /// Whether more than one process may have answered between these times.
    pub(crate) fn changed(&self, begin: Instant, end: Instant) -> bool {
        self.any(begin, end, |_| true)
    }

    fn any(&self, begin: Instant, end: Instant, such: impl Fn(&Change) -> bool) -> bool {
        let met = |change: &&Change| change.from <= end && change.until.is_none_or(|until| until >= begin);
        lock(&self.0).iter().filter(met).any(such)
    }

    /// Restarts so far, and how many of them by SIGKILL.
    pub(crate) fn count(&self) -> (usize, usize) {
        let changes = lock(&self.0);
        (changes.len(), changes.iter().filter(|change| change.killed).count())
    }
}

/// How a process replaces its predecessor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    SuccessorFirst,
    DrainFirst,
    Kill,
}

pub(crate) struct Providers {
    current: Process,
    folder: PathBuf,
    started: u32,
    rng: Rng,
}

impl Providers {
    pub(crate) async fn start(run: &Run, folder: &Path, mut rng: Rng) -> Result<Self> {
        let current = start(run, folder, 0, &mut rng).await?;
        Ok(Self { current, folder: folder.to_owned(), started: 1, rng })
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        Ok(Usage::of(self.current.pid())?)
    }

    /// Its open descriptors.
    pub(crate) fn descriptors(&self) -> Result<Vec<String>> {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.current.pid()))?;
        // One that is closed meanwhile is not there.
        let links = folder.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        Ok(links.map(|link| link.display().to_string()).collect())
    }

    /// Restarts at random until then.
    pub(crate) async fn restart_until(&mut self, run: &Run, end: Instant) -> Result<()> {
        loop {
            let next = Instant::now() + Duration::from_millis(self.rng.u64(2000..9000));
            self.look_after(next.min(end)).await?;
            if next >= end {
                return Ok(());
            }
            self.restart(run).await?;
        }
    }

    /// Checks that the process runs until then.
    pub(crate) async fn look_after(&mut self, end: Instant) -> Result<()> {
        while Instant::now() < end {
            if let Some(status) = self.current.exit_status()? {
                return Err(format!("the provider exited unexpectedly, with {status}").into());
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn restart(&mut self, run: &Run) -> Result<()> {
        let how = match self.rng.u32(..10) {
            ..4 => How::SuccessorFirst,
            4..7 => How::DrainFirst,
            _ => How::Kill,
        };
        let killed = how == How::Kill;
        lock(&run.restarts.0).push(Change { from: Instant::now(), until: None, killed });
        match how {
            How::SuccessorFirst => {}
            How::DrainFirst => self.current.signal(Signal::SIGTERM)?,
            How::Kill => self.current.signal(Signal::SIGKILL)?,
        }
        let successor = start(run, &self.folder, self.started, &mut self.rng).await?;
        self.started += 1;
        let mut old = std::mem::replace(&mut self.current, successor);
        if how == How::SuccessorFirst {
            old.signal(Signal::SIGTERM)?;
        }
        check_end(&run.findings, &mut old, killed).await?;
        if let Some(change) = lock(&run.restarts.0).last_mut() {
            change.until = Some(Instant::now());
        }
        Ok(())
    }

    /// Stops the last process.
    pub(crate) async fn stop(mut self, findings: &Findings) -> Result<()> {
        self.current.signal(Signal::SIGTERM)?;
        check_end(findings, &mut self.current, false).await
    }
}

async fn check_end(findings: &Findings, process: &mut Process, killed: bool) -> Result<()> {
    let status = process.ended().await?;
    if !killed && status.code() != Some(0) {
        findings.add(format!("a process ended with {status} after SIGTERM"));
    }
    Ok(())
}

async fn start(run: &Run, folder: &Path, number: u32, rng: &mut Rng) -> Result<Process> {
    let writer = match run.writer {
        FileWriter::Driver => "driver",
        FileWriter::Provider => "provider",
    };
    let mut launch = Launch::itself()?.without_ports().args([
        "--log-format-json=true",
        "--drain-timeout=10s",
        &format!("--file-writer={writer}"),
        &format!("--rotation-max-age={}s", crate::judge::ROTATION_MAX_AGE.as_secs()),
        &format!("--stale-if-error={}s", crate::judge::STALE_IF_ERROR.as_secs()),
        &format!("--failover-vault={}={REPLICA}", VAULTS.first().copied().unwrap_or_default()),
        &format!("--imds-endpoint=http://{}/", run.azure.emulator.imds_address()),
    ]);
    // Without the keys, only Entra proves a pod's identity.
    if rng.u32(..4) > 0 {
        launch = launch.args(&run.azure.key_flags);
    }
    let log = folder.join(format!("provider-{number}.log"));
    let launch = launch.azure(run.azure.environment.clone()).socket(&run.socket).log_file(&log);
    let mut process = launch.start()?;
    run.logs.add(&log)?;
    process.listens(&run.socket).await?;
    Ok(process)
}
