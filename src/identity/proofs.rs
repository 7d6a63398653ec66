//! Which tokens Entra has accepted, and for whom.

use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};
use lru::LruCache;

use super::IdentityKey;
use crate::bounded::{bounded, make_room};
use crate::plan::ServiceAccountToken;

/// Far more than a node has pods; what falls out is proven again by another exchange.
const REMEMBERED: usize = 8192;
/// More pods than a node has, of one service account.
const PROOFS_OF_A_SUBJECT: usize = 512;

struct Proof {
    key: Arc<IdentityKey>,
    expires: SystemTime,
}

/// Remembers a proof as the hash of token and identity key: neither can be read from it.
pub(super) struct Proofs(LruCache<[u8; 32], Proof>);

impl Proofs {
    pub(super) fn new() -> Self {
        Self(bounded(REMEMBERED))
    }

    /// Entra has accepted this token for this identity; so it is until the token's end.
    pub(super) fn remember(&mut self, token: &ServiceAccountToken, key: &Arc<IdentityKey>) {
        if let Some(expires) = token.claims().expires {
            make_room(&mut self.0, PROOFS_OF_A_SUBJECT, |_, proof| proof.key.same_subject(key));
            self.0.put(hash(token, key), Proof { key: Arc::clone(key), expires });
        }
    }

    pub(super) fn holds(&mut self, token: &ServiceAccountToken, key: &IdentityKey, now: SystemTime) -> bool {
        self.0.get(&hash(token, key)).is_some_and(|proof| proof.key.as_ref() == key && proof.expires > now)
    }

    /// Entra has refused the identity: none of its tokens is proven any more.
    pub(super) fn forget(&mut self, key: &IdentityKey) {
        let gone = self.0.iter().filter(|(_, proof)| proof.key.as_ref() == key).map(|(hash, _)| *hash);
        for hash in gone.collect::<Vec<_>>() {
            self.0.pop(&hash);
        }
    }
}

/// Stands for a token and whom it is to log in.
pub(super) fn hash(token: &ServiceAccountToken, key: &IdentityKey) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let mode = format!("{:?}", key.mode);
    for part in [token.expose(), &key.authority, &key.tenant, &key.client, &mode, &key.issuer, &key.subject] {
        // With its length before it, no part can lean on its neighbour.
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
