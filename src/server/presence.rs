//! The socket's name: put back if somebody removes it, and left alone once another process has it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use super::socket;

/// How long nothing may be there: whoever removes a socket mostly brings another at once.
const ABSENCE: Duration = Duration::from_secs(3);

/// Puts the socket at `path`, whose file is `own`, back whenever nothing is there for some seconds, and
/// sends each new listener to `renewed`. Sleeps until something happens in the folder. Once another
/// process has put a socket there, that one's name is no concern of this process any more.
pub(super) async fn keep(
    path: &Path,
    own: (u64, u64),
    renewed: &UnboundedSender<UnixListener>,
) -> Infallible {
    let socket = path.display();
    match keep_until_taken(path, own, renewed).await {
        Ok(()) => tracing::info!(%socket, "another process has put a socket in place of this one's"),
        Err(error) => {
            tracing::warn!(%socket, %error, "the socket is not watched, and stays away if it is removed");
        }
    }
    pending().await
}

async fn keep_until_taken(
    path: &Path,
    mut own: (u64, u64),
    renewed: &UnboundedSender<UnixListener>,
) -> io::Result<()> {
    let mut told = false;
    loop {
        let mut watch = match Watch::new(path) {
            // The folder went with the socket.
            Err(Errno::ENOENT | Errno::ENOTDIR) => None,
            watch => Some(watch?),
        };
        if let Some(watch) = &mut watch {
            while file_at(path)? == Some(own) {
                watch.came = false;
                watch.change().await?;
            }
        }
        if watch.as_ref().is_some_and(|watch| watch.came) || file_at(path)?.is_some() {
            return Ok(());
        }
        sleep(ABSENCE).await;
        if let Some(watch) = &mut watch
            && watch.read()?
            && watch.came
        {
            return Ok(());
        }
        match socket::bind_again(path) {
            Ok(bound) => {
                tracing::warn!(socket = %path.display(), "somebody removed the socket, and it is back");
                (own, told) = (bound.file, false);
                // Without a receiver the server has ended, and the process is about to.
                let _ = renewed.send(bound.listener);
            }
            // What is there now is looked at next.
            Err(_) if file_at(path)?.is_some() => {}
            Err(error) => {
                if !told {
                    tracing::error!(%error, "somebody removed the socket, and it cannot be put back yet");
                }
                told = true;
            }
        }
    }
}

/// What is at `path`, if anything is.
fn file_at(path: &Path) -> io::Result<Option<(u64, u64)>> {
    match socket::file_at(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        found => found.map(Some),
    }
}

/// Tells what happens to a name in its folder, and costs nothing while nothing does.
struct Watch {
    inotify: AsyncFd<Descriptor>,
    name: OsString,
    /// Whether somebody has put something there since this was `false`.
    came: bool,
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

impl Watch {
    fn new(path: &Path) -> nix::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(socket::folder(path), CAME | WENT | AddWatchFlags::IN_ONLYDIR)?;
        #[allow(
            deprecated,
            reason = "what takes its place is unsafe; a descriptor of nix is what it asks for"
        )]
        let inotify = AsyncFd::new(Descriptor(inotify)).map_err(|_| Errno::EIO)?;
        Ok(Self { inotify, name: path.file_name().unwrap_or_default().to_owned(), came: false })
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
                self.came |= named.any(|event| event.mask.intersects(CAME));
                Ok(true)
            }
            Err(Errno::EAGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
