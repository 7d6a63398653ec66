//! What can go wrong, with whom, and when.
//!
//! A [`Fault`] strikes a [`Target`], at once and until it is healed; a [`Rule`] narrows it to some requests,
//! to the first of them, or to a span of time. Rules are also written down: `written` reads them.

mod force;
mod recorded;
mod rule;
mod written;

use std::time::Duration;

use crate::hosts::{self, Role};

pub use recorded::{Recorded, RecordedAnswer, RecordedQuestion, Source};
pub use rule::{Rule, RuleError};

pub(crate) use force::{Asked, Faults};

/// Whose answers a fault spoils.
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
    /// The Kubernetes API server: reading service accounts. A [`Fault::Status`] of 401, 403 or 404 is
    /// said as the API server says it.
    ApiServer,
    /// The instance metadata service.
    Imds,
}

/// What goes wrong. Of several faults for one request the delays add up, and the newest of the others
/// decides the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// This status, with an error body of the service's own form.
    Status(u16),
    /// Entra refuses to give a token: with this error. The instance metadata service passes it on.
    Refusal {
        /// The number after `AADSTS`.
        code: u32,
        /// From 400.
        status: u16,
        /// The OAuth error, such as `invalid_client`.
        error: String,
    },
    /// This status, with the HTML of a gateway that stands before the service.
    Gateway(u16),
    /// 200 with a body that is not JSON.
    Garbage,
    /// The request is read and never answered.
    Hang,
    /// Status, headers and half of the body arrive, and then nothing, on a connection that stays open.
    HangInBody,
    /// Half of the body arrives, and then its end: less than `Content-Length` says.
    Truncate,
    /// `Content-Length` says less than the body has.
    WrongLength,
    /// The connection is closed instead of an answer.
    Disconnect,
    /// The connection is reset instead of an answer: TCP RST.
    Reset,
    /// Nobody listens: the proxy refuses `CONNECT` with 502, a direct connection is reset before its TLS
    /// handshake, and so are those that are open, once something is asked on them.
    Refuse,
    /// New connections meet this certificate. Those that are open are left alone.
    Certificate(BadCertificate),
    /// The answer comes this much later.
    Latency(Duration),
    /// 429 as the service says it.
    Throttle {
        /// The `Retry-After` header, in whole seconds.
        retry_after: Option<Duration>,
    },
    /// 429 once more requests than these have come within a window; such answers do not count, as at Key
    /// Vault ("Azure Key Vault throttling guidance"). A window begins with its first request; each vault has
    /// its own.
    Limit {
        /// How many requests a window takes.
        requests: u32,
        /// How long a window is.
        per: Duration,
        /// The `Retry-After` header of the 429, in whole seconds.
        retry_after: Option<Duration>,
    },
    /// The clock is wrong. The issuer's goes into its tokens, Entra's decides whether an assertion is within
    /// its time (AADSTS700024), and a vault's whether an access token is.
    ClockSkew {
        /// How far it is ahead; behind if negative.
        seconds: i64,
    },
    /// A vault takes no access token that was given out before this began: 401.
    Revoked,
    /// What Azure itself answered to the same request; [`Recorded::rule`] makes the rule for it.
    Recorded(Box<Recorded>),
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadCertificate {
    /// It expired yesterday.
    Expired,
    /// It is its own authority.
    SelfSigned,
    /// It is from an authority that nobody trusts.
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
    /// Who may be asked at `host` (lower case, no port): before there is a request, a host that serves
    /// several is spoiled by a fault of any of them.
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
