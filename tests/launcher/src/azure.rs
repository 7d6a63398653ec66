//! Environment and flags of a provider that uses the emulator.

use std::path::{Path, PathBuf};

use keyvault_emulator::Emulator;

use crate::LaunchError;

/// Environment variables of a process.
pub type Environment = Vec<(&'static str, String)>;

/// The environment of a process that uses `emulator` instead of Azure. Writes the emulator's CA into `folder`.
pub fn environment(emulator: &Emulator, folder: &Path) -> Result<Environment, LaunchError> {
    let ca = write(folder.join("ca.pem"), emulator.ca_pem())?;
    Ok(vec![("HTTPS_PROXY", emulator.proxy_url()), ("SSL_CERT_FILE", ca.display().to_string())])
}

/// The flags for the cluster's keys, which are written into `folder`.
pub fn key_flags(emulator: &Emulator, folder: &Path) -> Result<Vec<String>, LaunchError> {
    let keys = write(folder.join("jwks.json"), emulator.jwks())?;
    Ok(vec![
        format!("--service-account-jwks={}", keys.display()),
        format!("--service-account-issuer={}", emulator.issuer()),
    ])
}

fn write(path: PathBuf, contents: impl AsRef<[u8]>) -> Result<PathBuf, LaunchError> {
    match std::fs::write(&path, contents) {
        Ok(()) => Ok(path),
        Err(error) => Err(LaunchError::Write { path, error }),
    }
}
