//! What everything that is kept is partitioned by.

use url::Url;

use crate::plan::{Claims, ClientId, Identity, ServicePrincipal, Through};

/// How an identity proves itself to Entra.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A federated credential trusts the pod's service account.
    WorkloadIdentity,
    /// The token proxy of AKS trusts the pod's service account.
    IdentityBinding,
    /// It has a client secret or certificate.
    ServicePrincipal,
    /// It is assigned to the node.
    ManagedIdentity,
}

impl Mode {
    /// A word for the label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::WorkloadIdentity => "workload_identity",
            Self::IdentityBinding => "identity_binding",
            Self::ServicePrincipal => "service_principal",
            Self::ManagedIdentity => "managed_identity",
        }
    }

    /// How `identity` proves itself.
    pub(super) fn of(identity: &Identity) -> Self {
        match identity {
            Identity::Workload(workload) => match workload.through {
                Through::Entra => Self::WorkloadIdentity,
                Through::TokenProxy => Self::IdentityBinding,
            },
            Identity::ServicePrincipal(_) => Self::ServicePrincipal,
            Identity::Managed(_) => Self::ManagedIdentity,
        }
    }
}

/// What everything that is kept is partitioned by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdentityKey {
    pub(super) authority: String,
    pub(super) tenant: String,
    pub(super) client: String,
    pub(super) mode: Mode,
    pub(super) issuer: String,
    pub(super) subject: String,
}

impl IdentityKey {
    pub(super) fn same_subject(&self, other: &Self) -> bool {
        match self.mode {
            Mode::WorkloadIdentity | Mode::IdentityBinding => {
                self.issuer == other.issuer && self.subject == other.subject
            }
            Mode::ServicePrincipal | Mode::ManagedIdentity => {
                (self.mode, &self.authority, &self.tenant, &self.client)
                    == (other.mode, &other.authority, &other.tenant, &other.client)
            }
        }
    }

    /// A client's credential enters as a keyed hash, whose key lives and dies with this process.
    pub(super) fn of(identity: &Identity, authority: &Url, fingerprint: &str) -> Self {
        let key = |tenant: &str, client: &str, issuer: &str, subject: &str| Self {
            authority: authority.as_str().to_owned(),
            tenant: tenant.to_ascii_lowercase(),
            client: client.to_ascii_lowercase(),
            mode: Mode::of(identity),
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
        };
        match identity {
            Identity::Workload(workload) => {
                let Claims { issuer, subject, .. } = workload.token.claims();
                key(workload.tenant.as_str(), workload.client.as_str(), issuer, subject)
            }
            Identity::ServicePrincipal(ServicePrincipal { tenant, client, .. }) => {
                key(tenant.as_str(), client.as_str(), "", fingerprint)
            }
            Identity::Managed(managed) => {
                key("", managed.client.as_ref().map_or("", ClientId::as_str), "", "")
            }
        }
    }
}
