//! A client that behaves like the driver when a provider restarts.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyvault_csi_provider::proto::csi_driver_provider_client::CsiDriverProviderClient;
use keyvault_csi_provider::proto::{MountRequest, MountResponse};
use keyvault_csi_provider::server::socket::channel;
use tokio::net::UnixStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// The driver's client: it connects once and keeps its connection, reconnects when that ends, waits for a listener,
/// and sends a call at most three times if the answer is `UNAVAILABLE`. Unlike the driver, it does not pause a second
/// between attempts, which is a stricter test.
#[derive(Clone)]
pub(crate) struct Driver {
    socket: PathBuf,
    client: CsiDriverProviderClient<Channel>,
}

/// The outcome of a mount.
pub(crate) struct Mounted {
    pub(crate) response: MountResponse,
    /// Number of retries.
    pub(crate) repeated: usize,
}

impl Driver {
    pub(crate) fn new(socket: &Path) -> Self {
        let client = CsiDriverProviderClient::new(channel(socket)).max_decoding_message_size(usize::MAX);
        Self { socket: socket.to_owned(), client }
    }

    /// Mounts with this timeout for each attempt.
    pub(crate) async fn mount(
        &mut self,
        request: &MountRequest,
        timeout: Duration,
    ) -> Result<Mounted, Status> {
        let mut repeated = 0;
        loop {
            while UnixStream::connect(&self.socket).await.is_err() {
                tokio::task::yield_now().await;
            }
            let mut attempt = Request::new(request.clone());
            attempt.set_timeout(timeout);
            match self.client.mount(attempt).await {
                Ok(response) => return Ok(Mounted { response: response.into_inner(), repeated }),
                Err(status) if never_left(&status) => {}
                Err(status) if status.code() == Code::Unavailable && repeated < 2 => repeated += 1,
                Err(status) => return Err(status),
            }
        }
    }
}

/// Whether the call was not processed because its connection had just ended: gRPC retries it on another one
/// (gRPC over HTTP/2, "Transparent retries"). After a GOAWAY without an error, this applies to all streams
/// that were not accepted before it (RFC 9113, section 6.8); only those end with it.
fn never_left(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        let canceled = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        let sent_away = error.downcast_ref::<h2::Error>().is_some_and(|error| {
            error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
        });
        if canceled || sent_away {
            return true;
        }
        source = error.source();
    }
    false
}
