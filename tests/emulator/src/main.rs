//! The emulator as a program, for scripts and for clients in other languages.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use keyvault_emulator::{Emulator, Options, Seed, SeedError, StartError};
use tokio::signal::unix::{SignalKind, signal};

/// Key Vault, Entra ID and a service account token issuer on loopback, for tests.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// What exists at the start (YAML).
    #[arg(long, value_name = "FILE")]
    seed: PathBuf,

    /// Where to serve TLS; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,

    /// Where to serve CONNECT; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    proxy_listen: SocketAddr,

    /// Where to serve the instance metadata service; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    imds_listen: SocketAddr,

    /// What the API server's certificate names first, such as hcp-kubernetes.ID.svc.cluster.local.
    #[arg(long, value_name = "NAME")]
    api_server_name: Option<String>,

    /// Where to write the certificate authority that clients must trust.
    #[arg(long, value_name = "FILE", default_value = "ca.pem")]
    ca_file: PathBuf,

    /// Key set of a real cluster whose tokens are accepted too (JSON).
    #[arg(long, value_name = "FILE")]
    issuer_jwks: Option<PathBuf>,

    /// Where to write the environment of a client, once the emulator is ready.
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Seed { path: PathBuf, source: SeedError },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If even this cannot be said, the exit code says it.
            let _ = writeln!(io::stderr().lock(), "keyvault-emulator: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    // Before anybody can learn that it runs, so that no signal finds it without a handler.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    // One that an earlier run left behind would tell waiting scripts that this one is ready.
    if let Some(path) = &arguments.env_file {
        remove(path)?;
    }
    let seed = Seed::from_yaml(&read(&arguments.seed)?)
        .map_err(|source| Failure::Seed { path: arguments.seed.clone(), source })?;
    let options = Options {
        listen: arguments.listen,
        proxy_listen: arguments.proxy_listen,
        imds_listen: arguments.imds_listen,
        api_server_name: arguments.api_server_name,
        issuer_jwks: arguments.issuer_jwks.as_deref().map(read).transpose()?,
        ..Options::default()
    };
    let emulator = Emulator::start_with(seed, options).await?;
    write(&arguments.ca_file, emulator.ca_pem())?;
    let ca_file = absolute(&arguments.ca_file)?;
    if let Some(path) = &arguments.env_file {
        write(path, &environment(&emulator, &ca_file))?;
    }
    writeln!(
        io::stdout().lock(),
        "serving TLS on {}, CONNECT on {}, trusted through {}",
        emulator.address(),
        emulator.proxy_url(),
        ca_file.display()
    )?;

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn environment(emulator: &Emulator, ca_file: &Path) -> String {
    format!(
        "KEYVAULT_EMULATOR_URL=https://{}\nHTTPS_PROXY={}\nSSL_CERT_FILE={}\nKEYVAULT_EMULATOR_ISSUER={}\n\
         KEYVAULT_EMULATOR_IMDS_URL=http://{}\n",
        emulator.address(),
        emulator.proxy_url(),
        ca_file.display(),
        emulator.issuer(),
        emulator.imds_address(),
    )
}

fn read(path: impl AsRef<Path>) -> Result<String, Failure> {
    let path = path.as_ref();
    std::fs::read_to_string(path).map_err(|source| Failure::File { path: path.to_owned(), source })
}

/// Writes beside the file and renames, so that whoever waits for it finds it whole.
fn write(path: &Path, contents: &str) -> Result<(), Failure> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    std::fs::write(&draft, contents)
        .and_then(|()| std::fs::rename(&draft, path))
        .map_err(|source| Failure::File { path: path.to_owned(), source })
}

fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Failure::File { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|source| Failure::File { path: path.to_owned(), source })
}
