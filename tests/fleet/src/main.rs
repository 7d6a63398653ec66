//! Simulates thousands of nodes with one vault: with the provider's own cache, tokens and reaction to
//! throttling, and without them.
//!
//! `cargo run --release -p keyvault-fleet -- --help`

mod azure;
mod node;
mod plot;
mod simulation;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use simulation::{Fleet, Outcome, Sharing};

/// Simulate fleets of nodes whose pods mount and rotate objects of one vault
#[derive(Debug, Parser)]
struct Options {
    /// Numbers of nodes; one simulation for each
    #[arg(long, value_delimiter = ',', default_values_t = [10, 30, 100, 300, 1000, 3000])]
    nodes: Vec<usize>,

    #[command(flatten)]
    fleet: FleetOptions,

    /// File for a plot of requests and throttling by number of nodes
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
struct FleetOptions {
    /// Pods per node
    #[arg(long, default_value_t = 30)]
    pods: usize,

    /// Service accounts per node, which its pods use in turn
    #[arg(long, default_value_t = 10)]
    accounts: usize,

    /// Objects per pod
    #[arg(long, default_value_t = 5)]
    objects: u32,

    /// Time in which all pods start
    #[arg(long, default_value = "5m")]
    rollout: humantime::Duration,

    /// Time to simulate after that
    #[arg(long, default_value = "15m")]
    run: humantime::Duration,

    /// Minimum time between two republishes of a pod; the maximum is 1.5 times that, as in kubelet
    #[arg(long, default_value = "60s")]
    republish: humantime::Duration,

    /// Maximum age of a cached value used to refresh a mounted volume
    #[arg(long, default_value = "1m")]
    rotation_max_age: humantime::Duration,

    /// Limit of requests to the vault in ten seconds ("Azure Key Vault service limits")
    #[arg(long, default_value_t = 4000)]
    limit: u32,

    /// Retry-After of the vault's 429; Key Vault documents none, and recommends exponential backoff
    #[arg(long)]
    retry_after: Option<humantime::Duration>,

    /// Seed of all random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr is closed, the exit code still reports the failure.
            let _ = writeln!(std::io::stderr().lock(), "fleet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let FleetOptions { pods, accounts, objects, limit, .. } = options.fleet;
    writeln!(
        out,
        "{pods} pods a node of {accounts} service accounts, {objects} objects each; a vault of {limit} requests in ten seconds\n\n\
         {:>6} {:>8} {:>11} {:>11} {:>10} {:>9} {:>11} {:>11} {:>9}",
        "nodes", "sharing", "requests/s", "peak/s", "throttled", "tokens/s", "age p50", "age p99", "failed"
    )?;
    let mut drawn = Vec::new();
    for nodes in &options.nodes {
        for sharing in [Sharing::Without, Sharing::With] {
            let outcome = simulate(Fleet::new(*nodes, sharing, &options.fleet))?;
            writeln!(out, "{:>6} {:>8} {}", nodes, sharing.name(), line(&outcome))?;
            drawn.push((*nodes, sharing, outcome));
        }
    }
    if let Some(path) = &options.svg {
        plot::draw(path, &drawn, limit)?;
        writeln!(out, "\ndrawn in {}", path.display())?;
    }
    Ok(())
}

/// One fleet, in a runtime whose time stands still while anything can be done.
fn simulate(fleet: Fleet) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(fleet.run())
}

fn line(outcome: &Outcome) -> String {
    let seconds =
        |age: Option<Duration>| age.map_or("never".to_owned(), |age| format!("{:.1}s", age.as_secs_f64()));
    format!(
        "{:>11.1} {:>11} {:>9.1}% {:>9.2} {:>11} {:>11} {:>8.2}%",
        outcome.requests_per_second,
        outcome.peak_per_second,
        100.0 * outcome.throttled,
        outcome.exchanges_per_second,
        seconds(outcome.age(50)),
        seconds(outcome.age(99)),
        100.0 * outcome.failed,
    )
}
