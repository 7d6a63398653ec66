//! The emulator as its users see it.

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

/// How an emulator runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether it may listen on addresses that are not loopback, where others can read its secrets.
    pub allow_non_loopback: bool,
    /// Where it serves TLS; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where it serves `CONNECT`; port 0 takes a free one.
    pub proxy_listen: SocketAddr,
    /// Where it serves the instance metadata service; port 0 takes a free one.
    pub imds_listen: SocketAddr,
    /// The key set of a real cluster, as JSON: tokens that these keys signed are accepted too, for every
    /// issuer that a federated credential names.
    pub issuer_jwks: Option<String>,
    /// How long access tokens last.
    pub access_token_lifetime: Duration,
    /// What the API server's certificate names first, at addresses, loopback and `.test` names:
    /// `hcp-kubernetes.<id>.svc.cluster.local` makes it that of a cluster with identity binding.
    pub api_server_name: Option<String>,
    /// Where it serves those who run it from another process, by plain HTTP; port 0 takes a free one. By
    /// default nowhere.
    ///
    /// | request | what it does |
    /// | --- | --- |
    /// | `GET /requests` | `{"answered": {"secret": 3, …}, "peak": {"secret": 2, …}, "connections": 1}`: how many requests of each kind were answered, the greatest number at once, and TLS handshakes |
    /// | `DELETE /requests` | forgets them |
    /// | `PUT /faults` | replaces all rules by these: a list in YAML or JSON, as `--faults` has it; `[]` heals |
    pub admin_listen: Option<SocketAddr>,
    /// Whether every request is kept. Without, requests are counted and no more, and a long run does not
    /// grow.
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

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is not a loopback address, and [`Options::allow_non_loopback`] is not set.
    #[error(
        "{0} is not a loopback address: others could reach the emulator and read its secrets; \
         in a test cluster, set --allow-non-loopback"
    )]
    NotLoopback(SocketAddr),
    /// The address is taken, say.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where it should have listened.
        address: SocketAddr,
        /// Why it does not.
        source: std::io::Error,
    },
    /// The seed makes no sense.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// There are no certificates.
    #[error("cannot make certificates: {0}")]
    Tls(#[from] TlsError),
    /// There is no service account issuer.
    #[error("cannot make a service account issuer: {0}")]
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

    /// Where it serves TLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `HTTPS_PROXY` must be.
    pub fn proxy_url(&self) -> String {
        format!("http://{}", self.proxy_address)
    }

    /// Where it serves the instance metadata service, over plain HTTP.
    pub fn imds_address(&self) -> SocketAddr {
        self.imds_address
    }

    /// Where it serves those who run it, over plain HTTP, if the options say so.
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

    /// A token of this service account, correct unless told otherwise.
    pub fn token(&self, namespace: &str, service_account: &str) -> TokenBuilder {
        let now = self.shared.now(Service::Issuer);
        TokenBuilder::new(Arc::clone(&self.shared.issuer), namespace, service_account, now)
    }

    /// Every request that has ended since the start or since they were cleared, in order of their ends.
    /// None if [`Options::keep_requests`] says so.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.recorder.requests()
    }

    /// How many of those were of this kind and were answered.
    pub fn count(&self, kind: RequestKind) -> usize {
        self.shared.recorder.tally(kind).answered
    }

    /// The greatest number of requests of this kind under way at once. Here a request is of the kind that
    /// it looked like when it came.
    pub fn in_flight_peak(&self, kind: RequestKind) -> usize {
        self.shared.recorder.tally(kind).peak
    }

    /// Forgets requests, connections and peaks.
    pub fn clear_requests(&self) {
        self.shared.recorder.clear();
    }

    /// TLS handshakes completed since the start or since they were cleared.
    pub fn connections(&self) -> usize {
        self.shared.recorder.connections()
    }

    /// Makes every access token given out so far invalid.
    pub fn revoke_access_tokens(&self) {
        self.shared.entra.revoke_access_tokens();
    }

    /// Spoils the answers of a service until [`heal`](Self::heal). A fault that makes no sense for its
    /// target, as a rule is checked for, does not strike.
    pub fn inject(&self, target: Target, fault: Fault) {
        // Whoever wants to hear of it injects a rule.
        let _ = self.inject_rule(Rule::new(target, fault));
    }

    /// Adds a rule; its times count from now.
    pub fn inject_rule(&self, rule: Rule) -> Result<(), RuleError> {
        rule.check()?;
        self.shared.faults.inject(rule, Instant::now());
        Ok(())
    }

    /// Removes all faults. Requests that hang go on hanging.
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
