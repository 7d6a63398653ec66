//! Shows the whole path of a secret on this machine: an emulated Key Vault and Entra, the real provider,
//! and this program in the role of the Secrets Store CSI driver.
//!
//! ```text
//! cargo run --example quickstart
//! ```

mod driver;
mod volume;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use keyvault_emulator::{Emulator, Fault, RequestKind, Seed, Target};
use nix::sys::signal::Signal;
use provider_launcher::{Launch, Process};
use tokio::time::{Instant, sleep_until};

use driver::{Class, Pod, mount};
use volume::Volume;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Writes a line for the reader.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write;
        // A closed pipe, as with `head`, is not an error.
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}
pub(crate) use say;

fn main() -> ExitCode {
    // The provider runs as a separate process, as on a node. This program is linked with
    // it, so its process is this program again, with the provider's arguments.
    if provider_launcher::asked_to_serve() {
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
    let mut provider = start(&emulator, folder.path(), &socket).await?;
    say!("   Process {} serves the driver at {}.", provider.pid(), socket.display());

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

    let outage = outage(&emulator, folder.path(), &database, &pod).await?;

    say!("\n8. Cleaning up: the volumes are unmounted and the provider is told to stop (SIGTERM)");
    for volume in [secrets, credentials, nothing].into_iter().chain(outage) {
        volume.remove()?;
    }
    provider.signal(Signal::SIGTERM)?;
    let status = provider.ended().await?;
    say!("   It ended with {status}.");
    Ok(())
}

/// The vault goes down, `pod` restarts, and the vault recovers. Returns the volumes that were mounted.
async fn outage(emulator: &Emulator, folder: &Path, class: &Class, pod: &Pod) -> Result<[Volume; 2]> {
    let socket = folder.join("azure.sock");
    say!("\n7. Key Vault goes down, and the first pod is replaced by a new one: default/myapp-1");
    emulator.inject(Target::AllVaults, Fault::Status(503));
    let during = Volume::new(folder, "myapp-1")?;
    let restarted = Pod { name: "myapp-1", uid: "0f4ee5b8-5b0c-4a0e-9d53-0123456789b0", ..*pod };
    mount(emulator, &socket, class, &restarted, &during).await?;
    let asked_again = Instant::now() + OPEN;
    during.show("/mnt/secrets")?;
    say!("   It has what its service account fetched before. The provider says in its log:");
    for warning in std::fs::read_to_string(folder.join(LOG))?
        .lines()
        .filter(|line| line.contains("stale or replica values served"))
    {
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

/// Time for which the provider's circuit breaker is open after several failures of a vault.
const OPEN: Duration = Duration::from_secs(5);
/// The file with the provider's log.
const LOG: &str = "provider.log";

/// Starts the provider, and waits until it listens.
async fn start(emulator: &Emulator, folder: &Path, socket: &Path) -> Result<Process> {
    let launch = Launch::itself()?
        .azure(provider_launcher::environment(emulator, folder)?)
        // In a cluster the provider gets the keys from the API server.
        .args(provider_launcher::key_flags(emulator, folder)?)
        // So that scene 5 needs no wait until the cached value is a minute old.
        .args(["--rotation-max-age=0s"])
        .without_ports()
        .socket(socket)
        .log_file(&folder.join(LOG));
    let mut provider = launch.start()?;
    provider.listens(socket).await?;
    Ok(provider)
}
