//! Logs warnings once per `SecretProviderClass`.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Display;
use std::hash::{Hash, Hasher};
use std::sync::Mutex;

use lru::LruCache;

use crate::bounded::{bounded, make_room};
use crate::lock::LockUnpoisoned;
use crate::plan::Pod;
use crate::tenant::Tenant;

/// Number of warnings; an evicted one is logged again.
const REMEMBERED: usize = 4096;
/// Number of warnings per tenant.
const PER_TENANT: usize = 256;
/// Maximum number of warnings per mount that are logged in full; the rest are counted.
const PER_MOUNT: usize = 8;

/// Avoids logging the same warning for each of a thousand pods.
#[derive(Debug)]
pub struct WarningDedup(Mutex<LruCache<u64, Tenant>>);

impl Default for WarningDedup {
    fn default() -> Self {
        Self(Mutex::new(bounded(REMEMBERED)))
    }
}

impl WarningDedup {
    /// Logs the warnings that are new for the pod's class.
    pub(super) fn log(&self, pod: &Pod, warnings: &[impl Display]) {
        for warning in warnings.iter().take(PER_MOUNT) {
            self.log_once(pod, &warning.to_string());
        }
        if let Some(more) = not_shown(warnings.len()) {
            self.log_once(pod, &more);
        }
    }

    /// Logs none of these warnings: the caller has shown them itself.
    pub fn mark_logged(&self, pod: &Pod, warnings: &[impl Display]) {
        for warning in warnings.iter().take(PER_MOUNT) {
            self.is_new(pod, &warning.to_string());
        }
        if let Some(more) = not_shown(warnings.len()) {
            self.is_new(pod, &more);
        }
    }

    fn log_once(&self, pod: &Pod, warning: &str) {
        if self.is_new(pod, warning) {
            tracing::warn!("{warning}");
        }
    }

    fn is_new(&self, pod: &Pod, warning: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        (&pod.namespace, &pod.class, warning).hash(&mut hasher);
        let (key, tenant) = (hasher.finish(), Tenant::new(&pod.namespace));
        let mut logged = self.0.lock_unpoisoned();
        if logged.get(&key).is_some() {
            return false;
        }
        make_room(&mut logged, PER_TENANT, |_, other| *other == tenant);
        logged.put(key, tenant);
        true
    }
}

/// Says how many of so many warnings are not shown, if any.
fn not_shown(warnings: usize) -> Option<String> {
    let more = warnings.checked_sub(PER_MOUNT).filter(|more| *more > 0)?;
    Some(format!("{more} more warnings; run `lint` on the class to see all"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str) -> Pod {
        Pod { namespace: namespace.to_owned(), class: "class".to_owned(), ..Pod::default() }
    }

    #[test]
    fn a_warning_is_new_once_for_each_class() {
        let dedup = WarningDedup::default();
        assert!(dedup.is_new(&pod("one"), "w") && dedup.is_new(&pod("two"), "w"));
        assert!(!dedup.is_new(&pod("one"), "w") && !dedup.is_new(&pod("two"), "w"));
    }

    #[test]
    fn a_flood_of_warnings_from_one_namespace_evicts_none_of_another() {
        let dedup = WarningDedup::default();
        assert!(dedup.is_new(&pod("victim"), "w"));
        for number in 0..2 * REMEMBERED {
            assert!(dedup.is_new(&pod("flood"), &number.to_string()));
        }
        assert!(!dedup.is_new(&pod("victim"), "w"));
    }
}
