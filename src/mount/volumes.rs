//! Volumes that are mounted already.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use crate::bounded::{bounded, make_room};
use crate::deliver::VolumeFile;
use crate::plan::Pod;
use crate::proto::ObjectVersion;
use crate::tenant::Tenant;

/// Far more than a node has; one that falls out is refreshed like a first mount.
const REMEMBERED: usize = 4096;
/// Volumes of one tenant: it may make and delete pods all the time.
const OF_A_TENANT: usize = 1024;

/// The volumes that were mounted, by their pod's unique id and their directory, with a mark of what they
/// hold. Whether a value may be a little old depends on it, and whether there is news to log; nothing else.
#[derive(Debug)]
pub struct Volumes(Mutex<LruCache<(String, PathBuf), MountedVolume>>);

#[derive(Debug)]
struct MountedVolume {
    tenant: Tenant,
    mark: u64,
}

/// What a mount changed in a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeChange {
    /// Its first files.
    First,
    /// Other files, or other versions, than were there.
    Changed,
    /// The same as before.
    Unchanged,
}

impl Default for Volumes {
    fn default() -> Self {
        Self(Mutex::new(bounded(REMEMBERED)))
    }
}

impl Volumes {
    pub(super) fn holds(&self, pod: &str, target: &Path) -> bool {
        let mut volumes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        volumes.get(&(pod.to_owned(), target.to_owned())).is_some()
    }

    /// Remembers what a volume holds now. `mounted` says that there was something before, whoever put it there.
    /// A pod without an id is not known again.
    pub(super) fn remember(&self, pod: &Pod, target: &Path, mark: u64, mounted: bool) -> VolumeChange {
        let before = if pod.uid.is_empty() {
            None
        } else {
            let (volume, tenant) = ((pod.uid.clone(), target.to_owned()), Tenant::new(&pod.namespace));
            let mut volumes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let before = volumes.pop(&volume);
            make_room(&mut volumes, OF_A_TENANT, |_, mounted| mounted.tenant == tenant);
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

/// A mark of files and versions. A version is never changed, so what the files hold need not be looked at.
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
    fn a_namespace_that_makes_pods_all_the_time_displaces_no_volume_of_another() {
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
