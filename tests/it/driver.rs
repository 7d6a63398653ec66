//! The driver's client, as far as it matters to whoever restarts providers.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyvault_csi_provider::proto::csi_driver_provider_client::CsiDriverProviderClient;
use keyvault_csi_provider::proto::{MountRequest, MountResponse};
use keyvault_csi_provider::server::socket::channel;
use tokio::net::UnixStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// The driver's client: it dials once and keeps its connection, dials again when that has ended, waits
/// while nobody answers, and asks three times at most where the answer is `UNAVAILABLE`. It does not
/// pause a second in between, as the driver does: that only makes it harder to please.
#[derive(Clone)]
pub(crate) struct Driver {
    socket: PathBuf,
    client: CsiDriverProviderClient<Channel>,
}

/// What came of a mount.
pub(crate) struct Mounted {
    pub(crate) response: MountResponse,
    /// How many times the driver asked again.
    pub(crate) repeated: usize,
}

impl Driver {
    pub(crate) fn new(socket: &Path) -> Self {
        let client = CsiDriverProviderClient::new(channel(socket)).max_decoding_message_size(usize::MAX);
        Self { socket: socket.to_owned(), client }
    }

    /// One mount, whose caller waits so long for each of its attempts.
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

/// Whether the call was not served, since its connection had just ended: gRPC sends it on another by itself
/// (gRPC over HTTP/2, "Transparent retries"). After a GOAWAY without an error that is so for each stream
/// that did not get in before it (RFC 9113, section 6.8), and those alone end with it.
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
