//! The command line.

pub mod convert;
pub mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use convert::ConvertArgs;
use serve::ServeArgs;

/// Azure Key Vault provider for the Secrets Store CSI driver.
///
/// Serves the driver on a Unix socket, and gives pods their Key Vault secrets as files. The
/// arguments of the Go provider's DaemonSet are understood as they are.
#[derive(Debug, Parser)]
#[command(
    name = "keyvault-csi-provider",
    version,
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
    /// Serve the driver; what is done without a subcommand
    #[command(args_override_self = true)]
    Serve(Box<ServeArgs>),
    /// Make `SecretProviderClass`es of External Secrets Operator manifests, and workloads that mount them
    Convert(ConvertArgs),
}

/// Runs the command line: 0 for success, 1 for a failure, 2 for wrong usage.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" too; a closed pipe is nobody's concern.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let args = match cli.command {
        Some(Command::Serve(args)) => *args,
        Some(Command::Convert(args)) => return convert::run(&args),
        None => cli.serve,
    };
    match serve::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
