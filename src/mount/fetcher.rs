//! What fetching needs, of the process and of one mount.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
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
use crate::plan::{MountPlan, ObjectPlan, VaultUrl};
use crate::retry::Deadline;
use crate::telemetry::{Metrics, Source};
use crate::tenant::Tenant;
use crate::vault::{Object, VaultError, Vaults};

/// Fetches objects, and shares what may be shared.
#[derive(Debug)]
pub struct Fetcher {
    /// Logs pods in.
    pub identities: Identities,
    /// Key Vault.
    pub vaults: Arc<Vaults>,
    /// What the vaults gave.
    pub cache: Arc<Cache<ObjectKey, Object, VaultError>>,
    /// What identities have fetched.
    pub history: FetchHistory,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Why there is a mount, and how fresh a shared value must be for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct MountKind {
    /// Whether the volume is mounted for the first time.
    pub(super) is_first: bool,
    /// How fresh a shared value must be.
    pub(super) freshness: Freshness,
}

/// One mount that fetches.
#[derive(Debug)]
pub(super) struct Mount<'a> {
    pub(super) plan: &'a MountPlan,
    pub(super) kind: MountKind,
    pub(super) tenant: Tenant,
    pub(super) deadline: Deadline,
    /// Bytes fetched so far.
    pub(super) budget: &'a MountBudget,
    /// Where the objects came from.
    pub(super) provenance: &'a Provenance,
    /// What the audit log says about the mount, if there is one.
    pub(super) audit: Option<&'a AuditTrail<'a>>,
    /// What this mount has met at each vault.
    pub(super) troubles: Mutex<BTreeMap<VaultUrl, Trouble>>,
    /// The most that can be delivered.
    pub(super) largest: VolumeLimit,
}

/// The most bytes of objects that a mount may fetch.
#[derive(Clone, Copy, Debug)]
pub(super) struct VolumeLimit {
    pub(super) bytes: usize,
    /// The largest response, if the driver writes the files.
    pub(super) response: Option<usize>,
}

impl VolumeLimit {
    /// # Errors
    /// If objects of `bytes` are too many to be delivered.
    pub(super) fn check(self, bytes: usize) -> Result<(), DeliverError> {
        match self.response {
            _ if bytes <= self.bytes => Ok(()),
            Some(limit) => Err(DeliverError::TooLarge { size: bytes, limit }),
            None => Err(DeliverError::TooMuch { limit: self.bytes }),
        }
    }
}

/// What the steps of one mount's fetching need.
#[derive(Clone, Copy)]
pub(super) struct FetchContext<'a> {
    pub(super) fetcher: &'a Fetcher,
    pub(super) mount: &'a Mount<'a>,
    pub(super) login: &'a Login,
}

impl Mount<'_> {
    /// What this mount has met at the vault.
    pub(super) fn trouble(&self, vault: &VaultUrl) -> Trouble {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.get(vault).copied().unwrap_or_default()
    }

    /// Notes what this mount has met at the vault.
    pub(super) fn met(&self, vault: &VaultUrl, trouble: Trouble) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let worst = troubles.entry(vault.clone()).or_default();
        *worst = trouble.max(*worst);
    }

    /// A party of the mount's tenant.
    pub(super) fn party(&self) -> Party {
        Party::new(self.tenant.clone())
    }
}

impl FetchContext<'_> {
    /// The value that the identity fetched earlier, if it may be shown while nothing fresher can be had.
    pub(super) fn stale(self, key: &ObjectKey) -> Option<(Arc<Object>, Duration)> {
        let longest = self.mount.plan.stale_if_error;
        if longest.is_zero() {
            return None;
        }
        self.fetcher.cache.stale(key, longest, &self.mount.tenant)
    }

    /// The key of an object of the plan.
    pub(super) fn key(self, object: &ObjectPlan) -> ObjectKey {
        ObjectKey::of(self.login, object)
    }

    /// A value that was fetched `age` ago and is served for this reason.
    pub(super) fn obtained_stale(
        self,
        (object, age): (Arc<Object>, Duration),
        reason: &dyn ToString,
    ) -> Obtained {
        self.fetcher.metrics.stale_age(age);
        self.mount.provenance.fell_back(age, reason);
        Obtained::new(object, Source::Stale)
    }
}
