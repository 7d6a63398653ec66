//! The emulator as a program, for scripts and for clients in other languages.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use keyvault_emulator::{Emulator, Options, Rule, RuleError, Seed, SeedError, StartError};
use tokio::signal::unix::{SignalKind, signal};

const FAULTS: &str = "\
Faults are KEY=VALUE, with commas between them; in a file, a YAML list of maps with the same keys:
  target=entra|vaults|issuer|api-server|imds, or vault=NAME
  fault=status,status=503        the service's own error     fault=gateway,status=502   a gateway's
  fault=refusal,aadsts=7000229,status=401,error=unauthorized_client      any error of Entra (entra, imds)
  fault=throttle[,retry-after=2s]                            fault=latency,delay=250ms
  fault=limit,requests=4000,per=10s[,retry-after=2s]         fault=clock-skew,skew=-10m
  fault=certificate,certificate=expired|self-signed|other-authority|wrong-name
  fault=refuse|reset|disconnect|hang|hang-in-body|truncate|wrong-length|garbage|revoked
and, where they make sense:
  kind=token  object=NAME  path=PART  times=N               only such requests, only the first N
  after=10s  for=30s                                         begins and ends";

/// Key Vault, Entra ID and a service account token issuer on loopback, for tests.
#[derive(Debug, Parser)]
#[command(version, after_help = FAULTS)]
struct Arguments {
    /// What exists at the start (YAML).
    #[arg(long, value_name = "FILE")]
    seed: PathBuf,

    /// Listen on addresses that are not loopback as well. Anyone who can reach them can read the seed's secrets: for
    /// test clusters only.
    #[arg(long)]
    allow_non_loopback: bool,

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

    /// What goes wrong, such as vault=main,fault=throttle,retry-after=2s,after=10s,for=30s; may be repeated.
    #[arg(long, value_name = "KEY=VALUE,…")]
    fault: Vec<Rule>,

    /// More of what goes wrong: a list of such rules (YAML).
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,

    /// Where to serve counts of requests and take other faults: GET and DELETE /requests, PUT /faults;
    /// port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,

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
        allow_non_loopback: arguments.allow_non_loopback,
        listen: arguments.listen,
        proxy_listen: arguments.proxy_listen,
        imds_listen: arguments.imds_listen,
        api_server_name: arguments.api_server_name,
        admin_listen: arguments.admin_listen,
        // Nobody outside can see more than their counts.
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
