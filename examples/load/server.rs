//! The providers: this program's own, other programs, and those that run already.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use keyvault_csi_provider::proto::VersionRequest;
use keyvault_csi_provider::proto::csi_driver_provider_client::CsiDriverProviderClient;
use keyvault_csi_provider::server::socket;
use nix::sys::signal::Signal;
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::Result;
use crate::azure::Azure;
use crate::options::{Named, Options};
use crate::proc::Usage;
use crate::process::{Process, listener};

pub(crate) type Client = CsiDriverProviderClient<Channel>;

/// How long a provider may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// A provider.
pub(crate) struct Server {
    name: String,
    socket: PathBuf,
    pid: Option<i32>,
    writes_files: bool,
    started: Option<Process>,
}

impl Server {
    /// This program's own.
    pub(crate) fn own(options: &Options, azure: &Azure, folder: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--healthz-port=0", "--prometheus-port=0"]).args(azure.key_flags());
        if options.file_writer {
            command.arg("--file-writer=provider");
        }
        let mut server = Self::start("own", command, &options.provider_flags, azure, folder)?;
        server.writes_files = options.file_writer;
        Ok(server)
    }

    /// Another program that takes the Go provider's flags.
    pub(crate) fn program(program: &Named<String>, azure: &Azure, folder: &Path) -> Result<Self> {
        let mut command = Command::new(&program.value);
        command
            .arg(format!("--healthz-port={}", free_port()?))
            .arg(format!("--prometheus-port={}", free_port()?));
        Self::start(&program.name, command, &[], azure, folder)
    }

    /// One that listens at `socket`, or will.
    pub(crate) fn running(name: &str, socket: &Path, pid: Option<i32>) -> Self {
        Self { name: name.to_owned(), socket: socket.to_owned(), pid, writes_files: false, started: None }
    }

    fn start(
        name: &str,
        mut command: Command,
        flags: &[String],
        azure: &Azure,
        folder: &Path,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("server-").tempdir_in(folder)?.keep();
        let (socket, log) = (folder.join("azure.sock"), folder.join("log"));
        command.args(flags);
        let process = Process::start(command, azure.environment(), &socket, &log);
        let process = process.map_err(|error| format!("{name}: {error}"))?;
        let mut server = Self::running(name, &socket, Some(process.pid()));
        server.started = Some(process);
        Ok(server)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it writes into the volume itself.
    pub(crate) fn writes_files(&self) -> bool {
        self.writes_files
    }

    /// One connection for all mounts, as the driver has it.
    pub(crate) fn client(&self) -> Client {
        Client::new(socket::channel(&self.socket)).max_decoding_message_size(usize::MAX)
    }

    /// Waits until it answers, and finds its process.
    pub(crate) async fn answers(&mut self) -> Result<()> {
        if let Some(process) = &mut self.started {
            process.listens(&self.socket).await.map_err(|error| format!("{}: {error}", self.name))?;
        }
        let patience = Instant::now() + PATIENCE;
        while let Err(status) = self.client().version(VersionRequest { version: "v1alpha1".to_owned() }).await
        {
            if Instant::now() > patience {
                let socket = self.socket.display();
                return Err(format!("{}: nobody answers at {socket}: {}", self.name, status.message()).into());
            }
            tokio::time::sleep(PAUSE).await;
        }
        if self.pid.is_none() {
            self.pid = listener(&self.socket).await;
        }
        Ok(())
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let unknown =
            || format!("{0}: its process is not to be found; name it with --pid {0}=PID", self.name);
        Usage::of(self.pid.ok_or_else(unknown)?)
    }

    /// Stops it, if it was started here.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.started.take() else { return Ok(()) };
        process.signal(Signal::SIGTERM)?;
        process.ended().await.map_err(|error| format!("{}: {error}", self.name))?;
        Ok(())
    }
}

/// A port that is free now: not every provider takes 0 for none.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
