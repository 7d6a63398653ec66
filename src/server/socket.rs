//! The provider's Unix socket: private from its first moment, and handed over without a gap.

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

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The endpoint is no absolute path of a Unix socket.
    #[error(
        "--endpoint={0:?} is not a Unix socket; write unix:///path/to/azure.sock, with a path of at most 107 bytes"
    )]
    Endpoint(String),
    /// Somebody else answers there.
    #[error("{} is served by {by}; stop it, choose another --endpoint, or replace it with --takeover", .path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
        /// Who answers.
        by: String,
    },
    /// Something that is no socket is there.
    #[error("{} is there and is no socket; remove it, or choose another --endpoint", .0.display())]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("cannot {action} {}: {error}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The path it was done to.
        path: PathBuf,
        /// The system's word on it.
        error: io::Error,
    },
}

/// `sun_path` of unix(7), less the NUL at its end: no driver could dial more.
const LONGEST_PATH: usize = 107;

/// How long whoever holds the socket may take to say who it is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads `unix:///path`, `unix:/path`, or the path alone.
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
    /// Device and inode. As long as the listener lives, nothing else has them.
    pub(super) file: (u64, u64),
}

/// Listens at `path`. A dead socket there is replaced, and so is a live one of this provider, whose
/// open connections stay with it; another provider's is left alone unless `takeover`.
///
/// # Errors
/// [`SocketError`]; whatever was at `path` is still there.
pub(super) async fn bind(path: &Path, takeover: bool) -> Result<BoundSocket, SocketError> {
    if path.as_os_str().len() > LONGEST_PATH {
        return Err(SocketError::Endpoint(path.display().to_string()));
    }
    check_holder(path, takeover).await?;
    place(path, |born| fs::rename(born, path))
}

/// Listens at `path` if nothing is there.
///
/// # Errors
/// [`SocketError`], also if something is there meanwhile.
pub(super) fn bind_again(path: &Path) -> Result<BoundSocket, SocketError> {
    // Unlike a rename, a link replaces nothing.
    place(path, |born| fs::hard_link(born, path))
}

/// Makes a socket and its folder, and lets `put` bring it to `path`.
fn place(path: &Path, put: impl FnOnce(&Path) -> io::Result<()>) -> Result<BoundSocket, SocketError> {
    let folder = folder(path);
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |error| SocketError::Io { action, path, error }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .map_err(failed("make the folder", folder))?;
    // Nobody can reach the socket before it has its mode, and nobody meets a moment without one.
    // `tempfile` makes the folder with mode 0700, whatever the umask.
    let private = tempfile::Builder::new()
        .prefix(".")
        .rand_bytes(8)
        .tempdir_in(folder)
        .map_err(failed("make a folder in", folder))?;
    let born = private.path().join("s");
    // By its descriptor the folder has a short name: a socket's path is bounded, and the folder must
    // not take of what the endpoint may have.
    let folder = File::open(private.path()).map_err(failed("open", private.path()))?;
    let short = format!("/proc/self/fd/{}/s", folder.as_raw_fd());
    let listener = UnixListener::bind(&short).map_err(failed("bind a socket in", private.path()))?;
    fs::set_permissions(&born, fs::Permissions::from_mode(0o600))
        .map_err(failed("set the mode of", &born))?;
    let file = file_at(&born).map_err(failed("look at", &born))?;
    put(&born).map_err(failed("put a socket in place at", path))?;
    Ok(BoundSocket { listener, file })
}

/// The folder of a socket.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Device and inode of what is at `path`.
pub(super) fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

async fn check_holder(path: &Path, takeover: bool) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SocketError::Io { action: "look at", path: path.to_owned(), error }),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    let by = match holder(path).await {
        SocketHolder::Nobody => return Ok(()),
        SocketHolder::Named(name) if name == RUNTIME_NAME => {
            tracing::info!(socket = %path.display(), "taking over from another process of this provider");
            return Ok(());
        }
        SocketHolder::Named(name) => format!("{name:?}"),
        SocketHolder::Silent => "a process that does not say who it is".to_owned(),
    };
    if takeover {
        tracing::warn!(socket = %path.display(), by, "taking over, as --takeover says");
        return Ok(());
    }
    Err(SocketError::Taken { path: path.to_owned(), by })
}

enum SocketHolder {
    Nobody,
    Named(String),
    Silent,
}

async fn holder(path: &Path) -> SocketHolder {
    if let Some(holder) = unreachable(path).await {
        return holder;
    }
    match runtime_name(path).await {
        Some(name) => SocketHolder::Named(name),
        // It may have ended while it was asked.
        None => unreachable(path).await.unwrap_or(SocketHolder::Silent),
    }
}

/// Who is there if nobody can be connected to; `None` if somebody can.
async fn unreachable(path: &Path) -> Option<SocketHolder> {
    match timeout(ANSWER_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Ok(_)) => None,
        // Only this is the word that nobody listens: another error may be a listener with much to do.
        Ok(Err(error))
            if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) =>
        {
            Some(SocketHolder::Nobody)
        }
        Ok(Err(_)) | Err(_) => Some(SocketHolder::Silent),
    }
}

/// What the process behind the socket calls itself; `None` if it does not say so in time.
pub(super) async fn runtime_name(path: &Path) -> Option<String> {
    let asked = async {
        let request = VersionRequest { version: PROTOCOL_VERSION.to_owned() };
        let response = CsiDriverProviderClient::new(channel(path)).version(request).await.ok()?;
        Some(response.into_inner().runtime_name.chars().filter(|c| !c.is_control()).take(64).collect())
    };
    timeout(ANSWER_TIMEOUT, asked).await.ok().flatten()
}

/// A gRPC channel through the socket at `path`, as the driver has one; it connects when it is used.
pub fn channel(path: &Path) -> Channel {
    let path = path.to_owned();
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    }))
}
