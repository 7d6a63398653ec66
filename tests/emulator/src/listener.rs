//! The TLS listener, the proxy in front of it, and the instance metadata service's listener.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::hosts::{self, Role};
use crate::lock;
use crate::reply::{self, Reply};
use crate::service::{Connection, Shared};

/// What serves connections.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tls: TlsAcceptor,
    /// The port of the TLS listener: clients that send everything through the proxy ask it for that, too.
    pub(crate) port: u16,
}

/// How connections of a listener are served.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocol {
    Tls,
    Proxy,
    Imds,
}

impl Server {
    /// Accepts and serves connections for as long as this future lives; with it they all end.
    pub(crate) async fn run(self, listener: TcpListener, protocol: Protocol) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    // A failure to accept is one connection's: it was reset before it was served.
                    let Ok((stream, _)) = accepted else { continue };
                    let server = self.clone();
                    connections.spawn(async move {
                        match protocol {
                            Protocol::Tls => server.serve_tls(stream).await,
                            Protocol::Proxy => server.serve_proxy(stream).await,
                            Protocol::Imds => server.serve_imds(stream).await,
                        }
                    });
                }
                // Ended connections are forgotten, lest they pile up.
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Serves HTTP over TLS. A connection that fails is the client's to notice.
    async fn serve_tls(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Ok(stream) = self.tls.accept(stream).await else {
            return;
        };
        self.shared.recorder.connected();
        let server_name = stream.get_ref().1.server_name().map(str::to_owned);
        let connection = Arc::new(Connection::tls(server_name));
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

    /// Serves the instance metadata service over plain HTTP.
    async fn serve_imds(&self, stream: TcpStream) {
        let connection = Connection::imds();
        let service =
            service_fn(async |request| Ok::<_, Infallible>(self.shared.answer(request, &connection).await));
        let serving =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = serving => {}
            () = connection.hung_up() => {}
        }
    }

    /// Serves `CONNECT`: what the tunnel would lead to is served at this end of it. Whoever asks for the
    /// instance metadata service gets it here.
    async fn serve_proxy(&self, stream: TcpStream) {
        let tunnel: Mutex<Option<OnUpgrade>> = Mutex::default();
        let connection = Connection::imds();
        let service = service_fn(async |mut request: Request<Incoming>| {
            let uri = request.uri();
            if hosts::is_imds(uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80)) {
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
            self.serve_tls(TokioIo::new(upgraded)).await;
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
            let message = format!("The emulator is not {uri}, and it connects to nobody.");
            return reply::text(StatusCode::BAD_GATEWAY, message);
        }
        if hosts::role(&host) == Role::Vault && !self.shared.store.has(hosts::vault_name(&host)) {
            // As a real proxy answers for a vault that does not exist: it has no address.
            return reply::text(StatusCode::BAD_GATEWAY, format!("Could not resolve host: {host}"));
        }
        Reply::new(Full::new(Bytes::new()))
    }
}
