//! Azure Key Vault, Entra ID and a Kubernetes service account token issuer on loopback, for tests.
//!
//! One TLS listener serves all three with certificates of its own temporary authority, and one
//! `CONNECT` proxy serves the hosts of the public clouds, so that a client needs only `HTTPS_PROXY` and
//! `SSL_CERT_FILE` to use the emulator instead of Azure. A plain HTTP listener is the instance metadata
//! service; a client with `HTTP_PROXY` also reaches it at its usual address. The emulator makes no outgoing
//! connections.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use keyvault_emulator::{Emulator, RequestKind, Seed};
//!
//! let emulator = Emulator::start(Seed::from_yaml("vaults: [{name: myKeyVault}]")?).await?;
//! let token = emulator.token("default", "workload-identity-sa").build();
//! // … the code under test exchanges the token and reads a secret …
//! assert_eq!(emulator.count(RequestKind::Secret), 1);
//! # Ok(()) }
//! ```
//!
//! A [`Rule`] injects a [`Fault`] into a service at a time: from code, on the program's command line, from a
//! file, or at run time through the admin endpoint ([`Options::admin_listen`]), which also returns the counts of
//! requests to other processes.
//!
//! Layers, top to bottom: [`Emulator`] owns the listeners (`listener`, `tls`); `service` routes one
//! request, records it and applies faults; `entra`, `vault`, `cluster` and `imds` answer it from the
//! state that the [`Seed`] defines.

mod admin;
mod claims;
mod cluster;
mod der;
mod emulator;
mod entra;
mod fault;
mod hosts;
mod imds;
mod issuer;
mod jwt;
mod listener;
mod public_key;
mod record;
mod reply;
mod route;
mod seed;
mod service;
mod tls;
mod vault;
mod wire;
mod x509;

pub use claims::TokenBuilder;
pub use emulator::{ChangeError, Emulator, Options, StartError};
pub use fault::{
    BadCertificate, Fault, Recorded, RecordedAnswer, RecordedQuestion, Rule, RuleError, Source, Target,
};
pub use issuer::IssuerError;
pub use record::{RecordedRequest, RequestKind};
pub use seed::{
    Access, Authorization, Certificate, CertificateVersion, ClientSecret, Curve, FederatedCredential,
    Identity, Key, KeyType, KeyVersion, ManagedIdentity, ReadPermission, Secret, SecretPermission,
    SecretVersion, Seed, SeedError, ServiceAccount, Vault,
};
pub use tls::TlsError;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The audience that Entra expects in a service account token.
pub const TOKEN_EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// The audience that the cluster's token proxy expects instead, for AKS identity binding.
pub const IDENTITY_BINDING_AUDIENCE: &str = "api://AKSIdentityBinding";

/// The issuer of the emulator's service account tokens.
pub const ISSUER: &str = "https://oidc.emulator.test/";

/// Locks, also after another thread panicked: a failed test must not fail the others' clean-up.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
