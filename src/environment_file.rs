//! Reads the environment file of a private cloud. A class may choose its path, so the location and the size of the file
//! are restricted, and so is the number of threads that a hanging file system can block.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::flight::Flights;
use crate::plan::{Endpoints, Fault, quoted};
use crate::tenant::Tenant;
use crate::text;

/// Maximum size of an environment file in bytes.
const MAX_SIZE: u64 = 64 << 10;
/// The time after which a mount stops waiting for the file.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of concurrent reads. A read that hangs blocks its thread.
const MAX_READS: usize = 4;

const HELP: &str = "mount a small file into the provider's container, for example from /etc/kubernetes";

/// The environment files of this node.
#[derive(Debug)]
pub struct EnvironmentFiles {
    /// The directory of `--cloud-environment-dir`, which must contain the files that classes name.
    folder: Option<PathBuf>,
    reads: Flights<(PathBuf, PathBuf), Result<Endpoints, Fault>>,
    permits: Arc<Semaphore>,
}

impl EnvironmentFiles {
    /// Creates a reader. If `folder` is set, files that classes name must be below it.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, reads: Flights::default(), permits: Arc::new(Semaphore::new(MAX_READS)) }
    }

    /// Reads the file at `path` for a mount of `target`. `is_operators` is true if the operator, not a class, named the
    /// file. Concurrent mounts share one read of a file.
    ///
    /// # Errors
    /// A [`Fault`] if the file cannot be read or is invalid.
    pub async fn read(&self, path: &Path, target: &Path, is_operators: bool) -> Result<Endpoints, Fault> {
        let folder = self.folder.as_ref().filter(|_| !is_operators).cloned();
        let kubelet = kubelet_root(target);
        let key = (path.to_owned(), kubelet.clone().unwrap_or_default());
        let (flight, joined) = self.reads.join_or_start(key, &Tenant::new(""), |_| {
            let (path, permits) = (path.to_owned(), Arc::clone(&self.permits));
            async move {
                let Ok(permit) = permits.try_acquire_owned() else {
                    return Err(unreadable(&path, "cannot be read: too many reads of other files hang"));
                };
                let named = path.clone();
                let read = tokio::task::spawn_blocking(move || {
                    let _permit = permit;
                    read(&named, folder.as_deref(), kubelet.as_deref())
                });
                read.await.unwrap_or_else(|_| Err(unreadable(&path, "cannot be read")))
            }
        });
        if !joined {
            // Keeps the flight alive until its thread ends, so that later mounts wait for it and do not block another
            // thread.
            tokio::spawn(flight.clone());
        }
        let timed_out = |_| Err(unreadable(path, "cannot be read: timeout; its file system may hang"));
        timeout(READ_TIMEOUT, flight).await.unwrap_or_else(timed_out)
    }
}

fn unreadable(path: &Path, problem: &str) -> Fault {
    Fault::new(format!("{} {problem}", quoted(&path.to_string_lossy())), HELP)
}

fn read(path: &Path, folder: Option<&Path>, kubelet: Option<&Path>) -> Result<Endpoints, Fault> {
    let wrong = |problem: &str| unreadable(path, problem);
    let failed =
        |action: &'static str| move |error: io::Error| wrong(&format!("cannot be {action}: {error}"));
    let resolved = fs::canonicalize(path).map_err(failed("opened"))?;
    let own =
        path.parent().map_or_else(|| Ok(PathBuf::from("/")), fs::canonicalize).map_err(failed("opened"))?;
    // The files of a ConfigMap's volume are symbolic links to files in the same directory.
    if !resolved.starts_with(&own) {
        return Err(wrong("is a symbolic link that leads out of its directory"));
    }
    if let Some(folder) = folder {
        let allowed = fs::canonicalize(folder).map_err(failed("opened"))?;
        if !resolved.starts_with(&allowed) {
            let allowed = quoted(&folder.to_string_lossy());
            return Err(wrong(&format!("is not in {allowed}, the directory of --cloud-environment-dir")));
        }
    }
    // With --file-writer=provider, this process can read the volumes of pods, and pods control their contents.
    let kubelet = kubelet.and_then(|kubelet| fs::canonicalize(kubelet).ok());
    let is_kubelets = kubelet.is_some_and(|kubelet| resolved.starts_with(kubelet));
    if is_kubelets || resolved.to_string_lossy().contains("/volumes/kubernetes.io~") {
        return Err(wrong("is in kubelet's directory, where pods can write"));
    }
    let file = File::options()
        .read(true)
        // Do not block on a named pipe without a writer.
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits() | nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(&resolved)
        .map_err(failed("opened"))?;
    if !file.metadata().map_err(failed("read"))?.is_file() {
        return Err(wrong("is not a file"));
    }
    // Count the bytes: the metadata of files in /proc says that they are empty.
    let mut json = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut json).map_err(failed("read"))?;
    if json.len() as u64 > MAX_SIZE {
        return Err(wrong("is too large: the maximum is 64 KiB"));
    }
    let json = text::decode(json).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    Endpoints::from_environment_file(json.as_bytes())
}

/// kubelet's root directory, from a volume's path `<root>/pods/<uid>/volumes/…`.
fn kubelet_root(target: &Path) -> Option<PathBuf> {
    let folders = target.ancestors().skip(1);
    folders
        .filter(|folder| folder.file_name().is_some_and(|name| name == "pods"))
        .last()?
        .parent()
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const CLOUD: &str = r#"{"activeDirectoryEndpoint":"https://login.example/","keyVaultEndpoint":"https://vault.example/","keyVaultDNSSuffix":"vault.example"}"#;

    fn problem(read: Result<Endpoints, Fault>) -> String {
        read.expect_err("it must be refused").problem
    }

    #[test]
    fn a_link_out_of_the_files_directory_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (folder.path().join("own"), folder.path().join("other"));
        for folder in [&own, &other] {
            fs::create_dir_all(folder.join("data")).unwrap();
        }
        fs::write(other.join("cloud.json"), CLOUD).unwrap();
        fs::write(own.join("data/cloud.json"), CLOUD).unwrap();
        symlink("data/cloud.json", own.join("inside.json")).unwrap();
        symlink("../other/cloud.json", own.join("outside.json")).unwrap();
        assert!(read(&other.join("cloud.json"), None, None).is_ok());
        assert!(read(&own.join("inside.json"), None, None).is_ok(), "as in a ConfigMap's volume");
        assert!(problem(read(&own.join("outside.json"), None, None)).contains("leads out of its directory"));

        assert!(read(&own.join("inside.json"), Some(&own), None).is_ok());
        let elsewhere = read(&other.join("cloud.json"), Some(&own), None);
        assert!(problem(elsewhere).contains("--cloud-environment-dir"));
    }

    #[test]
    fn files_below_kubelets_root_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("kubelet");
        let volume = root.join("pods/uid/volumes/kubernetes.io~csi/v/mount");
        fs::create_dir_all(&volume).unwrap();
        for file in [volume.join("cloud.json"), root.join("cloud.json")] {
            fs::write(&file, CLOUD).unwrap();
            assert!(
                problem(read(&file, None, kubelet_root(&volume).as_deref())).contains("kubelet's directory")
            );
        }
        assert_eq!(kubelet_root(&volume), Some(root));
        assert_eq!(kubelet_root(Path::new("/tmp/x")), None);
    }

    #[tokio::test]
    async fn hanging_files_block_a_limited_number_of_threads() {
        let files = EnvironmentFiles::new(None);
        let _hanging = Arc::clone(&files.permits).try_acquire_many_owned(4).unwrap();
        let refused = files.read(Path::new("/etc/hostname"), Path::new("/t"), false).await;
        assert!(problem(refused).contains("reads of other files hang"));
    }
}
