//! Mounts and refreshes pods while vaults change, faults are injected at random and the provider is
//! restarted, and checks every result against the values that each pod may have.
//!
//! ```text
//! cargo run --release -p keyvault-soak -- --for 20m
//! ```
//!
//! The emulator runs in this process, the provider in separate processes. The seed of all random numbers
//! is printed; with it the same faults occur in the same order.

mod azure;
mod changes;
// The client of a driver that sees providers restart: the integration tests have the same.
#[path = "../../it/driver.rs"]
mod driver;
mod findings;
mod judge;
mod logs;
mod objects;
mod options;
mod pods;
mod report;
mod restarts;
mod run;
mod storms;
mod timeline;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use fastrand::Rng;

use options::Options;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    // The provider runs as a separate process, as on a node. This program is linked with it, so its
    // process is this program again, with the provider's arguments.
    if provider_launcher::asked_to_serve() {
        return keyvault_csi_provider::cli::run(std::env::args_os());
    }
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    // A closed pipe, as with `head`, is not an error.
    let _ =
        writeln!(std::io::stdout(), "soak: --seed {seed}, for {}, {} pods\n", options.duration, options.pods);
    let ran = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                ran = soak(&options, seed) => ran,
                // Stops all started processes.
                _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            }
        })
    });
    match ran {
        Ok(0) => ExitCode::SUCCESS,
        Ok(findings) => fail(&format!("{findings} findings, with --seed {seed}")),
        Err(error) => fail(&format!("{error}, with --seed {seed}")),
    }
}

fn fail(problem: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "soak: {problem}");
    ExitCode::FAILURE
}

/// One run for each file writer; returns the number of findings.
async fn soak(options: &Options, seed: u64) -> Result<usize> {
    let writers = options.writers();
    let duration = Duration::from(options.duration) / u32::try_from(writers.len())?;
    let mut rng = Rng::with_seed(seed);
    let mut reports = Vec::new();
    for writer in writers {
        let mut folder = tempfile::Builder::new().prefix("soak-").tempdir()?;
        let report = run::one(options, writer, duration, rng.fork(), folder.path()).await;
        // After a finding, keep the logs to find its cause.
        if !report.as_ref().is_ok_and(|report| report.findings.0 == 0) {
            folder.disable_cleanup(true);
            writeln!(std::io::stderr(), "soak: the logs are in {}", folder.path().display())?;
        }
        reports.push(report?);
    }
    writeln!(std::io::stdout(), "{}", report::table(&reports))?;
    for finding in reports.iter().flat_map(|report| &report.findings.1) {
        writeln!(std::io::stderr(), "soak: {finding}")?;
    }
    Ok(reports.iter().map(|report| report.findings.0).sum())
}
