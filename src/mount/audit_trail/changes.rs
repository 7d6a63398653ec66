//! The last audit records of mounted volumes, so that a refresh is recorded only if it changes something.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Mutex;

use lru::LruCache;

use super::ObjectOutcome;
use crate::bounded::{bounded, make_room};
use crate::lock::LockUnpoisoned;
use crate::plan::{MountPlan, ObjectPlan};
use crate::telemetry::Source;
use crate::tenant::Tenant;
use crate::vault::FetchedVersion;

/// Number of volumes. A refresh of a volume that is not remembered is recorded in full.
const REMEMBERED: usize = 4096;
/// Number of volumes per tenant.
const PER_TENANT: usize = 1024;

/// A pod's unique id and the volume's directory.
type VolumeKey = (String, PathBuf);

/// The last recorded state of volumes, as one hash for each object.
#[derive(Debug)]
pub(super) struct AuditedVolumes(Mutex<LruCache<VolumeKey, Audited>>);

#[derive(Debug)]
struct Audited {
    tenant: Tenant,
    marks: Box<[u32]>,
}

impl Default for AuditedVolumes {
    fn default() -> Self {
        Self(Mutex::new(bounded(REMEMBERED)))
    }
}

impl AuditedVolumes {
    /// Replaces the hashes of a plan's volume. Returns for each object whether to record it: always for a first
    /// mount, and for a refresh if its hash has changed.
    pub(super) fn replace(
        &self,
        tenant: &Tenant,
        plan: &MountPlan,
        is_first: bool,
        marks: Vec<u32>,
    ) -> Vec<bool> {
        let volume = (plan.pod.uid.clone(), plan.target.clone());
        if volume.0.is_empty() {
            return vec![true; marks.len()];
        }
        let mut volumes = self.0.lock_unpoisoned();
        let before = volumes.pop(&volume).filter(|_| !is_first);
        let before = before.map_or_else(Box::default, |audited| audited.marks);
        let is_new = marks.iter().enumerate().map(|(index, mark)| before.get(index) != Some(mark));
        let is_new = is_new.collect();
        make_room(&mut volumes, PER_TENANT, |_, audited| audited.tenant == *tenant);
        volumes.put(volume, Audited { tenant: tenant.clone(), marks: marks.into() });
        is_new
    }
}

/// A hash of the outcome of one object. All sources that are fresh enough count as one, because which pod calls the
/// vault and which ones share its answer changes with every refresh.
pub(super) fn mark(object: &ObjectPlan, object_outcome: ObjectOutcome, versions: &[FetchedVersion]) -> u32 {
    let mut hasher = DefaultHasher::new();
    (object.vault.host(), object.kind, object.name.as_str()).hash(&mut hasher);
    let ObjectOutcome { outcome, failure, source } = object_outcome;
    let fallback = source.filter(|source| matches!(source, Source::Stale | Source::Replica));
    (outcome, failure, fallback).hash(&mut hasher);
    for FetchedVersion { version, .. } in versions {
        version.hash(&mut hasher);
    }
    let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
