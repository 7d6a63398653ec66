//! The reason of a denial, and the rule that would allow the mount.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::snippet;
use crate::plan::{IdentityMode, ObjectKind, ObjectName, TOKENS, VaultUrl, quoted};

/// The pod and the identity mode of a mount.
#[derive(Clone, Copy)]
pub(super) struct Requester<'a> {
    pub(super) namespace: &'a str,
    pub(super) account: &'a str,
    pub(super) mode: IdentityMode,
}

/// The policy in this file denies the mount.
#[derive(Debug, thiserror::Error)]
#[error("the policy {} denies this mount: {denial}", .file.display())]
pub struct PolicyDenied {
    /// The policy's file.
    pub file: PathBuf,
    /// The reason.
    pub denial: Box<Denial>,
}

/// Why a policy denies a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    namespace: String,
    account: String,
    mode: IdentityMode,
    reason: DenialReason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum DenialReason {
    /// No rule allows these objects; never empty.
    NoRule { objects: Vec<DeniedObject>, near_miss: Option<NearMiss> },
    /// The token belongs to another service account.
    ForeignToken { subject: String },
}

/// A denied object and its vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeniedObject {
    /// The vault, in the form that a rule uses.
    vault: String,
    failover: bool,
    /// The object, in the form that a rule uses.
    object: String,
}

/// A rule that matches the mount except for one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NearMiss {
    pub(super) rule: String,
    pub(super) field: &'static str,
}

impl DeniedObject {
    pub(super) fn new(vault: &VaultUrl, failover: bool, (kind, name): (ObjectKind, &ObjectName)) -> Self {
        let vault = vault.name().map_or_else(|| vault.host().to_owned(), |name| name.as_str().to_owned());
        Self { vault, failover, object: format!("{kind}/{name}") }
    }
}

impl Denial {
    pub(super) fn no_rule(
        requester: Requester<'_>,
        objects: Vec<DeniedObject>,
        near_miss: Option<NearMiss>,
    ) -> Self {
        Self::new(requester, DenialReason::NoRule { objects, near_miss })
    }

    pub(super) fn foreign_token(requester: Requester<'_>, subject: &str) -> Self {
        Self::new(requester, DenialReason::ForeignToken { subject: subject.to_owned() })
    }

    fn new(requester: Requester<'_>, reason: DenialReason) -> Self {
        let Requester { namespace, account, mode } = requester;
        Self { namespace: namespace.to_owned(), account: account.to_owned(), mode, reason }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, account, mode, reason } = self;
        let (quoted_namespace, account) = (quoted(namespace), quoted(account));
        let (denied, near_miss) = match reason {
            DenialReason::NoRule { objects, near_miss } => (objects, near_miss),
            DenialReason::ForeignToken { subject } => {
                return write!(
                    f,
                    "the request's token belongs to {}, but the pod has namespace {quoted_namespace} and service account {account}; remove {TOKENS} from volumeAttributes and parameters, because kubelet sets it",
                    quoted(subject)
                );
            }
        };
        write!(f, "no rule allows namespace {quoted_namespace} (service account {account}) to mount ")?;
        let mut vaults: BTreeMap<(&str, bool), Vec<&str>> = BTreeMap::new();
        for DeniedObject { vault, failover, object } in denied {
            vaults.entry((vault, *failover)).or_default().push(object);
        }
        for (index, ((vault, failover), objects)) in vaults.iter().enumerate() {
            let and = if index > 0 { ", and " } else { "" };
            let role = if *failover { "failover vault" } else { "vault" };
            write!(f, "{and}{} from {role} {vault}", objects.join(", "))?;
        }
        // Vaults with the same denied objects share one rule.
        let mut rules: BTreeMap<&[&str], Vec<&str>> = BTreeMap::new();
        for ((vault, _), objects) in &vaults {
            rules.entry(objects.as_slice()).or_default().push(vault);
        }
        let rules = rules.iter().map(|(objects, vaults)| snippet::rule(namespace, vaults, objects, *mode));
        write!(f, " using {mode}; allow it with {}", rules.collect::<Vec<_>>().join(", "))?;
        match near_miss {
            Some(NearMiss { rule, field }) => write!(f, "; {rule} matches except for its {field}"),
            None => Ok(()),
        }
    }
}
