//! The sources of a mount's objects.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::lock::LockUnpoisoned;
use crate::telemetry::{Source, SourceCounts};

/// The sources of a mount's objects, and the reason for a warning about them.
#[derive(Debug, Default)]
pub(super) struct Provenance(Mutex<ProvenanceState>);

#[derive(Clone, Debug, Default)]
struct ProvenanceState {
    sources: SourceCounts,
    /// Age of the oldest stale value.
    oldest: Duration,
    /// Why the first fallback was used.
    reason: String,
}

impl Provenance {
    /// Counts a source.
    pub(super) fn record_source(&self, source: Source) {
        self.state().sources.add(source);
    }

    /// Records the use of a fallback: its reason, and the age of its value.
    pub(super) fn record_fallback(&self, age: Duration, reason: &dyn ToString) {
        let mut state = self.state();
        state.oldest = state.oldest.max(age);
        if state.reason.is_empty() {
            state.reason = reason.to_string();
        }
    }

    pub(super) fn sources(&self) -> SourceCounts {
        self.state().sources
    }

    /// Logs one warning for the mount if it used a fallback.
    pub(super) fn warn(&self) {
        let ProvenanceState { sources, oldest, reason } = self.state().clone();
        let (stale, replica) = (sources.count(Source::Stale), sources.count(Source::Replica));
        if stale + replica > 0 {
            let oldest_seconds = oldest.as_secs();
            tracing::warn!(stale, oldest_seconds, replica, "stale or replica values served: {reason}");
        }
    }

    fn state(&self) -> MutexGuard<'_, ProvenanceState> {
        self.0.lock_unpoisoned()
    }
}
