//! One writer per target at a time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Locks by target: kubelet may ask again while an earlier call, given up, is still ending.
#[derive(Debug, Default)]
pub struct Targets(Mutex<HashMap<PathBuf, Weak<AsyncMutex<()>>>>);

impl Targets {
    /// Waits until nobody else writes into `target`, and holds it until the guard is dropped.
    pub async fn lock(&self, target: &Path) -> OwnedMutexGuard<()> {
        let lock = {
            let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            targets.retain(|_, lock| lock.strong_count() > 0);
            match targets.get(target).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::default();
                    targets.insert(target.to_owned(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}
