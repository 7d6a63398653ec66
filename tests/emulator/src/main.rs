//! The emulator as a program, for scripts and for clients in other languages.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use keyvault_emulator::{Emulator, Options, Rule, RuleError, Seed, SeedError, StartError};
use tokio::signal::unix::{SignalKind, signal};

const FAULTS: &str = "\
A fault is a list of KEY=VALUE, separated by commas; a file has a YAML list of maps with the same keys:
  target=entra|vaults|issuer|api-server|imds, or vault=NAME
  fault=status,status=503        the service's own error     fault=gateway,status=502   a gateway's
  fault=refusal,aadsts=7000229,status=401,error=unauthorized_client      any error of Entra (entra, imds)
  fault=throttle[,retry-after=2s]                            fault=latency,delay=250ms
  fault=limit,requests=4000,per=10s[,retry-after=2s]         fault=clock-skew,skew=-10m
  fault=certificate,certificate=expired|self-signed|other-authority|wrong-name
  fault=refuse|reset|disconnect|hang|hang-in-body|truncate|wrong-length|garbage|revoked
Optional keys:
  kind=token  object=NAME  path=PART  times=N               limit it to such requests, to the first N
  after=10s  for=30s                                         delay its start, limit its duration";

/// Key Vault, Entra ID and a service account token issuer on loopback, for tests.
#[derive(Debug, Parser)]
#[command(version, after_help = FAULTS)]
struct Arguments {
    /// Identities, vaults and service accounts to start with (YAML).
    #[arg(long, value_name = "FILE")]
    seed: PathBuf,

    /// Allow addresses other than loopback. Every client that can reach them can read the seed's secrets: for test
    /// clusters only.
    #[arg(long)]
    allow_non_loopback: bool,

    /// Address of the TLS listener; port 0 for a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,

    /// Address of the CONNECT proxy; port 0 for a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    proxy_listen: SocketAddr,

    /// Address of the instance metadata service; port 0 for a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    imds_listen: SocketAddr,

    /// First name in the API server's certificate, such as hcp-kubernetes.ID.svc.cluster.local.
    #[arg(long, value_name = "NAME")]
    api_server_name: Option<String>,

    /// File to write the certificate authority to, which clients must trust.
    #[arg(long, value_name = "FILE", default_value = "ca.pem")]
    ca_file: PathBuf,

    /// JSON Web Key Set of another cluster whose tokens are accepted, too.
    #[arg(long, value_name = "FILE")]
    issuer_jwks: Option<PathBuf>,

    /// Fault to inject, such as vault=main,fault=throttle,retry-after=2s,after=10s,for=30s; may be repeated.
    #[arg(long, value_name = "KEY=VALUE,…")]
    fault: Vec<Rule>,

    /// File with a list of more faults (YAML).
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,

    /// Address of the admin endpoint (GET and DELETE /requests for counts of requests, PUT /faults to replace the
    /// faults); port 0 for a free port.
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,

    /// File to write the environment of a client to, when the emulator is ready.
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Seed { path: PathBuf, source: SeedError },
    #[error("{}: {source}", path.display())]
    Rules { path: PathBuf, source: RuleError },
    #[error(transparent)]
    Rule(#[from] RuleError),
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
            // If stderr is closed, the exit code still reports the failure.
            let _ = writeln!(io::stderr().lock(), "keyvault-emulator: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    // Before the ports are open, so that a signal always finds its handler.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    // One that an earlier run left behind would tell waiting scripts that this one is ready.
    if let Some(path) = &arguments.env_file {
        remove(path)?;
    }
    let seed = Seed::from_yaml(&read(&arguments.seed)?)
        .map_err(|source| Failure::Seed { path: arguments.seed.clone(), source })?;
    let options = Options {
        allow_non_loopback: arguments.allow_non_loopback,
        listen: arguments.listen,
        proxy_listen: arguments.proxy_listen,
        imds_listen: arguments.imds_listen,
        api_server_name: arguments.api_server_name,
        admin_listen: arguments.admin_listen,
        // Other processes can see only the counts of requests.
        keep_requests: false,
        issuer_jwks: arguments.issuer_jwks.as_deref().map(read).transpose()?,
        ..Options::default()
    };
    let mut rules = match &arguments.faults {
        Some(path) => {
            Rule::list(&read(path)?).map_err(|source| Failure::Rules { path: path.clone(), source })?
        }
        None => Vec::new(),
    };
    rules.extend(arguments.fault);
    let emulator = Emulator::start_with(seed, options).await?;
    for rule in rules {
        emulator.inject_rule(rule)?;
    }
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
    let admin = emulator.admin_address();
    let admin = admin.map(|address| format!("KEYVAULT_EMULATOR_ADMIN_URL=http://{address}\n"));
    format!(
        "KEYVAULT_EMULATOR_URL=https://{}\nHTTPS_PROXY={}\nSSL_CERT_FILE={}\nKEYVAULT_EMULATOR_ISSUER={}\n\
         KEYVAULT_EMULATOR_IMDS_URL=http://{}\n{}",
        emulator.address(),
        emulator.proxy_url(),
        ca_file.display(),
        emulator.issuer(),
        emulator.imds_address(),
        admin.unwrap_or_default(),
    )
}

fn read(path: impl AsRef<Path>) -> Result<String, Failure> {
    let path = path.as_ref();
    std::fs::read_to_string(path).map_err(|source| Failure::File { path: path.to_owned(), source })
}

/// Writes the file atomically, because another process may wait for it.
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
