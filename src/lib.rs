//! Azure Key Vault provider for the Secrets Store CSI driver.

pub mod clock;
pub mod code;
pub mod deliver;
pub mod identity;
pub mod mount;
pub mod plan;
pub mod render;
pub mod retry;
pub mod secret;
pub mod telemetry;
pub mod transport;
pub mod vault;

/// The provider protocol of the Secrets Store CSI driver.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::pedantic)]
pub mod proto {
    tonic::include_proto!("v1alpha1");
}
