//! Locks that allow one writer per target.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::directory::Directory;
use super::{DeliverError, io};
use crate::lock::LockUnpoisoned;

/// The delay between attempts to take a lock that another process holds. A write takes some milliseconds.
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(5);

/// Locks by target. kubelet may repeat a call while an earlier, cancelled call still writes.
#[derive(Debug, Default)]
pub struct Targets(Mutex<HashMap<PathBuf, Weak<AsyncMutex<()>>>>);

impl Targets {
    /// Waits until no other mount in this process writes into `target`, and locks it until the guard is dropped.
    pub async fn lock(&self, target: &Path) -> OwnedMutexGuard<()> {
        let lock = {
            let mut targets = self.0.lock_unpoisoned();
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

/// Opens the tmpfs at `target` and locks it against other processes until it is closed. A process that drains may still
/// write when its successor mounts the same volume.
pub(super) fn open(target: &Path, cancelled: &dyn Fn() -> bool) -> Result<Directory, DeliverError> {
    let root = open_tmpfs(target)?;
    while !root.lock().map_err(io(target, "lock the directory"))? {
        // The wait is limited because a pod can hold this lock as well, and must harm only itself.
        if cancelled() {
            return Err(DeliverError::Busy(target.to_owned()));
        }
        std::thread::sleep(LOCK_RETRY_DELAY);
    }
    Ok(root)
}

/// Whether a tmpfs is mounted at `target`. Keeps no descriptor open there because that would make an unmount fail.
pub(crate) fn is_volume(target: &Path) -> bool {
    statfs(target).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC)
}

fn open_tmpfs(target: &Path) -> Result<Directory, DeliverError> {
    let wrong = |problem: String| DeliverError::Target { target: target.to_owned(), problem };
    let root = Directory::open(target).map_err(|error| match error {
        Errno::ENOTDIR | Errno::ELOOP => wrong("it is not a directory".to_owned()),
        error => wrong(error.desc().to_owned()),
    })?;
    match root.is_tmpfs() {
        Ok(true) => Ok(root),
        Ok(false) => Err(wrong("it is not a tmpfs, and secrets must not be written to a disk".to_owned())),
        Err(error) => Err(wrong(error.desc().to_owned())),
    }
}
