//! The pods' volumes.

use std::path::{Path, PathBuf};

use nix::mount::MsFlags;

/// A tmpfs as the driver mounts one, unmounted when it is dropped.
pub struct Volume {
    path: PathBuf,
    mounted: bool,
    _folder: tempfile::TempDir,
}

impl Volume {
    /// Mounts one over a folder of a disk; that needs root, as the CI has it.
    pub fn mount() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("volumes/kubernetes.io~csi/secrets/mount");
        std::fs::create_dir_all(&path).unwrap();
        nix::mount::mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), Some("size=160k"))
            .expect("mounting a tmpfs needs root");
        Self { path, mounted: true, _folder: folder }
    }

    /// A directory of a tmpfs that every Linux has, for what needs no mount of its own.
    pub fn shared() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        Self { path: folder.path().to_owned(), mounted: false, _folder: folder }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Unmounts as the driver does: a descriptor left open below makes it fail.
    pub fn unmount(mut self) -> nix::Result<()> {
        self.mounted = false;
        nix::mount::umount(&self.path)
    }

    /// Mounts what is mounted already with other options.
    pub fn remount(&self, flags: MsFlags, options: Option<&str>) {
        let flags = flags | MsFlags::MS_REMOUNT;
        nix::mount::mount(None::<&str>, &self.path, None::<&str>, flags, options).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path.join(name)).unwrap()
    }

    /// The names that a listing shows, without the writer's own.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).unwrap();
        let mut names =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
        names.retain(|name| !name.starts_with(".."));
        names.sort();
        names
    }

    /// Where `..data` points.
    pub fn generation(&self) -> PathBuf {
        std::fs::read_link(self.path.join("..data")).unwrap()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted {
            let _ = nix::mount::umount2(&self.path, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

/// Whether tests that need root can run. In CI they must.
pub fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "these tests must run as root in CI");
    root
}
