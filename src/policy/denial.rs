//! Why a policy says no, and the rule that would say yes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::snippet;
use crate::plan::{IdentityMode, ObjectKind, ObjectName, VaultUrl, quoted};

/// Who wants to mount.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) namespace: &'a str,
    pub(super) account: &'a str,
    pub(super) mode: IdentityMode,
}

/// The policy of this file says no.
#[derive(Debug, thiserror::Error)]
#[error("the policy {} denies this mount: {denial}", .file.display())]
pub struct Denied {
    /// The policy's file.
    pub file: PathBuf,
    /// Why.
    pub denial: Box<Denial>,
}

/// Why a policy says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    namespace: String,
    account: String,
    mode: IdentityMode,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    /// No rule allows these objects; never empty.
    NoRule { wanted: Vec<Wanted>, near: Option<NearMiss> },
    /// The token is another service account's.
    TokenOfAnother { subject: String },
}

/// One object, and the vault that it would come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// As a rule may name it.
    vault: String,
    failover: bool,
    /// As a rule may name it.
    object: String,
}

/// The rule that would allow it, but for one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NearMiss {
    pub(super) rule: String,
    pub(super) field: &'static str,
}

impl Wanted {
    pub(super) fn new(vault: &VaultUrl, failover: bool, (kind, name): (ObjectKind, &ObjectName)) -> Self {
        let vault = vault.name().map_or_else(|| vault.host().to_owned(), |name| name.as_str().to_owned());
        Self { vault, failover, object: format!("{kind}/{name}") }
    }
}

impl Denial {
    pub(super) fn by_no_rule(asker: Asker<'_>, wanted: Vec<Wanted>, near: Option<NearMiss>) -> Self {
        Self::new(asker, Reason::NoRule { wanted, near })
    }

    pub(super) fn of_another(asker: Asker<'_>, subject: &str) -> Self {
        Self::new(asker, Reason::TokenOfAnother { subject: subject.to_owned() })
    }

    fn new(asker: Asker<'_>, reason: Reason) -> Self {
        let Asker { namespace, account, mode } = asker;
        Self { namespace: namespace.to_owned(), account: account.to_owned(), mode, reason }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, account, mode, reason } = self;
        let (asking, account) = (quoted(namespace), quoted(account));
        let (wanted, near) = match reason {
            Reason::NoRule { wanted, near } => (wanted, near),
            Reason::TokenOfAnother { subject } => {
                return write!(
                    f,
                    "the request's token is that of {}, and the pod is in namespace {asking} and has service account {account}; leave the pod's token to kubelet",
                    quoted(subject)
                );
            }
        };
        write!(f, "no rule lets namespace {asking} (service account {account}) mount ")?;
        let mut vaults: BTreeMap<(&str, bool), Vec<&str>> = BTreeMap::new();
        for Wanted { vault, failover, object } in wanted {
            vaults.entry((vault, *failover)).or_default().push(object);
        }
        for (index, ((vault, failover), objects)) in vaults.iter().enumerate() {
            let and = if index > 0 { ", and " } else { "" };
            let role = if *failover { ", the failover vault" } else { "" };
            write!(f, "{and}{} of {vault}{role}", objects.join(", "))?;
        }
        // What is wanted of several vaults alike is one rule.
        let mut rules: BTreeMap<&[&str], Vec<&str>> = BTreeMap::new();
        for ((vault, _), objects) in &vaults {
            rules.entry(objects.as_slice()).or_default().push(vault);
        }
        let rules = rules.iter().map(|(objects, vaults)| snippet::rule(namespace, vaults, objects, *mode));
        write!(f, ", by {mode}; allow it with {}", rules.collect::<Vec<_>>().join(", "))?;
        match near {
            Some(NearMiss { rule, field }) => write!(f, "; {rule} allows it but for its {field}"),
            None => Ok(()),
        }
    }
}
