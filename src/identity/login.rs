//! One pod's login and its access to Key Vault.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use url::Url;

use super::error::IdentityError;
use super::exchange::AccessToken;
use super::key::IdentityKey;
use crate::plan::Identity;
use crate::tenant::Tenant;
use crate::trust::Trust;

/// One pod's login, with its trust.
#[derive(Clone, Debug)]
pub struct Login {
    pub(super) identity: Identity,
    pub(super) authority: Url,
    pub(super) key: Arc<IdentityKey>,
    pub(super) trust: Trust,
    pub(super) tenant: Tenant,
}

impl Login {
    /// The key of everything that is cached for this login.
    pub fn key(&self) -> &Arc<IdentityKey> {
        &self.key
    }

    /// The trust of the request before Entra is called.
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// The tenant whose share of every resource the login uses.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }
}

/// Access to Key Vault, possibly before the credential is proven.
pub enum Access {
    /// The token may be used, and the values that it fetches may be returned.
    Ready(Arc<AccessToken>),
    /// A cached token of a proven request, for use in parallel with the proof. No value and no error of the vault may be
    /// returned before the proof is complete.
    Proving(Arc<AccessToken>, BoxFuture<'static, Result<Arc<AccessToken>, IdentityError>>),
}
