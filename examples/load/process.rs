//! A process of a provider, from its start to its end.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::Result;

/// How long a provider may take until it listens, and until it has stopped.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// A process that was started here. It is killed if it is forgotten.
pub(crate) struct Process {
    child: Child,
    pid: i32,
    log: PathBuf,
}

impl Process {
    /// Starts a provider that is to listen at `socket`, and to log into a file.
    pub(crate) fn start(
        mut command: Command,
        environment: Option<Vec<(&'static str, String)>>,
        socket: &Path,
        log: &Path,
    ) -> Result<Self> {
        command
            .arg(format!("--endpoint=unix://{}", socket.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(log)?);
        if let Some(environment) = environment {
            command.env_clear().envs(environment);
        }
        let child =
            command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let pid = i32::try_from(child.id())?;
        Ok(Self { child, pid, log: log.to_owned() })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until it, and not somebody before it, listens at `socket`.
    pub(crate) async fn listens(&mut self, socket: &Path) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        while listener(socket).await != Some(self.pid) {
            if let Some(status) = self.exit_status()? {
                let log = std::fs::read_to_string(&self.log)?;
                return Err(format!("the provider ended with {status}: {}", log.trim()).into());
            }
            if Instant::now() > patience {
                return Err(format!("the provider does not listen at {}", socket.display()).into());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.pid), signal)?)
    }

    /// How it ended, if it has.
    pub(crate) fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        let patience = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.exit_status()? {
                return Ok(status);
            }
            if Instant::now() > patience {
                return Err("the provider does not stop".into());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After its end these fail quietly.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process that listens at `socket`, if anybody does.
pub(crate) async fn listener(socket: &Path) -> Option<i32> {
    UnixStream::connect(socket).await.ok()?.peer_cred().ok()?.pid()
}
