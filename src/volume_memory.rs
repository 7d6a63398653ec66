//! The memory of live volumes.
//!
//! With `--file-writer=provider` the pages of every volume's tmpfs are charged to this process's container, as long as
//! the volume is mounted. They are shared out by tenant. A volume above its tenant's share is refused and not queued:
//! nothing says when memory becomes free.
//!
//! The pages outlive a restart of the container, so a record of each volume is kept in a directory that does so too
//! (an `emptyDir`). A new pod has a new cgroup, which is not charged for the volumes of its predecessor, and a new
//! `emptyDir`.

mod records;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use crate::deliver::{DeliverError, VolumeFile, is_volume};
use crate::fair::{FairQueue, Permit};
use crate::lock::LockUnpoisoned;
use crate::tenant::Tenant;
use records::{VolumeRecord, VolumeRecords};

/// tmpfs holds whole pages.
const PAGE: u64 = 4096;
/// What the kernel holds for a file besides its pages: its inode and its directory entries.
const INODE: u64 = 1024;
/// Volumes that are remembered before unmounted ones are looked for.
const FIRST_SWEEP: usize = 64;

/// The memory of live volumes.
#[derive(Debug)]
pub struct VolumeMemory {
    queue: FairQueue,
    limit: u64,
    state: Mutex<ChargedVolumes>,
    records: Option<VolumeRecords>,
}

#[derive(Debug)]
struct ChargedVolumes {
    volumes: HashMap<PathBuf, ChargedVolume>,
    /// At how many volumes unmounted ones are looked for.
    next_sweep: usize,
}

#[derive(Debug)]
struct ChargedVolume {
    tenant: Tenant,
    permit: Permit,
    /// The bytes in its record.
    recorded: u64,
}

/// The memory of a volume that is being written. Dropped, it is what it was before.
#[derive(Debug)]
pub(crate) struct Charge<'a> {
    memory: &'a VolumeMemory,
    target: &'a Path,
    /// Bytes before, and 0 for a new volume.
    before: u64,
}

impl VolumeMemory {
    /// At most `limit` bytes. Records are kept in `folder`, if there is one.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn open(limit: u64, folder: Option<PathBuf>) -> std::io::Result<Self> {
        let records = folder.map(VolumeRecords::new);
        let state = ChargedVolumes { volumes: HashMap::new(), next_sweep: FIRST_SWEEP };
        let memory = Self { queue: FairQueue::new(0, limit), limit, state: Mutex::new(state), records };
        memory.restore()?;
        Ok(memory)
    }

    /// Bytes in live volumes.
    pub fn bytes(&self) -> u64 {
        let mut state = self.state();
        self.sweep(&mut state);
        self.queue.used()
    }

    /// Charges `files` of a volume to `tenant`. Blocks: looks at directories.
    ///
    /// # Errors
    /// [`DeliverError::VolumeMemory`] if the tenant would exceed its share.
    pub(crate) fn charge<'a>(
        &'a self,
        tenant: &Tenant,
        target: &'a Path,
        files: &[VolumeFile],
    ) -> Result<Charge<'a>, DeliverError> {
        let cost = cost(files);
        let mut state = self.state();
        if state.volumes.len() >= state.next_sweep {
            self.sweep(&mut state);
        }
        let before = self.admit(&mut state, tenant, target, cost).or_else(|| {
            self.sweep(&mut state);
            self.admit(&mut state, tenant, target, cost)
        });
        let before = before.ok_or_else(|| DeliverError::VolumeMemory {
            namespace: tenant.namespace().to_owned(),
            bytes: cost,
            held: self.queue.used_by(tenant),
            used: self.queue.used(),
            limit: self.limit,
        })?;
        Ok(Charge { memory: self, target, before })
    }

    /// Charges at least `cost` bytes to the volume, and returns what was charged before.
    fn admit(&self, state: &mut ChargedVolumes, tenant: &Tenant, target: &Path, cost: u64) -> Option<u64> {
        match state.volumes.get_mut(target) {
            Some(volume) if volume.tenant == *tenant => {
                let before = volume.permit.cost();
                (cost <= before || volume.permit.try_resize(cost)).then_some(before)
            }
            // A path has its pod's unique id in it, so this is a volume that is gone.
            _ => {
                state.volumes.remove(target);
                let permit = self.queue.try_acquire(tenant, cost)?;
                state
                    .volumes
                    .insert(target.to_owned(), ChargedVolume { tenant: tenant.clone(), permit, recorded: 0 });
                Some(0)
            }
        }
    }

    /// Forgets volumes that are not mounted any more.
    fn sweep(&self, state: &mut ChargedVolumes) {
        state.volumes.retain(|target, _| {
            let is_live = is_volume(target);
            if let Some(records) = self.records.as_ref().filter(|_| !is_live) {
                records.remove(target);
            }
            is_live
        });
        state.next_sweep = (2 * state.volumes.len()).max(FIRST_SWEEP);
    }

    /// Charges the volumes that an earlier container of the pod wrote and that are still mounted.
    fn restore(&self) -> std::io::Result<()> {
        let Some(records) = &self.records else { return Ok(()) };
        let mut state = self.state();
        for VolumeRecord { target, namespace, bytes } in records.read_all()? {
            if !is_volume(&target) {
                records.remove(&target);
                continue;
            }
            let tenant = Tenant::new(&namespace);
            // Also beyond the limit: the memory is used.
            let permit = self.queue.charge(&tenant, bytes);
            state.volumes.insert(target, ChargedVolume { tenant, permit, recorded: bytes });
        }
        Ok(())
    }

    /// Charges the volume `bytes`, of which at least as many are charged already.
    fn settle(&self, target: &Path, bytes: u64) {
        let mut state = self.state();
        if bytes == 0 {
            state.volumes.remove(target);
        }
        let Some(volume) = state.volumes.get_mut(target) else { return };
        volume.permit.try_resize(bytes);
        if std::mem::replace(&mut volume.recorded, bytes) == bytes {
            return;
        }
        let namespace = volume.tenant.namespace().to_owned();
        drop(state);
        if let Some(records) = &self.records {
            records.write(&VolumeRecord { target: target.to_owned(), namespace, bytes });
        }
    }

    fn state(&self) -> MutexGuard<'_, ChargedVolumes> {
        self.state.lock_unpoisoned()
    }
}

impl Charge<'_> {
    /// The volume holds `files` now.
    pub(crate) fn keep(mut self, files: &[VolumeFile]) {
        self.before = cost(files);
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.memory.settle(self.target, self.before);
    }
}

/// Bytes of memory that `files` take in a tmpfs.
fn cost(files: &[VolumeFile]) -> u64 {
    let file = |file: &VolumeFile| (file.contents.expose().len() as u64).next_multiple_of(PAGE) + INODE;
    files.iter().map(file).sum::<u64>() + INODE
}
