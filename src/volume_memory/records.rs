//! Records of volumes, which survive a restart of the container.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// More volumes than a node has.
const MOST: usize = 4096;
const SUFFIX: &str = ".json";

/// What a volume takes, and whose it is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VolumeRecord {
    pub(super) target: PathBuf,
    pub(super) namespace: String,
    pub(super) bytes: u64,
}

/// A directory with one file for each volume.
#[derive(Debug)]
pub(super) struct VolumeRecords(PathBuf);

impl VolumeRecords {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Every record. A file that is not one is left out and removed.
    pub(super) fn read_all(&self) -> io::Result<Vec<VolumeRecord>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.0)?.take(MOST) {
            let path = entry?.path();
            let read =
                fs::read(&path).ok().and_then(|text| serde_json::from_slice::<VolumeRecord>(&text).ok());
            match read {
                Some(record) if path == self.path(&record.target) => records.push(record),
                _ if path.as_os_str().as_bytes().ends_with(SUFFIX.as_bytes()) => drop(fs::remove_file(&path)),
                _ => {}
            }
        }
        Ok(records)
    }

    /// Replaces the record of a volume. A record that cannot be written is missed after a restart only, so the mount
    /// goes on.
    pub(super) fn write(&self, record: &VolumeRecord) {
        let written = tempfile::NamedTempFile::new_in(&self.0).and_then(|file| {
            serde_json::to_writer(&file, record)?;
            file.persist(self.path(&record.target)).map_err(|error| error.error)
        });
        if let Err(error) = written {
            tracing::warn!(
                "cannot record a volume in {}: {error}; after a restart its memory is not counted",
                self.0.display()
            );
        }
    }

    pub(super) fn remove(&self, target: &Path) {
        let _ = fs::remove_file(self.path(target));
    }

    fn path(&self, target: &Path) -> PathBuf {
        let name = HEXLOWER.encode(&Sha256::digest(target.as_os_str().as_bytes()));
        self.0.join(name + SUFFIX)
    }
}
