//! The directory that gets the files.

use std::fmt;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::geteuid;

/// A directory of a tmpfs, or the place of one that is still to be made there.
pub(super) struct Target {
    path: PathBuf,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Found,
    Missing,
    Made,
}

impl Target {
    /// Looks at `directory`, before anybody is asked for secrets that could not be written there.
    ///
    /// # Errors
    /// If it is not on a tmpfs, or somebody else could read or change what is written there.
    pub(super) fn find(directory: &Path) -> anyhow::Result<Self> {
        let shown = directory.display();
        let (path, state) = match directory.canonicalize() {
            Ok(path) => (path, State::Found),
            Err(error) if error.kind() == ErrorKind::NotFound => (location(directory)?, State::Missing),
            Err(error) => return Err(error).with_context(|| format!("--target={shown} cannot be used")),
        };
        let there = if state == State::Missing { path.parent().unwrap_or(&path) } else { &path };
        if !there.is_dir() {
            bail!("--target={shown}: {} is not a directory; choose another", there.display());
        }
        let system =
            statfs(there).with_context(|| format!("--target={shown}: cannot look at its file system"))?;
        if system.filesystem_type() != TMPFS_MAGIC {
            bail!(
                "--target={shown} is not on a tmpfs, and secrets must not reach a disk; choose a directory in /dev/shm or /run, or mount a tmpfs (mount -t tmpfs -o size=32m,mode=0700 tmpfs DIR)"
            );
        }
        if state == State::Found {
            check_owner(&path)?;
        }
        Ok(Self { path, state })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory if it was missing, for its owner alone.
    pub(super) fn make(&mut self) -> anyhow::Result<()> {
        if self.state == State::Missing {
            DirBuilder::new()
                .mode(0o700)
                .create(&self.path)
                .with_context(|| format!("cannot make the directory {}", self.path.display()))?;
            self.state = State::Made;
        }
        Ok(())
    }

    /// Takes away again what [`Self::make`] made, if it is still empty.
    pub(super) fn unmake(&self) {
        if self.state == State::Made {
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.state {
            State::Missing => write!(f, "{path}, which is made with mode 0700"),
            State::Found | State::Made => write!(f, "{path}"),
        }
    }
}

/// Where a directory would be that is not there.
fn location(directory: &Path) -> anyhow::Result<PathBuf> {
    let shown = directory.display();
    let absolute = std::path::absolute(directory)?;
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        bail!("--target={shown} names no directory");
    };
    let parent = parent.canonicalize().with_context(|| {
        format!(
            "--target={shown}: {} cannot be used; only the last directory of a path is made",
            parent.display()
        )
    })?;
    Ok(parent.join(name))
}

/// In a directory like `/dev/shm` anybody can make one first and wait for secrets.
fn check_owner(path: &Path) -> anyhow::Result<()> {
    const STICKY: u32 = 0o1000;
    const OTHERS_WRITE: u32 = 0o022;
    let (shown, metadata) = (path.display(), path.metadata()?);
    let (owner, mode, own) = (metadata.uid(), metadata.mode() & 0o7777, geteuid().as_raw());
    if owner != own && owner != 0 {
        bail!(
            "--target={shown} belongs to user {owner}, who could read or change what is written there; choose another directory, or run this as that user"
        );
    }
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        bail!(
            "--target={shown} has mode {mode:04o}: others could change what is written there; take that from them (chmod go-w), or choose a directory that is missing, to have it made"
        );
    }
    Ok(())
}
