//! The driver's connections, across replaced listeners, until the process ends.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixListener as ClosingListener;

use socket2::SockRef;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedReceiver;

/// The sources of connections.
pub(super) enum Callers {
    /// A listener, and each that replaces it, until no other can follow.
    Open(UnixListener, UnboundedReceiver<UnixListener>),
    /// The connections that were pending when the listener was closed for new ones.
    Last(ClosingListener),
}

impl Callers {
    /// The next connection and the source of later ones; `None` after the last.
    pub(super) async fn next(self) -> Option<(io::Result<UnixStream>, Self)> {
        let (mut listener, mut renewed) = match self {
            Self::Open(listener, renewed) => (listener, renewed),
            Self::Last(listener) => return last(listener),
        };
        loop {
            tokio::select! {
                // Pending connections are accepted before the listener is dropped.
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

/// Refuses new connections. Closing the listener immediately would cut off connections that are pending
/// in its backlog.
fn refusing(listener: UnixListener) -> Option<ClosingListener> {
    let listener = listener.into_std().ok()?;
    SockRef::from(&listener).shutdown(Shutdown::Read).ok()?;
    Some(listener)
}

/// One of the pending connections; an error means that there is none.
fn last(listener: ClosingListener) -> Option<(io::Result<UnixStream>, Callers)> {
    let (caller, _) = listener.accept().ok()?;
    let caller = caller.set_nonblocking(true).and_then(|()| UnixStream::from_std(caller));
    Some((caller, Callers::Last(listener)))
}
