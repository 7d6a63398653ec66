//! Why an identity got no access token.

use std::time::Duration;

use url::Url;

use super::refusal::Refusal;
use crate::breaker::Evidence;
use crate::code::Code;
use crate::retry::Transient;

/// Why there is no access token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IdentityError {
    /// Entra answered, and said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The service principal's certificate cannot be used.
    #[error(
        "secrets.clientcertificate: {0}; put PEM with an RSA key and its certificate there, or PKCS#12 in base64 with an empty password"
    )]
    Certificate(&'static str),
    /// There was no time to open the service principal's certificate.
    #[error(
        "the mount's deadline passed before secrets.clientcertificate was opened; kubelet will retry the mount"
    )]
    Busy,
    /// The turn of the token request did not come.
    #[error(
        "the mount's deadline passed while its token request waited for its turn among the node's requests; kubelet will retry the mount"
    )]
    Queued,
    /// The pod's service account does not say which application it stands for.
    #[error("service account {account}: {problem}; {help}")]
    ServiceAccount {
        /// Namespace and name.
        account: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        help: String,
    },
    /// The token is not proven, and only a proven one may be asked about.
    #[error(
        "no clientID is given, and the pod's token does not prove its service account: {0}; set clientID and tenantID"
    )]
    Unproven(&'static str),
    /// There was no answer.
    #[error(
        "{authority} cannot be used: {reason}; check the node's network, DNS, proxy and trusted CAs; the mount is tried again"
    )]
    Unreachable {
        /// Who was asked: Entra, the token proxy or the node, and under which host.
        authority: String,
        /// What happened.
        reason: String,
    },
    /// It answered that it has a fault, or too much to do.
    #[error("{authority} fails for the moment: {reason}; the mount is tried again")]
    Failing {
        /// Who was asked.
        authority: String,
        /// What it said.
        reason: String,
        /// How long it asked to be left alone, if it did.
        retry_after: Option<Duration>,
        /// Whether it says that it is unavailable (503), which concerns all of its clients.
        is_unavailable: bool,
    },
    /// The answer has not the form of the service's own.
    #[error(
        "the answer did not come from {authority}: {what}; a proxy or a firewall in between may have answered: let the node reach {host}, or correct the provider's HTTPS_PROXY and NO_PROXY; the mount is tried again"
    )]
    Intercepted {
        /// Who was asked.
        authority: String,
        /// Its host.
        host: String,
        /// What came instead.
        what: String,
    },
}

impl IdentityError {
    /// Entra took longer than there was time.
    pub fn late(authority: &Url) -> Self {
        Self::late_from(format!("Entra at {}", authority.host_str().unwrap_or_default()))
    }

    /// Entra is not asked: there was no answer lately.
    pub(super) fn circuit_open(authority: &Url) -> Self {
        let authority = format!("Entra at {}", authority.host_str().unwrap_or_default());
        let reason = "no answer lately, and it is asked again within half a minute".to_owned();
        Self::Unreachable { authority, reason }
    }

    pub(super) fn late_from(authority: String) -> Self {
        Self::Unreachable { authority, reason: "no answer in time".to_owned() }
    }

    /// A word from a closed set, for the label of a metric.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Certificate(_) => "certificate",
            Self::Busy => "busy",
            Self::Queued => "queued",
            Self::ServiceAccount { .. } => "service_account",
            Self::Unproven(_) => "unproven",
            Self::Failing { retry_after: Some(_), .. } => "throttled",
            Self::Unreachable { .. } => "unreachable",
            Self::Failing { .. } => "failing",
            Self::Intercepted { .. } => "malformed_response",
        }
    }

    /// Whether no token can be had now, so that a mount may be served without one.
    pub fn is_unavailable(&self) -> bool {
        self.is_transient() || matches!(self, Self::Busy | Self::Queued)
    }

    /// Whether Entra said no, perhaps to the token of one pod only.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// Whether it is about the mount that sent the request, which others must not be answered with: its deadline, or
    /// its place in a queue.
    pub(super) fn is_of_its_mount(&self) -> bool {
        matches!(self, Self::Busy | Self::Queued | Self::Unreachable { .. })
    }

    /// The mount's code.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(_) | Self::Unproven(_) => Code::Unauthenticated,
            Self::Certificate(_) | Self::ServiceAccount { .. } => Code::InvalidArgument,
            Self::Busy
            | Self::Queued
            | Self::Unreachable { .. }
            | Self::Failing { .. }
            | Self::Intercepted { .. } => Code::Internal,
        }
    }
}

impl Transient for IdentityError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Failing { .. } | Self::Intercepted { .. })
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Failing { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    fn is_throttled(&self) -> bool {
        self.retry_after().is_some()
    }

    fn evidence(&self) -> Evidence {
        match self {
            Self::Unreachable { .. } | Self::Failing { is_unavailable: true, .. } => Evidence::Unavailable,
            Self::Refused(_) | Self::Failing { retry_after: Some(_), .. } => Evidence::Answered,
            // It may be about one tenant or client, or nothing was asked.
            Self::Failing { .. }
            | Self::Intercepted { .. }
            | Self::Certificate(_)
            | Self::Busy
            | Self::Queued
            | Self::ServiceAccount { .. }
            | Self::Unproven(_) => Evidence::Nothing,
        }
    }
}
