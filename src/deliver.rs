//! Delivers the files to the volume: in the response, for the driver to write, or by writing them into the volume.

mod directory;
mod targets;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use prost::Message;

pub use targets::Targets;
pub(crate) use targets::is_volume;
pub(crate) use write::write_admitted;
pub use write::{Outcome, write};

use crate::code::Code;
use crate::plan::{FileMode, RelativePath};
use crate::proto::{MountResponse, ObjectVersion};
use crate::secret::SecretBytes;

/// The process that writes the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileWriter {
    /// The driver writes the files in the response.
    Driver,
    /// The provider writes the files into the volume's tmpfs.
    Provider,
}

/// One file of a volume.
#[derive(Clone, Debug)]
pub struct VolumeFile {
    /// The path, relative to the mount.
    pub path: RelativePath,
    /// The permission bits.
    pub mode: FileMode,
    /// The contents.
    pub contents: SecretBytes,
}

/// An error of the delivery.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The response is larger than the driver accepts.
    #[error(
        "the response has {size} bytes, and the driver accepts {limit}: raise the driver's --max-call-recv-msg-size together with the provider's --max-response-bytes, or run the provider with --file-writer=provider"
    )]
    TooLarge {
        /// Size of the encoded response in bytes.
        size: usize,
        /// `--max-response-bytes`.
        limit: usize,
    },
    /// The target is not a mounted tmpfs.
    #[error("target_path {}: {problem}; the driver must mount a tmpfs there", .target.display())]
    Target {
        /// The volume's directory.
        target: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The volume contains a file or directory that no volume writer created.
    #[error("{path} in {} is {what} that no volume writer created; remove it", .target.display())]
    ForeignEntry {
        /// The volume's directory.
        target: PathBuf,
        /// The name of the entry.
        path: String,
        /// The kind of the entry.
        what: &'static str,
    },
    /// A write failed. The volume's existing files are untouched.
    #[error("cannot {action} in {}: {error}; the existing files are untouched", .target.display())]
    Io {
        /// The volume's directory.
        target: PathBuf,
        /// The action that failed.
        action: &'static str,
        /// The error of the system.
        error: nix::Error,
    },
    /// Another mount of the same target was still writing at this mount's deadline.
    #[error("another mount is still writing into {}; the existing files are untouched", .0.display())]
    Busy(PathBuf),
    /// The volume was unmounted during the write.
    #[error("the volume at {} was unmounted while it was being written; mount it again", .0.display())]
    Unmounted(PathBuf),
    /// The namespace's share of the volume memory is exceeded.
    #[error(
        "volume memory of namespace {namespace} exceeded: this volume takes {bytes} bytes, and the namespace's other volumes on this node hold {held}; all volumes hold {used} of --volume-memory-bytes={limit}. Use smaller or fewer volumes, or ask the operator to raise --volume-memory-bytes together with the container's memory limit, or to use --file-writer=driver"
    )]
    VolumeMemory {
        /// The namespace.
        namespace: String,
        /// Bytes of this volume.
        bytes: u64,
        /// Bytes of the namespace's other volumes.
        held: u64,
        /// Bytes of all volumes.
        used: u64,
        /// `--volume-memory-bytes`.
        limit: u64,
    },
    /// The files are larger than a volume may be.
    #[error("the objects have more than {limit} bytes in total; split them into several classes and volumes")]
    TooMuch {
        /// The limit.
        limit: usize,
    },
    /// A file's path is also a folder of another file.
    #[error(
        "{path:?} is inside {file:?}, which is also a file (--write-cert-and-key-in-separate-files adds .crt and .key); change one objectAlias"
    )]
    InsideFile {
        /// The path inside the file.
        path: String,
        /// The file.
        file: String,
    },
    /// The caller cancelled the mount, or its deadline was exceeded, before the new files were in place.
    #[error("mount deadline exceeded or mount cancelled; the existing files are untouched")]
    Cancelled,
    /// A bug in the writer, whose details are in the log.
    #[error("the provider has a bug: see its log for details, and please report it")]
    Defect,
}

impl DeliverError {
    /// The gRPC code of the mount.
    pub fn code(&self) -> Code {
        match self {
            Self::Target { .. }
            | Self::ForeignEntry { .. }
            | Self::TooMuch { .. }
            | Self::InsideFile { .. } => Code::InvalidArgument,
            Self::TooLarge { .. }
            | Self::VolumeMemory { .. }
            | Self::Io { .. }
            | Self::Busy(_)
            | Self::Unmounted(_)
            | Self::Cancelled
            | Self::Defect => Code::Internal,
        }
    }
}

/// Creates the response from which the driver writes the files.
///
/// # Errors
/// [`DeliverError::TooLarge`] if the driver would not accept it.
pub fn respond(
    files: Vec<VolumeFile>,
    versions: Vec<ObjectVersion>,
    limit: usize,
) -> Result<MountResponse, DeliverError> {
    let files = files.into_iter().map(|file| crate::proto::File {
        path: file.path.to_string(),
        mode: i32::from(file.mode.bits()),
        contents: file.contents.into_exposed(),
    });
    let response = MountResponse { object_version: versions, error: None, files: files.collect() };
    let size = response.encoded_len();
    if size > limit { Err(DeliverError::TooLarge { size, limit }) } else { Ok(response) }
}

/// Keeps one file for each path: the last one, like the driver.
///
/// # Errors
/// [`DeliverError::InsideFile`] if a file's path is also a folder of another file. The plan has already checked the paths
/// in the class; this also checks the `.crt` and `.key` files of certificates, which are known only after fetching.
pub(crate) fn distinct(files: Vec<VolumeFile>) -> Result<Vec<VolumeFile>, DeliverError> {
    let files = last_wins(files);
    let paths = files.iter().map(|file| file.path.as_str()).collect::<HashSet<_>>();
    for path in &paths {
        let folders = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
        for folder in folders {
            if paths.contains(folder) {
                return Err(DeliverError::InsideFile { path: (*path).to_owned(), file: folder.to_owned() });
            }
        }
    }
    Ok(files)
}

fn last_wins(files: Vec<VolumeFile>) -> Vec<VolumeFile> {
    let mut kept: Vec<VolumeFile> = Vec::with_capacity(files.len());
    let mut indices = HashMap::with_capacity(files.len());
    for file in files {
        match indices.get(&file.path).and_then(|index: &usize| kept.get_mut(*index)) {
            Some(earlier) => *earlier = file,
            None => {
                indices.insert(file.path.clone(), kept.len());
                kept.push(file);
            }
        }
    }
    kept
}

/// Converts the error of an action that failed in `target`.
fn io(target: &Path, action: &'static str) -> impl Fn(nix::Error) -> DeliverError {
    move |error| match error {
        nix::Error::ECANCELED => DeliverError::Cancelled,
        error => DeliverError::Io { target: target.to_owned(), action, error },
    }
}
