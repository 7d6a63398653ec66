//! The server: a Unix socket for the driver, HTTP for probes and metrics, and graceful shutdown.

mod authority;
mod callers;
mod connections;
mod http;
mod memory;
mod presence;
mod provider;
pub mod socket;

use std::future::pending;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::stream;
use tokio::net::{TcpListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::transport::Server;
use tower::util::MapResponseLayer;

pub use authority::DriverConnection;
pub use provider::{PROTOCOL_VERSION, Provider, RUNTIME_NAME};

use callers::Callers;

use crate::audit::AuditLog;
use crate::mount::Mounter;
use crate::proto::csi_driver_provider_server::CsiDriverProviderServer;
use crate::retry::Deadline;
use crate::telemetry::Metrics;

/// Where to listen.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The driver's socket.
    pub socket: PathBuf,
    /// Whether to replace a live socket of another provider.
    pub takeover: bool,
    /// The port of the health check and of `/readyz`; 0 for none.
    pub health_port: u16,
    /// The address of the health check; `None` for all addresses.
    pub health_address: Option<IpAddr>,
    /// The path of the health check.
    pub health_path: String,
    /// The timeout of a health check.
    pub health_timeout: Duration,
    /// The port of `/metrics`; 0 for none.
    pub metrics_port: u16,
    /// The address of `/metrics`; `None` for all addresses.
    pub metrics_address: Option<IpAddr>,
    /// Time for running mounts to finish after SIGTERM.
    pub drain_timeout: Duration,
}

/// Serves until SIGTERM or SIGINT, then lets running mounts finish. The socket is not removed, because a successor
/// replaces it.
///
/// # Errors
/// If a socket or port cannot be bound, or a listener fails.
pub async fn serve(listen: Listen, mounter: Mounter, metrics: Arc<Metrics>) -> anyhow::Result<()> {
    // Ports first: a process that cannot be probed must not take the socket from one that can.
    let health_listener = bind_port(
        listen.health_address,
        listen.health_port,
        &Flags { address: "--healthz-address", port: "--healthz-port" },
    )?;
    let metrics_listener = bind_port(
        listen.metrics_address,
        listen.metrics_port,
        &Flags { address: "--metrics-address", port: "--prometheus-port" },
    )?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let bound = socket::bind(&listen.socket, listen.takeover).await?;

    let health = http::HealthCheck { socket: listen.socket.clone(), timeout: listen.health_timeout };
    let mut probes = JoinSet::new();
    for (listener, router) in [
        (health_listener, http::health(&listen.health_path, health)),
        (metrics_listener, http::metrics(Arc::clone(&metrics))),
    ] {
        if let Some(listener) = listener {
            probes.spawn(http::serve(listener, router));
        }
    }

    let audit = mounter.audit.as_ref().map(|audit| Arc::clone(audit.log()));
    if let Some(audit) = &audit {
        probes.spawn(reopen_on_hangup(Arc::clone(audit))?);
    }
    let (drain, draining) = watch::channel(None);
    let provider = Provider::new(mounter, metrics, draining);
    let (reporter, health_service) = tonic_health::server::health_reporter();
    reporter.set_serving::<CsiDriverProviderServer<Provider>>().await;
    let (renew, renewed) = mpsc::unbounded_channel();
    let mut serving = tokio::spawn(
        Server::builder()
            .layer(MapResponseLayer::new(memory::attach_permit))
            .add_service(health_service)
            .add_service(CsiDriverProviderServer::new(provider))
            // Without a signal, connections would be cut instead of drained at the end of the stream.
            .serve_with_incoming_shutdown(connections(Callers::Open(bound.listener, renewed)), pending()),
    );
    tracing::info!(socket = %listen.socket.display(), version = env!("CARGO_PKG_VERSION"), "serving");

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut serving => {
            ended.context("the gRPC server was aborted")?.context("the gRPC server failed")?;
            anyhow::bail!("the gRPC server stopped unexpectedly");
        }
        Some(ended) = probes.join_next() => {
            ended.context("an HTTP server failed")?;
            anyhow::bail!("an HTTP server stopped unexpectedly");
        }
        // Not in a task of its own, so that the socket is not put back once the drain begins.
        never = presence::keep(&listen.socket, bound.file, &renew) => match never {},
    }
    // From now on, readiness probes reach the successor or fail.
    probes.abort_all();
    // Mounts that cannot finish in time fail while their errors can still be sent.
    let last_word = listen.drain_timeout.saturating_sub((listen.drain_timeout / 4).min(REPLY_MARGIN));
    let _ = drain.send(Some(Deadline::after(last_word)));
    drop(renew);
    tracing::info!(timeout = ?listen.drain_timeout, "draining: waiting for running mounts to finish");
    if let Ok(ended) = timeout(listen.drain_timeout, serving).await {
        ended.context("the gRPC server was aborted")?.context("the gRPC server failed")?;
    } else {
        tracing::warn!("--drain-timeout has passed; closing the remaining connections");
    }
    if let Some(audit) = &audit {
        audit.flush(REPLY_MARGIN).await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Opens the audit log again on SIGHUP, after its file was renamed.
fn reopen_on_hangup(audit: Arc<AuditLog>) -> anyhow::Result<impl Future<Output = ()>> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            audit.reopen();
        }
    })
}

/// Time at the end of a drain for answers to reach the driver.
const REPLY_MARGIN: Duration = Duration::from_secs(1);

fn bind_port(address: Option<IpAddr>, port: u16, flags: &Flags) -> anyhow::Result<Option<TcpListener>> {
    if port == 0 {
        return Ok(None);
    }
    let listener = http::listen(address, port);
    let Flags { address: address_flag, port: port_flag } = flags;
    let at_address = address.map(|address| format!(" and {address_flag}={address}")).unwrap_or_default();
    listener.map(Some).with_context(|| {
        format!("cannot listen on {port_flag}={port}{at_address}: check that no other process uses the port, and that the node has the address")
    })
}

struct Flags {
    address: &'static str,
    port: &'static str,
}

/// A pause after a failed accept: while the process is out of file descriptors, it would fail again immediately.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn connections(
    callers: Callers,
) -> impl stream::Stream<Item = std::io::Result<DriverConnection<UnixStream>>> {
    stream::unfold(callers, async |callers| {
        let (caller, callers) = callers.next().await?;
        if let Err(error) = &caller {
            tracing::warn!(%error, "cannot accept a connection of the driver");
            sleep(ACCEPT_PAUSE).await;
        }
        Some((caller.map(DriverConnection::new), callers))
    })
}
