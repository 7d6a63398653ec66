//! Which credentials Entra has accepted, and for which identity.

use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};
use lru::LruCache;

use super::IdentityKey;
use crate::bounded::{bounded, make_room};
use crate::plan::Identity;

/// Far more than a node has pods; a proof that falls out is made again by another exchange.
const REMEMBERED: usize = 8192;
/// More pods than a node has, of one service account.
const PROOFS_OF_A_SUBJECT: usize = 512;

struct Proof {
    key: Arc<IdentityKey>,
    /// None for a client secret, which does not say when it ends: its proof ends when Entra refuses it.
    expires: Option<SystemTime>,
}

/// Remembers a proof as the hash of credential and identity key: neither can be read from it.
pub(super) struct Proofs(LruCache<CredentialHash, Proof>);

/// Stands for a credential and the identity that it logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CredentialHash([u8; 32]);

impl Proofs {
    pub(super) fn new() -> Self {
        Self(bounded(REMEMBERED))
    }

    /// Entra has accepted this credential for this identity. The proof holds until the credential's end.
    pub(super) fn remember(&mut self, identity: &Identity, key: &Arc<IdentityKey>) {
        let expires = match identity {
            Identity::Workload(workload) => match workload.token.claims().expires {
                Some(expires) => Some(expires),
                None => return,
            },
            Identity::ServicePrincipal(_) | Identity::Managed(_) => None,
        };
        make_room(&mut self.0, PROOFS_OF_A_SUBJECT, |_, proof| proof.key.same_subject(key));
        self.0.put(CredentialHash::of(identity, key), Proof { key: Arc::clone(key), expires });
    }

    pub(super) fn holds(&mut self, identity: &Identity, key: &IdentityKey, now: SystemTime) -> bool {
        self.0.get(&CredentialHash::of(identity, key)).is_some_and(|proof| {
            proof.key.as_ref() == key && proof.expires.is_none_or(|expires| expires > now)
        })
    }

    /// Entra has refused the identity: none of its credentials is proven any more.
    pub(super) fn forget(&mut self, key: &IdentityKey) {
        let gone = self.0.iter().filter(|(_, proof)| proof.key.as_ref() == key).map(|(hash, _)| *hash);
        for hash in gone.collect::<Vec<_>>() {
            self.0.pop(&hash);
        }
    }
}

impl CredentialHash {
    /// The hash of the identity's credential and key.
    pub(super) fn of(identity: &Identity, key: &IdentityKey) -> Self {
        let credential = match identity {
            Identity::Workload(workload) => workload.token.expose(),
            // Its keyed hash is in the key.
            Identity::ServicePrincipal(_) | Identity::Managed(_) => "",
        };
        let mut context = Context::new(&SHA256);
        let mode = format!("{:?}", key.mode);
        for part in [credential, &key.authority, &key.tenant, &key.client, &mode, &key.issuer, &key.subject] {
            // With its length before it, no part can lean on its neighbour.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self(hash)
    }
}
