//! Reading the file that describes a private cloud. Its name may come from a class, so what is read is bounded: where
//! it lies, how large it is, and how many threads a file system that hangs can hold.

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

/// A private cloud's file is small; a larger one is another file.
const LARGEST: u64 = 64 << 10;
/// How long a mount waits for the file.
const PATIENCE: Duration = Duration::from_secs(5);
/// Threads that read at the same time. A read that hangs keeps its thread.
const THREADS: usize = 4;

/// How to make the file readable.
const HELP: &str = "mount a small file into the provider's container, for example from /etc/kubernetes";

/// The environment files of this node.
#[derive(Debug)]
pub struct EnvironmentFiles {
    /// The folder that files named by classes must lie in, if the operator says.
    folder: Option<PathBuf>,
    reads: Flights<(PathBuf, PathBuf), Result<Endpoints, Fault>>,
    threads: Arc<Semaphore>,
}

impl EnvironmentFiles {
    /// Files named by classes must lie below `folder`, if there is one.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, reads: Flights::default(), threads: Arc::new(Semaphore::new(THREADS)) }
    }

    /// Reads the file at `path` for a mount of `target`. `is_operators` says that the operator named it, and not a
    /// class. All mounts that want a file at the same time share one read of it.
    ///
    /// # Errors
    /// Why it cannot be read, or is not what describes a cloud.
    pub async fn read(&self, path: &Path, target: &Path, is_operators: bool) -> Result<Endpoints, Fault> {
        let folder = self.folder.as_ref().filter(|_| !is_operators).cloned();
        let kubelet = kubelet_root(target);
        let key = (path.to_owned(), kubelet.clone().unwrap_or_default());
        let (flight, joined) = self.reads.join_or_start(key, &Tenant::new(""), |_| {
            let (path, threads) = (path.to_owned(), Arc::clone(&self.threads));
            async move {
                let Ok(permit) = threads.try_acquire_owned() else {
                    return Err(unreadable(&path, "cannot be read: other files are read, and do not come"));
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
            // Lives as long as its thread, so that later mounts wait for that one and take no other.
            tokio::spawn(flight.clone());
        }
        let late = |_| Err(unreadable(path, "was not read in time; its file system may hang"));
        timeout(PATIENCE, flight).await.unwrap_or_else(late)
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
    // A ConfigMap's files are links too, within their folder.
    if !resolved.starts_with(&own) {
        return Err(wrong("is a link that leads out of its folder"));
    }
    if let Some(folder) = folder {
        let allowed = fs::canonicalize(folder).map_err(failed("opened"))?;
        if !resolved.starts_with(&allowed) {
            let allowed = quoted(&folder.to_string_lossy());
            return Err(wrong(&format!("does not lie in {allowed}, the folder of --cloud-environment-dir")));
        }
    }
    // With --file-writer=provider the volumes of pods are in reach, and their contents are the pods' own.
    let kubelet = kubelet.and_then(|kubelet| fs::canonicalize(kubelet).ok());
    let is_kubelets = kubelet.is_some_and(|kubelet| resolved.starts_with(kubelet));
    if is_kubelets || resolved.to_string_lossy().contains("/volumes/kubernetes.io~") {
        return Err(wrong("lies in kubelet's folder, where pods write"));
    }
    let file = File::options()
        .read(true)
        // Opening a named pipe must not wait for its writer.
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits() | nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(&resolved)
        .map_err(failed("opened"))?;
    if !file.metadata().map_err(failed("read"))?.is_file() {
        return Err(wrong("is not a file"));
    }
    // Counted, since a file of /proc says that it is empty.
    let mut json = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut json).map_err(failed("read"))?;
    if json.len() as u64 > LARGEST {
        return Err(wrong("is too large"));
    }
    let json = text::decode(json).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    Endpoints::from_environment_file(json.as_bytes())
}

/// kubelet's root directory, which a volume's path begins with: `<root>/pods/<uid>/volumes/…`.
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
    fn a_file_is_read_in_its_own_folder_only() {
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
        assert!(problem(read(&own.join("outside.json"), None, None)).contains("leads out of its folder"));

        assert!(read(&own.join("inside.json"), Some(&own), None).is_ok());
        let elsewhere = read(&other.join("cloud.json"), Some(&own), None);
        assert!(problem(elsewhere).contains("--cloud-environment-dir"));
    }

    #[test]
    fn nothing_below_kubelets_root_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("kubelet");
        let volume = root.join("pods/uid/volumes/kubernetes.io~csi/v/mount");
        fs::create_dir_all(&volume).unwrap();
        for file in [volume.join("cloud.json"), root.join("cloud.json")] {
            fs::write(&file, CLOUD).unwrap();
            assert!(
                problem(read(&file, None, kubelet_root(&volume).as_deref())).contains("kubelet's folder")
            );
        }
        assert_eq!(kubelet_root(&volume), Some(root));
        assert_eq!(kubelet_root(Path::new("/tmp/x")), None);
    }

    #[tokio::test]
    async fn files_that_hang_hold_a_bounded_number_of_threads() {
        let files = EnvironmentFiles::new(None);
        let _hanging = Arc::clone(&files.threads).try_acquire_many_owned(4).unwrap();
        let late = files.read(Path::new("/etc/hostname"), Path::new("/t"), false).await;
        assert!(problem(late).contains("other files are read"));
    }
}
