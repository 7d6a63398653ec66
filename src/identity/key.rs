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
        let key = |mode, tenant: &str, client: &str, issuer: &str, subject: &str| Self {
            authority: authority.as_str().to_owned(),
            tenant: tenant.to_ascii_lowercase(),
            client: client.to_ascii_lowercase(),
            mode,
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
        };
        match identity {
            Identity::Workload(workload) => {
                let Claims { issuer, subject, .. } = workload.token.claims();
                let mode = match workload.through {
                    Through::Entra => Mode::WorkloadIdentity,
                    Through::TokenProxy => Mode::IdentityBinding,
                };
                key(mode, workload.tenant.as_str(), workload.client.as_str(), issuer, subject)
            }
            Identity::ServicePrincipal(ServicePrincipal { tenant, client, .. }) => {
                key(Mode::ServicePrincipal, tenant.as_str(), client.as_str(), "", fingerprint)
            }
            Identity::Managed(managed) => {
                key(Mode::ManagedIdentity, "", managed.client.as_ref().map_or("", ClientId::as_str), "", "")
            }
        }
    }
}
