//! Identities of Entra and their credentials.

use serde::Deserialize;
use time::OffsetDateTime;

use crate::{IDENTITY_BINDING_AUDIENCE, ISSUER, TOKEN_EXCHANGE_AUDIENCE};

/// An application or managed identity.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Identity {
    /// Its name in the seed.
    pub name: String,
    /// Its client id.
    pub client_id: String,
    /// The service accounts that may act as it.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredential>,
    /// The secrets that log in as it.
    #[serde(default)]
    pub client_secrets: Vec<ClientSecret>,
    /// The certificates whose keys log in as it: PEM, RSA.
    #[serde(default)]
    pub certificates: Vec<String>,
    /// How the machine has it, if it is a managed identity.
    #[serde(default)]
    pub managed_identity: Option<ManagedIdentity>,
}

/// A secret of an application; in YAML just the text, if it does not expire.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "WrittenSecret")]
pub struct ClientSecret {
    /// The secret itself.
    pub value: String,
    /// The time from which it is refused.
    pub expires: Option<OffsetDateTime>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenSecret {
    Text(String),
    Object(ExpiringSecret),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiringSecret {
    value: String,
    #[serde(default, with = "time::serde::rfc3339::option")]
    expires: Option<OffsetDateTime>,
}

/// How a managed identity is assigned to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ManagedIdentity {
    /// System-assigned: IMDS uses it if the request selects none. There is at most one.
    System,
    /// User-assigned.
    User,
}

/// A service account that may act as an identity.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FederatedCredential {
    /// `system:serviceaccount:<namespace>:<name>`.
    pub subject: String,
    /// The issuer of its tokens; the emulator's own by default.
    #[serde(default = "default_issuer")]
    pub issuer: String,
    /// The audience of its tokens; `api://AzureADTokenExchange` by default.
    #[serde(default = "default_audience")]
    pub audience: String,
}

impl Identity {
    /// An identity without credentials.
    pub fn new(name: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            client_id: client_id.into(),
            federated_credentials: Vec::new(),
            client_secrets: Vec::new(),
            certificates: Vec::new(),
            managed_identity: None,
        }
    }

    /// Lets a service account of the emulator's own issuer act as it.
    #[must_use]
    pub fn federated(mut self, namespace: &str, service_account: &str) -> Self {
        self.federated_credentials.push(FederatedCredential::new(namespace, service_account));
        self
    }

    /// Adds a client secret.
    #[must_use]
    pub fn client_secret(mut self, value: impl Into<String>) -> Self {
        self.client_secrets.push(ClientSecret { value: value.into(), expires: None });
        self
    }

    /// Adds a client certificate (PEM, RSA).
    #[must_use]
    pub fn certificate(mut self, pem: impl Into<String>) -> Self {
        self.certificates.push(pem.into());
        self
    }

    /// Makes it a managed identity of this machine.
    #[must_use]
    pub fn managed(mut self, how: ManagedIdentity) -> Self {
        self.managed_identity = Some(how);
        self
    }
}

impl From<WrittenSecret> for ClientSecret {
    fn from(written: WrittenSecret) -> Self {
        match written {
            WrittenSecret::Text(value) => Self { value, expires: None },
            WrittenSecret::Object(ExpiringSecret { value, expires }) => Self { value, expires },
        }
    }
}

impl FederatedCredential {
    /// For a service account of the emulator's own issuer, with the usual audience.
    pub fn new(namespace: &str, service_account: &str) -> Self {
        Self {
            subject: format!("system:serviceaccount:{namespace}:{service_account}"),
            issuer: default_issuer(),
            audience: default_audience(),
        }
    }

    /// The same for AKS identity binding: good at the cluster's token proxy, and not at Entra itself.
    pub fn identity_binding(namespace: &str, service_account: &str) -> Self {
        let audience = IDENTITY_BINDING_AUDIENCE.to_owned();
        Self { audience, ..Self::new(namespace, service_account) }
    }
}

fn default_issuer() -> String {
    ISSUER.to_owned()
}

fn default_audience() -> String {
    TOKEN_EXCHANGE_AUDIENCE.to_owned()
}
