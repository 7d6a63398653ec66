//! The key that partitions everything that is cached.

use url::Url;

use super::tokens::Issuer;
use crate::plan::{Claims, ClientId, Identity, IdentityMode, ServicePrincipal};

/// The key that partitions everything that is cached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdentityKey {
    pub(super) authority: String,
    pub(super) tenant: String,
    pub(super) client: String,
    pub(super) mode: IdentityMode,
    pub(super) issuer: String,
    pub(super) subject: String,
}

impl IdentityKey {
    pub(super) fn same_subject(&self, other: &Self) -> bool {
        match self.mode {
            IdentityMode::WorkloadIdentity | IdentityMode::IdentityBinding => {
                self.issuer == other.issuer && self.subject == other.subject
            }
            IdentityMode::ServicePrincipal | IdentityMode::ManagedIdentity => {
                (self.mode, &self.authority, &self.tenant, &self.client)
                    == (other.mode, &other.authority, &other.tenant, &other.client)
            }
        }
    }

    /// The service that issues the identity's tokens.
    pub(super) fn issuer_of_tokens(&self) -> Issuer {
        let authority = match self.mode {
            IdentityMode::ManagedIdentity => String::new(),
            _ => self.authority.clone(),
        };
        Issuer { authority, mode: self.mode }
    }

    /// A client's credential enters as a keyed hash, whose key lives and dies with this process.
    pub(super) fn of(identity: &Identity, authority: &Url, fingerprint: &str) -> Self {
        let key = |tenant: &str, client: &str, issuer: &str, subject: &str| Self {
            authority: authority.as_str().to_owned(),
            tenant: tenant.to_ascii_lowercase(),
            client: client.to_ascii_lowercase(),
            mode: identity.mode(),
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
