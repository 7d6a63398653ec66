//! Properties of a connection.

use tokio::sync::Notify;

use crate::hosts;
use crate::route::Entrance;
use crate::wire::Cutter;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    server_name: Option<String>,
    is_imds: bool,
    hang_up: Notify,
    cutter: Cutter,
}

impl Connection {
    /// By TLS, for this server name.
    pub(crate) fn tls(server_name: Option<String>, cutter: Cutter) -> Self {
        Self { server_name, is_imds: false, hang_up: Notify::new(), cutter }
    }

    /// By plain HTTP, to the instance metadata service.
    pub(crate) fn imds(cutter: Cutter) -> Self {
        Self { server_name: None, is_imds: true, hang_up: Notify::new(), cutter }
    }

    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    pub(crate) fn entrance(&self) -> Entrance {
        match &self.server_name {
            _ if self.is_imds => Entrance::Imds,
            Some(name) if hosts::is_token_proxy(name) => Entrance::TokenProxy,
            _ => Entrance::Tls,
        }
    }

    /// Closes it.
    pub(crate) fn hang_up(&self) {
        self.hang_up.notify_one();
    }

    /// Closes the connection with RST.
    pub(crate) fn reset(&self) {
        self.cutter.reset_at_close();
        self.hang_up();
    }

    /// Ends when it is to be closed.
    pub(crate) async fn hung_up(&self) {
        self.hang_up.notified().await;
    }
}
