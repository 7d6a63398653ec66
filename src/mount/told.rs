//! Warnings, once per `SecretProviderClass`.

use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use crate::bounded::bounded;
use crate::plan::MountPlan;

/// Warnings that are remembered; one that falls out is told again.
const REMEMBERED: usize = 1024;

/// The warnings that have been logged.
#[derive(Debug)]
pub struct Told(Mutex<LruCache<String, ()>>);

impl Default for Told {
    fn default() -> Self {
        Self(Mutex::new(bounded(REMEMBERED)))
    }
}

impl Told {
    /// Logs the plan's warnings that its class has not been told.
    pub(super) fn tell(&self, plan: &MountPlan) {
        let pod = &plan.pod;
        for warning in &plan.warnings {
            let key = format!("{}/{}: {warning}", pod.namespace, pod.class);
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if told.put(key, ()).is_none() {
                tracing::warn!("{warning}");
            }
        }
    }
}
