//! What one mount holds in memory, and how it came.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::MountError;
use crate::telemetry::{Came, Served};

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
    tale: Mutex<Tale>,
}

/// How the objects came, and what is worth a warning of it.
#[derive(Clone, Debug, Default)]
struct Tale {
    came: Came,
    /// How long ago the oldest of those was fetched that are stale.
    oldest: Duration,
    /// Why the first object came from elsewhere than its vault.
    reason: String,
}

impl Held {
    pub(super) fn new(large: Arc<Semaphore>) -> Self {
        Self { bytes: AtomicUsize::new(0), large, place: OnceCell::new(), tale: Mutex::default() }
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

    /// Notes how an object came.
    pub(super) fn served(&self, by: Served) {
        self.tale().came.add(by);
    }

    /// Notes why an object came from elsewhere than its vault, and how long ago it was fetched.
    pub(super) fn instead(&self, age: Duration, reason: &dyn ToString) {
        let mut tale = self.tale();
        tale.oldest = tale.oldest.max(age);
        if tale.reason.is_empty() {
            tale.reason = reason.to_string();
        }
    }

    /// How the objects came so far.
    pub(super) fn came(&self) -> Came {
        self.tale().came
    }

    /// The one warning of the mount, if something was served instead.
    pub(super) fn warn(&self) {
        let Tale { came, oldest, reason } = self.tale().clone();
        let (stale, failover) = (came.count(Served::Stale), came.count(Served::Failover));
        if stale + failover > 0 {
            let oldest_seconds = oldest.as_secs();
            tracing::warn!(stale, oldest_seconds, failover, "served from elsewhere than the vault: {reason}");
        }
    }

    fn tale(&self) -> MutexGuard<'_, Tale> {
        self.tale.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
