//! Writes a volume's files like kubelet's atomic writer.
//!
//! ```text
//! <target>/..2026_11_21_18_00_00.123456789/db-password   one generation
//! <target>/..data -> ..2026_11_21_18_00_00.123456789     swapped by rename
//! <target>/db-password -> ..data/db-password
//! ```
//!
//! A reader sees either the complete old generation or the complete new one. All operations are relative to an open
//! target. [`write`] closes all descriptors before it returns, also on errors, because an open descriptor would make the
//! driver's unmount fail.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::directory::{Directory, EntryKind};
use super::{DeliverError, VolumeFile, io, targets};

/// Whether the volume changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// New files were written.
    Changed,
    /// The volume already contained these files, and was not changed.
    Unchanged,
}

const DATA: &str = "..data";
/// The temporary name of a link before it is renamed.
const TEMPORARY_LINK: &str = "..data_tmp";
const GENERATION: &[BorrowedFormatItem<'_>] =
    format_description!("..[year]_[month]_[day]_[hour]_[minute]_[second].[subsecond digits:9]");

/// Writes `files`, whose paths are distinct, into the tmpfs at `target`. Calls `cancelled` between files. If it returns
/// true before the swap, the volume is not changed.
///
/// # Errors
/// [`DeliverError`]. The volume's existing files are untouched.
pub fn write(
    target: &Path,
    files: &[VolumeFile],
    cancelled: &dyn Fn() -> bool,
) -> Result<Outcome, DeliverError> {
    let written = write_admitted(target, files, cancelled, || Ok(()))?;
    Ok(if written.is_some() { Outcome::Changed } else { Outcome::Unchanged })
}

/// Like [`write`], but calls `admit` before it writes the first byte. Returns the value of `admit`, or `None` if the volume
/// already contained these files.
///
/// # Errors
/// The errors of [`write`] and of `admit`.
pub(crate) fn write_admitted<A>(
    target: &Path,
    files: &[VolumeFile],
    cancelled: &dyn Fn() -> bool,
    admit: impl FnOnce() -> Result<A, DeliverError>,
) -> Result<Option<A>, DeliverError> {
    let root = targets::open(target, cancelled)?;
    let volume = VolumeWriter { target, root, files, cancelled };
    let old = volume.generation().map_err(io(target, "read the old files"))?;
    volume.check_names()?;
    let unchanged = match &old {
        Some(old) => volume.holds_all(old).map_err(io(target, "compare the old files"))?,
        None => false,
    };
    if unchanged {
        volume.clean_up(old.as_deref());
        return volume.check_mounted(None);
    }
    volume
        .remove_other_generations(old.as_deref())
        .map_err(io(target, "remove the files of an interrupted mount"))?;
    let admitted = admit()?;
    let new = volume.write_generation()?;
    if let Err(error) = volume.put_in_place(&new) {
        let _ = volume.root.remove_all(&new);
        return Err(error);
    }
    volume.clean_up(Some(&new));
    volume.check_mounted(Some(admitted))
}

struct VolumeWriter<'a> {
    target: &'a Path,
    root: Directory,
    files: &'a [VolumeFile],
    cancelled: &'a dyn Fn() -> bool,
}

impl VolumeWriter<'_> {
    /// Returns `ECANCELED` if the mount was cancelled, so that it is handled like a failed system call.
    fn check_cancelled(&self) -> nix::Result<()> {
        if (self.cancelled)() { Err(Errno::ECANCELED) } else { Ok(()) }
    }

    /// The target of `..data`, if it is a generation of a volume writer.
    fn generation(&self) -> nix::Result<Option<OsString>> {
        Ok(self.root.link(DATA.as_ref())?.filter(|name| is_generation(name)))
    }

    /// The visible names in the volume's directory, in order.
    fn top_names(&self) -> BTreeSet<&str> {
        self.files.iter().map(|file| file.path.top()).collect()
    }

    /// Fails if the volume has an entry that the writer must not replace. A directory cannot be replaced by a link
    /// atomically, and may contain files that this writer did not create.
    fn check_names(&self) -> Result<(), DeliverError> {
        let foreign = |path: &str, what| {
            Err(DeliverError::ForeignEntry { target: self.target.to_owned(), path: path.to_owned(), what })
        };
        for name in self.top_names().into_iter().chain([DATA, TEMPORARY_LINK]) {
            let found = self.root.kind(name.as_ref()).map_err(io(self.target, "read the old files"))?;
            match found {
                None | Some(EntryKind::Link) => {}
                Some(EntryKind::File) if !name.starts_with("..") => {}
                Some(EntryKind::Directory) => return foreign(name, "a directory"),
                Some(EntryKind::File) => return foreign(name, "a file"),
                Some(EntryKind::Other) => return foreign(name, "a special file"),
            }
        }
        Ok(())
    }

    /// Whether `generation` contains exactly these files, and the visible names link to them.
    fn holds_all(&self, generation: &OsStr) -> nix::Result<bool> {
        let folder = match self.root.enter(generation) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(false),
            opened => opened?,
        };
        for top in self.top_names() {
            if self.root.link(top.as_ref())?.as_deref() != Some(data_link(top).as_os_str()) {
                return Ok(false);
            }
        }
        if self.stale_names()?.next().is_some() {
            return Ok(false);
        }
        let mut wanted = BTreeMap::new();
        for file in self.files {
            wanted.insert(file.path.as_str(), file);
        }
        let mut found = 0;
        let all_wanted = walk(&folder, "", &mut |folder, name, path| {
            found += 1;
            self.check_cancelled()?;
            match wanted.get(path) {
                Some(file) => folder.holds(name, file.mode, file.contents.expose()),
                None => Ok(false),
            }
        })?;
        Ok(all_wanted && found == wanted.len())
    }

    /// Writes all files into a new directory. Removes the directory on an error.
    fn write_generation(&self) -> Result<OsString, DeliverError> {
        let name = new_name();
        let written = self.fill(&name);
        if written.is_err() {
            let _ = self.root.remove_all(&name);
        }
        written.map(|()| name)
    }

    fn fill(&self, name: &OsStr) -> Result<(), DeliverError> {
        let failed = io(self.target, "write the new files");
        let generation = self.root.make(name).map_err(&failed)?;
        for file in self.files {
            self.check_cancelled().and_then(|()| write_file(&generation, file)).map_err(&failed)?;
        }
        self.check_cancelled().map_err(&failed)
    }

    /// Swaps `..data` to the new generation. Creates the links of the visible names first: a link that is broken for a
    /// moment is less harmful than a failure after the swap.
    fn put_in_place(&self, new: &OsStr) -> Result<(), DeliverError> {
        let mut made = Vec::new();
        let swapped =
            self.link_names(&mut made).map_err(io(self.target, "link the new files")).and_then(|()| {
                let swapped = self.root.set_link(DATA.as_ref(), new, TEMPORARY_LINK.as_ref());
                swapped.map_err(io(self.target, "put the new files in place"))
            });
        if swapped.is_err() {
            for name in made {
                let _ = self.root.remove_file(&name);
            }
        }
        swapped
    }

    /// Creates the links of all visible names. Adds the names that did not exist to `made`.
    fn link_names(&self, made: &mut Vec<OsString>) -> nix::Result<()> {
        for top in self.top_names() {
            let to = data_link(top);
            if self.root.link(top.as_ref())?.as_deref() != Some(to.as_os_str()) {
                let new = self.root.kind(top.as_ref())?.is_none();
                self.root.set_link(top.as_ref(), &to, TEMPORARY_LINK.as_ref())?;
                if new {
                    made.push(top.into());
                }
            }
        }
        Ok(())
    }

    fn remove_stale_names(&self) -> nix::Result<()> {
        for name in self.stale_names()? {
            self.root.remove_file(&name)?;
        }
        Ok(())
    }

    /// The links of the volume's earlier files. Links to other targets are not removed.
    fn stale_names(&self) -> nix::Result<impl Iterator<Item = OsString>> {
        let tops = self.top_names();
        let mut stale = Vec::new();
        for name in self.root.names()? {
            let kept = name.to_str().is_some_and(|name| tops.contains(name));
            let own =
                || self.root.link(&name).map(|to| to.is_some_and(|to| to.as_bytes().starts_with(b"..data/")));
            if !kept && own()? {
                stale.push(name);
            }
        }
        Ok(stale.into_iter())
    }

    /// Fails if the volume was unmounted during the write, which is possible with a lazy unmount.
    fn check_mounted<T>(&self, outcome: T) -> Result<T, DeliverError> {
        if self.root.is_at(self.target) {
            Ok(outcome)
        } else {
            Err(DeliverError::Unmounted(self.target.to_owned()))
        }
    }

    /// Removes everything except `kept`, the current generation. On an error, the next mount tries again.
    fn clean_up(&self, kept: Option<&OsStr>) {
        if let Err(error) = self.remove_stale_names().and_then(|()| self.remove_other_generations(kept)) {
            tracing::warn!(%error, target = %self.target.display(), "cannot remove the old files; the next mount will retry");
        }
    }

    /// Removes all generations except `kept`, and a leftover temporary link.
    fn remove_other_generations(&self, kept: Option<&OsStr>) -> nix::Result<()> {
        for name in self.root.names()? {
            if name == TEMPORARY_LINK {
                self.root.remove_file(&name)?;
            } else if is_generation(&name)
                && Some(name.as_os_str()) != kept
                && self.root.kind(&name)? == Some(EntryKind::Directory)
            {
                self.root.remove_all(&name)?;
            }
        }
        Ok(())
    }
}

fn write_file(generation: &Directory, file: &VolumeFile) -> nix::Result<()> {
    let mut elements = file.path.elements().collect::<Vec<_>>();
    let name = elements.pop().unwrap_or_default();
    let mut inner: Option<Directory> = None;
    for element in elements {
        let here = inner.as_ref().unwrap_or(generation);
        let next = match here.make(element.as_ref()) {
            Err(Errno::EEXIST) => here.enter(element.as_ref())?,
            made => made?,
        };
        inner = Some(next);
    }
    inner.as_ref().unwrap_or(generation).create(name.as_ref(), file.mode, file.contents.expose())
}

/// Calls `each` for every file below `folder` until a call returns false.
fn walk(
    folder: &Directory,
    prefix: &str,
    each: &mut dyn FnMut(&Directory, &OsStr, &str) -> nix::Result<bool>,
) -> nix::Result<bool> {
    for name in folder.names()? {
        let Some(text) = name.to_str() else { return Ok(false) };
        let path = if prefix.is_empty() { text.to_owned() } else { format!("{prefix}/{text}") };
        let good = match folder.kind(&name)? {
            Some(EntryKind::Directory) => walk(&folder.enter(&name)?, &path, each)?,
            Some(_) => each(folder, &name, &path)?,
            None => false,
        };
        if !good {
            return Ok(false);
        }
    }
    Ok(true)
}

fn data_link(top: &str) -> OsString {
    OsString::from(format!("{DATA}/{top}"))
}

/// `..2026_11_21_18_00_00.123456789`, like the names of kubelet's generations.
fn new_name() -> OsString {
    let now = OffsetDateTime::now_utc();
    // Cannot fail: every date has all parts of the format.
    OsString::from(now.format(GENERATION).unwrap_or_else(|_| format!("..{}_0", now.unix_timestamp_nanos())))
}

/// Whether `name` is a generation of a volume writer: two dots, digits, an underscore.
fn is_generation(name: &OsStr) -> bool {
    name.to_str()
        .and_then(|name| name.strip_prefix(".."))
        .and_then(|stamp| stamp.split_once('_'))
        .is_some_and(|(year, rest)| {
            !year.is_empty() && year.bytes().all(|byte| byte.is_ascii_digit()) && !rest.contains('/')
        })
}
