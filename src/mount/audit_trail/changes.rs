//! What the audit log has said about mounted volumes, so that a refresh is recorded when it changes something.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use super::ObjectFate;
use crate::bounded::{bounded, make_room};
use crate::plan::{MountPlan, ObjectPlan};
use crate::telemetry::Source;
use crate::tenant::Tenant;
use crate::vault::Fetched;

/// Volumes that are remembered. A refresh of a volume that is not remembered is recorded whole.
const REMEMBERED: usize = 4096;
/// Volumes of one tenant.
const OF_A_TENANT: usize = 1024;

/// A pod's unique id and the volume's directory.
type VolumeKey = (String, PathBuf);

/// The last recorded state of volumes, as one mark for each object.
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
    /// Replaces the marks of a plan's volume. Tells for each object whether it is to be recorded: always for a first
    /// mount, and for a refresh if its mark has changed.
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
        let mut volumes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = volumes.pop(&volume).filter(|_| !is_first);
        let before = before.map_or_else(Box::default, |audited| audited.marks);
        let is_new = marks.iter().enumerate().map(|(index, mark)| before.get(index) != Some(mark));
        let is_new = is_new.collect();
        make_room(&mut volumes, OF_A_TENANT, |_, audited| audited.tenant == *tenant);
        volumes.put(volume, Audited { tenant: tenant.clone(), marks: marks.into() });
        is_new
    }
}

/// A mark of what happened to one object. Sources that are as fresh as the operator wants count as one: which pod of
/// many asks the vault, and which of them share its answer, changes with every refresh.
pub(super) fn mark(object: &ObjectPlan, fate: ObjectFate, versions: &[Fetched]) -> u32 {
    let mut hasher = DefaultHasher::new();
    (object.vault.host(), object.kind, object.name.as_str()).hash(&mut hasher);
    let ObjectFate { outcome, failure, source } = fate;
    let fallback = source.filter(|source| matches!(source, Source::Stale | Source::Replica));
    (outcome, failure, fallback).hash(&mut hasher);
    for Fetched { version, .. } in versions {
        version.hash(&mut hasher);
    }
    let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
