//! Faults, their targets, and when they apply.
//!
//! A [`Fault`] affects a [`Target`] from its injection until it is removed; a [`Rule`] limits it to some requests,
//! to the first of them, or to a period. `written` parses rules from text.

mod force;
mod recorded;
mod rule;
mod written;

use std::time::Duration;

use crate::hosts::{self, Role};

pub use recorded::{Recorded, RecordedAnswer, RecordedQuestion, Source};
pub use rule::{Rule, RuleError};

pub(crate) use force::{Asked, Faults};

/// The service that a fault affects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Entra: token endpoint, also through the cluster's token proxy, and discovery.
    Entra,
    /// One vault, by name.
    Vault(String),
    /// Every vault.
    AllVaults,
    /// The service account issuer: discovery, keys and token requests.
    Issuer,
    /// The Kubernetes API server: reading service accounts. A [`Fault::Status`] of 401, 403 or 404 has the body
    /// that the API server sends.
    ApiServer,
    /// The instance metadata service.
    Imds,
}

/// A fault. If several apply to one request, their delays add up, and the newest of the others decides the
/// answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// This status, with the service's own form of an error body.
    Status(u16),
    /// Entra refuses to issue a token, with this error. The instance metadata service forwards it.
    Refusal {
        /// The number after `AADSTS`.
        code: u32,
        /// HTTP status, 400 or more.
        status: u16,
        /// The OAuth error, such as `invalid_client`.
        error: String,
    },
    /// This status, with the HTML body of a gateway in front of the service.
    Gateway(u16),
    /// 200 with a body that is not JSON.
    Garbage,
    /// The request is read and never answered.
    Hang,
    /// Status, headers and half of the body are sent, then nothing more; the connection stays open.
    HangInBody,
    /// Half of the body is sent, less than `Content-Length`; then the connection ends.
    Truncate,
    /// `Content-Length` is less than the size of the body.
    WrongLength,
    /// The connection is closed without an answer.
    Disconnect,
    /// The connection is reset without an answer: TCP RST.
    Reset,
    /// Connection refused: the proxy answers `CONNECT` with 502, a direct connection is reset before its TLS
    /// handshake, and an open connection is reset at its next request.
    Refuse,
    /// New connections use this certificate. Open connections are not affected.
    Certificate(BadCertificate),
    /// The answer is delayed by this time.
    Latency(Duration),
    /// 429, as the service sends it.
    Throttle {
        /// The `Retry-After` header, in whole seconds.
        retry_after: Option<Duration>,
    },
    /// 429 when a window has had this number of requests; answers with 429 do not count, as with Key Vault
    /// ("Azure Key Vault throttling guidance"). A window begins with its first request; each vault has its
    /// own.
    Limit {
        /// Maximum number of requests in a window.
        requests: u32,
        /// Length of a window.
        per: Duration,
        /// The `Retry-After` header of the 429, in whole seconds.
        retry_after: Option<Duration>,
    },
    /// The clock is wrong. The issuer's clock sets the times in its tokens, Entra's decides whether an assertion
    /// is valid now (AADSTS700024), and a vault's whether an access token is.
    ClockSkew {
        /// Seconds that the clock is ahead; negative if it is behind.
        seconds: i64,
    },
    /// A vault refuses access tokens that were issued before the fault began: 401.
    Revoked,
    /// Azure's recorded answer to the same request; [`Recorded::rule`] creates the rule for it.
    Recorded(Box<Recorded>),
}

/// The defect of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadCertificate {
    /// It expired yesterday.
    Expired,
    /// It is self-signed.
    SelfSigned,
    /// It is from an untrusted authority.
    OtherAuthority,
    /// It is for another host.
    WrongName,
}

/// The service that a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service<'a> {
    Entra,
    Vault(&'a str),
    Issuer,
    ApiServer,
    Imds,
}

impl Service<'_> {
    /// The services at `host` (lower case, no port). Before a request is read, a fault of any of them affects
    /// the host.
    pub(crate) fn at(host: &str) -> Vec<Service<'_>> {
        let vault = Service::Vault(hosts::vault_name(host));
        match hosts::role(host) {
            Role::Entra => vec![Service::Entra],
            Role::Vault => vec![vault],
            Role::Issuer => vec![Service::Issuer, Service::ApiServer],
            Role::Any if hosts::is_token_proxy(host) || hosts::is_private_authority(host) => {
                vec![Service::Entra]
            }
            Role::Any if hosts::is_private(host) => vec![Service::Issuer, Service::ApiServer],
            Role::Any => vec![Service::Entra, vault, Service::Issuer, Service::ApiServer],
        }
    }
}

impl Target {
    fn covers(&self, service: Service<'_>) -> bool {
        match (self, service) {
            (Self::Entra, Service::Entra)
            | (Self::AllVaults, Service::Vault(_))
            | (Self::Issuer, Service::Issuer)
            | (Self::ApiServer, Service::ApiServer)
            | (Self::Imds, Service::Imds) => true,
            (Self::Vault(name), Service::Vault(asked)) => name.eq_ignore_ascii_case(asked),
            _ => false,
        }
    }

    fn is_vault(&self) -> bool {
        matches!(self, Self::Vault(_) | Self::AllVaults)
    }
}
