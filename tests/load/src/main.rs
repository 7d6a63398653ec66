//! Many pods at once: this program plays the driver, and says how long mounts take and what they cost.
//!
//! ```text
//! cargo run --release -p keyvault-load -- --pods 250 --objects 20
//! ```
//!
//! Azure is emulated in this process, and the provider is one of its own, so that its CPU time is its own, too.
//! Other providers can be compared under the same load: started from here (`--program go=/path/to/provider`),
//! or running already (`--socket go=/path/to/azure.sock`). `-- --flag` passes flags to the provider.

mod azure;
mod drive;
mod expect;
mod figures;
mod options;
mod pods;
mod progress;
mod report;
mod server;

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use azure::Azure;
use options::Options;
use report::Run;
use server::Server;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    // The provider runs as a separate process, as on a node. This program is linked with it, so its
    // process is this program again, with the provider's arguments.
    if provider_launcher::asked_to_serve() {
        return keyvault_csi_provider::cli::run(std::env::args_os());
    }
    let options = Options::parse();
    if let Err(problem) = options.check() {
        return fail(2, &problem);
    }
    let ran = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                ran = run(&options) => ran,
                // Stops all started processes.
                _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            }
        })
    });
    let runs = match ran {
        Ok(runs) => runs,
        Err(error) => return fail(1, &error.to_string()),
    };
    let text = if options.json { report::json(&options, &runs) } else { report::table(&options, &runs) };
    // A closed pipe, as with `head`, is not an error.
    let _ = writeln!(std::io::stdout(), "{text}");
    let complaints = expect::complaints(&options.expect_requests_at_most, &runs);
    if complaints.is_empty() { ExitCode::SUCCESS } else { fail(1, &complaints.join("\n")) }
}

fn fail(code: u8, problem: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "load: {problem}");
    ExitCode::from(code)
}

async fn run(options: &Options) -> Result<Vec<Run>> {
    let folder = tempfile::tempdir()?;
    let azure = Azure::start(options, folder.path()).await?;
    let mut runs = Vec::new();
    if !options.without_own {
        runs.push(measure(options, &azure, Server::own(options, &azure, folder.path())?).await?);
    }
    for program in &options.program {
        runs.push(measure(options, &azure, Server::program(program, &azure, folder.path())?).await?);
    }
    for socket in &options.socket {
        let pid = options.pid.iter().find(|pid| pid.name == socket.name);
        let server = Server::running(&socket.name, Path::new(&socket.value), pid.map(|pid| pid.value));
        runs.push(measure(options, &azure, server).await?);
    }
    Ok(runs)
}

/// One provider under the load, all by itself.
async fn measure(options: &Options, azure: &Azure, mut server: Server) -> Result<Run> {
    server.answers().await?;
    let pods = pods::make(options, azure, &server)?;
    azure.forget_requests().await?;
    let before = server.usage()?;
    let driven = drive::all_rounds(options, azure, &server, pods).await?;
    let after = server.usage()?;
    let counts = azure.counts().await?;
    server.stop().await?;
    Ok(Run::new(server.name(), &driven, counts, after.since(&before)))
}
