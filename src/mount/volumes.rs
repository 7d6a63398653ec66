//! Volumes that are mounted already.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use crate::bounded::bounded;

/// Far more than a node has; one that falls out is refreshed like a first mount.
const REMEMBERED: usize = 4096;

/// The volumes that were mounted, by their pod's unique id and their directory. Whether a value may be a
/// little old depends on it, and nothing else.
#[derive(Debug)]
pub struct Volumes(Mutex<LruCache<(String, PathBuf), ()>>);

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

    /// A pod without an id is not known again.
    pub(super) fn remember(&self, pod: &str, target: &Path) {
        if !pod.is_empty() {
            let mut volumes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            volumes.put((pod.to_owned(), target.to_owned()), ());
        }
    }
}
