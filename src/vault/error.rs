//! Why an object could not be fetched.

use std::fmt;
use std::time::Duration;

use crate::breaker::Evidence;
use crate::cache::Finality;
use crate::code::Code;
use crate::plan::{ObjectKind, ObjectPlan};
use crate::retry::Transient;

/// Why one object could not be fetched, and from which vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultError {
    location: Box<str>,
    kind: ObjectKind,
    name: Box<str>,
    vault: Box<str>,
    /// What happened.
    pub failure: VaultFailure,
    request_id: Option<Box<str>>,
    failover: Option<Box<str>>,
}

/// Why a vault did not return an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultFailure {
    /// 401 with a challenge for a token of this resource.
    Unauthorized {
        /// The resource, if there was a challenge.
        resource: Option<String>,
    },
    /// The challenge requests a token of a resource that is not the vault's.
    WrongResource(String),
    /// 403.
    Denied(AccessDenial),
    /// 404 from the vault itself.
    NotFound,
    /// The object exists, but is disabled.
    Disabled,
    /// Another 4xx, with Key Vault's code.
    Invalid(String),
    /// 429, with the requested delay, if any.
    Throttled(Option<Duration>),
    /// A 5xx of Key Vault.
    Failing(u16),
    /// An answer that is not in Key Vault's format.
    Intercepted(Box<ForeignAnswer>),
    /// The connection failed or broke.
    Unreachable(String),
    /// The request timed out.
    TimedOut,
    /// The request was still queued at the mount's deadline.
    Queued,
    /// The circuit breaker is open for this reason; the next request is sent after this time.
    CircuitOpen(Box<VaultFailure>, Duration),
    /// A malformed answer.
    Malformed(String),
    /// The object has more bytes than the limit.
    TooLarge(usize),
}

/// An answer of a proxy or a firewall instead of Key Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Status and form, for messages.
    pub form: String,
    /// The requested delay, if any.
    pub retry_after: Option<Duration>,
}

/// Why access is denied (Key Vault's inner error codes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessDenial {
    /// `ForbiddenByRbac`: no role.
    Role,
    /// `ForbiddenByPolicy`: no access policy.
    AccessPolicy,
    /// `ForbiddenByFirewall`.
    Firewall,
    /// `ForbiddenByConnection`: private link only.
    PrivateLink,
    /// Another inner code, or none.
    Other(String),
}

impl AccessDenial {
    pub(super) fn from_inner_code(code: &str) -> Self {
        match code {
            "ForbiddenByRbac" => Self::Role,
            "ForbiddenByPolicy" => Self::AccessPolicy,
            "ForbiddenByFirewall" => Self::Firewall,
            "ForbiddenByConnection" => Self::PrivateLink,
            other => Self::Other(other.chars().filter(char::is_ascii_alphanumeric).take(64).collect()),
        }
    }
}

impl VaultError {
    pub(crate) fn of(object: &ObjectPlan, failure: VaultFailure) -> Self {
        Self {
            location: object.location.as_str().into(),
            kind: object.kind,
            name: object.name.as_str().into(),
            vault: object.vault.to_string().into(),
            failure,
            request_id: None,
            failover: None,
        }
    }

    /// Where the class names the object: `objects[2]`.
    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// The same failure, for another object of the vault.
    pub(crate) fn for_object(&self, object: &ObjectPlan) -> Self {
        Self::of(object, self.failure.clone())
    }

    /// Whether the vault is unavailable, so that its replica or a stale value may be used.
    pub(crate) fn is_unavailable(&self) -> bool {
        let failing = matches!(
            self.failure,
            VaultFailure::Failing(_) | VaultFailure::Malformed(_) | VaultFailure::Intercepted(_)
        );
        let not_asked = matches!(self.failure, VaultFailure::CircuitOpen(..) | VaultFailure::Queued);
        failing || not_asked || self.is_throttled() || self.evidence() == Evidence::Unavailable
    }

    /// Whether the error is specific to the mount that sent the request (its deadline, its place in a queue), and must
    /// not be returned to others.
    pub(crate) fn is_specific_to_mount(&self) -> bool {
        matches!(self.failure, VaultFailure::TimedOut | VaultFailure::Queued | VaultFailure::CircuitOpen(..))
    }

    /// Whether no request was sent because the circuit breaker is open.
    pub(crate) fn is_circuit_open(&self) -> bool {
        matches!(self.failure, VaultFailure::CircuitOpen(..))
    }

    /// Whether the object is missing or disabled.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.failure, VaultFailure::NotFound | VaultFailure::Disabled)
    }

    /// The same error, with the error of the failover vault.
    pub(crate) fn with_failover(self, failover: &Self) -> Self {
        Self { failover: Some(failover.to_string().into()), ..self }
    }

    /// The same error, with the location of the object in another plan.
    pub(crate) fn with_location_of(self, object: &ObjectPlan) -> Self {
        Self { location: object.location.as_str().into(), ..self }
    }

    pub(super) fn with_request_id(self, request_id: Option<String>) -> Self {
        Self { request_id: request_id.map(Into::into), ..self }
    }

    /// The gRPC code of the mount.
    pub fn code(&self) -> Code {
        match self.failure {
            VaultFailure::Unauthorized { .. } | VaultFailure::Denied(_) => Code::PermissionDenied,
            VaultFailure::NotFound | VaultFailure::Disabled => Code::NotFound,
            VaultFailure::Invalid(_) | VaultFailure::TooLarge(_) => Code::InvalidArgument,
            VaultFailure::WrongResource(_)
            | VaultFailure::Throttled(_)
            | VaultFailure::Failing(_)
            | VaultFailure::Intercepted(_)
            | VaultFailure::Unreachable(_)
            | VaultFailure::TimedOut
            | VaultFailure::Queued
            | VaultFailure::CircuitOpen(..)
            | VaultFailure::Malformed(_) => Code::Internal,
        }
    }
}

impl VaultFailure {
    /// The value of a metric label.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Unauthorized { .. } | Self::WrongResource(_) => "unauthorized",
            Self::Denied(_) => "denied",
            Self::NotFound => "not_found",
            Self::Disabled => "disabled",
            Self::Invalid(_) => "invalid",
            Self::Throttled(_) => "throttled",
            Self::Failing(_) => "failing",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut => "timeout",
            Self::Queued => "queued",
            Self::CircuitOpen(..) => "circuit_open",
            Self::Malformed(_) | Self::Intercepted(_) => "malformed_response",
            Self::TooLarge(_) => "too_much",
        }
    }
}

impl Finality for VaultError {
    /// Whether the vault decided that this identity may not have the object.
    fn is_final(&self) -> bool {
        matches!(self.failure, VaultFailure::Denied(_) | VaultFailure::NotFound | VaultFailure::Disabled)
    }
}

impl Transient for VaultError {
    fn is_transient(&self) -> bool {
        match &self.failure {
            VaultFailure::Failing(status) => *status >= 500 || *status == 408,
            VaultFailure::Intercepted(foreign) => {
                foreign.status >= 500 || matches!(foreign.status, 408 | 429)
            }
            VaultFailure::Throttled(_)
            | VaultFailure::Unreachable(_)
            | VaultFailure::Malformed(_)
            | VaultFailure::CircuitOpen(..) => true,
            VaultFailure::Unauthorized { .. }
            | VaultFailure::WrongResource(_)
            | VaultFailure::Denied(_)
            | VaultFailure::NotFound
            | VaultFailure::Disabled
            | VaultFailure::Invalid(_)
            | VaultFailure::TooLarge(_)
            | VaultFailure::Queued
            | VaultFailure::TimedOut => false,
        }
    }

    fn is_throttled(&self) -> bool {
        matches!(self.failure, VaultFailure::Throttled(_))
    }

    fn evidence(&self) -> Evidence {
        match &self.failure {
            VaultFailure::Unreachable(_) | VaultFailure::TimedOut | VaultFailure::Failing(503) => {
                Evidence::Unavailable
            }
            VaultFailure::Unauthorized { .. }
            | VaultFailure::Denied(_)
            | VaultFailure::NotFound
            | VaultFailure::Disabled
            | VaultFailure::Invalid(_)
            | VaultFailure::Throttled(_) => Evidence::Answered,
            // The cause may be one object or a gateway's rule for it, or no request was sent.
            VaultFailure::Failing(_)
            | VaultFailure::Intercepted(_)
            | VaultFailure::Malformed(_)
            | VaultFailure::TooLarge(_)
            | VaultFailure::WrongResource(_)
            | VaultFailure::Queued
            | VaultFailure::CircuitOpen(..) => Evidence::Nothing,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match &self.failure {
            VaultFailure::Throttled(wait) => *wait,
            VaultFailure::Intercepted(foreign) => foreign.retry_after,
            VaultFailure::CircuitOpen(_, wait) => Some(*wait),
            _ => None,
        }
    }
}

impl std::error::Error for VaultError {}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { location, kind, name, vault, failure, .. } = self;
        write!(f, "{location}, {} {name} of {vault}: ", terms(*kind).noun)?;
        self.fmt_failure(f, failure)?;
        if let Some(id) = &self.request_id {
            write!(f, " (x-ms-request-id {id})")?;
        }
        match &self.failover {
            Some(failover) => write!(f, "; the failover vault failed too: {failover}"),
            None => Ok(()),
        }
    }
}

impl VaultError {
    fn fmt_failure(&self, f: &mut fmt::Formatter<'_>, failure: &VaultFailure) -> fmt::Result {
        let Self { name, kind, vault, .. } = self;
        let noun = terms(*kind).noun;
        match failure {
            VaultFailure::Unauthorized { .. } => f.write_str("Key Vault rejects a fresh access token (401); check that the vault belongs to the tenant of tenantID and to the cloud of cloudName"),
            VaultFailure::WrongResource(resource) => write!(f, "the server requests a token for {resource:?}, which is not this vault's resource; no token was sent; check the vault's URL and DNS"),
            VaultFailure::Denied(denial) => self.fmt_denial(f, denial),
            VaultFailure::NotFound => write!(f, "{noun} or version not found; check objectName and objectVersion, and whether it was deleted (az keyvault {noun} list-deleted)"),
            VaultFailure::Disabled => write!(f, "the {noun} is disabled; enable it (az keyvault {noun} set-attributes --enabled true --name {name})"),
            VaultFailure::Invalid(code) => write!(f, "Key Vault rejects the request as invalid ({code}); check objectName and objectVersion"),
            VaultFailure::Throttled(_) => f.write_str("Key Vault throttles requests (429) beyond the mount's deadline; mount less often, or spread objects over several vaults"),
            VaultFailure::Failing(status) => write!(f, "Key Vault fails with HTTP status {status}; kubelet will retry the mount"),
            VaultFailure::Intercepted(foreign) => write!(f, "the answer did not come from Key Vault: {}; a proxy or firewall may have answered: let the node reach {vault}, or correct the provider's HTTPS_PROXY and NO_PROXY; kubelet will retry the mount", foreign.form),
            VaultFailure::Unreachable(reason) => write!(f, "Key Vault cannot be reached: {reason}; check the vault's name, and the node's DNS, network, proxy and trusted CAs"),
            VaultFailure::CircuitOpen(reason, _) => {
                self.fmt_failure(f, reason)?;
                f.write_str("; the circuit breaker is open, and Key Vault is retried within half a minute")
            }
            VaultFailure::TimedOut => f.write_str("Key Vault did not answer in time; kubelet will retry the mount"),
            VaultFailure::Queued => f.write_str("the mount's deadline passed while the request waited for its turn among the node's requests; kubelet will retry the mount"),
            VaultFailure::TooLarge(limit) => write!(f, "its versions have more than {limit} bytes in all; lower objectVersionHistory"),
            VaultFailure::Malformed(what) => write!(f, "Key Vault's answer is malformed: {what}; check for a proxy or firewall in between"),
        }
    }

    fn fmt_denial(&self, f: &mut fmt::Formatter<'_>, denial: &AccessDenial) -> fmt::Result {
        let Self { kind, name, vault, .. } = self;
        let KindTerms { noun, role } = terms(*kind);
        match denial {
            AccessDenial::Role => write!(f, "the identity has no role to read it; grant it \"{role}\" on the vault, or only on its {noun} {name}"),
            AccessDenial::AccessPolicy => write!(f, "no access policy of the vault allows the identity to read it; add one with the {noun} permission Get (and List, for a history of versions)"),
            AccessDenial::Firewall => write!(f, "the firewall of {vault} blocks this node; add the cluster's subnet or outbound address to it"),
            AccessDenial::PrivateLink => write!(f, "{vault} accepts private endpoints only; link the cluster's network to its private DNS zone"),
            AccessDenial::Other(code) if code.is_empty() => f.write_str("Key Vault denies access (403); check the identity's role or access policy, and the vault's network rules"),
            AccessDenial::Other(code) => write!(f, "Key Vault denies access (403 {code}); check the identity's role or access policy, and the vault's network rules"),
        }
    }
}

struct KindTerms {
    /// The noun in Azure's documentation and CLI.
    noun: &'static str,
    /// The built-in role that can read it (Azure built-in roles for Key Vault data plane operations).
    role: &'static str,
}

fn terms(kind: ObjectKind) -> KindTerms {
    match kind {
        ObjectKind::Secret => KindTerms { noun: "secret", role: "Key Vault Secrets User" },
        ObjectKind::Key => KindTerms { noun: "key", role: "Key Vault Crypto User" },
        ObjectKind::Certificate => KindTerms { noun: "certificate", role: "Key Vault Certificate User" },
    }
}
