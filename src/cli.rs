//! The command line.

mod arguments;
pub mod convert;
pub mod generate;
pub mod lint;
pub mod mount;
pub mod pipeline;
pub mod serve;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

use arguments::Arguments;
use convert::ConvertArgs;
use generate::{CompletionArgs, ManArgs};
use lint::LintArgs;
use mount::MountArgs;
use serve::ServeArgs;

const AFTER_HELP: &str = "\
Examples:
  Serve the driver, as a DaemonSet of the Go provider does:
    keyvault-csi-provider --endpoint=unix:///provider/azure.sock
  Serve without ports, and keep fetched values for an hour through outages:
    keyvault-csi-provider --healthz-port=0 --prometheus-port=0 --stale-if-error=1h
  Mount one class on this machine, without a cluster, and show each step:
    keyvault-csi-provider mount class.yaml --target /dev/shm/secrets --explain
  Check manifests before you apply them:
    keyvault-csi-provider lint deploy/
    helm template my-release ./chart | keyvault-csi-provider lint --strict -
  Convert External Secrets Operator manifests, and show what changes in the cluster:
    keyvault-csi-provider convert deploy/ | kubectl diff -f -
  Enable completion in this shell, and read a manual page:
    source <(keyvault-csi-provider completion bash)
    keyvault-csi-provider man lint | man -l -";

const SERVE_EXAMPLES: &str = "\
Examples:
  Serve the driver, as a DaemonSet of the Go provider does:
    keyvault-csi-provider serve --endpoint=unix:///provider/azure.sock
  Serve without ports, and write the files instead of the driver:
    keyvault-csi-provider serve --healthz-port=0 --prometheus-port=0 --file-writer=provider";

const VERSION_EXAMPLE: &str = "\
Example:
  keyvault-csi-provider version";

/// Azure Key Vault provider for the Secrets Store CSI driver.
///
/// Serves the driver on a Unix socket and delivers Key Vault secrets to pods as files. The arguments of the Go
/// provider's DaemonSet work unchanged.
#[derive(Debug, Parser)]
#[command(
    name = "keyvault-csi-provider",
    version,
    disable_version_flag = true,
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    args_override_self = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the driver (the default command)
    #[command(args_override_self = true, after_help = SERVE_EXAMPLES)]
    Serve(Box<ServeArgs>),
    Mount(Box<MountArgs>),
    /// Convert External Secrets Operator manifests to classes and CSI volumes
    Convert(ConvertArgs),
    /// Check manifests of `SecretProviderClass`
    #[command(visible_aliases = ["validate", "check"])]
    Lint(LintArgs),
    /// Print a completion script for a shell
    Completion(CompletionArgs),
    /// Print a manual page
    Man(ManArgs),
    /// Print the version
    #[command(after_help = VERSION_EXAMPLE)]
    Version,
}

/// Runs the command line: 0 for success, 1 for a failure, 2 for wrong usage.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Arguments { kept, ignored } = Arguments::read(&mut Cli::command(), arguments);
    let cli = match Cli::try_parse_from(kept) {
        Ok(cli) => cli,
        Err(error) => {
            // Help is an "error" too; a closed pipe needs no message.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match cli.command {
        Some(Command::Lint(args)) => return lint::run(args),
        Some(Command::Completion(args)) => return tell(generate::completion(&args, Cli::command())),
        Some(Command::Man(args)) => return tell(generate::man(&args, Cli::command())),
        Some(Command::Convert(args)) => return convert::run(args),
        Some(Command::Version) => return tell(print_version()),
        Some(Command::Mount(args)) => return mount::run(&args),
        Some(Command::Serve(args)) => serve(&args, &ignored),
        None => serve(&cli.serve, &ignored),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &ServeArgs, ignored: &[String]) -> anyhow::Result<()> {
    if args.version { print_version() } else { serve::run(args, ignored) }
}

fn print_version() -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(Cli::command().render_version().as_bytes())
        .context("cannot print the version")
}

/// The exit code of a command that keeps no log.
fn tell(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed, nothing more can be said.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
