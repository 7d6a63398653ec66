//! The policy's file, which is reloaded when it changes.
//!
//! Every mount checks whether the file has changed, which costs one system call. There is no timer. When a `ConfigMap`
//! changes, kubelet swaps a symbolic link above the file, so the path leads to a different file.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;
use tokio::sync::Mutex;

use super::denial::PolicyDenied;
use super::rules::{InvalidPolicy, Policy};
use crate::plan::MountPlan;
use crate::telemetry::Metrics;

/// Maximum size of the file in bytes: the maximum size of a `ConfigMap`.
const MAX_SIZE: u64 = 1 << 20;

/// A policy that is loaded from a file, and reloaded when the file changes.
#[derive(Debug)]
pub struct PolicyFile {
    path: PathBuf,
    metrics: Arc<Metrics>,
    loaded: Mutex<LoadedPolicy>,
}

#[derive(Debug)]
struct LoadedPolicy {
    /// The policy in force.
    policy: Arc<Policy>,
    /// The state of the file when it was last read, whether it was valid or not.
    file_state: FileState,
}

/// The stamp of a file, or the reason why there is none.
type FileState = Result<FileStamp, io::ErrorKind>;

/// Metadata that changes whenever the file changes. Every change of the contents updates the ctime, which, unlike the
/// mtime, cannot be set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// An error for a file that cannot be loaded as a policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// The file cannot be read.
    #[error("cannot read the policy {}: {error}; --policy-file must name a YAML file that the provider can read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// The file is not a valid policy.
    #[error("the policy {} is invalid: {error}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The first mistake.
        error: InvalidPolicy,
    },
}

impl PolicyFile {
    /// Loads the policy from `path`.
    ///
    /// # Errors
    /// If the file cannot be read or is invalid.
    pub fn open(path: PathBuf, metrics: Arc<Metrics>) -> Result<Self, PolicyFileError> {
        let (opened, read) = read(&path);
        let policy = Arc::new(read?);
        let loaded = LoadedPolicy { policy, file_state: opened.ok_or(io::ErrorKind::NotFound) };
        metrics.policy_read(true);
        Ok(Self { path, metrics, loaded: Mutex::new(loaded) })
    }

    /// Checks whether the pod may mount all objects that its plan may read.
    ///
    /// # Errors
    /// [`PolicyDenied`] lists all objects that are not allowed.
    pub async fn check(&self, plan: &MountPlan) -> Result<(), PolicyDenied> {
        let policy = self.current().await;
        policy.check(plan).map_err(|denial| PolicyDenied { file: self.path.clone(), denial })
    }

    /// The policy in the file or, if the file is invalid, the last valid policy.
    async fn current(&self) -> Arc<Policy> {
        let found = tokio::fs::metadata(&self.path).await;
        let found = found.map(|metadata| FileStamp::of(&metadata)).map_err(|error| error.kind());
        let mut loaded = self.loaded.lock().await;
        if loaded.file_state != found {
            self.reload(&mut loaded, found).await;
        }
        Arc::clone(&loaded.policy)
    }

    /// Reloads the file. Each state of the file is read and logged once.
    async fn reload(&self, loaded: &mut LoadedPolicy, found: FileState) {
        let path = self.path.clone();
        // On an error, the process is shutting down or the task has panicked; the next mount tries again.
        let Ok((opened, read)) = tokio::task::spawn_blocking(move || read(&path)).await else { return };
        loaded.file_state = opened.map_or(found, Ok);
        self.metrics.policy_read(read.is_ok());
        match read {
            Ok(policy) => {
                tracing::info!(file = %self.path.display(), "policy reloaded");
                loaded.policy = Arc::new(policy);
            }
            Err(error) => tracing::error!("{error}; the previous policy stays in force"),
        }
    }
}

/// The file's stamp, if it could be opened, and its policy.
fn read(path: &Path) -> (Option<FileStamp>, Result<Policy, PolicyFileError>) {
    let unreadable = |error| PolicyFileError::Unreadable { path: path.to_owned(), error };
    // Do not block on a named pipe without a writer.
    let opened = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let (file, metadata) = match opened.and_then(|file| file.metadata().map(|metadata| (file, metadata))) {
        Ok(opened) => opened,
        Err(error) => return (None, Err(unreadable(error))),
    };
    let policy = text(file, &metadata).map_err(unreadable).and_then(|yaml| {
        Policy::parse(&yaml).map_err(|error| PolicyFileError::Invalid { path: path.to_owned(), error })
    });
    (Some(FileStamp::of(&metadata)), policy)
}

fn text(file: File, metadata: &Metadata) -> io::Result<String> {
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if metadata.size() > MAX_SIZE {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_SIZE).read_to_end(&mut bytes)?;
    crate::text::decode(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
