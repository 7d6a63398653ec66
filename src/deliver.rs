//! Bringing the files into the volume: in the response, for the driver to write, or written here.

mod folder;
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

/// Who writes the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileWriter {
    /// The driver, from the response.
    Driver,
    /// This process, into the volume's tmpfs.
    Provider,
}

/// One file of a volume.
#[derive(Clone, Debug)]
pub struct File {
    /// Where, below the mount.
    pub path: RelativePath,
    /// Its permission bits.
    pub mode: FileMode,
    /// Its bytes.
    pub contents: SecretBytes,
}

/// Why the files could not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// More than the driver accepts.
    #[error(
        "the response would have {size} bytes, and the driver accepts {limit}: raise its --max-call-recv-msg-size and this provider's --max-response-bytes together, or run this provider with --file-writer=provider"
    )]
    TooLarge {
        /// Bytes of the encoded response.
        size: usize,
        /// `--max-response-bytes`.
        limit: usize,
    },
    /// The target is not what a driver mounts.
    #[error("target_path {}: {problem}; the driver must have mounted a tmpfs there", .target.display())]
    Target {
        /// The volume's directory.
        target: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Something in the volume is in the way, and is not this program's to remove.
    #[error("{path} in {} is {what}, which no volume writer made; remove it", .target.display())]
    InTheWay {
        /// The volume's directory.
        target: PathBuf,
        /// The name that is taken.
        path: String,
        /// What is there.
        what: &'static str,
    },
    /// A write failed; what the volume held before is untouched.
    #[error("cannot {action} in {}: {error}; the files that were there are untouched", .target.display())]
    Io {
        /// The volume's directory.
        target: PathBuf,
        /// What was being done.
        action: &'static str,
        /// The system's word on it.
        error: nix::Error,
    },
    /// Another mount of the same target took all the time that there was.
    #[error("another mount is still writing into {}; the files that were there are untouched", .0.display())]
    Busy(PathBuf),
    /// What was written into is not there any more.
    #[error("the volume at {} was unmounted while it was written; it must be mounted again", .0.display())]
    Gone(PathBuf),
    /// More memory than the namespace's share.
    #[error(
        "the files of this volume take {bytes} bytes of memory, and the other volumes of namespace {namespace} on this node hold {held}: that is more than its share of --volume-memory-bytes={limit}, of which {used} are used; use smaller or fewer volumes, or ask the operator to raise --volume-memory-bytes together with the container's memory limit, or to use --file-writer=driver"
    )]
    VolumeMemory {
        /// The namespace.
        namespace: String,
        /// What the volume would hold.
        bytes: u64,
        /// What the namespace holds.
        held: u64,
        /// What all namespaces hold.
        used: u64,
        /// The limit for all.
        limit: u64,
    },
    /// More than a volume may hold.
    #[error("the objects have more than {limit} bytes in all; split them into several classes and volumes")]
    TooMuch {
        /// The limit.
        limit: usize,
    },
    /// A file would have to be a folder, too.
    #[error(
        "{path:?} lies inside {file:?}, which is a file too (--write-cert-and-key-in-separate-files adds .crt and .key); change one objectAlias"
    )]
    InsideFile {
        /// The path that cannot be.
        path: String,
        /// The file on its way.
        file: String,
    },
    /// The caller went away, or its time was up, before the new files were in place.
    #[error("the mount was not done in time; the files that were there are untouched")]
    Cancelled,
    /// A bug in the writer, whose details are in the log.
    #[error("the provider has a bug: see its log for details, and please report it")]
    Defect,
}

impl DeliverError {
    /// The mount's code.
    pub fn code(&self) -> Code {
        match self {
            Self::Target { .. } | Self::InTheWay { .. } | Self::TooMuch { .. } | Self::InsideFile { .. } => {
                Code::InvalidArgument
            }
            Self::TooLarge { .. }
            | Self::VolumeMemory { .. }
            | Self::Io { .. }
            | Self::Busy(_)
            | Self::Gone(_)
            | Self::Cancelled
            | Self::Defect => Code::Internal,
        }
    }
}

/// The response with which the driver writes the files.
///
/// # Errors
/// [`DeliverError::TooLarge`] if the driver would not accept it.
pub fn respond(
    files: Vec<File>,
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

/// One file for each path: the last of equal ones, as the driver has it.
///
/// # Errors
/// [`DeliverError::InsideFile`] where a path leads through another's file. The plan has found those
/// that the class spells out; a certificate's `.crt` and `.key` are known only now.
pub(crate) fn distinct(files: Vec<File>) -> Result<Vec<File>, DeliverError> {
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

fn last_wins(files: Vec<File>) -> Vec<File> {
    let mut kept: Vec<File> = Vec::with_capacity(files.len());
    let mut places = HashMap::with_capacity(files.len());
    for file in files {
        match places.get(&file.path).and_then(|place: &usize| kept.get_mut(*place)) {
            Some(earlier) => *earlier = file,
            None => {
                places.insert(file.path.clone(), kept.len());
                kept.push(file);
            }
        }
    }
    kept
}

/// The error of an action that failed in `target`.
fn io(target: &Path, action: &'static str) -> impl Fn(nix::Error) -> DeliverError {
    move |error| match error {
        nix::Error::ECANCELED => DeliverError::Cancelled,
        error => DeliverError::Io { target: target.to_owned(), action, error },
    }
}
