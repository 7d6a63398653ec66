//! Why an object could not be fetched.

use std::fmt;
use std::time::Duration;

use crate::breaker::Evidence;
use crate::cache::Finality;
use crate::code::Code;
use crate::plan::{ObjectKind, ObjectPlan};
use crate::retry::Transient;

/// Why one object could not be fetched, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultError {
    location: Box<str>,
    kind: ObjectKind,
    name: Box<str>,
    vault: Box<str>,
    /// What happened.
    pub failure: Failure,
    request_id: Option<Box<str>>,
    /// What the failover vault said.
    failover: Option<Box<str>>,
}

/// What a vault did instead of giving a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 401; the challenge asks for a token of this resource.
    Unauthorized {
        /// The resource, if there was a challenge at all.
        resource: Option<String>,
    },
    /// The challenge asks for a token of a resource to which this vault does not belong.
    Lured(String),
    /// 403.
    Denied(AccessDenial),
    /// 404, from the vault itself.
    NotFound,
    /// The secret is there, but disabled.
    Disabled,
    /// Another 4xx, with Key Vault's code.
    Invalid(String),
    /// 429, and how long to wait, if it says.
    Throttled(Option<Duration>),
    /// A status of Key Vault that says nothing of the secret.
    Failing(u16),
    /// An answer that is not Key Vault's.
    Intercepted(Box<Foreign>),
    /// No connection, or one that broke.
    Unreachable(String),
    /// No answer in time.
    TimedOut,
    /// Not asked: its turn did not come before the mount's deadline.
    Queued,
    /// Not asked: there was no answer lately, for this reason; it is asked again after this time.
    CircuitOpen(Box<Failure>, Duration),
    /// An answer that makes no sense.
    Malformed(String),
    /// More bytes than one object may have.
    TooMuch(usize),
}

/// An answer of a proxy or a firewall, in the place of Key Vault's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its status.
    pub status: u16,
    /// Status and form, in words.
    pub form: String,
    /// How long to wait, if it says.
    pub retry_after: Option<Duration>,
}

/// Who denies (Key Vault's inner error codes).
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
    pub(crate) fn of(object: &ObjectPlan, failure: Failure) -> Self {
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

    /// The same failure, of another object of the vault.
    pub(crate) fn also_of(&self, object: &ObjectPlan) -> Self {
        Self::of(object, self.failure.clone())
    }

    /// Whether the vault is unavailable, so that another may be asked in its place, or an older value be shown.
    pub(crate) fn is_unavailable(&self) -> bool {
        let failing =
            matches!(self.failure, Failure::Failing(_) | Failure::Malformed(_) | Failure::Intercepted(_));
        let not_asked = matches!(self.failure, Failure::CircuitOpen(..) | Failure::Queued);
        failing || not_asked || self.is_throttled() || self.evidence() == Evidence::Unavailable
    }

    /// Whether it is about the mount that sent the request, which others must not be answered with: its deadline, or
    /// its place in a queue.
    pub(crate) fn is_of_its_mount(&self) -> bool {
        matches!(self.failure, Failure::TimedOut | Failure::Queued | Failure::CircuitOpen(..))
    }

    /// Whether the vault was not asked because its circuit breaker is open.
    pub(crate) fn is_circuit_open(&self) -> bool {
        matches!(self.failure, Failure::CircuitOpen(..))
    }

    /// Whether the vault has no such object, or keeps it disabled.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.failure, Failure::NotFound | Failure::Disabled)
    }

    /// The same error, with what the failover vault said.
    pub(crate) fn and_failover(self, failover: &Self) -> Self {
        Self { failover: Some(failover.to_string().into()), ..self }
    }

    /// The same answer of the vault, where another plan has the object elsewhere.
    pub(crate) fn at(self, object: &ObjectPlan) -> Self {
        Self { location: object.location.as_str().into(), ..self }
    }

    pub(super) fn with_request_id(self, request_id: Option<String>) -> Self {
        Self { request_id: request_id.map(Into::into), ..self }
    }

    /// The mount's code.
    pub fn code(&self) -> Code {
        match self.failure {
            Failure::Unauthorized { .. } | Failure::Denied(_) => Code::PermissionDenied,
            Failure::NotFound | Failure::Disabled => Code::NotFound,
            Failure::Invalid(_) | Failure::TooMuch(_) => Code::InvalidArgument,
            Failure::Lured(_)
            | Failure::Throttled(_)
            | Failure::Failing(_)
            | Failure::Intercepted(_)
            | Failure::Unreachable(_)
            | Failure::TimedOut
            | Failure::Queued
            | Failure::CircuitOpen(..)
            | Failure::Malformed(_) => Code::Internal,
        }
    }
}

impl Failure {
    /// A word from a closed set, for the label of a metric.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Unauthorized { .. } | Self::Lured(_) => "unauthorized",
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
            Self::TooMuch(_) => "too_much",
        }
    }
}

impl Finality for VaultError {
    /// The vault's own word that this identity may not, or not any more, have the object.
    fn is_final(&self) -> bool {
        matches!(self.failure, Failure::Denied(_) | Failure::NotFound | Failure::Disabled)
    }
}

impl Transient for VaultError {
    fn is_transient(&self) -> bool {
        match &self.failure {
            Failure::Failing(status) => *status >= 500 || *status == 408,
            Failure::Intercepted(foreign) => foreign.status >= 500 || matches!(foreign.status, 408 | 429),
            Failure::Throttled(_)
            | Failure::Unreachable(_)
            | Failure::Malformed(_)
            | Failure::CircuitOpen(..) => true,
            Failure::Unauthorized { .. }
            | Failure::Lured(_)
            | Failure::Denied(_)
            | Failure::NotFound
            | Failure::Disabled
            | Failure::Invalid(_)
            | Failure::TooMuch(_)
            | Failure::Queued
            | Failure::TimedOut => false,
        }
    }

    fn is_throttled(&self) -> bool {
        matches!(self.failure, Failure::Throttled(_))
    }

    fn evidence(&self) -> Evidence {
        match &self.failure {
            Failure::Unreachable(_) | Failure::TimedOut | Failure::Failing(503) => Evidence::Unavailable,
            Failure::Unauthorized { .. }
            | Failure::Denied(_)
            | Failure::NotFound
            | Failure::Disabled
            | Failure::Invalid(_)
            | Failure::Throttled(_) => Evidence::Answered,
            // It may be the fault of one object, or of a gateway's rule for it; or nothing was asked.
            Failure::Failing(_)
            | Failure::Intercepted(_)
            | Failure::Malformed(_)
            | Failure::TooMuch(_)
            | Failure::Lured(_)
            | Failure::Queued
            | Failure::CircuitOpen(..) => Evidence::Nothing,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match &self.failure {
            Failure::Throttled(wait) => *wait,
            Failure::Intercepted(foreign) => foreign.retry_after,
            Failure::CircuitOpen(_, wait) => Some(*wait),
            _ => None,
        }
    }
}

impl std::error::Error for VaultError {}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { location, kind, name, vault, failure, .. } = self;
        write!(f, "{location}, {} {name} of {vault}: ", words(*kind).noun)?;
        self.explained(f, failure)?;
        if let Some(id) = &self.request_id {
            write!(f, " (x-ms-request-id {id})")?;
        }
        match &self.failover {
            Some(failover) => write!(f, "; nor does its failover vault help: {failover}"),
            None => Ok(()),
        }
    }
}

impl VaultError {
    fn explained(&self, f: &mut fmt::Formatter<'_>, failure: &Failure) -> fmt::Result {
        let Self { name, kind, vault, .. } = self;
        let noun = words(*kind).noun;
        match failure {
            Failure::Unauthorized { .. } => f.write_str("Key Vault does not accept a fresh access token (401); check that the vault belongs to the tenant of tenantID and to the cloud of cloudName"),
            Failure::Lured(resource) => write!(f, "the server asks for a token of {resource:?}, to which this vault does not belong; none was sent; check the vault's URL and DNS"),
            Failure::Denied(denial) => self.denied(f, denial),
            Failure::NotFound => write!(f, "no such {noun} or version; check objectName and objectVersion, and whether it was deleted (az keyvault {noun} list-deleted)"),
            Failure::Disabled => write!(f, "the {noun} is disabled; enable it (az keyvault {noun} set-attributes --enabled true --name {name})"),
            Failure::Invalid(code) => write!(f, "Key Vault does not understand the request ({code}); check objectName and objectVersion"),
            Failure::Throttled(_) => f.write_str("Key Vault throttles requests (429), beyond the time that a mount has; mount less often, or spread over vaults"),
            Failure::Failing(status) => write!(f, "Key Vault fails with HTTP status {status}; the mount is tried again"),
            Failure::Intercepted(foreign) => write!(f, "the answer did not come from Key Vault: {}; a proxy or a firewall in between may have answered: let the node reach {vault}, or correct the provider's HTTPS_PROXY and NO_PROXY; the mount is tried again", foreign.form),
            Failure::Unreachable(reason) => write!(f, "Key Vault cannot be reached: {reason}; check the vault's name, and the node's DNS, network, proxy and trusted CAs"),
            Failure::CircuitOpen(reason, _) => {
                self.explained(f, reason)?;
                f.write_str("; it has not answered lately, and is asked again within half a minute")
            }
            Failure::TimedOut => f.write_str("Key Vault did not answer in time; kubelet will retry the mount"),
            Failure::Queued => f.write_str("the mount's deadline passed while the request waited for its turn among the node's requests; kubelet will retry the mount"),
            Failure::TooMuch(limit) => write!(f, "its versions have more than {limit} bytes in all; lower objectVersionHistory"),
            Failure::Malformed(what) => write!(f, "Key Vault's answer makes no sense: {what}; check for a proxy or a firewall in between"),
        }
    }

    fn denied(&self, f: &mut fmt::Formatter<'_>, denial: &AccessDenial) -> fmt::Result {
        let Self { kind, name, vault, .. } = self;
        let Words { noun, role } = words(*kind);
        match denial {
            AccessDenial::Role => write!(f, "the identity has no role that may read it; grant it \"{role}\" on the vault, or on its {noun} {name} only"),
            AccessDenial::AccessPolicy => write!(f, "no access policy of the vault lets the identity read it; add one with the {noun} permission Get (and List, for a history of versions)"),
            AccessDenial::Firewall => write!(f, "the firewall of {vault} does not admit this node; add the cluster's subnet or outbound address to it"),
            AccessDenial::PrivateLink => write!(f, "{vault} admits private endpoints only; link the cluster's network to its private DNS zone"),
            AccessDenial::Other(code) if code.is_empty() => f.write_str("Key Vault denies it (403); check the identity's role or access policy, and the vault's network rules"),
            AccessDenial::Other(code) => write!(f, "Key Vault denies it (403 {code}); check the identity's role or access policy, and the vault's network rules"),
        }
    }
}

struct Words {
    /// As Azure and its command line call it.
    noun: &'static str,
    /// The built-in role that may read it (Azure built-in roles for Key Vault data plane operations).
    role: &'static str,
}

fn words(kind: ObjectKind) -> Words {
    match kind {
        ObjectKind::Secret => Words { noun: "secret", role: "Key Vault Secrets User" },
        ObjectKind::Key => Words { noun: "key", role: "Key Vault Crypto User" },
        ObjectKind::Certificate => Words { noun: "certificate", role: "Key Vault Certificate User" },
    }
}
