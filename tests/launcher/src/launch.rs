//! Starts a provider.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Environment, LaunchError, Process};

/// The provider's subcommand.
const SERVE: &str = "serve";

/// Builds the command of a provider. Its output is discarded by default.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    log: Option<PathBuf>,
}

/// Whether this process was started by [`Launch::itself`] to run the provider with its arguments.
pub fn asked_to_serve() -> bool {
    std::env::args_os().nth(1).is_some_and(|first| first == SERVE)
}

impl Launch {
    /// A program that accepts the provider's flags.
    pub fn new(mut program: Command) -> Self {
        program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { command: program, log: None }
    }

    /// The calling program, which is linked with the provider, as a separate process, as on a node. The program
    /// must run the provider if [`asked_to_serve`] is true.
    pub fn itself() -> io::Result<Self> {
        let mut program = Command::new(std::env::current_exe()?);
        program.arg(SERVE);
        Ok(Self::new(program))
    }

    /// Sets the environment for the emulator, and removes the environment of this process.
    #[must_use]
    pub fn azure(mut self, environment: Environment) -> Self {
        self.command.env_clear().envs(environment);
        self
    }

    /// Adds environment variables.
    #[must_use]
    pub fn env<'a>(mut self, variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.command.envs(variables);
        self
    }

    /// Sets the provider's socket.
    #[must_use]
    pub fn socket(mut self, socket: &Path) -> Self {
        self.command.arg(format!("--endpoint=unix://{}", socket.display()));
        self
    }

    /// Disables the ports of the health check and metrics.
    #[must_use]
    pub fn without_ports(self) -> Self {
        self.args(["--healthz-port=0", "--prometheus-port=0"])
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Writes the provider's log into a file, which errors quote.
    #[must_use]
    pub fn log_file(mut self, path: &Path) -> Self {
        self.log = Some(path.to_owned());
        self
    }

    /// Makes the provider's log readable with [`Process::take_stderr`].
    #[must_use]
    pub fn log_piped(mut self) -> Self {
        self.command.stderr(Stdio::piped());
        self
    }

    /// Starts the process.
    pub fn start(mut self) -> Result<Process, LaunchError> {
        if let Some(path) = &self.log {
            let file =
                File::create(path).map_err(|error| LaunchError::Write { path: path.clone(), error })?;
            self.command.stderr(file);
        }
        match self.command.spawn() {
            Ok(child) => Ok(Process::new(child, self.log)),
            Err(error) => {
                Err(LaunchError::Start { program: PathBuf::from(self.command.get_program()), error })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Launch {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Launch::new(command)
    }

    #[test]
    fn a_provider_has_the_environment_that_it_is_given_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let azure = vec![("HTTPS_PROXY", "http://127.0.0.1:1".to_owned())];
        let launch = shell("echo $HTTPS_PROXY $MORE ${CARGO_MANIFEST_DIR-none} >&2");
        let launch = launch.azure(azure).env([("MORE", "more")]).log_file(&log);
        assert!(launch.start().unwrap().wait().unwrap().success());
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "http://127.0.0.1:1 more none\n");
    }

    #[tokio::test]
    async fn a_provider_that_ends_before_it_listens_is_an_error_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let launch = shell("echo no such vault >&2; exit 3").log_file(&folder.path().join("log"));
        let error = launch.start().unwrap().listens(&folder.path().join("none.sock")).await.unwrap_err();
        assert_eq!(error.to_string(), "the provider ended with exit status: 3: no such vault");
        let silent = shell("exit 3").log_file(&folder.path().join("log"));
        let error = silent.start().unwrap().listens(&folder.path().join("none.sock")).await.unwrap_err();
        assert_eq!(error.to_string(), "the provider ended with exit status: 3");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Launch::new(Command::new("/nowhere/provider")).start().err().unwrap();
        assert!(error.to_string().starts_with("cannot start /nowhere/provider: "), "{error}");
    }
}
