//! A process of a provider.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::LaunchError;

/// Timeout of the start and the stop of a provider.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(10);

/// A process that was started by [`Launch::start`](crate::Launch::start). It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: i32,
    log: Option<PathBuf>,
}

impl Process {
    pub(crate) fn new(child: Child, log: Option<PathBuf>) -> Self {
        let pid = child.id().cast_signed();
        Self { child, pid, log }
    }

    /// Its id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its standard error, if it is piped and not yet taken.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Waits until this process, and not a predecessor, listens at `socket`.
    pub async fn listens(&mut self, socket: &Path) -> Result<(), LaunchError> {
        let patience = Instant::now() + PATIENCE;
        while listener(socket).await != Some(self.pid) {
            if let Some(status) = self.exit_status()? {
                let log = self.log.as_ref().map(std::fs::read).and_then(Result::ok);
                let log = log.unwrap_or_default();
                let log = match String::from_utf8_lossy(&log).trim() {
                    "" => String::new(),
                    log => format!(": {log}"),
                };
                return Err(LaunchError::Ended { status, log });
            }
            if Instant::now() > patience {
                return Err(LaunchError::NotListening(socket.to_owned()));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), LaunchError> {
        let pid = self.pid;
        kill(Pid::from_raw(pid), signal).map_err(|error| LaunchError::Signal { signal, pid, error })
    }

    /// Its exit status, if it has ended.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>, LaunchError> {
        self.child.try_wait().map_err(|error| LaunchError::Wait { pid: self.pid, error })
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> Result<ExitStatus, LaunchError> {
        let patience = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.exit_status()? {
                return Ok(status);
            }
            if Instant::now() > patience {
                return Err(LaunchError::NotStopped);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits for its end without a timeout, and blocks the thread.
    pub fn wait(&mut self) -> Result<ExitStatus, LaunchError> {
        self.child.wait().map_err(|error| LaunchError::Wait { pid: self.pid, error })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // These fail if it has ended; the errors are ignored.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process that listens at `socket`, if there is one.
pub async fn listener(socket: &Path) -> Option<i32> {
    UnixStream::connect(socket).await.ok()?.peer_cred().ok()?.pid()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;
    use crate::Launch;

    fn sleeping() -> Process {
        let mut command = Command::new("sleep");
        command.arg("600");
        Launch::new(command).start().unwrap()
    }

    #[tokio::test]
    async fn a_predecessor_that_listens_is_told_from_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("azure.sock");
        assert_eq!(listener(&socket).await, None);
        let _predecessor = UnixListener::bind(&socket).unwrap();
        assert_eq!(listener(&socket).await, Some(std::process::id().cast_signed()));
        let mut process = sleeping();
        process.signal(Signal::SIGKILL).unwrap();
        let error = process.listens(&socket).await.unwrap_err();
        assert!(matches!(error, LaunchError::Ended { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_process_that_is_dropped_is_killed() {
        let process = sleeping();
        let folder = PathBuf::from(format!("/proc/{}", process.pid()));
        assert!(folder.exists());
        drop(process);
        assert!(!folder.exists());
    }
}
