//! Health, readiness and metrics over HTTP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::ACCEPT_PAUSE;
use super::connections::Connections;
use super::provider::RUNTIME_NAME;
use super::socket;
use crate::telemetry::Metrics;

/// The check behind `/healthz`, and its timeout.
#[derive(Clone, Debug)]
pub(super) struct HealthCheck {
    pub(super) socket: PathBuf,
    pub(super) timeout: Duration,
}

/// Listens on a port of `address`, or of all addresses. `SO_REUSEPORT` lets a process and its successor overlap.
pub(super) fn listen(address: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    if let Some(address) = address {
        let domain = if address.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
        return TcpListener::from_std(bound(domain, SocketAddr::from((address, port)))?.into());
    }
    let six = bound(Domain::IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    let socket = match six {
        // The kernel has no IPv6.
        Err(error) if matches!(error.raw_os_error(), Some(code) if code == nix::libc::EAFNOSUPPORT || code == nix::libc::EADDRNOTAVAIL) => {
            bound(Domain::IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?
        }
        six => six?,
    };
    TcpListener::from_std(socket.into())
}

fn bound(domain: Domain, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    Ok(socket)
}

/// Timeout for a client to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum duration of a connection.
const LONGEST_CONNECTION: Duration = Duration::from_secs(15);

/// Serves `router` until it is aborted.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).keep_alive(false);
    let mut connections = Connections::default();
    loop {
        let (connection, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let own = connection.local_addr().is_ok_and(|local| local.ip() == peer.ip());
        let Some(has_request) = connections.admit(peer.ip(), own) else { continue };
        let service = TowerToHyperService::new(router.clone());
        let service = hyper::service::service_fn(move |request| {
            has_request.store(true, Ordering::Relaxed);
            hyper::service::Service::call(&service, request)
        });
        let serving = server.serve_connection(TokioIo::new(connection), service);
        connections.add(
            peer.ip(),
            own,
            tokio::spawn(async move {
                // Errors of a client that disconnects are ignored.
                let _ = tokio::time::timeout(LONGEST_CONNECTION, serving).await;
            }),
        );
    }
}

/// `/readyz`, and the health check at `path`.
pub(super) fn health(path: &str, health: HealthCheck) -> Router {
    let router = Router::new().route(path, get(healthz));
    let router = if path == "/readyz" { router } else { router.route("/readyz", get(readyz)) };
    router.with_state(health)
}

pub(super) fn metrics(metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(metrics)
}

async fn healthz(State(health): State<HealthCheck>) -> impl IntoResponse {
    let check = async {
        let request = HealthCheckRequest { service: String::new() };
        let status = match HealthClient::new(socket::channel(&health.socket)).check(request).await {
            Ok(response) => response.get_ref().status(),
            Err(status) => return Err(format!("the socket does not answer: {}", status.message())),
        };
        if status != ServingStatus::Serving {
            return Err(format!("{status:?}"));
        }
        // A successor of this process may own the socket; another provider must not.
        match socket::runtime_name(&health.socket).await {
            Some(name) if name == RUNTIME_NAME => Ok(()),
            name => {
                Err(format!("the socket is served by {}", name.as_deref().unwrap_or("an unknown process")))
            }
        }
    };
    match tokio::time::timeout(health.timeout, check).await {
        Ok(Ok(())) => (StatusCode::OK, "ok\n".to_owned()),
        Ok(Err(reason)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, format!("no answer within {:?}\n", health.timeout)),
    }
}

/// The provider is ready while it serves the socket; a process that shuts down no longer listens here. Readiness does
/// not depend on Azure: an unready provider could not report why mounts fail.
async fn readyz() -> &'static str {
    "ok\n"
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics.text())
}
