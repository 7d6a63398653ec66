//! The key that partitions all caches by identity.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use url::Url;

use super::tokens::Issuer;
use crate::plan::{Claims, ClientId, Identity, IdentityMode, ServicePrincipal};

/// The key that partitions all caches by identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityKey {
    /// The hash of the other fields, because a cached object is looked up a dozen times per mount. Equal keys have equal
    /// hashes, because one process has one hasher.
    hash: u64,
    pub(super) authority: String,
    pub(super) tenant: String,
    pub(super) client: String,
    pub(super) mode: IdentityMode,
    pub(super) issuer: String,
    pub(super) subject: String,
}

impl Hash for IdentityKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
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

    /// A client's credential is included as a keyed hash; the hash's key exists only in this process.
    pub(super) fn of(identity: &Identity, authority: &Url, fingerprint: &str, hasher: &RandomState) -> Self {
        let key = |tenant: &str, client: &str, issuer: &str, subject: &str| {
            let (tenant, client) = (tenant.to_ascii_lowercase(), client.to_ascii_lowercase());
            let (authority, mode) = (authority.as_str().to_owned(), identity.mode());
            let hash = hasher.hash_one((&authority, &tenant, &client, mode, issuer, subject));
            let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
            Self { hash, authority, tenant, client, mode, issuer, subject }
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
