//! Warnings, once per `SecretProviderClass`.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use crate::bounded::bounded;
use crate::plan::Pod;

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
    /// Logs the warnings that the pod's class has not been told.
    pub(super) fn tell(&self, pod: &Pod, warnings: &[impl Display]) {
        for warning in warnings {
            let key = format!("{}/{}: {warning}", pod.namespace, pod.class);
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if told.put(key, ()).is_none() {
                tracing::warn!("{warning}");
            }
        }
    }
}
