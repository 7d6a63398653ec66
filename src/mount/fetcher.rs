//! The context of fetching: the process's part, and that of one mount.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::audit_trail::AuditTrail;
use super::budget::MountBudget;
use super::fallback::Trouble;
use super::fetch_history::FetchHistory;
use super::object_key::ObjectKey;
use super::obtained::Obtained;
use super::provenance::Provenance;
use crate::cache::{Cache, Freshness};
use crate::deliver::DeliverError;
use crate::fair::Party;
use crate::identity::{Identities, Login};
use crate::lock::LockUnpoisoned;
use crate::plan::{MountPlan, ObjectPlan, VaultUrl};
use crate::retry::Deadline;
use crate::telemetry::{Metrics, Source};
use crate::tenant::Tenant;
use crate::vault::{FetchedObject, VaultError, Vaults};

/// Fetches objects, and shares them as far as trust allows.
#[derive(Debug)]
pub struct Fetcher {
    /// Logs identities in.
    pub identities: Identities,
    /// Key Vault.
    pub vaults: Arc<Vaults>,
    /// The object cache.
    pub cache: Arc<Cache<ObjectKey, FetchedObject, VaultError>>,
    /// The objects that each identity has fetched.
    pub history: FetchHistory,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

/// Whether this is a first mount, and how fresh shared values must be for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct MountKind {
    /// Whether the volume is mounted for the first time.
    pub(super) is_first: bool,
    /// How fresh a shared value must be.
    pub(super) freshness: Freshness,
}

/// The fetching of one mount.
#[derive(Debug)]
pub(super) struct Mount<'a> {
    pub(super) plan: &'a MountPlan,
    pub(super) kind: MountKind,
    pub(super) tenant: Tenant,
    pub(super) deadline: Deadline,
    /// Bytes fetched so far.
    pub(super) budget: &'a MountBudget,
    pub(super) provenance: &'a Provenance,
    /// The mount's audit records, if there is an audit log.
    pub(super) audit: Option<&'a AuditTrail<'a>>,
    /// The mount's trouble with each vault so far.
    pub(super) troubles: Mutex<BTreeMap<VaultUrl, Trouble>>,
    pub(super) largest: VolumeLimit,
}

/// Maximum bytes of a mount's objects.
#[derive(Clone, Copy, Debug)]
pub(super) struct VolumeLimit {
    pub(super) bytes: usize,
    /// The maximum size of a response, if the driver writes the files.
    pub(super) response: Option<usize>,
}

impl VolumeLimit {
    /// # Errors
    /// If objects of `bytes` exceed the limit.
    pub(super) fn check(self, bytes: usize) -> Result<(), DeliverError> {
        match self.response {
            _ if bytes <= self.bytes => Ok(()),
            Some(limit) => Err(DeliverError::TooLarge { size: bytes, limit }),
            None => Err(DeliverError::TooMuch { limit: self.bytes }),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct FetchContext<'a> {
    pub(super) fetcher: &'a Fetcher,
    pub(super) mount: &'a Mount<'a>,
    pub(super) login: &'a Login,
}

impl Mount<'_> {
    /// The mount's trouble with the vault so far.
    pub(super) fn trouble(&self, vault: &VaultUrl) -> Trouble {
        let troubles = self.troubles.lock_unpoisoned();
        troubles.get(vault).copied().unwrap_or_default()
    }

    pub(super) fn record_trouble(&self, vault: &VaultUrl, trouble: Trouble) {
        let mut troubles = self.troubles.lock_unpoisoned();
        let worst = troubles.entry(vault.clone()).or_default();
        *worst = trouble.max(*worst);
    }

    pub(super) fn party(&self) -> Party {
        Party::new(self.tenant.clone())
    }
}

impl FetchContext<'_> {
    /// The stale value of the identity, if it may be served.
    pub(super) fn stale(self, key: &ObjectKey) -> Option<(Arc<FetchedObject>, Duration)> {
        let longest = self.mount.plan.stale_if_error;
        if longest.is_zero() {
            return None;
        }
        self.fetcher.cache.stale(key, longest, &self.mount.tenant)
    }

    /// The cache key of an object of the plan.
    pub(super) fn key(self, object: &ObjectPlan) -> ObjectKey {
        ObjectKey::of(self.login, object)
    }

    /// A value fetched `age` ago that is served for this reason.
    pub(super) fn obtained_stale(
        self,
        (object, age): (Arc<FetchedObject>, Duration),
        reason: &dyn ToString,
    ) -> Obtained {
        self.fetcher.metrics.stale_age(age);
        self.mount.provenance.record_fallback(age, reason);
        Obtained::new(object, Source::Stale)
    }
}
