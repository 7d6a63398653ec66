//! The server: a Unix socket for the driver, HTTP for probes and metrics, and a clean end.

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

/// Where and how to serve.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The driver's socket.
    pub socket: PathBuf,
    /// Whether to replace another provider's live socket.
    pub takeover: bool,
    /// The port of the health path and of `/readyz`; 0 for none.
    pub health_port: u16,
    /// Where the health path is served; on all addresses if there is none.
    pub health_address: Option<IpAddr>,
    /// The path of the health check.
    pub health_path: String,
    /// How long a health check may take.
    pub health_timeout: Duration,
    /// The port of `/metrics`; 0 for none.
    pub metrics_port: u16,
    /// Where metrics are served; on all addresses if there is none.
    pub metrics_address: Option<IpAddr>,
    /// How long running mounts may take to finish after SIGTERM.
    pub drain_timeout: Duration,
}

/// Serves until SIGTERM or SIGINT, then lets running mounts finish. The socket stays where it is: a
/// successor has put its own there, or will.
///
/// # Errors
/// If a socket or port cannot be bound, or a listener fails.
pub async fn serve(listen: Listen, mounter: Mounter, metrics: Arc<Metrics>) -> anyhow::Result<()> {
    // Ports first: whoever cannot be probed must not take the socket from one who can.
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
            .layer(MapResponseLayer::new(memory::hold))
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
            ended.context("the driver's server was aborted")?.context("the driver's server failed")?;
            anyhow::bail!("the driver's server ended by itself");
        }
        Some(ended) = probes.join_next() => {
            ended.context("a server of probes failed")?;
            anyhow::bail!("a server of probes ended by itself");
        }
        // Here and not in a task of its own, so that it puts nothing back once the drain begins.
        never = presence::keep(&listen.socket, bound.file, &renew) => match never {},
    }
    // Whoever asks whether this process is ready, asks its successor from now on, or nobody.
    probes.abort_all();
    // Mounts that cannot be done in time say so while there is still somebody to say it.
    let last_word = listen.drain_timeout.saturating_sub((listen.drain_timeout / 4).min(LAST_WORD));
    let _ = drain.send(Some(Deadline::after(last_word)));
    drop(renew);
    tracing::info!(timeout = ?listen.drain_timeout, "draining: running mounts may finish");
    if let Ok(ended) = timeout(listen.drain_timeout, serving).await {
        ended.context("the driver's server was aborted")?.context("the driver's server failed")?;
    } else {
        tracing::warn!("connections are still open at the end of --drain-timeout, and are cut");
    }
    if let Some(audit) = &audit {
        audit.flush(LAST_WORD).await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// SIGHUP says that the audit log's file was moved away.
fn reopen_on_hangup(audit: Arc<AuditLog>) -> anyhow::Result<impl Future<Output = ()>> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            audit.reopen();
        }
    })
}

/// Before the end of a drain, the time that answers have to reach the driver.
const LAST_WORD: Duration = Duration::from_secs(1);

fn bind_port(address: Option<IpAddr>, port: u16, flags: &Flags) -> anyhow::Result<Option<TcpListener>> {
    if port == 0 {
        return Ok(None);
    }
    let listener = http::listen(address, port);
    let Flags { address: address_flag, port: port_flag } = flags;
    let said = address.map(|address| format!(" and {address_flag}={address}")).unwrap_or_default();
    listener.map(Some).with_context(|| {
        format!("cannot listen on {port_flag}={port}{said}; is another process there, and is the address this node's?")
    })
}

/// The flags that say where to listen.
struct Flags {
    address: &'static str,
    port: &'static str,
}

/// A pause after a failed accept: it fails again at once while the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn connections(
    callers: Callers,
) -> impl stream::Stream<Item = std::io::Result<DriverConnection<UnixStream>>> {
    stream::unfold(callers, async |callers| {
        let (caller, callers) = callers.next().await?;
        if let Err(error) = &caller {
            tracing::warn!(%error, "a connection of the driver was not accepted");
            sleep(ACCEPT_PAUSE).await;
        }
        Some((caller.map(DriverConnection::new), callers))
    })
}
