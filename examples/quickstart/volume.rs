//! A pod's volume: a tmpfs if this runs as root, otherwise a directory in `/dev/shm`.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount, umount};
use nix::unistd::{Gid, Group, Uid, User, geteuid};

use crate::{Result, say};

pub(crate) struct Volume {
    path: PathBuf,
    /// Keeps the directory until the volume is dropped.
    shared: Option<tempfile::TempDir>,
}

impl Volume {
    pub(crate) fn new(folder: &Path, name: &str) -> Result<Self> {
        if !geteuid().is_root() {
            let shared = tempfile::tempdir_in("/dev/shm")?;
            say!("   (Not root: its volume is a folder of /dev/shm instead of a tmpfs of its own.)");
            return Ok(Self { path: shared.path().to_owned(), shared: Some(shared) });
        }
        let path = folder.join("pods").join(name).join("volumes/kubernetes.io~csi/secrets/mount");
        std::fs::create_dir_all(&path)?;
        mount(
            Some("tmpfs"),
            &path,
            Some("tmpfs"),
            MsFlags::MS_NODEV | MsFlags::MS_NOSUID,
            Some("mode=0755"),
        )?;
        Ok(Self { path, shared: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lists the volume as the pod sees it at `mount_path`, with the contents of its files: these
    /// secrets are only examples.
    pub(crate) fn show(&self, mount_path: &str) -> Result<()> {
        say!("   {mount_path}");
        let mut names = std::fs::read_dir(&self.path)?.collect::<std::io::Result<Vec<_>>>()?;
        names.sort_by_key(std::fs::DirEntry::file_name);
        if names.is_empty() {
            say!("     (empty)");
        }
        for entry in names {
            let metadata = entry.metadata()?;
            let target = std::fs::read_link(entry.path()).map(|target| format!(" -> {}", target.display()));
            say!(
                "     {}{}",
                describe(&metadata, &entry.file_name().to_string_lossy()),
                target.unwrap_or_default()
            );
            let file = std::fs::metadata(entry.path())?;
            if file.is_file() {
                say!("       {}", describe(&file, "the file it leads to"));
                for line in std::fs::read_to_string(entry.path())?.lines() {
                    say!("       | {line}");
                }
            }
        }
        Ok(())
    }

    /// Unmounts or removes the volume; fails if a process holds a file in it open.
    pub(crate) fn remove(self) -> Result<()> {
        match &self.shared {
            Some(_) => Ok(()),
            None => Ok(umount(&self.path)?),
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.shared.is_none() {
            // Fails after `remove`, because nothing is mounted; the error is ignored.
            let _ = umount(&self.path);
        }
    }
}

fn describe(metadata: &std::fs::Metadata, name: &str) -> String {
    let mode = metadata.permissions().mode() & 0o7777;
    let kind = match (metadata.is_symlink(), metadata.is_dir()) {
        (true, _) => "link",
        (_, true) => "folder",
        _ => "file",
    };
    let user = User::from_uid(Uid::from_raw(metadata.uid())).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(metadata.gid())).ok().flatten();
    let user = user.map_or(metadata.uid().to_string(), |user| user.name);
    let group = group.map_or(metadata.gid().to_string(), |group| group.name);
    format!("{kind:<6} {mode:04o} {user}:{group} {name}")
}
