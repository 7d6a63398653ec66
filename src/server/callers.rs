//! The driver's connections, from a socket that may be put back, to the last before the process ends.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixListener as ClosingListener;

use socket2::SockRef;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedReceiver;

/// Who calls.
pub(super) enum Callers {
    /// Those of a listener, and of each that takes its place, until there can be no other.
    Open(UnixListener, UnboundedReceiver<UnixListener>),
    /// Those that were connected when new ones began to be refused.
    Last(ClosingListener),
}

impl Callers {
    /// The next caller, and those after; `None` after the last.
    pub(super) async fn next(self) -> Option<(io::Result<UnixStream>, Self)> {
        let (mut listener, mut renewed) = match self {
            Self::Open(listener, renewed) => (listener, renewed),
            Self::Last(listener) => return last(listener),
        };
        loop {
            tokio::select! {
                // Whoever has been connected is heard before the listener is let go.
                biased;
                accepted = listener.accept() => {
                    return Some((accepted.map(|(caller, _)| caller), Self::Open(listener, renewed)));
                }
                next = renewed.recv() => match next {
                    Some(next) => listener = next,
                    None => return last(refusing(listener)?),
                },
            }
        }
    }
}

/// Refuses new callers. Closed at once, the socket would cut off those who are connected and have not
/// been accepted.
fn refusing(listener: UnixListener) -> Option<ClosingListener> {
    let listener = listener.into_std().ok()?;
    SockRef::from(&listener).shutdown(Shutdown::Read).ok()?;
    Some(listener)
}

/// One of the last callers; an error says that there is none.
fn last(listener: ClosingListener) -> Option<(io::Result<UnixStream>, Callers)> {
    let (caller, _) = listener.accept().ok()?;
    let caller = caller.set_nonblocking(true).and_then(|()| UnixStream::from_std(caller));
    Some((caller, Callers::Last(listener)))
}
