//! The policy's file, read again when it has changed.
//!
//! Every mount looks at the file, which costs one system call; nothing wakes while nothing is mounted. A
//! volume of a `ConfigMap` swaps a symbolic link above the file: then it is another file that is found.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;
use tokio::sync::Mutex;

use super::denial::Denied;
use super::rules::{Policy, WrongPolicy};
use crate::plan::MountPlan;
use crate::telemetry::Metrics;

/// As much as a `ConfigMap` can hold.
const LARGEST: u64 = 1 << 20;

/// The policy of a file.
#[derive(Debug)]
pub struct PolicyFile {
    path: PathBuf,
    metrics: Arc<Metrics>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// What is in force.
    policy: Arc<Policy>,
    /// The file that was read last, whether it was good or not.
    seen: Seen,
}

/// A file in the state that was found, or why none was.
type Seen = Result<Stamp, io::ErrorKind>;

/// What changes when a file does. The time of the last status change comes with every change of the
/// contents and, unlike the time of modification, cannot be set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Why a file is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// It cannot be read.
    #[error("the policy {} cannot be read: {error}; give a file of YAML that the provider can read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It can be read, and is no policy.
    #[error("the policy {}, {error}", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: WrongPolicy,
    },
}

impl PolicyFile {
    /// Reads the policy in `path`.
    ///
    /// # Errors
    /// If there is none, or it is wrong.
    pub fn open(path: PathBuf, metrics: Arc<Metrics>) -> Result<Self, PolicyFileError> {
        let (opened, read) = read(&path);
        let kept = Kept { policy: Arc::new(read?), seen: opened.ok_or(io::ErrorKind::NotFound) };
        metrics.policy_read(true);
        Ok(Self { path, metrics, kept: Mutex::new(kept) })
    }

    /// Whether the pod may mount everything that its plan might ask for.
    ///
    /// # Errors
    /// All that it may not.
    pub async fn check(&self, plan: &MountPlan) -> Result<(), Denied> {
        let policy = self.in_force().await;
        policy.check(plan).map_err(|denial| Denied { file: self.path.clone(), denial })
    }

    /// The policy as the file has it now or, if that is wrong, as it last had it.
    async fn in_force(&self) -> Arc<Policy> {
        let found = tokio::fs::metadata(&self.path).await;
        let found = found.map(|metadata| Stamp::of(&metadata)).map_err(|error| error.kind());
        let mut kept = self.kept.lock().await;
        if kept.seen != found {
            self.read_again(&mut kept, found).await;
        }
        Arc::clone(&kept.policy)
    }

    /// Each state of the file is read once, and told once.
    async fn read_again(&self, kept: &mut Kept, found: Seen) {
        let path = self.path.clone();
        // Without an answer the process ends, or the reading has a defect: the next mount tries again.
        let Ok((opened, read)) = tokio::task::spawn_blocking(move || read(&path)).await else { return };
        kept.seen = opened.map_or(found, Ok);
        self.metrics.policy_read(read.is_ok());
        match read {
            Ok(policy) => {
                tracing::info!(file = %self.path.display(), "the policy has changed, and is in force");
                kept.policy = Arc::new(policy);
            }
            Err(error) => tracing::error!("{error}; the policy of before stays in force"),
        }
    }
}

/// The file's state, if it could be opened, and its policy.
fn read(path: &Path) -> (Option<Stamp>, Result<Policy, PolicyFileError>) {
    let unreadable = |error| PolicyFileError::Unreadable { path: path.to_owned(), error };
    // A named pipe must not hold a thread.
    let opened = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let (file, metadata) = match opened.and_then(|file| file.metadata().map(|metadata| (file, metadata))) {
        Ok(opened) => opened,
        Err(error) => return (None, Err(unreadable(error))),
    };
    let policy = text(file, &metadata).map_err(unreadable).and_then(|yaml| {
        Policy::parse(&yaml).map_err(|error| PolicyFileError::Wrong { path: path.to_owned(), error })
    });
    (Some(Stamp::of(&metadata)), policy)
}

fn text(file: File, metadata: &Metadata) -> io::Result<String> {
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if metadata.size() > LARGEST {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    crate::text::decode(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
