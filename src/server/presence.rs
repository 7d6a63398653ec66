//! Restores the socket's file if it is removed, unless another process has replaced it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{sleep, timeout};

use super::socket;

/// How long the file may be missing: a process that removes a socket usually creates another immediately.
const GRACE: Duration = Duration::from_secs(3);
/// The same after another process has owned the path; it restores its own socket while it lives.
const SUCCESSOR_GRACE: Duration = Duration::from_secs(30);
/// How often the path is checked without events from its directory: a watch can be lost, and a directory can be hidden
/// by a mount.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// What is at the socket's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketState {
    /// This process's socket.
    Own,
    /// Another process's socket.
    Other,
    /// A file that is not a socket.
    Obstacle,
    Nothing,
}

/// Restores the socket at `path`, whose file is `own`, when it has been missing for some seconds, and sends each new
/// listener to `renewed`. Sleeps until an event in the directory. Another process's socket is not replaced.
pub(super) async fn keep(
    path: &Path,
    own: (u64, u64),
    renewed: &UnboundedSender<UnixListener>,
) -> Infallible {
    let mut monitor = SocketMonitor { path, own, renewed, had_successor: false, last_line: None };
    let mut watch = None;
    loop {
        if watch.as_ref().is_none_or(|watch: &Watch| !watch.is_of(path)) {
            watch = Watch::new(path).ok();
        }
        monitor.check(&mut watch).await;
    }
}

struct SocketMonitor<'a> {
    path: &'a Path,
    own: (u64, u64),
    renewed: &'a UnboundedSender<UnixListener>,
    /// Whether another process has owned the path since this one did.
    had_successor: bool,
    /// The last line that was logged; each state is logged once.
    last_line: Option<String>,
}

impl SocketMonitor<'_> {
    /// Checks the path, acts on its state, and waits until it may have changed.
    async fn check(&mut self, watch: &mut Option<Watch>) {
        match find(self.path, self.own) {
            Ok(SocketState::Own) => {
                (self.had_successor, self.last_line) = (false, None);
                if let Some(watch) = watch {
                    watch.file_created = false;
                }
                wait(watch).await;
            }
            Ok(SocketState::Other) => {
                self.had_successor = true;
                let socket = self.path.display();
                let line = format!("another process has replaced the socket {socket}");
                if self.is_new_line(&line) {
                    tracing::info!("{line}");
                }
                wait(watch).await;
            }
            Ok(SocketState::Obstacle) => {
                if let Some(watch) = watch {
                    // The new file is not another process's socket.
                    let _ = watch.read();
                    watch.file_created = false;
                }
                self.error(&format!(
                    "{} is not a socket; remove it, and the provider will restore its socket",
                    self.path.display()
                ));
                wait(watch).await;
            }
            Ok(SocketState::Nothing) => self.restore(watch).await,
            Err(error) => {
                self.error(&format!("cannot check the socket {}: {error}", self.path.display()));
                sleep(GRACE).await;
            }
        }
    }

    async fn restore(&mut self, watch: &mut Option<Watch>) {
        if let Some(watch) = watch {
            // A file that was created and removed may have been another process's socket.
            let _ = watch.read();
            self.had_successor |= std::mem::take(&mut watch.file_created);
        }
        sleep(if self.had_successor { SUCCESSOR_GRACE } else { GRACE }).await;
        if let Some(watch) = watch {
            let _ = watch.read();
            if watch.file_created || !matches!(find(self.path, self.own), Ok(SocketState::Nothing)) {
                return;
            }
        }
        match socket::bind_if_absent(self.path) {
            Ok(bound) => {
                tracing::warn!(socket = %self.path.display(), "the socket was removed and has been restored");
                (self.own, self.had_successor, self.last_line) = (bound.file, false, None);
                // Without a receiver, the server has stopped and the process is about to end.
                let _ = self.renewed.send(bound.listener);
            }
            // The next check handles the new file.
            Err(_) if !matches!(find(self.path, self.own), Ok(SocketState::Nothing)) => {}
            Err(error) => self.error(&format!("the socket was removed and cannot be restored yet: {error}")),
        }
    }

    fn error(&mut self, line: &str) {
        if self.is_new_line(line) {
            tracing::error!("{line}");
        }
    }

    /// Whether the line differs from the last one that was logged.
    fn is_new_line(&mut self, line: &str) -> bool {
        let is_new = self.last_line.as_deref() != Some(line);
        self.last_line = Some(line.to_owned());
        is_new
    }
}

async fn wait(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => drop(timeout(CHECK_INTERVAL, watch.change()).await),
        None => sleep(GRACE).await,
    }
}

fn find(path: &Path, own: (u64, u64)) -> io::Result<SocketState> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if (metadata.dev(), metadata.ino()) == own => Ok(SocketState::Own),
        Ok(metadata) if metadata.file_type().is_socket() => Ok(SocketState::Other),
        Ok(_) => Ok(SocketState::Obstacle),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(SocketState::Nothing)
        }
        Err(error) => Err(error),
    }
}

/// Watches a name in its directory without polling.
struct Watch {
    inotify: AsyncFd<Descriptor>,
    name: OsString,
    /// Device and inode of the directory.
    directory: (u64, u64),
    /// Whether a file other than a directory was created there since this was `false`.
    file_created: bool,
    /// Whether the watch has ended: the directory is gone, or events were lost.
    ended: bool,
}

struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

const CREATED: AddWatchFlags = AddWatchFlags::IN_CREATE.union(AddWatchFlags::IN_MOVED_TO);
const REMOVED: AddWatchFlags = AddWatchFlags::IN_DELETE
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF);

/// The kernel ended the watch or dropped events.
const ENDED: AddWatchFlags = AddWatchFlags::IN_IGNORED.union(AddWatchFlags::IN_Q_OVERFLOW);

/// Device and inode of the socket's directory.
fn directory_at(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(socket::directory(path)).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

impl Watch {
    fn new(path: &Path) -> nix::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let directory = directory_at(path).ok_or(Errno::ENOENT)?;
        inotify.add_watch(socket::directory(path), CREATED | REMOVED | AddWatchFlags::IN_ONLYDIR)?;
        #[allow(deprecated, reason = "its replacement is unsafe")]
        let inotify = AsyncFd::new(Descriptor(inotify)).map_err(|_| Errno::EIO)?;
        let name = path.file_name().unwrap_or_default().to_owned();
        Ok(Self { inotify, name, directory, file_created: false, ended: false })
    }

    /// Whether the directory at `path` is still the watched one.
    fn is_of(&self, path: &Path) -> bool {
        !self.ended && directory_at(path) == Some(self.directory)
    }

    /// Waits for an event in the directory.
    async fn change(&mut self) -> io::Result<()> {
        while !self.read()? {
            self.inotify.readable().await?.clear_ready();
        }
        Ok(())
    }

    /// Reads pending events; `false` if there are none.
    fn read(&mut self) -> io::Result<bool> {
        match self.inotify.get_ref().0.read_events() {
            Ok(events) => {
                let mut named = events.iter().filter(|event| event.name.as_ref() == Some(&self.name));
                let is_created =
                    |mask: AddWatchFlags| mask.intersects(CREATED) && !mask.contains(AddWatchFlags::IN_ISDIR);
                self.file_created |= named.any(|event| is_created(event.mask));
                self.ended |= events.iter().any(|event| event.mask.intersects(ENDED));
                Ok(true)
            }
            Err(Errno::EAGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
