//! One writer per target at a time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::folder::Folder;
use super::{DeliverError, io};
use crate::lock::LockUnpoisoned;

/// How soon another process's lock is tried again; it writes for some milliseconds.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Locks by target: kubelet may ask again while an earlier call, given up, is still ending.
#[derive(Debug, Default)]
pub struct Targets(Mutex<HashMap<PathBuf, Weak<AsyncMutex<()>>>>);

impl Targets {
    /// Waits until nobody else writes into `target`, and holds it until the guard is dropped.
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

/// Opens the tmpfs at `target`, and keeps other processes from writing there until it is closed: one that
/// drains may still write when its successor is asked for the same volume.
pub(super) fn open(target: &Path, cancelled: &dyn Fn() -> bool) -> Result<Folder, DeliverError> {
    let root = open_tmpfs(target)?;
    while !root.lock().map_err(io(target, "lock the folder"))? {
        // Never a wait without an end: a pod can hold this lock, too, and must harm only itself.
        if cancelled() {
            return Err(DeliverError::Busy(target.to_owned()));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Ok(root)
}

/// Whether a tmpfs is mounted at `target`. Holds nothing open there: that would make an unmount fail.
pub(crate) fn is_volume(target: &Path) -> bool {
    statfs(target).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC)
}

fn open_tmpfs(target: &Path) -> Result<Folder, DeliverError> {
    let wrong = |problem: String| DeliverError::Target { target: target.to_owned(), problem };
    let root = Folder::open(target).map_err(|error| match error {
        Errno::ENOTDIR | Errno::ELOOP => wrong("it is not a directory, or a symbolic link".to_owned()),
        error => wrong(error.desc().to_owned()),
    })?;
    match root.is_tmpfs() {
        Ok(true) => Ok(root),
        Ok(false) => Err(wrong("it is not a tmpfs, and secrets must not reach a disk".to_owned())),
        Err(error) => Err(wrong(error.desc().to_owned())),
    }
}
