//! What leads a provider to an emulated Azure.

use std::path::{Path, PathBuf};

use keyvault_emulator::Emulator;

use crate::Result;

/// An emulator's files, which a provider reads.
pub(crate) struct Files {
    ca: PathBuf,
    keys: PathBuf,
}

impl Files {
    pub(crate) fn write(emulator: &Emulator, folder: &Path) -> Result<Self> {
        let files = Self { ca: folder.join("ca.pem"), keys: folder.join("jwks.json") };
        std::fs::write(&files.ca, emulator.ca_pem())?;
        std::fs::write(&files.keys, emulator.jwks())?;
        Ok(files)
    }

    /// The environment of a process that takes the emulator for Azure.
    pub(crate) fn environment(&self, emulator: &Emulator) -> Vec<(&'static str, String)> {
        vec![("HTTPS_PROXY", emulator.proxy_url()), ("SSL_CERT_FILE", self.ca.display().to_string())]
    }

    /// The flags with which the provider knows the cluster's keys.
    pub(crate) fn key_flags(&self, emulator: &Emulator) -> Vec<String> {
        vec![
            format!("--service-account-jwks={}", self.keys.display()),
            format!("--service-account-issuer={}", emulator.issuer()),
        ]
    }
}
