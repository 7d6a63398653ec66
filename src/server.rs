//! The server: a Unix socket for the driver, HTTP for probes and metrics, and a clean end.

mod authority;
mod http;
mod provider;
pub mod socket;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use futures_util::stream;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::transport::Server;

pub use provider::{PROTOCOL_VERSION, Provider, RUNTIME_NAME};

use authority::DriverConnection;

use crate::proto::csi_driver_provider_server::CsiDriverProviderServer;
use crate::telemetry::Metrics;

/// Where and how to serve.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The driver's socket.
    pub socket: PathBuf,
    /// Whether to replace another provider's live socket.
    pub takeover: bool,
    /// The port of the health path and of `/readyz`; 0 for none.
    pub health_port: u16,
    /// The path of the health check.
    pub health_path: String,
    /// How long a health check may take.
    pub health_timeout: Duration,
    /// The port of `/metrics`; 0 for none.
    pub metrics_port: u16,
    /// How long running mounts may take to finish after SIGTERM.
    pub drain_timeout: Duration,
}

/// Serves until SIGTERM or SIGINT, then lets running mounts finish. The socket stays where it is: a
/// successor has put its own there, or will.
///
/// # Errors
/// If a socket or port cannot be bound, or a listener fails.
pub async fn serve(listen: Listen, provider: Provider, metrics: Arc<Metrics>) -> anyhow::Result<()> {
    // Ports first: whoever cannot be probed must not take the socket from one who can.
    let health_listener = bind_port(listen.health_port, "--healthz-port")?;
    let metrics_listener = bind_port(listen.metrics_port, "--prometheus-port")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let driver = socket::bind(&listen.socket, listen.takeover).await?;

    let (readiness, ready) = watch::channel(true);
    let health = http::Health { socket: listen.socket.clone(), timeout: listen.health_timeout, ready };
    let health = spawn_http(health_listener, http::health(&listen.health_path, health));
    let metrics = spawn_http(metrics_listener, http::metrics(metrics));

    let (reporter, health_service) = tonic_health::server::health_reporter();
    reporter.set_serving::<CsiDriverProviderServer<Provider>>().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut serving = tokio::spawn(
        Server::builder()
            .add_service(health_service)
            .add_service(CsiDriverProviderServer::new(provider))
            .serve_with_incoming_shutdown(connections(driver), async {
                let _ = stopped.await;
            }),
    );
    tracing::info!(socket = %listen.socket.display(), version = env!("CARGO_PKG_VERSION"), "serving");

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut serving => {
            ended.context("the driver's server was aborted")?.context("the driver's server failed")?;
            anyhow::bail!("the driver's server ended by itself");
        }
        error = failed(health) => return Err(error.context("the health server failed")),
        error = failed(metrics) => return Err(error.context("the metrics server failed")),
    }
    let _ = readiness.send(false);
    let _ = stop.send(());
    tracing::info!(seconds = listen.drain_timeout.as_secs(), "draining: running mounts may finish");
    match timeout(listen.drain_timeout, serving).await {
        Ok(ended) => {
            ended.context("the driver's server was aborted")?.context("the driver's server failed")?;
        }
        Err(_) => tracing::warn!(
            "mounts still run at the end of --drain-timeout; they are abandoned and kubelet asks again"
        ),
    }
    tracing::info!("stopped");
    Ok(())
}

fn bind_port(port: u16, flag: &str) -> anyhow::Result<Option<TcpListener>> {
    if port == 0 {
        return Ok(None);
    }
    http::listen(port)
        .map(Some)
        .with_context(|| format!("cannot listen on {flag}={port}; is another process there?"))
}

fn spawn_http(listener: Option<TcpListener>, router: Router) -> Option<JoinHandle<()>> {
    listener.map(|listener| tokio::spawn(http::serve(listener, router)))
}

/// Ends only if the HTTP server ends, which it never should.
async fn failed(server: Option<JoinHandle<()>>) -> anyhow::Error {
    let Some(server) = server else { return std::future::pending().await };
    match server.await {
        Ok(()) => anyhow::anyhow!("it ended by itself"),
        Err(error) => error.into(),
    }
}

/// A pause after a failed accept: it fails again at once while the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn connections(listener: UnixListener) -> impl stream::Stream<Item = std::io::Result<DriverConnection>> {
    stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await.map(|(connection, _)| DriverConnection::new(connection));
        if let Err(error) = &accepted {
            tracing::warn!(%error, "a connection of the driver was not accepted");
            sleep(ACCEPT_PAUSE).await;
        }
        Some((accepted, listener))
    })
}
