//! The emulator's public API.

mod changes;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::ISSUER;
use crate::claims::TokenBuilder;
use crate::cluster::Accounts;
use crate::entra::Entra;
use crate::fault::{Fault, Faults, Rule, RuleError, Service, Target};
use crate::issuer::{Issuer, IssuerError};
use crate::listener::{Protocol, Server};
use crate::record::{RecordedRequest, Recorder, RequestKind};
use crate::seed::{Seed, SeedError};
use crate::service::Shared;
use crate::tls::{Authority, TlsError};
use crate::vault::Store;

pub use changes::ChangeError;

/// Options of an emulator.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether it may listen on addresses other than loopback, where other hosts can read its secrets.
    pub allow_non_loopback: bool,
    /// Address of the TLS listener; port 0 for a free port.
    pub listen: SocketAddr,
    /// Address of the `CONNECT` proxy; port 0 for a free port.
    pub proxy_listen: SocketAddr,
    /// Address of the instance metadata service; port 0 for a free port.
    pub imds_listen: SocketAddr,
    /// The key set of another cluster, as JSON: tokens signed with these keys are accepted too, for every
    /// issuer of a federated credential.
    pub issuer_jwks: Option<String>,
    /// Lifetime of access tokens.
    pub access_token_lifetime: Duration,
    /// First name in the API server's certificate, at addresses, loopback and `.test` names:
    /// `hcp-kubernetes.<id>.svc.cluster.local` is that of a cluster with identity binding.
    pub api_server_name: Option<String>,
    /// Address of the admin endpoint for other processes, over plain HTTP; port 0 for a free port. By
    /// default there is none.
    ///
    /// | request | effect |
    /// | --- | --- |
    /// | `GET /requests` | `{"answered": {"secret": 3, …}, "peak": {"secret": 2, …}, "connections": 1}`: how many requests of each kind were answered, the greatest number at once, and TLS handshakes |
    /// | `DELETE /requests` | resets the counts |
    /// | `PUT /faults` | replaces all rules with a list in YAML or JSON, as in `--faults`; `[]` removes all faults |
    pub admin_listen: Option<SocketAddr>,
    /// Whether every request is kept. Otherwise requests are only counted, so that memory does not grow in a
    /// long run.
    pub keep_requests: bool,
}

impl Default for Options {
    fn default() -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            allow_non_loopback: false,
            listen: loopback,
            proxy_listen: loopback,
            imds_listen: loopback,
            issuer_jwks: None,
            access_token_lifetime: Duration::from_secs(3599),
            api_server_name: None,
            admin_listen: None,
            keep_requests: true,
        }
    }
}

/// The reason why an emulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is not a loopback address, and [`Options::allow_non_loopback`] is not set.
    #[error(
        "{0} is not a loopback address: others could reach the emulator and read its secrets; \
         in a test cluster, set --allow-non-loopback"
    )]
    NotLoopback(SocketAddr),
    /// Listening failed, for example because the address is in use.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The seed is invalid.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// Creating the certificates failed.
    #[error("failed to create certificates: {0}")]
    Tls(#[from] TlsError),
    /// Creating the service account issuer failed.
    #[error("failed to create a service account issuer: {0}")]
    Issuer(#[from] IssuerError),
}

/// A running emulator. Dropping it closes all listeners and every connection.
pub struct Emulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    proxy_address: SocketAddr,
    imds_address: SocketAddr,
    admin_address: Option<SocketAddr>,
    ca_pem: String,
    _listeners: JoinSet<()>,
}

impl Emulator {
    /// Starts with the default options: on free ports of 127.0.0.1.
    pub async fn start(seed: Seed) -> Result<Self, StartError> {
        Self::start_with(seed, Options::default()).await
    }

    /// Starts with these options.
    pub async fn start_with(seed: Seed, options: Options) -> Result<Self, StartError> {
        seed.check()?;
        let (listener, address) = bind(options.listen, options.allow_non_loopback).await?;
        let (proxy_listener, proxy_address) = bind(options.proxy_listen, options.allow_non_loopback).await?;
        let (imds_listener, imds_address) = bind(options.imds_listen, options.allow_non_loopback).await?;
        let admin = match options.admin_listen {
            Some(address) => Some(bind(address, options.allow_non_loopback).await?),
            None => None,
        };

        let authority = Authority::new(options.api_server_name)?;
        let tls = Arc::new(authority.server_config()?);
        let store = Store::new(&seed.vaults, &seed.identities)?;
        let lifetime = options.access_token_lifetime;
        let shared = Arc::new(Shared {
            entra: Entra::new(seed.tenant, seed.identities, &seed.resources, lifetime)?,
            store,
            issuer: Arc::new(Issuer::new(options.issuer_jwks.as_deref())?),
            accounts: Accounts::new(seed.service_accounts),
            faults: Faults::default(),
            recorder: Arc::new(Recorder::new(options.keep_requests)),
        });
        let ca_pem = authority.pem().to_owned();
        let server = Server { shared: Arc::clone(&shared), authority, tls, port: address.port() };
        let mut listeners = JoinSet::new();
        listeners.spawn(server.clone().run(listener, Protocol::Tls));
        listeners.spawn(server.clone().run(proxy_listener, Protocol::Proxy));
        listeners.spawn(server.clone().run(imds_listener, Protocol::Imds));
        let admin_address = admin.map(|(listener, address)| {
            listeners.spawn(server.run(listener, Protocol::Admin));
            address
        });
        Ok(Self {
            shared,
            address,
            proxy_address,
            imds_address,
            admin_address,
            ca_pem,
            _listeners: listeners,
        })
    }

    /// Address of the TLS listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value for `HTTPS_PROXY`.
    pub fn proxy_url(&self) -> String {
        format!("http://{}", self.proxy_address)
    }

    /// Address of the instance metadata service, over plain HTTP.
    pub fn imds_address(&self) -> SocketAddr {
        self.imds_address
    }

    /// Address of the admin endpoint, over plain HTTP, if the options have one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// The certificate authority that clients must trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The issuer of its service account tokens.
    pub fn issuer(&self) -> &str {
        ISSUER
    }

    /// The issuer's keys: a JSON web key set.
    pub fn jwks(&self) -> String {
        self.shared.issuer.jwks().to_string()
    }

    /// A token of this service account; valid unless changed with the builder.
    pub fn token(&self, namespace: &str, service_account: &str) -> TokenBuilder {
        let now = self.shared.now(Service::Issuer);
        TokenBuilder::new(Arc::clone(&self.shared.issuer), namespace, service_account, now)
    }

    /// The requests that have ended since the start or the last reset, in that order.
    /// Empty without [`Options::keep_requests`].
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.recorder.requests()
    }

    /// Number of answered requests of this kind.
    pub fn count(&self, kind: RequestKind) -> usize {
        self.shared.recorder.tally(kind).answered
    }

    /// Maximum number of concurrent requests of this kind. Here a request has the kind that it seemed to
    /// have when it arrived.
    pub fn in_flight_peak(&self, kind: RequestKind) -> usize {
        self.shared.recorder.tally(kind).peak
    }

    /// Resets requests, connections and peaks.
    pub fn clear_requests(&self) {
        self.shared.recorder.clear();
    }

    /// TLS handshakes completed since the start or the last reset.
    pub fn connections(&self) -> usize {
        self.shared.recorder.connections()
    }

    /// Revokes all access tokens that were issued so far.
    pub fn revoke_access_tokens(&self) {
        self.shared.entra.revoke_access_tokens();
    }

    /// Injects a fault into a service until [`heal`](Self::heal). A fault that is invalid for its target has no
    /// effect.
    pub fn inject(&self, target: Target, fault: Fault) {
        // `inject_rule` reports invalid faults.
        let _ = self.inject_rule(Rule::new(target, fault));
    }

    /// Adds a rule; its times count from now.
    pub fn inject_rule(&self, rule: Rule) -> Result<(), RuleError> {
        rule.check()?;
        self.shared.faults.inject(rule, Instant::now());
        Ok(())
    }

    /// Removes all faults. Requests that hang continue to hang.
    pub fn heal(&self) {
        self.shared.faults.heal();
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("address", &self.address)
            .field("proxy_address", &self.proxy_address)
            .finish_non_exhaustive()
    }
}

async fn bind(
    address: SocketAddr,
    allow_non_loopback: bool,
) -> Result<(TcpListener, SocketAddr), StartError> {
    if !allow_non_loopback && !address.ip().is_loopback() {
        return Err(StartError::NotLoopback(address));
    }
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
