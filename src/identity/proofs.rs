//! The credentials that Entra has accepted, and the identity of each.

use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};
use lru::LruCache;

use super::IdentityKey;
use crate::bounded::{bounded, make_room};
use crate::plan::Identity;

/// Far more than the pods of a node; an evicted proof is replaced by the next exchange.
const REMEMBERED: usize = 8192;
/// More pods than a node runs with one service account.
const PROOFS_PER_SUBJECT: usize = 512;

struct Proof {
    key: Arc<IdentityKey>,
    /// `None` for a client secret, whose expiry is unknown: its proof ends when Entra refuses it.
    expires: Option<SystemTime>,
}

/// Remembers each proof as a hash of credential and identity key, from which neither can be read.
pub(super) struct Proofs(LruCache<CredentialHash, Proof>);

/// Identifies a credential and its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CredentialHash([u8; 32]);

impl Proofs {
    pub(super) fn new() -> Self {
        Self(bounded(REMEMBERED))
    }

    /// Remembers that Entra accepted this credential for this identity, until the credential expires.
    pub(super) fn remember(&mut self, identity: &Identity, key: &Arc<IdentityKey>) {
        let expires = match identity {
            Identity::Workload(workload) => match workload.token.claims().expires {
                Some(expires) => Some(expires),
                None => return,
            },
            Identity::ServicePrincipal(_) | Identity::Managed(_) => None,
        };
        make_room(&mut self.0, PROOFS_PER_SUBJECT, |_, proof| proof.key.same_subject(key));
        self.0.put(CredentialHash::of(identity, key), Proof { key: Arc::clone(key), expires });
    }

    pub(super) fn holds(&mut self, identity: &Identity, key: &IdentityKey, now: SystemTime) -> bool {
        self.0.get(&CredentialHash::of(identity, key)).is_some_and(|proof| {
            proof.key.as_ref() == key && proof.expires.is_none_or(|expires| expires > now)
        })
    }

    /// Forgets all proofs of an identity that Entra refused.
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
            // The key contains its keyed hash.
            Identity::ServicePrincipal(_) | Identity::Managed(_) => "",
        };
        let mut context = Context::new(&SHA256);
        let mode = format!("{:?}", key.mode);
        for part in [credential, &key.authority, &key.tenant, &key.client, &mode, &key.issuer, &key.subject] {
            // The length prefix keeps adjacent parts from being confused.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self(hash)
    }
}
