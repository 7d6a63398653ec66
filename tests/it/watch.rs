//! Watches a directory for files that are created or removed.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::io::unix::AsyncFd;

/// Reports names that are created or removed in a directory.
pub struct Watch {
    inotify: AsyncFd<Descriptor>,
    seen: VecDeque<InotifyEvent>,
}

struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watch {
    pub fn new(directory: &Path) -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
        let all = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_TO;
        inotify.add_watch(directory, all).unwrap();
        #[allow(deprecated, reason = "its replacement is unsafe")]
        let inotify = AsyncFd::new(Descriptor(inotify)).unwrap();
        Self { inotify, seen: VecDeque::new() }
    }

    /// Returns when a name that starts with `start` is created or removed.
    pub async fn name(&mut self, start: &str) {
        loop {
            while let Some(event) = self.seen.pop_front() {
                if event.name.is_some_and(|name| name.to_string_lossy().starts_with(start)) {
                    return;
                }
            }
            let mut ready = self.inotify.readable().await.unwrap();
            match self.inotify.get_ref().0.read_events() {
                Ok(events) => self.seen.extend(events),
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => panic!("{error}"),
            }
        }
    }
}
