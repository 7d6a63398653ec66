//! File operations relative to an open directory. None of them follows a symbolic link.

use std::ffi::{CString, OsStr, OsString};
use std::fs::TryLockError;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::Result;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, lstat, mkdirat};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use crate::plan::FileMode;
use crate::secret::SecretBytes;

/// An open directory.
pub(super) struct Directory(OwnedFd);

/// The kind of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Directory,
    File,
    Link,
    Other,
}

const OPEN_DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// The mode of kubelet's directories: all users may enter them. Files have their own modes.
const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o755);

impl Directory {
    /// Opens the directory at an absolute path. Fails if the last element is a symbolic link.
    pub(super) fn open(path: &Path) -> Result<Self> {
        open(path, OPEN_DIRECTORY, Mode::empty()).map(Self)
    }

    /// Opens a directory in this one.
    pub(super) fn enter(&self, name: &OsStr) -> Result<Self> {
        openat(&self.0, name, OPEN_DIRECTORY, Mode::empty()).map(Self)
    }

    /// Creates and opens a directory in this one. Its mode is 0755, independent of the umask.
    pub(super) fn make(&self, name: &OsStr) -> Result<Self> {
        mkdirat(&self.0, name, Mode::S_IRWXU)?;
        let made = self.enter(name)?;
        fchmod(&made.0, DIRECTORY_MODE)?;
        Ok(made)
    }

    pub(super) fn is_tmpfs(&self) -> Result<bool> {
        Ok(fstatfs(self.0.as_fd())?.filesystem_type() == TMPFS_MAGIC)
    }

    /// Whether this directory is still at `path`; false if it was unmounted.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        match (fstat(&self.0), lstat(path)) {
            (Ok(own), Ok(there)) => (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino),
            _ => false,
        }
    }

    /// Locks this directory against other processes until it is closed. Returns `false` if another process holds the
    /// lock.
    pub(super) fn lock(&self) -> Result<bool> {
        // The lock belongs to the open file description, which the duplicate shares.
        let same = self.0.try_clone().map_err(|error| errno(&error))?;
        match std::fs::File::from(same).try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(errno(&error)),
        }
    }

    /// Creates a new file with exactly this mode, independent of the umask.
    pub(super) fn create(&self, name: &OsStr, mode: FileMode, contents: &[u8]) -> Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let descriptor = openat(&self.0, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let mut file = std::fs::File::from(descriptor);
        file.write_all(contents).map_err(|error| errno(&error))?;
        fchmod(&file, Mode::from_bits_truncate(mode.bits().into()))
    }

    /// Whether `name` is a regular file with this mode and these contents.
    pub(super) fn holds(&self, name: &OsStr, mode: FileMode, contents: &[u8]) -> Result<bool> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let descriptor = match openat(&self.0, name, flags, Mode::empty()) {
            Err(Errno::ENOENT | Errno::ELOOP) => return Ok(false),
            opened => opened?,
        };
        let stat = fstat(&descriptor)?;
        let same_size = u64::try_from(stat.st_size).is_ok_and(|size| size == contents.len() as u64);
        if kind(&stat) != EntryKind::File || stat.st_mode & 0o7777 != u32::from(mode.bits()) || !same_size {
            return Ok(false);
        }
        let mut bytes = Vec::with_capacity(contents.len());
        let read = std::fs::File::from(descriptor).read_to_end(&mut bytes);
        let bytes = SecretBytes::new(bytes);
        read.map_err(|error| errno(&error))?;
        Ok(bytes.expose() == contents)
    }

    /// The kind of the entry `name`; `None` if it does not exist.
    pub(super) fn kind(&self, name: &OsStr) -> Result<Option<EntryKind>> {
        match fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(kind(&stat))),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The target of the symbolic link `name`; `None` if it does not exist or is not a link.
    pub(super) fn link(&self, name: &OsStr) -> Result<Option<OsString>> {
        match readlinkat(&self.0, name) {
            Ok(target) => Ok(Some(target)),
            Err(Errno::ENOENT | Errno::EINVAL) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Atomically makes `name` a symbolic link to `to`, also if `name` exists. `temporary` is the link's name before it
    /// is renamed.
    pub(super) fn set_link(&self, name: &OsStr, to: &OsStr, temporary: &OsStr) -> Result<()> {
        self.remove_file(temporary)?;
        symlinkat(to, &self.0, temporary)?;
        renameat(&self.0, temporary, &self.0, name).inspect_err(|_| {
            let _ = self.remove_file(temporary);
        })
    }

    /// Removes a file or link if it exists.
    pub(super) fn remove_file(&self, name: &OsStr) -> Result<()> {
        match unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            done => done,
        }
    }

    /// Removes a directory and its contents if it exists.
    pub(super) fn remove_all(&self, name: &OsStr) -> Result<()> {
        let folder = match self.enter(name) {
            Err(Errno::ENOENT) => return Ok(()),
            opened => opened?,
        };
        for inner in folder.names()? {
            match folder.kind(&inner)? {
                Some(EntryKind::Directory) => folder.remove_all(&inner)?,
                Some(_) => folder.remove_file(&inner)?,
                None => {}
            }
        }
        drop(folder);
        unlinkat(&self.0, name, UnlinkatFlags::RemoveDir)
    }

    /// The names of the entries in this directory.
    pub(super) fn names(&self) -> Result<Vec<OsString>> {
        // Uses a separate descriptor because reading a directory moves the descriptor's position.
        let own = openat(&self.0, ".", OPEN_DIRECTORY, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::from_fd(own)?.iter() {
            let name = CString::from(entry?.file_name());
            if !matches!(name.as_bytes(), b"." | b"..") {
                names.push(OsStr::from_bytes(name.as_bytes()).to_owned());
            }
        }
        Ok(names)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn kind(stat: &FileStat) -> EntryKind {
    match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFDIR => EntryKind::Directory,
        SFlag::S_IFREG => EntryKind::File,
        SFlag::S_IFLNK => EntryKind::Link,
        _ => EntryKind::Other,
    }
}

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
