//! Limits for the HTTP connections of probes and scrapers.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

/// Connections per address. Probes and scrapers need one at a time.
const PER_ADDRESS: usize = 8;
/// Connections of all addresses except the node's own; a flood must not use up the file descriptors of the driver's
/// socket.
const OTHER_ADDRESSES: usize = 32;
/// Connections of the node's own addresses, from which kubelet probes a pod with host networking.
const OWN_ADDRESSES: usize = 32;

/// The open connections. A new one never replaces one that has sent its request, or one of another
/// address.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// Oldest first.
    served: VecDeque<Connection>,
    /// Whether the next connection has sent its request.
    next: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Connection {
    peer: IpAddr,
    own: bool,
    has_request: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Connections {
    /// Whether to serve a new connection from `peer`; `own` is whether that is the node's own address. Returns the flag to
    /// set when its request arrives; [`Self::add`] must follow.
    pub(super) fn admit(&mut self, peer: IpAddr, own: bool) -> Option<Arc<AtomicBool>> {
        self.served.retain(|connection| !connection.task.is_finished());
        let count = |counts: &dyn Fn(&Connection) -> bool| {
            self.served.iter().filter(|connection| counts(connection)).count()
        };
        let of_peer = |connection: &Connection| connection.own == own && (own || connection.peer == peer);
        let of_kind = |connection: &Connection| connection.own == own;
        let (of_address, of_all) =
            if own { (OWN_ADDRESSES, OWN_ADDRESSES) } else { (PER_ADDRESS, OTHER_ADDRESSES) };
        if count(&of_peer) >= of_address {
            // A client that has not sent its request is replaced by a newer one of the same address.
            let silent = |connection: &Connection| !connection.has_request.load(Ordering::Relaxed);
            let oldest =
                self.served.iter().position(|connection| of_peer(connection) && silent(connection))?;
            self.served.remove(oldest);
        } else if count(&of_kind) >= of_all {
            return None;
        }
        self.next = Arc::default();
        Some(Arc::clone(&self.next))
    }

    /// Adds the admitted connection, which `task` serves.
    pub(super) fn add(&mut self, peer: IpAddr, own: bool, task: JoinHandle<()>) {
        let has_request = Arc::clone(&self.next);
        self.served.push_back(Connection { peer, own, has_request, task });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn open(connections: &mut Connections, last: u8, own: bool) -> Option<Arc<AtomicBool>> {
        let has_request = connections.admit(peer(last), own)?;
        connections.add(peer(last), own, tokio::spawn(pending()));
        Some(has_request)
    }

    #[tokio::test]
    async fn a_flood_does_not_block_the_nodes_own_probes() {
        let mut connections = Connections::default();
        for last in 1..200 {
            (0..20).for_each(|_| drop(open(&mut connections, last, false)));
        }
        assert_eq!(connections.served.len(), OTHER_ADDRESSES);
        assert!(open(&mut connections, 1, true).is_some());
    }

    #[tokio::test]
    async fn silent_clients_give_way_to_newer_ones_of_their_address_only() {
        let mut connections = Connections::default();
        let scraper = open(&mut connections, 1, false).unwrap();
        scraper.store(true, Ordering::Relaxed);
        for _ in 0..100 {
            assert!(open(&mut connections, 2, false).is_some());
        }
        assert_eq!(connections.served.len(), 1 + PER_ADDRESS);
        assert_eq!(connections.served.iter().filter(|connection| connection.peer == peer(1)).count(), 1);
    }

    #[tokio::test]
    async fn a_connection_that_has_sent_its_request_is_never_cut_for_another() {
        let mut connections = Connections::default();
        for _ in 0..OWN_ADDRESSES {
            open(&mut connections, 1, true).unwrap().store(true, Ordering::Relaxed);
        }
        assert!(open(&mut connections, 1, true).is_none());
        assert_eq!(connections.served.len(), OWN_ADDRESSES);
    }
}
