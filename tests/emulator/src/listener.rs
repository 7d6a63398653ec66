//! The TLS listener, the proxy in front of it, and the instance metadata service's listener.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::Acceptor;

use crate::fault::Service;
use crate::hosts::{self, Role};
use crate::lock;
use crate::reply::{self, Reply};
use crate::service::{Connection, Shared};
use crate::tls::{self, Authority};
use crate::wire::{Cutter, Wire};

/// The state that all connections share.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) shared: Arc<Shared>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) tls: Arc<ServerConfig>,
    /// The port of the TLS listener: some clients connect to it through the proxy.
    pub(crate) port: u16,
}

/// How connections of a listener are served.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocol {
    Tls,
    Proxy,
    Imds,
    Admin,
}

impl Server {
    /// Accepts and serves connections for as long as this future lives; with it they all end.
    pub(crate) async fn run(self, listener: TcpListener, protocol: Protocol) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    // Only this connection failed: it was reset before it was accepted.
                    let Ok((stream, _)) = accepted else { continue };
                    let server = self.clone();
                    connections.spawn(async move {
                        let wire = Wire::new(stream);
                        let cutter = wire.cutter();
                        match protocol {
                            Protocol::Tls => server.serve_tls(wire, cutter).await,
                            Protocol::Proxy => server.serve_proxy(wire, cutter).await,
                            Protocol::Imds => server.serve_imds(wire, cutter).await,
                            Protocol::Admin => server.serve_admin(wire).await,
                        }
                    });
                }
                // Removes ended connections, to limit memory.
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Serves HTTP over TLS. The client notices a failed connection.
    async fn serve_tls(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, cutter: Cutter) {
        let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), stream).await else {
            return;
        };
        let Some(tls) = self.welcome(&tls::host(&start.client_hello())) else {
            return cutter.reset_at_close();
        };
        let Ok(stream) = start.into_stream(tls).await else {
            return;
        };
        self.shared.recorder.connected();
        let server_name = stream.get_ref().1.server_name().map(str::to_owned);
        let connection = Arc::new(Connection::tls(server_name, cutter));
        let service = service_fn(|request| {
            let (shared, connection) = (Arc::clone(&self.shared), Arc::clone(&connection));
            async move { Ok::<_, Infallible>(shared.answer(request, &connection).await) }
        });
        let server = auto::Builder::new(TokioExecutor::new());
        let serving = server.serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = serving => {}
            () = connection.hung_up() => {}
        }
    }

    /// How a client that asks for `host` is met; `None` if it is refused.
    fn welcome(&self, host: &str) -> Option<Arc<ServerConfig>> {
        let (services, now) = (Service::at(host), Instant::now());
        if self.shared.faults.refuses(&services, now) {
            return None;
        }
        match self.shared.faults.certificate(&services, now) {
            Some(bad) => self.authority.spoiled_config(bad).ok().map(Arc::new),
            None => Some(Arc::clone(&self.tls)),
        }
    }

    /// Serves the instance metadata service over plain HTTP.
    async fn serve_imds(&self, stream: Wire, cutter: Cutter) {
        if self.shared.faults.refuses(&[Service::Imds], Instant::now()) {
            return cutter.reset_at_close();
        }
        let connection = Connection::imds(cutter);
        let service =
            service_fn(async |request| Ok::<_, Infallible>(self.shared.answer(request, &connection).await));
        let serving =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = serving => {}
            () = connection.hung_up() => {}
        }
    }

    /// Serves the admin endpoint.
    async fn serve_admin(&self, stream: Wire) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.shared.administer(request).await));
        let serving =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // The client notices a failed connection.
        let _ = serving.await;
    }

    /// Serves `CONNECT`: the emulator itself answers the requests in the tunnel. Plain requests to the instance
    /// metadata service are answered here.
    async fn serve_proxy(&self, stream: Wire, cutter: Cutter) {
        let tunnel: Mutex<Option<OnUpgrade>> = Mutex::default();
        let connection = Connection::imds(cutter.clone());
        let service = service_fn(async |mut request: Request<Incoming>| {
            let uri = request.uri();
            if hosts::is_imds(uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80)) {
                if self.shared.faults.refuses(&[Service::Imds], Instant::now()) {
                    return Ok(refused(uri.host().unwrap_or_default()));
                }
                return Ok(self.shared.answer(request, &connection).await);
            }
            let reply = self.connect(&request);
            if reply.status() == StatusCode::OK {
                *lock(&tunnel) = Some(hyper::upgrade::on(&mut request));
            }
            Ok::<_, Infallible>(reply)
        });
        let serving =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            served = serving.with_upgrades() => if served.is_err() { return },
            () = connection.hung_up() => return,
        }
        let upgrade = lock(&tunnel).take();
        let Some(upgrade) = upgrade else { return };
        if let Ok(upgraded) = upgrade.await {
            self.serve_tls(TokioIo::new(upgraded), cutter).await;
        }
    }

    fn connect(&self, request: &Request<Incoming>) -> Reply {
        if request.method() != Method::CONNECT {
            let message = "This proxy serves CONNECT only: nothing but 169.254.169.254 is asked without TLS.";
            return reply::text(StatusCode::METHOD_NOT_ALLOWED, message.to_owned());
        }
        let uri = request.uri();
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(443);
        let itself = port == self.port && hosts::is_loopback(&host);
        if !itself && !hosts::is_reachable(&host, port) {
            let message = format!(
                "{uri} is not a host of the emulator, and the emulator makes no outgoing connections."
            );
            return reply::text(StatusCode::BAD_GATEWAY, message);
        }
        if hosts::role(&host) == Role::Vault && !self.shared.store.has(hosts::vault_name(&host)) {
            // As a real proxy answers for a vault that does not exist: it has no address.
            return reply::text(StatusCode::BAD_GATEWAY, format!("Could not resolve host: {host}"));
        }
        if self.shared.faults.refuses(&Service::at(&host), Instant::now()) {
            return refused(&host);
        }
        reply::empty(StatusCode::OK)
    }
}

/// A proxy's answer when the host refuses the connection.
fn refused(host: &str) -> Reply {
    reply::text(StatusCode::BAD_GATEWAY, format!("Could not connect to {host}: Connection refused"))
}
