//! Errors of logging in.

use std::time::Duration;

use url::Url;

use super::refusal::Refusal;
use crate::breaker::Evidence;
use crate::code::Code;
use crate::retry::Transient;

/// Why an identity has no access token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IdentityError {
    /// Entra refused the identity.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The service principal's certificate is not usable.
    #[error(
        "secrets.clientcertificate: {0}; set it to PEM with an RSA key and its certificate, or to base64 of a PKCS#12 file with an empty password"
    )]
    Certificate(&'static str),
    /// The deadline passed before the service principal's certificate was opened.
    #[error(
        "the mount's deadline passed before secrets.clientcertificate was opened; kubelet will retry the mount"
    )]
    Busy,
    /// The deadline passed while the token request was queued.
    #[error("the mount's deadline passed while its token request was queued; kubelet will retry the mount")]
    Queued,
    /// The pod's service account does not name its application.
    #[error("service account {account}: {problem}; {help}")]
    ServiceAccount {
        /// Namespace and name.
        account: String,
        /// The problem.
        problem: String,
        /// The fix.
        help: String,
    },
    /// The token is not proven, so its service account may not be read.
    #[error(
        "no clientID is set, and the pod's token does not prove its service account: {0}; set clientID and tenantID"
    )]
    Unproven(&'static str),
    /// There was no answer.
    #[error(
        "{authority} is unreachable: {reason}; check the node's network, DNS, proxy and trusted CAs; kubelet will retry the mount"
    )]
    Unreachable {
        /// Entra, the token proxy or the node's metadata service, with its host.
        authority: String,
        /// The cause.
        reason: String,
    },
    /// The service answered with a fault or throttles.
    #[error("{authority} fails temporarily: {reason}; kubelet will retry the mount")]
    Failing {
        /// The service.
        authority: String,
        /// Its answer.
        reason: String,
        /// The delay that it requested, if any.
        retry_after: Option<Duration>,
        /// Whether it reports that it is unavailable (503), which affects all of its clients.
        is_unavailable: bool,
    },
    /// The answer is not in the service's format.
    #[error(
        "the answer did not come from {authority}: {what}; a proxy or firewall may have answered: let the node reach {host}, or correct the provider's HTTPS_PROXY and NO_PROXY; kubelet will retry the mount"
    )]
    Intercepted {
        /// The service.
        authority: String,
        /// Its host.
        host: String,
        /// The answer that was received.
        what: String,
    },
}

impl IdentityError {
    /// Entra did not answer in time.
    pub fn timed_out(authority: &Url) -> Self {
        Self::timed_out_for(format!("Entra at {}", authority.host_str().unwrap_or_default()))
    }

    /// The circuit breaker is open, and no request was sent.
    pub(super) fn circuit_open(authority: &Url) -> Self {
        let authority = format!("Entra at {}", authority.host_str().unwrap_or_default());
        let reason = "the circuit breaker is open after failures, and Entra is retried within half a minute"
            .to_owned();
        Self::Unreachable { authority, reason }
    }

    pub(super) fn timed_out_for(authority: String) -> Self {
        Self::Unreachable { authority, reason: "no answer in time".to_owned() }
    }

    /// The value of a metric label.
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

    /// Whether no token is available now, so that a mount may be served without one.
    pub fn is_unavailable(&self) -> bool {
        self.is_transient() || matches!(self, Self::Busy | Self::Queued)
    }

    /// Whether Entra refused, perhaps the token of one pod only.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// Whether the error is specific to the mount that sent the request (its deadline, its place in a queue), and must
    /// not be returned to others.
    pub(super) fn is_specific_to_mount(&self) -> bool {
        matches!(self, Self::Busy | Self::Queued | Self::Unreachable { .. })
    }

    /// The gRPC code of the mount.
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
            // The cause may be one tenant or client, or no request was sent.
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
