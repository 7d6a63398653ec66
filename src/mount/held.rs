//! What one mount holds in memory, and what is worth telling of how it came.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::MountError;

/// A mount that holds more than this waits until few others do.
const LARGE: usize = 256 << 10;
/// Mounts that may be large at the same time.
pub const LARGE_MOUNTS: usize = 2;

/// What one mount holds in memory. All that many hold together is bounded: each may have a little, and
/// few have more at a time.
pub(super) struct Held {
    bytes: AtomicUsize,
    large: Arc<Semaphore>,
    place: OnceCell<OwnedSemaphorePermit>,
    instead: Mutex<Instead>,
}

/// What was served instead of what the vault has now.
#[derive(Clone, Debug, Default)]
pub(super) struct Instead {
    /// Objects that were fetched earlier.
    pub(super) stale: usize,
    /// How long ago, at most.
    pub(super) oldest: Duration,
    /// Objects of the failover vault.
    pub(super) failover: usize,
    /// Why the first of them.
    pub(super) reason: String,
}

impl Held {
    pub(super) fn new(large: Arc<Semaphore>) -> Self {
        Self { bytes: AtomicUsize::new(0), large, place: OnceCell::new(), instead: Mutex::default() }
    }

    /// Counts `more` bytes, and returns how many there are once the mount may hold so many.
    pub(super) async fn add(&self, more: usize) -> Result<usize, MountError> {
        let bytes = self.bytes.fetch_add(more, Ordering::Relaxed) + more;
        if bytes > LARGE {
            let place = self.place.get_or_try_init(|| Arc::clone(&self.large).acquire_owned());
            place.await.map_err(|_| MountError::Defect)?;
        }
        Ok(bytes)
    }

    /// Notes an object that was fetched `age` ago.
    pub(super) fn stale(&self, age: Duration, reason: &dyn ToString) {
        self.note(reason, |instead| {
            instead.stale += 1;
            instead.oldest = instead.oldest.max(age);
        });
    }

    /// Notes an object of the failover vault.
    pub(super) fn failover(&self, reason: &dyn ToString) {
        self.note(reason, |instead| instead.failover += 1);
    }

    fn note(&self, reason: &dyn ToString, note: impl FnOnce(&mut Instead)) {
        let mut instead = self.instead.lock().unwrap_or_else(PoisonError::into_inner);
        if instead.reason.is_empty() {
            instead.reason = reason.to_string();
        }
        note(&mut instead);
    }

    /// The one warning of the mount, if something was served instead.
    pub(super) fn warn(&self) {
        let Instead { stale, oldest, failover, reason } =
            self.instead.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if stale + failover > 0 {
            let oldest_seconds = oldest.as_secs();
            tracing::warn!(stale, oldest_seconds, failover, "served from elsewhere than the vault: {reason}");
        }
    }
}
