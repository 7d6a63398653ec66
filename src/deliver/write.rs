//! Writes a volume's files the way kubelet's atomic writer does.
//!
//! ```text
//! <target>/..2026_11_21_18_00_00.123456789/db-password   one generation
//! <target>/..data -> ..2026_11_21_18_00_00.123456789     swapped by rename
//! <target>/db-password -> ..data/db-password
//! ```
//!
//! A reader sees one whole generation or the other. Everything is done by descriptor below an open
//! target, and every descriptor is closed when [`write`] returns, whatever it returns: an open one
//! would make the driver's unmount fail.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::folder::{EntryKind, Folder};
use super::{DeliverError, File, io, targets};

/// Whether the volume changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// New files are in place.
    Changed,
    /// It held just these files already; nothing was touched.
    Unchanged,
}

const DATA: &str = "..data";
/// The name under which a link waits for the rename that puts it in place.
const WAITING: &str = "..data_tmp";
const GENERATION: &[BorrowedFormatItem<'_>] =
    format_description!("..[year]_[month]_[day]_[hour]_[minute]_[second].[subsecond digits:9]");

/// Writes `files`, whose paths are distinct, into the tmpfs at `target`. Asks `cancelled` between
/// files, and leaves everything as it was if that says so before the swap.
///
/// # Errors
/// [`DeliverError`]; the volume's old files are untouched then.
pub fn write(target: &Path, files: &[File], cancelled: &dyn Fn() -> bool) -> Result<Outcome, DeliverError> {
    let written = write_admitted(target, files, cancelled, || Ok(()))?;
    Ok(if written.is_some() { Outcome::Changed } else { Outcome::Unchanged })
}

/// Writes as [`write`] does, but calls `admit` before the first byte is written. Returns what that returned, and `None`
/// for a volume that held these files already.
///
/// # Errors
/// As for [`write`], and the error of `admit`.
pub(crate) fn write_admitted<A>(
    target: &Path,
    files: &[File],
    cancelled: &dyn Fn() -> bool,
    admit: impl FnOnce() -> Result<A, DeliverError>,
) -> Result<Option<A>, DeliverError> {
    let root = targets::open(target, cancelled)?;
    let volume = Volume { target, root, files, cancelled };
    let old = volume.generation().map_err(io(target, "read the old files"))?;
    volume.check_names()?;
    let unchanged = match &old {
        Some(old) => volume.holds_all(old).map_err(io(target, "compare the old files"))?,
        None => false,
    };
    if unchanged {
        volume.leave(old.as_deref());
        return volume.still_there(None);
    }
    volume.sweep(old.as_deref()).map_err(io(target, "remove what an interrupted mount left"))?;
    let admitted = admit()?;
    let new = volume.write_generation()?;
    if let Err(error) = volume.put_in_place(&new) {
        let _ = volume.root.remove_all(&new);
        return Err(error);
    }
    volume.leave(Some(&new));
    volume.still_there(Some(admitted))
}

struct Volume<'a> {
    target: &'a Path,
    root: Folder,
    files: &'a [File],
    cancelled: &'a dyn Fn() -> bool,
}

impl Volume<'_> {
    /// The errno of a mount that was given up, so that it ends like any failed system call.
    fn go_on(&self) -> nix::Result<()> {
        if (self.cancelled)() { Err(Errno::ECANCELED) } else { Ok(()) }
    }

    /// The directory that `..data` points to, if it is a generation of a volume writer.
    fn generation(&self) -> nix::Result<Option<OsString>> {
        Ok(self.root.link(DATA.as_ref())?.filter(|name| is_generation(name)))
    }

    /// The names that a listing shows, in order.
    fn tops(&self) -> BTreeSet<&str> {
        self.files.iter().map(|file| file.path.top()).collect()
    }

    /// A directory cannot be replaced by a link in one step, and may hold what is not ours.
    fn check_names(&self) -> Result<(), DeliverError> {
        let in_the_way = |path: &str, what| {
            Err(DeliverError::InTheWay { target: self.target.to_owned(), path: path.to_owned(), what })
        };
        for name in self.tops().into_iter().chain([DATA, WAITING]) {
            let found = self.root.kind(name.as_ref()).map_err(io(self.target, "look at the old files"))?;
            match found {
                None | Some(EntryKind::Link) => {}
                Some(EntryKind::File) if !name.starts_with("..") => {}
                Some(EntryKind::Directory) => return in_the_way(name, "a directory"),
                Some(EntryKind::File) => return in_the_way(name, "a file"),
                Some(EntryKind::Other) => return in_the_way(name, "a special file"),
            }
        }
        Ok(())
    }

    /// Whether `generation` holds these files and no others, and the names lead to them.
    fn holds_all(&self, generation: &OsStr) -> nix::Result<bool> {
        let folder = match self.root.enter(generation) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(false),
            opened => opened?,
        };
        for top in self.tops() {
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
            self.go_on()?;
            match wanted.get(path) {
                Some(file) => folder.holds(name, file.mode, file.contents.expose()),
                None => Ok(false),
            }
        })?;
        Ok(all_wanted && found == wanted.len())
    }

    /// Writes all files into a new directory; removes it again if that fails.
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
            self.go_on().and_then(|()| write_file(&generation, file)).map_err(&failed)?;
        }
        self.go_on().map_err(&failed)
    }

    /// Swaps `..data` to the new generation. The names' links come first: one that leads nowhere for
    /// a moment harms less than a failure after the swap.
    fn put_in_place(&self, new: &OsStr) -> Result<(), DeliverError> {
        let mut made = Vec::new();
        let swapped =
            self.link_names(&mut made).map_err(io(self.target, "link the new files")).and_then(|()| {
                let swapped = self.root.set_link(DATA.as_ref(), new, WAITING.as_ref());
                swapped.map_err(io(self.target, "put the new files in place"))
            });
        if swapped.is_err() {
            for name in made {
                let _ = self.root.remove_file(&name);
            }
        }
        swapped
    }

    /// Links every name that is shown; `made` gets those that were not there before.
    fn link_names(&self, made: &mut Vec<OsString>) -> nix::Result<()> {
        for top in self.tops() {
            let to = data_link(top);
            if self.root.link(top.as_ref())?.as_deref() != Some(to.as_os_str()) {
                let new = self.root.kind(top.as_ref())?.is_none();
                self.root.set_link(top.as_ref(), &to, WAITING.as_ref())?;
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

    /// Links of the volume's earlier files. A link that leads elsewhere is nobody's here to remove.
    fn stale_names(&self) -> nix::Result<impl Iterator<Item = OsString>> {
        let tops = self.tops();
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

    /// A volume that was unmounted meanwhile, as only a lazy unmount can, has nothing to show to the pod.
    fn still_there<T>(&self, outcome: T) -> Result<T, DeliverError> {
        if self.root.is_at(self.target) {
            Ok(outcome)
        } else {
            Err(DeliverError::Gone(self.target.to_owned()))
        }
    }

    /// Takes away all but `kept`, which is in place. What cannot be taken away is left to the next mount.
    fn leave(&self, kept: Option<&OsStr>) {
        if let Err(error) = self.remove_stale_names().and_then(|()| self.sweep(kept)) {
            tracing::warn!(%error, target = %self.target.display(), "the old files cannot be removed yet");
        }
    }

    /// Removes every generation but `kept`, and a link that waits for nothing.
    fn sweep(&self, kept: Option<&OsStr>) -> nix::Result<()> {
        for name in self.root.names()? {
            if name == WAITING {
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

fn write_file(generation: &Folder, file: &File) -> nix::Result<()> {
    let mut elements = file.path.elements().collect::<Vec<_>>();
    let name = elements.pop().unwrap_or_default();
    let mut inner: Option<Folder> = None;
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

/// Calls `each` for every file below `folder` until one call says no.
fn walk(
    folder: &Folder,
    prefix: &str,
    each: &mut dyn FnMut(&Folder, &OsStr, &str) -> nix::Result<bool>,
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

/// `..2026_11_21_18_00_00.123456789`, as kubelet names its own.
fn new_name() -> OsString {
    let now = OffsetDateTime::now_utc();
    // The format names only parts that every date has.
    OsString::from(now.format(GENERATION).unwrap_or_else(|_| format!("..{}_0", now.unix_timestamp_nanos())))
}

/// Whether `name` is one of a volume writer's directories: two dots, digits, an underscore.
fn is_generation(name: &OsStr) -> bool {
    name.to_str()
        .and_then(|name| name.strip_prefix(".."))
        .and_then(|stamp| stamp.split_once('_'))
        .is_some_and(|(year, rest)| {
            !year.is_empty() && year.bytes().all(|byte| byte.is_ascii_digit()) && !rest.contains('/')
        })
}
