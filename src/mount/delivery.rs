//! Delivers the files of a mount into its volume.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::fetcher::VolumeLimit;
use crate::deliver::{self, DeliverError, FileWriter, Outcome, Targets, VolumeFile};
use crate::plan::MountPlan;
use crate::proto::{MountResponse, ObjectVersion};
use crate::retry::Deadline;
use crate::telemetry::milliseconds_since;
use crate::tenant::Tenant;
use crate::volume_memory::VolumeMemory;

/// Limit for the secrets of one volume with `--file-writer=provider`: a thousand of Key Vault's maximum size.
const LARGEST_VOLUME: usize = 32 << 20;

/// Delivers files into volumes.
#[derive(Debug)]
pub struct Delivery {
    /// Who writes the files.
    pub file_writer: FileWriter,
    /// The largest response that the driver accepts.
    pub max_response_bytes: usize,
    /// The memory of the provider's volumes, if it is limited.
    pub volume_memory: Option<Arc<VolumeMemory>>,
    /// The targets in use by writers.
    pub targets: Targets,
}

impl Delivery {
    /// Adds the files to the response, or writes them into the volume.
    pub(super) async fn deliver(
        &self,
        plan: &MountPlan,
        files: Vec<VolumeFile>,
        versions: Vec<ObjectVersion>,
        deadline: Deadline,
    ) -> Result<MountResponse, DeliverError> {
        match self.file_writer {
            FileWriter::Driver => deliver::respond(files, versions, self.max_response_bytes),
            FileWriter::Provider => {
                self.write(plan, files, deadline).await?;
                Ok(MountResponse { object_version: versions, error: None, files: Vec::new() })
            }
        }
    }

    /// Maximum bytes of a mount's objects; the stored form may be twice as large as the files.
    pub(super) fn largest_volume(&self) -> VolumeLimit {
        match self.file_writer {
            FileWriter::Driver => VolumeLimit {
                bytes: self.max_response_bytes.saturating_mul(2),
                response: Some(self.max_response_bytes),
            },
            FileWriter::Provider => VolumeLimit { bytes: LARGEST_VOLUME, response: None },
        }
    }

    /// Waits until no writer uses `target`: when this returns, the last file descriptor of a cancelled mount is closed.
    pub async fn settle(&self, target: &Path) {
        drop(self.targets.lock(target).await);
    }

    /// Writes the files and waits until they are written. If the caller disconnects, writing stops at the next file and
    /// releases the target.
    async fn write(
        &self,
        plan: &MountPlan,
        files: Vec<VolumeFile>,
        deadline: Deadline,
    ) -> Result<(), DeliverError> {
        let target = plan.target.as_path();
        let (started, count) = (Instant::now(), files.len());
        let held = deadline.limit(self.targets.lock(target)).await;
        let held = held.ok_or_else(|| DeliverError::Busy(target.to_owned()))?;
        let abandoned = Arc::new(AtomicBool::new(false));
        let on_drop = SetOnDrop(Arc::clone(&abandoned));
        let (path, memory) = (target.to_owned(), self.volume_memory.clone());
        let tenant = Tenant::new(&plan.pod.namespace);
        let written = tokio::task::spawn_blocking(move || {
            // Held until the last descriptor is closed, even if the mount was cancelled.
            let _held = held;
            let cancelled = || abandoned.load(Ordering::Relaxed) || deadline.left().is_zero();
            let charge = || memory.as_ref().map(|memory| memory.charge(&tenant, &path, &files)).transpose();
            let charged = deliver::write_admitted(&path, &files, &cancelled, charge)?;
            let outcome = if charged.is_some() { Outcome::Changed } else { Outcome::Unchanged };
            if let Some(charge) = charged.flatten() {
                charge.keep(&files);
            }
            Ok(outcome)
        })
        .await;
        drop(on_drop);
        match written {
            Ok(outcome) => outcome.map(|outcome| {
                let milliseconds = milliseconds_since(started);
                tracing::debug!(?outcome, files = count, milliseconds, "files written");
            }),
            Err(_) => Err(DeliverError::Defect),
        }
    }
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
