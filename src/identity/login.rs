//! One pod's request for access, what is known of it, and what it gets.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use url::Url;

use super::error::IdentityError;
use super::exchange::AccessToken;
use super::key::IdentityKey;
use crate::plan::Identity;
use crate::tenant::Tenant;
use crate::trust::Trust;

/// One pod's request for access, with how far it is trusted.
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

    /// How far the request is trusted before Entra is asked.
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// The tenant whose share of every resource the login uses.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }
}

/// Access to Key Vault, perhaps on condition.
pub enum Access {
    /// The token may be used, and what it fetches may be answered.
    Ready(Arc<AccessToken>),
    /// The token of a proven request may fetch beside the proof, but nothing, not even an error of the vault, may be
    /// answered before the proof has come.
    Beside(Arc<AccessToken>, BoxFuture<'static, Result<Arc<AccessToken>, IdentityError>>),
}
