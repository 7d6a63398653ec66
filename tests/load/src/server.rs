//! The providers: this program's own, other programs, and those that run already.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use keyvault_csi_provider::proto::VersionRequest;
use keyvault_csi_provider::proto::csi_driver_provider_client::CsiDriverProviderClient;
use keyvault_csi_provider::server::socket;
use nix::sys::signal::Signal;
use provider_launcher::{Launch, Process, Usage, free_port, listener};
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::Result;
use crate::azure::Azure;
use crate::options::{Named, Options};

pub(crate) type Client = CsiDriverProviderClient<Channel>;

/// How long a provider may take until it answers.
const PATIENCE: Duration = Duration::from_mins(1);
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
        let mut launch = Launch::itself()?.without_ports().args(azure.key_flags());
        if options.file_writer {
            launch = launch.args(["--file-writer=provider"]);
        }
        let mut server = Self::start("own", launch.args(&options.provider_flags), azure, folder)?;
        server.writes_files = options.file_writer;
        Ok(server)
    }

    /// Another program that takes the Go provider's flags.
    pub(crate) fn program(program: &Named<String>, azure: &Azure, folder: &Path) -> Result<Self> {
        // Not every provider takes 0 for none.
        let ports = [format!("--healthz-port={}", free_port()), format!("--prometheus-port={}", free_port())];
        Self::start(&program.name, Launch::new(Command::new(&program.value)).args(ports), azure, folder)
    }

    /// One that listens at `socket`, or will.
    pub(crate) fn running(name: &str, socket: &Path, pid: Option<i32>) -> Self {
        Self { name: name.to_owned(), socket: socket.to_owned(), pid, writes_files: false, started: None }
    }

    fn start(name: &str, mut launch: Launch, azure: &Azure, folder: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("server-").tempdir_in(folder)?.keep();
        let (socket, log) = (folder.join("azure.sock"), folder.join("log"));
        if let Some(environment) = azure.environment() {
            launch = launch.azure(environment);
        }
        let started = launch.socket(&socket).log_file(&log).start();
        let process = started.map_err(|error| format!("{name}: {error}"))?;
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
                return Err(format!("{}: no answer at {socket}: {}", self.name, status.message()).into());
            }
            tokio::time::sleep(PAUSE).await;
        }
        if self.pid.is_none() {
            self.pid = listener(&self.socket).await;
        }
        Ok(())
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let unknown = || format!("{0}: its process was not found; set --pid {0}=PID", self.name);
        Ok(Usage::of(self.pid.ok_or_else(unknown)?)?)
    }

    /// Stops it, if it was started here.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.started.take() else { return Ok(()) };
        process.signal(Signal::SIGTERM)?;
        process.ended().await.map_err(|error| format!("{}: {error}", self.name))?;
        Ok(())
    }
}
