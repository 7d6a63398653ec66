//! Errors of starting and stopping a provider.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::sys::signal::Signal;

/// The reason why a provider cannot be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A file that the provider needs cannot be written.
    #[error("cannot write {}: {error}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The program cannot be started.
    #[error("cannot start {}: {error}", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The process ended before it listened.
    #[error("the provider ended with {status}{log}")]
    Ended {
        /// Its exit status.
        status: ExitStatus,
        /// A colon and its log, if its log file is not empty.
        log: String,
    },
    /// The process is running, but does not listen.
    #[error("the provider does not listen at {}", .0.display())]
    NotListening(PathBuf),
    /// The process did not end after a signal.
    #[error("the provider does not stop")]
    NotStopped,
    /// The state of the process is unknown.
    #[error("cannot wait for process {pid}: {error}")]
    Wait {
        /// The process.
        pid: i32,
        /// The system's error.
        error: io::Error,
    },
    /// A signal cannot be sent.
    #[error("cannot send {signal} to process {pid}: {error}")]
    Signal {
        /// The signal.
        signal: Signal,
        /// The process.
        pid: i32,
        /// The system's error.
        error: Errno,
    },
}
