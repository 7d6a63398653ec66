//! The binary `keyvault-csi-provider`.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyvault_csi_provider::process::harden();
    keyvault_csi_provider::cli::run(std::env::args_os())
}
