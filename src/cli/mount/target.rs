//! The directory that gets the files.

use std::fmt;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::geteuid;

use super::message::Message;

/// A directory of a tmpfs, or the place of one that is still to be made there.
#[derive(Clone, Debug)]
pub(super) struct Target {
    path: PathBuf,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Found,
    Missing,
    Made,
}

impl Target {
    /// Checks `directory` before any secret is fetched.
    ///
    /// # Errors
    /// If it is not on a tmpfs, or another user could read or change its files.
    pub(super) fn find(directory: &Path) -> Result<Self, Message> {
        let (path, state) = match directory.canonicalize() {
            Ok(path) => (path, State::Found),
            Err(error) if error.kind() == ErrorKind::NotFound => (location(directory)?, State::Missing),
            Err(error) => return Err(wrong(directory, format!("it cannot be used: {error}")).help(CHOOSE)),
        };
        if path.to_str().is_none() {
            return Err(wrong(directory, "it is not UTF-8").help(CHOOSE));
        }
        let there = if state == State::Missing { path.parent().unwrap_or(&path) } else { &path };
        if !there.is_dir() {
            return Err(wrong(directory, format!("{} is not a directory", there.display())).help(CHOOSE));
        }
        let system = statfs(there).map_err(|error| {
            wrong(directory, format!("its file system cannot be examined: {error}")).help(CHOOSE)
        })?;
        if system.filesystem_type() != TMPFS_MAGIC {
            return Err(wrong(directory, "it is not on a tmpfs, and secrets must not reach a disk").help(
                format!(
                    "{CHOOSE}, or mount a tmpfs (mount -t tmpfs -o size=32m,mode=0700 tmpfs {})",
                    there.display()
                ),
            ));
        }
        if state == State::Found {
            check_owner(&path, directory)?;
        }
        Ok(Self { path, state })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory if it was missing, for its owner alone.
    pub(super) fn make(&mut self) -> Result<(), Message> {
        if self.state == State::Missing {
            DirBuilder::new().mode(0o700).create(&self.path).map_err(|error| {
                wrong(&self.path, format!("the directory cannot be made: {error}")).help(CHOOSE)
            })?;
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

/// How to fix most targets.
pub(super) const CHOOSE: &str = "choose a directory in /dev/shm or /run";

fn wrong(directory: &Path, problem: impl Into<String>) -> Message {
    Message::error(format!("--target={}", directory.display()), problem)
}

/// Where a directory would be that is not there.
fn location(directory: &Path) -> Result<PathBuf, Message> {
    let absolute = std::path::absolute(directory)
        .map_err(|error| wrong(directory, format!("it cannot be used: {error}")).help(CHOOSE))?;
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(wrong(directory, "it names no directory").help(CHOOSE));
    };
    let real = parent.canonicalize().map_err(|error| {
        let problem = format!("{} cannot be used: {error}", parent.display());
        wrong(directory, problem).help(format!(
            "only the last directory of a path is made; make the others (mkdir -p {})",
            parent.display()
        ))
    })?;
    Ok(real.join(name))
}

/// In a directory like `/dev/shm`, any user can create it first and wait for secrets.
fn check_owner(path: &Path, directory: &Path) -> Result<(), Message> {
    const STICKY: u32 = 0o1000;
    const OTHERS_WRITE: u32 = 0o022;
    let metadata = path
        .metadata()
        .map_err(|error| wrong(directory, format!("it cannot be used: {error}")).help(CHOOSE))?;
    let (owner, mode, own) = (metadata.uid(), metadata.mode() & 0o7777, geteuid().as_raw());
    if owner != own && owner != 0 {
        let problem = format!("it belongs to user {owner}, who could read or change what is written there");
        let help = format!("choose another directory, or run this as user {owner}");
        return Err(wrong(directory, problem).help(help));
    }
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        let problem = format!("it has mode {mode:04o}: others could change what is written there");
        let help = format!(
            "take that from them (chmod go-w {}), or choose a directory that is missing, to have it made",
            path.display()
        );
        return Err(wrong(directory, problem).help(help));
    }
    Ok(())
}
