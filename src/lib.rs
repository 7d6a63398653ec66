//! Azure Key Vault provider for the Secrets Store CSI driver.

pub mod clock;
pub mod code;
pub mod identity;
pub mod plan;
pub mod retry;
pub mod secret;
pub mod transport;
