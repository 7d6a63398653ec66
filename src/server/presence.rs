//! The socket's name: put back if something removes it, and left alone once another process has it.

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

/// How long nothing may be there: a process that removes a socket mostly brings another at once.
const ABSENCE: Duration = Duration::from_secs(3);
/// The same once another process has had the name, which puts its socket back itself while it lives.
const SUCCESSOR_ABSENCE: Duration = Duration::from_secs(30);
/// How often the name is looked at although nothing is told of its folder: a watch can be lost, and a folder can be
/// covered by a mount.
const LOOK: Duration = Duration::from_secs(30);

/// What is at the socket's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// This process's socket.
    Own,
    /// Another process's socket.
    Other,
    /// Something that is no socket.
    Obstacle,
    Nothing,
}

/// Puts the socket at `path`, whose file is `own`, back whenever nothing is there for some seconds, and sends each new
/// listener to `renewed`. Sleeps until something happens in the folder. Another process's socket is left alone.
pub(super) async fn keep(
    path: &Path,
    own: (u64, u64),
    renewed: &UnboundedSender<UnixListener>,
) -> Infallible {
    let mut keeper = Keeper { path, own, renewed, succeeded: false, told: None };
    let mut watch = None;
    loop {
        if watch.as_ref().is_none_or(|watch: &Watch| !watch.is_of(path)) {
            watch = Watch::new(path).ok();
        }
        keeper.look(&mut watch).await;
    }
}

struct Keeper<'a> {
    path: &'a Path,
    own: (u64, u64),
    renewed: &'a UnboundedSender<UnixListener>,
    /// Whether another process has had the name since this one had it.
    succeeded: bool,
    /// What was logged last; each state is logged once.
    told: Option<String>,
}

impl Keeper<'_> {
    /// Looks at the path, does what is needed, and waits until it may have changed.
    async fn look(&mut self, watch: &mut Option<Watch>) {
        match find(self.path, self.own) {
            Ok(Found::Own) => {
                (self.succeeded, self.told) = (false, None);
                if let Some(watch) = watch {
                    watch.came = false;
                }
                wait(watch).await;
            }
            Ok(Found::Other) => {
                self.succeeded = true;
                let socket = self.path.display();
                let line = format!("another process has put a socket in place of this one's: {socket}");
                if self.tell(&line) {
                    tracing::info!("{line}");
                }
                wait(watch).await;
            }
            Ok(Found::Obstacle) => {
                if let Some(watch) = watch {
                    // What has come is no other process's socket.
                    let _ = watch.read();
                    watch.came = false;
                }
                self.error(&format!(
                    "{} is no socket; remove it, and the socket is put back",
                    self.path.display()
                ));
                wait(watch).await;
            }
            Ok(Found::Nothing) => self.put_back(watch).await,
            Err(error) => {
                self.error(&format!("cannot look for the socket at {}: {error}", self.path.display()));
                sleep(ABSENCE).await;
            }
        }
    }

    async fn put_back(&mut self, watch: &mut Option<Watch>) {
        if let Some(watch) = watch {
            // What came and went may have been another process's socket.
            let _ = watch.read();
            self.succeeded |= std::mem::take(&mut watch.came);
        }
        sleep(if self.succeeded { SUCCESSOR_ABSENCE } else { ABSENCE }).await;
        if let Some(watch) = watch {
            let _ = watch.read();
            if watch.came || !matches!(find(self.path, self.own), Ok(Found::Nothing)) {
                return;
            }
        }
        match socket::bind_again(self.path) {
            Ok(bound) => {
                tracing::warn!(socket = %self.path.display(), "the socket was removed; it is back");
                (self.own, self.succeeded, self.told) = (bound.file, false, None);
                // Without a receiver the server has ended, and the process is about to.
                let _ = self.renewed.send(bound.listener);
            }
            // What is there now is looked at next.
            Err(_) if !matches!(find(self.path, self.own), Ok(Found::Nothing)) => {}
            Err(error) => self.error(&format!("the socket was removed and cannot be put back yet: {error}")),
        }
    }

    fn error(&mut self, line: &str) {
        if self.tell(line) {
            tracing::error!("{line}");
        }
    }

    /// Whether the line is not the one that was logged last.
    fn tell(&mut self, line: &str) -> bool {
        let is_new = self.told.as_deref() != Some(line);
        self.told = Some(line.to_owned());
        is_new
    }
}

async fn wait(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => drop(timeout(LOOK, watch.change()).await),
        None => sleep(ABSENCE).await,
    }
}

fn find(path: &Path, own: (u64, u64)) -> io::Result<Found> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if (metadata.dev(), metadata.ino()) == own => Ok(Found::Own),
        Ok(metadata) if metadata.file_type().is_socket() => Ok(Found::Other),
        Ok(_) => Ok(Found::Obstacle),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Found::Nothing)
        }
        Err(error) => Err(error),
    }
}

/// Tells what happens to a name in its folder, and costs nothing while nothing does.
struct Watch {
    inotify: AsyncFd<Descriptor>,
    name: OsString,
    /// Device and inode of the folder.
    folder: (u64, u64),
    /// Whether something that is no folder has been put there since this was `false`.
    came: bool,
    /// Whether the watch has ended: the folder is gone, or too much has happened.
    ended: bool,
}

struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

const CAME: AddWatchFlags = AddWatchFlags::IN_CREATE.union(AddWatchFlags::IN_MOVED_TO);
const WENT: AddWatchFlags = AddWatchFlags::IN_DELETE
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF);

/// The kernel ends the watch, or has dropped events.
const ENDED: AddWatchFlags = AddWatchFlags::IN_IGNORED.union(AddWatchFlags::IN_Q_OVERFLOW);

/// Device and inode of the socket's folder.
fn folder_at(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(socket::folder(path)).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

impl Watch {
    fn new(path: &Path) -> nix::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let folder = folder_at(path).ok_or(Errno::ENOENT)?;
        inotify.add_watch(socket::folder(path), CAME | WENT | AddWatchFlags::IN_ONLYDIR)?;
        #[allow(
            deprecated,
            reason = "what takes its place is unsafe; a descriptor of nix is what it asks for"
        )]
        let inotify = AsyncFd::new(Descriptor(inotify)).map_err(|_| Errno::EIO)?;
        let name = path.file_name().unwrap_or_default().to_owned();
        Ok(Self { inotify, name, folder, came: false, ended: false })
    }

    /// Whether it still watches the folder that is there now.
    fn is_of(&self, path: &Path) -> bool {
        !self.ended && folder_at(path) == Some(self.folder)
    }

    /// Waits until something happens in the folder.
    async fn change(&mut self) -> io::Result<()> {
        while !self.read()? {
            self.inotify.readable().await?.clear_ready();
        }
        Ok(())
    }

    /// Takes note of what has happened; `false` if that is nothing.
    fn read(&mut self) -> io::Result<bool> {
        match self.inotify.get_ref().0.read_events() {
            Ok(events) => {
                let mut named = events.iter().filter(|event| event.name.as_ref() == Some(&self.name));
                let came =
                    |mask: AddWatchFlags| mask.intersects(CAME) && !mask.contains(AddWatchFlags::IN_ISDIR);
                self.came |= named.any(|event| came(event.mask));
                self.ended |= events.iter().any(|event| event.mask.intersects(ENDED));
                Ok(true)
            }
            Err(Errno::EAGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
