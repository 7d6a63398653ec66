//! Mounted volumes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use lru::LruCache;

use crate::bounded::{bounded, make_room};
use crate::deliver::VolumeFile;
use crate::lock::LockUnpoisoned;
use crate::plan::Pod;
use crate::proto::ObjectVersion;
use crate::tenant::Tenant;

/// Far more than the volumes of a node; an evicted one is refreshed like a first mount.
const REMEMBERED: usize = 4096;
/// Number of volumes per tenant, which may create and delete pods all the time.
const PER_TENANT: usize = 1024;

/// Mounted volumes by their pod's unique id and their directory, with a hash of their content. They decide only
/// whether cached values may be used, and whether a change is logged.
#[derive(Debug)]
pub struct Volumes(Mutex<LruCache<(String, PathBuf), MountedVolume>>);

#[derive(Debug)]
struct MountedVolume {
    tenant: Tenant,
    mark: u64,
}

/// The change of a volume by a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeChange {
    /// Its first files.
    First,
    /// Other files or versions than before.
    Changed,
    /// No change.
    Unchanged,
}

impl Default for Volumes {
    fn default() -> Self {
        Self(Mutex::new(bounded(REMEMBERED)))
    }
}

impl Volumes {
    pub(super) fn holds(&self, pod: &str, target: &Path) -> bool {
        let mut volumes = self.0.lock_unpoisoned();
        volumes.get(&(pod.to_owned(), target.to_owned())).is_some()
    }

    /// Records the content of a volume. `mounted` means that it had content before, from any process. Volumes of pods
    /// without an id are not recognized later.
    pub(super) fn remember(&self, pod: &Pod, target: &Path, mark: u64, mounted: bool) -> VolumeChange {
        let before = if pod.uid.is_empty() {
            None
        } else {
            let (volume, tenant) = ((pod.uid.clone(), target.to_owned()), Tenant::new(&pod.namespace));
            let mut volumes = self.0.lock_unpoisoned();
            let before = volumes.pop(&volume);
            make_room(&mut volumes, PER_TENANT, |_, mounted| mounted.tenant == tenant);
            volumes.put(volume, MountedVolume { tenant, mark });
            before.map(|before| before.mark)
        };
        match before {
            Some(before) if before == mark => VolumeChange::Unchanged,
            None if !mounted => VolumeChange::First,
            _ => VolumeChange::Changed,
        }
    }
}

/// A hash of files and versions. A version never changes, so the contents of the files are not hashed.
pub(super) fn mark(files: &[VolumeFile], versions: &[ObjectVersion]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for VolumeFile { path, mode, .. } in files {
        (path.as_str(), mode.bits()).hash(&mut hasher);
    }
    for ObjectVersion { id, version } in versions {
        (id, version).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, uid: usize) -> Pod {
        Pod { namespace: namespace.to_owned(), uid: uid.to_string(), ..Pod::default() }
    }

    #[test]
    fn a_namespace_that_creates_many_pods_evicts_no_volume_of_another() {
        let (volumes, target) = (Volumes::default(), Path::new("/volume"));
        let remember = |pod: &Pod| volumes.remember(pod, target, 1, false);
        assert_eq!(remember(&pod("victim", 0)), VolumeChange::First);
        for uid in 1..2 * REMEMBERED {
            remember(&pod("flood", uid));
        }
        assert!(volumes.holds("0", target));
        assert_eq!(remember(&pod("victim", 0)), VolumeChange::Unchanged);
        assert!(!volumes.holds("1", target));
    }
}
