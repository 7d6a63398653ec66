//! The whole way of a secret, on this machine: an emulated Key Vault and Entra, the real provider,
//! and this program in the role of the Secrets Store CSI driver.
//!
//! ```text
//! cargo run --example quickstart
//! ```

mod driver;
mod volume;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use keyvault_csi_provider::server::socket;
use keyvault_emulator::{Emulator, Fault, RequestKind, Seed, Target};
use tokio::time::{Instant, sleep_until};

use driver::{Class, Pod, mount};
use volume::Volume;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Writes a line for the reader.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write;
        // A reader who has gone, as behind `head`, is no error.
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}
pub(crate) use say;

fn main() -> ExitCode {
    // The provider runs as a process of its own, as it does on a node. This program is linked with
    // it, so its process is this program again, with the provider's arguments.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return keyvault_csi_provider::cli::run(std::env::args_os());
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            say!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(show()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say!("\nThe quickstart failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn show() -> Result<()> {
    let database: Class = Class::parse(include_str!("../workload-identity/class.yaml"))?;
    let velero: Class = Class::parse(include_str!("../velero/class.yaml"))?;
    let folder = tempfile::tempdir()?;

    say!("1. Azure, emulated");
    let emulator = Emulator::start(Seed::from_yaml(include_str!("seed.yaml"))?).await?;
    say!("   Entra and Key Vault answer over TLS behind the proxy {},", emulator.proxy_url());
    say!("   under their real names: login.microsoftonline.com, mykeyvault.vault.azure.net, …");

    say!("\n2. The provider");
    let socket = folder.path().join("azure.sock");
    let provider = Provider::start(&emulator, folder.path(), &socket).await?;
    say!("   Process {} serves the driver at {}.", provider.child.id(), socket.display());

    say!("\n3. A pod starts: default/myapp-0 mounts examples/workload-identity/class.yaml at /mnt/secrets");
    let pod = Pod {
        name: "myapp-0",
        uid: "0f4ee5b8-5b0c-4a0e-9d53-0123456789a0",
        namespace: "default",
        service_account: "workload-identity-sa",
    };
    let secrets = Volume::new(folder.path(), "myapp")?;
    mount(&emulator, &socket, &database, &pod, &secrets).await?;
    secrets.show("/mnt/secrets")?;
    say!(
        "   Requests so far: {} for a token, {} for a secret.",
        emulator.count(RequestKind::Token),
        emulator.count(RequestKind::Secret)
    );

    say!("\n4. Velero starts: velero/velero-0 mounts examples/velero/class.yaml at /credentials");
    let velero_pod = Pod {
        name: "velero-0",
        uid: "0f4ee5b8-5b0c-4a0e-9d53-0123456789a1",
        namespace: "velero",
        service_account: "velero",
    };
    let credentials = Volume::new(folder.path(), "velero")?;
    mount(&emulator, &socket, &velero, &velero_pod, &credentials).await?;
    credentials.show("/credentials")?;

    say!("\n5. The password is rotated in Key Vault, and the driver calls again");
    emulator.set_secret("myKeyVault", "database-password", "Tr0ub4dor&3")?;
    mount(&emulator, &socket, &database, &pod, &secrets).await?;
    secrets.show("/mnt/secrets")?;

    say!("\n6. A pod of another service account tries the same SecretProviderClass");
    let stranger = Pod {
        name: "curious-0",
        uid: "0f4ee5b8-5b0c-4a0e-9d53-0123456789a2",
        namespace: "default",
        service_account: "curious",
    };
    let nothing = Volume::new(folder.path(), "curious")?;
    match mount(&emulator, &socket, &database, &stranger, &nothing).await {
        Err(refusal) => say!("   {refusal}"),
        Ok(()) => return Err("a stranger was given the secret".into()),
    }
    nothing.show("/mnt/secrets")?;

    let outage = outage(&emulator, &provider, folder.path(), &database, &pod).await?;

    say!("\n8. Cleaning up: the volumes are unmounted and the provider is told to stop (SIGTERM)");
    for volume in [secrets, credentials, nothing].into_iter().chain(outage) {
        volume.remove()?;
    }
    let status = provider.stop()?;
    say!("   It ended with {status}.");
    Ok(())
}

/// The vault goes down, `pod` restarts, and the vault comes back. Returns the volumes that were mounted.
async fn outage(
    emulator: &Emulator,
    provider: &Provider,
    folder: &Path,
    class: &Class,
    pod: &Pod,
) -> Result<[Volume; 2]> {
    let socket = folder.join("azure.sock");
    say!("\n7. Key Vault goes down, and the first pod is replaced by a new one: default/myapp-1");
    emulator.inject(Target::AllVaults, Fault::Status(503));
    let during = Volume::new(folder, "myapp-1")?;
    let restarted = Pod { name: "myapp-1", uid: "0f4ee5b8-5b0c-4a0e-9d53-0123456789b0", ..*pod };
    mount(emulator, &socket, class, &restarted, &during).await?;
    let asked_again = Instant::now() + OPEN;
    during.show("/mnt/secrets")?;
    say!("   It has what its service account fetched before. The provider says in its log:");
    for warning in provider.log()?.lines().filter(|line| line.contains("served from elsewhere")) {
        say!("   {warning}");
    }

    say!(
        "   The vault comes back with another password; it is asked again within {OPEN:?}, for default/myapp-2"
    );
    emulator.set_secret("myKeyVault", "database-password", "hunter3")?;
    emulator.heal();
    sleep_until(asked_again).await;
    let after = Volume::new(folder, "myapp-2")?;
    let next = Pod { name: "myapp-2", uid: "0f4ee5b8-5b0c-4a0e-9d53-0123456789b1", ..*pod };
    mount(emulator, &socket, class, &next, &after).await?;
    after.show("/mnt/secrets")?;
    Ok([during, after])
}

/// How long the provider leaves a vault alone that failed several times in a row.
const OPEN: Duration = Duration::from_secs(5);

/// The provider's process, killed if it is forgotten.
struct Provider {
    child: Child,
    log: PathBuf,
}

impl Provider {
    async fn start(emulator: &Emulator, folder: &Path, socket: &Path) -> Result<Self> {
        let (ca, keys, log) = (folder.join("ca.pem"), folder.join("jwks.json"), folder.join("provider.log"));
        std::fs::write(&ca, emulator.ca_pem())?;
        std::fs::write(&keys, emulator.jwks())?;
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", "--healthz-port=0", "--prometheus-port=0"])
            .arg(format!("--endpoint=unix://{}", socket.display()))
            // In a cluster they come from the API server by themselves.
            .arg(format!("--service-account-jwks={}", keys.display()))
            .arg(format!("--service-account-issuer={}", emulator.issuer()))
            // Scene 5 does not wait until what it has is a minute old.
            .arg("--rotation-max-age=0s")
            .env_clear()
            .env("HTTPS_PROXY", emulator.proxy_url())
            .env("SSL_CERT_FILE", ca)
            .stdout(Stdio::null())
            .stderr(Stdio::from(std::fs::File::create(&log)?))
            .spawn()?;
        let mut provider = Self { child, log };
        let patience = Instant::now() + Duration::from_secs(30);
        while !driver::answers(&socket::channel(socket)).await {
            if let Some(status) = provider.child.try_wait()? {
                return Err(format!("the provider ended with {status}: {}", provider.log()?).into());
            }
            if Instant::now() > patience {
                return Err("the provider does not answer".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(provider)
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    fn stop(mut self) -> Result<std::process::ExitStatus> {
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM)?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
