//! Identity modes.

use std::fmt;

use serde::Deserialize;

use super::identity::{Identity, PlannedIdentity, TokenExchange};
use super::token::ServiceAccountToken;

/// How an identity authenticates to Entra.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityMode {
    /// A federated credential trusts the pod's service account.
    WorkloadIdentity,
    /// The token proxy of AKS trusts the pod's service account.
    IdentityBinding,
    /// The identity has a client secret or certificate.
    ServicePrincipal,
    /// The identity is assigned to the node.
    ManagedIdentity,
}

impl IdentityMode {
    /// The mode's name in a policy.
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
    /// How the identity authenticates.
    pub fn mode(&self) -> IdentityMode {
        match self {
            Self::Workload(workload) => match workload.exchange {
                TokenExchange::Entra => IdentityMode::WorkloadIdentity,
                TokenExchange::TokenProxy => IdentityMode::IdentityBinding,
            },
            Self::ServicePrincipal(_) => IdentityMode::ServicePrincipal,
            Self::Managed(_) => IdentityMode::ManagedIdentity,
        }
    }
}

impl PlannedIdentity {
    /// How the identity authenticates.
    pub fn mode(&self) -> IdentityMode {
        match self {
            Self::Known(identity) => identity.mode(),
            Self::Annotated(_) => IdentityMode::WorkloadIdentity,
        }
    }

    /// The service account token that the identity authenticates with, if any.
    pub fn token(&self) -> Option<&ServiceAccountToken> {
        match self {
            Self::Known(Identity::Workload(workload)) => Some(&workload.token),
            Self::Known(Identity::ServicePrincipal(_) | Identity::Managed(_)) => None,
            Self::Annotated(annotated) => Some(&annotated.token),
        }
    }
}
