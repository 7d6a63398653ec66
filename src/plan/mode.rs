//! The ways to ask Key Vault, by the names that the field has for them.

use std::fmt;

use serde::Deserialize;

use super::identity::{Identity, PlannedIdentity, Through};
use super::token::ServiceAccountToken;

/// How an identity proves itself to Entra.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityMode {
    /// A federated credential trusts the pod's service account.
    WorkloadIdentity,
    /// The token proxy of AKS trusts the pod's service account.
    IdentityBinding,
    /// It has a client secret or certificate.
    ServicePrincipal,
    /// It is assigned to the node.
    ManagedIdentity,
}

impl IdentityMode {
    /// The name in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::WorkloadIdentity => "workload-identity",
            Self::IdentityBinding => "identity-binding",
            Self::ServicePrincipal => "service-principal",
            Self::ManagedIdentity => "managed-identity",
        }
    }
}

impl fmt::Display for IdentityMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Identity {
    /// How it proves itself.
    pub fn mode(&self) -> IdentityMode {
        match self {
            Self::Workload(workload) => match workload.through {
                Through::Entra => IdentityMode::WorkloadIdentity,
                Through::TokenProxy => IdentityMode::IdentityBinding,
            },
            Self::ServicePrincipal(_) => IdentityMode::ServicePrincipal,
            Self::Managed(_) => IdentityMode::ManagedIdentity,
        }
    }
}

impl PlannedIdentity {
    /// How it proves itself.
    pub fn mode(&self) -> IdentityMode {
        match self {
            Self::Known(identity) => identity.mode(),
            Self::Annotated(_) => IdentityMode::WorkloadIdentity,
        }
    }

    /// The service account token that it proves itself with, if it does so with one.
    pub fn token(&self) -> Option<&ServiceAccountToken> {
        match self {
            Self::Known(Identity::Workload(workload)) => Some(&workload.token),
            Self::Known(Identity::ServicePrincipal(_) | Identity::Managed(_)) => None,
            Self::Annotated(annotated) => Some(&annotated.token),
        }
    }
}
