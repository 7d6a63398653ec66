//! The provider's Unix socket: private when it is created, and handed over without a gap.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use super::provider::{PROTOCOL_VERSION, RUNTIME_NAME};
use crate::proto::VersionRequest;
use crate::proto::csi_driver_provider_client::CsiDriverProviderClient;

/// Why the socket cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The endpoint is not the absolute path of a Unix socket.
    #[error(
        "--endpoint={0:?} is not a Unix socket; set it to unix:///path/to/azure.sock, with a path of at most 107 bytes"
    )]
    Endpoint(String),
    /// Another process serves it.
    #[error("{} is served by {by}; stop it, choose another --endpoint, or replace it with --takeover", .path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
        /// The process that serves it.
        by: String,
    },
    /// The file is not a socket.
    #[error("{} exists and is not a socket; remove it, or choose another --endpoint", .0.display())]
    NotASocket(PathBuf),
    /// A system call failed.
    #[error("cannot {action} {}: {error}", .path.display())]
    Io {
        /// The action.
        action: &'static str,
        /// The path of the action.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

/// `sun_path` of unix(7) without the NUL at its end: no driver could connect to a longer path.
const LONGEST_PATH: usize = 107;

/// Timeout for the process behind the socket to report its name.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Parses `unix:///path`, `unix:/path`, or a plain path.
pub fn path(endpoint: &str) -> Result<PathBuf, SocketError> {
    let path =
        endpoint.strip_prefix("unix://").or_else(|| endpoint.strip_prefix("unix:")).unwrap_or(endpoint);
    let path = PathBuf::from(path);
    if path.is_absolute() && path.file_name().is_some() {
        Ok(path)
    } else {
        Err(SocketError::Endpoint(endpoint.to_owned()))
    }
}

/// A socket that this process listens on.
pub(super) struct BoundSocket {
    pub(super) listener: UnixListener,
    /// Device and inode, unique while the listener exists.
    pub(super) file: (u64, u64),
}

/// Listens at `path`. Replaces a dead socket, and a live one of this provider, which keeps its
/// open connections; another provider's live socket is replaced only with `takeover`.
///
/// # Errors
/// [`SocketError`]; the file at `path` is unchanged.
pub(super) async fn bind(path: &Path, takeover: bool) -> Result<BoundSocket, SocketError> {
    if path.as_os_str().len() > LONGEST_PATH {
        return Err(SocketError::Endpoint(path.display().to_string()));
    }
    check_holder(path, takeover).await?;
    create_at(path, |new_socket| fs::rename(new_socket, path))
}

/// Listens at `path` if it does not exist.
///
/// # Errors
/// [`SocketError`], also if the path has been created meanwhile.
pub(super) fn bind_if_absent(path: &Path) -> Result<BoundSocket, SocketError> {
    // Unlike a rename, a link does not replace a file.
    create_at(path, |new_socket| fs::hard_link(new_socket, path))
}

/// Creates a socket and its directory, and calls `put` to move it to `path`.
fn create_at(path: &Path, put: impl FnOnce(&Path) -> io::Result<()>) -> Result<BoundSocket, SocketError> {
    let directory = directory(path);
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |error| SocketError::Io { action, path, error }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(failed("create the directory", directory))?;
    // The socket is created in a private directory, so that no process can connect before its mode is set.
    // `tempfile` creates the directory with mode 0700, whatever the umask.
    let private = tempfile::Builder::new()
        .prefix(".")
        .rand_bytes(8)
        .tempdir_in(directory)
        .map_err(failed("create a directory in", directory))?;
    let new_socket = private.path().join("s");
    // The directory's path through its descriptor is short: a socket's path is limited, and the directory must not
    // use up any of the endpoint's length.
    let directory = File::open(private.path()).map_err(failed("open", private.path()))?;
    let short = format!("/proc/self/fd/{}/s", directory.as_raw_fd());
    let listener = UnixListener::bind(&short).map_err(failed("bind a socket in", private.path()))?;
    fs::set_permissions(&new_socket, fs::Permissions::from_mode(0o600))
        .map_err(failed("set the mode of", &new_socket))?;
    let file = file_at(&new_socket).map_err(failed("read the inode of", &new_socket))?;
    put(&new_socket).map_err(failed("move a socket to", path))?;
    Ok(BoundSocket { listener, file })
}

pub(super) fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Device and inode of the file at `path`.
pub(super) fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

async fn check_holder(path: &Path, takeover: bool) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SocketError::Io { action: "check", path: path.to_owned(), error }),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    let by = match holder(path).await {
        SocketHolder::Absent => return Ok(()),
        SocketHolder::Named(name) if name == RUNTIME_NAME => {
            tracing::info!(socket = %path.display(), "taking over the socket from another process of this provider");
            return Ok(());
        }
        SocketHolder::Named(name) => format!("{name:?}"),
        SocketHolder::Silent => "a process that does not report its name".to_owned(),
    };
    if takeover {
        tracing::warn!(socket = %path.display(), by, "taking over the socket of another provider, because of --takeover");
        return Ok(());
    }
    Err(SocketError::Taken { path: path.to_owned(), by })
}

enum SocketHolder {
    Absent,
    Named(String),
    Silent,
}

async fn holder(path: &Path) -> SocketHolder {
    if let Some(holder) = unreachable(path).await {
        return holder;
    }
    match runtime_name(path).await {
        Some(name) => SocketHolder::Named(name),
        // It may have ended in the meantime.
        None => unreachable(path).await.unwrap_or(SocketHolder::Silent),
    }
}

/// The holder of a socket that cannot be connected to; `None` if it can.
async fn unreachable(path: &Path) -> Option<SocketHolder> {
    match timeout(ANSWER_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Ok(_)) => None,
        // Only this error means that there is no listener: others may come from a busy listener.
        Ok(Err(error))
            if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) =>
        {
            Some(SocketHolder::Absent)
        }
        Ok(Err(_)) | Err(_) => Some(SocketHolder::Silent),
    }
}

/// The name of the process behind the socket; `None` if it does not answer in time.
pub(super) async fn runtime_name(path: &Path) -> Option<String> {
    let version_call = async {
        let request = VersionRequest { version: PROTOCOL_VERSION.to_owned() };
        let response = CsiDriverProviderClient::new(channel(path)).version(request).await.ok()?;
        Some(response.into_inner().runtime_name.chars().filter(|c| !c.is_control()).take(64).collect())
    };
    timeout(ANSWER_TIMEOUT, version_call).await.ok().flatten()
}

/// A gRPC channel through the socket at `path`, like the driver's; it connects on first use.
pub fn channel(path: &Path) -> Channel {
    let path = path.to_owned();
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    }))
}
