//! Where the objects of one mount came from.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::lock::LockUnpoisoned;
use crate::telemetry::{Source, SourceCounts};

/// Where the objects of one mount came from, and what of it is worth a warning.
#[derive(Debug, Default)]
pub(super) struct Provenance(Mutex<State>);

#[derive(Clone, Debug, Default)]
struct State {
    sources: SourceCounts,
    /// How long ago the oldest stale value was fetched.
    oldest: Duration,
    /// Why the first object came from elsewhere than its vault.
    reason: String,
}

impl Provenance {
    /// Notes where an object came from.
    pub(super) fn served(&self, source: Source) {
        self.state().sources.add(source);
    }

    /// Notes why an object came from elsewhere than its vault, and how long ago it was fetched.
    pub(super) fn fell_back(&self, age: Duration, reason: &dyn ToString) {
        let mut state = self.state();
        state.oldest = state.oldest.max(age);
        if state.reason.is_empty() {
            state.reason = reason.to_string();
        }
    }

    /// Where the objects came from so far.
    pub(super) fn sources(&self) -> SourceCounts {
        self.state().sources
    }

    /// Logs the one warning of the mount, if something was served that did not come from its vault.
    pub(super) fn warn(&self) {
        let State { sources, oldest, reason } = self.state().clone();
        let (stale, replica) = (sources.count(Source::Stale), sources.count(Source::Replica));
        if stale + replica > 0 {
            let oldest_seconds = oldest.as_secs();
            tracing::warn!(stale, oldest_seconds, replica, "served from elsewhere than the vault: {reason}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock_unpoisoned()
    }
}
