//! Who wants access, what is known of them, and what they get.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use url::Url;

use super::error::IdentityError;
use super::exchange::AccessToken;
use super::key::IdentityKey;
use crate::plan::Identity;

/// What is known of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is its subject's: it may share.
    Proven,
    /// There are no keys to tell, and Entra has not yet been asked.
    Claimed,
    /// The cluster's keys do not vouch for it: Entra decides, for it alone.
    Alone,
}

/// One pod's request for access, with what is known of its token.
#[derive(Clone, Debug)]
pub struct Login {
    pub(super) identity: Identity,
    pub(super) authority: Url,
    pub(super) key: Arc<IdentityKey>,
    pub(super) standing: Standing,
}

impl Login {
    /// What everything of this login is kept under.
    pub fn key(&self) -> &Arc<IdentityKey> {
        &self.key
    }

    /// Whether the token is known to be its subject's.
    pub fn is_proven(&self) -> bool {
        self.standing == Standing::Proven
    }

    /// Whether the token is a claim that Entra's grant of its exchange proves.
    pub fn is_claim(&self) -> bool {
        self.standing == Standing::Claimed
    }

    /// Whether it shares with others of its identity, once it has access.
    pub fn shares(&self) -> bool {
        self.standing != Standing::Alone
    }
}

/// Access to Key Vault, perhaps on condition.
pub enum Access {
    /// The token may be used, and what it fetches may be answered.
    Ready(Arc<AccessToken>),
    /// The token of a proven request may fetch beside the proof, but nothing, not even an error
    /// of the vault, may be answered before the proof has come.
    Beside(Arc<AccessToken>, BoxFuture<'static, Result<Arc<AccessToken>, IdentityError>>),
}
