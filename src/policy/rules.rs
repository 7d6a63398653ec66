//! The rules of a policy, and their application to a plan.

use serde::Deserialize;
use serde_saphyr::UserMessageFormatter;

use super::denial::{Denial, DeniedObject, NearMiss, Requester};
use super::glob::{NamespaceGlob, ObjectGlob, ServiceAccountGlob, VaultGlob};
use crate::plan::{IdentityMode, MountPlan, ObjectKind, ObjectName, Pod, VaultUrl};

/// A policy. Mounts that no rule allows are denied.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    rules: AllowList<Rule>,
}

/// A rule, which allows some pods to mount some objects.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    name: Option<RuleName>,
    namespaces: AllowList<NamespaceGlob>,
    #[serde(default)]
    service_accounts: AllowList<ServiceAccountGlob>,
    vaults: AllowList<VaultGlob>,
    #[serde(default)]
    objects: AllowList<ObjectGlob>,
    #[serde(default = "identities_of_pods")]
    identities: AllowList<IdentityMode>,
}

/// The identity modes for which a pod needs its own token or secret. All pods on a node can use the node's identity, so a
/// rule must name it explicitly.
fn identities_of_pods() -> AllowList<IdentityMode> {
    AllowList(Some(vec![
        IdentityMode::WorkloadIdentity,
        IdentityMode::IdentityBinding,
        IdentityMode::ServicePrincipal,
    ]))
}

/// A list of allowed values, never empty. A missing field allows all values.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<T>")]
struct AllowList<T>(Option<Vec<T>>);

impl<T> Default for AllowList<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> TryFrom<Vec<T>> for AllowList<T> {
    type Error = &'static str;

    fn try_from(list: Vec<T>) -> Result<Self, Self::Error> {
        if list.is_empty() {
            return Err("the list is empty and would allow nothing; add at least one entry");
        }
        Ok(Self(Some(list)))
    }
}

impl<T> AllowList<T> {
    fn allows(&self, matches: impl Fn(&T) -> bool) -> bool {
        self.0.as_ref().is_none_or(|list| list.iter().any(matches))
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }
}

/// The name of a rule in messages.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct RuleName(String);

impl TryFrom<String> for RuleName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if (1..=100).contains(&text.chars().count()) && !text.contains(char::is_control) {
            return Ok(Self(text));
        }
        Err("a rule's name must have 1 to 100 characters without control characters; shorten or remove it")
    }
}

/// A mistake in a policy, with its position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}; {help}")]
pub struct InvalidPolicy {
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// The problem.
    pub problem: String,
    /// How to fix it.
    pub help: &'static str,
}

impl Policy {
    /// Parses a policy in YAML or JSON.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(yaml: &str) -> Result<Self, InvalidPolicy> {
        // Like the JSON schema: a text that other YAML parsers read as a number or a boolean must be quoted.
        let options = serde_saphyr::options! { no_schema: true, with_snippet: false };
        serde_saphyr::from_str_with_options(yaml, options).map_err(|error| invalid(yaml, &error))
    }

    /// Checks whether the pod may mount all objects that its plan may read.
    ///
    /// # Errors
    /// [`Denial`] lists all objects that are not allowed.
    pub fn check(&self, plan: &MountPlan) -> Result<(), Box<Denial>> {
        let Pod { namespace, service_account, .. } = &plan.pod;
        let requester = Requester { namespace, account: service_account, mode: plan.identity.mode() };
        if let Some(token) = plan.identity.token() {
            let subject = &token.claims().subject;
            if *subject != format!("system:serviceaccount:{namespace}:{service_account}") {
                return Err(Box::new(Denial::foreign_token(requester, subject)));
            }
        }
        let matching = self.rules.iter().filter(|rule| rule.matches(requester)).collect::<Vec<_>>();
        let denied = reads(plan).filter(|read| !matching.iter().any(|rule| rule.allows(*read)));
        let denied = denied.collect::<Vec<_>>();
        let Some(first) = denied.first() else { return Ok(()) };
        let mut rules = self.rules.iter().enumerate();
        let near_miss = rules.find_map(|(index, rule)| rule.near_miss(index, requester, *first));
        let objects = denied.iter().map(|read| DeniedObject::new(read.vault, read.failover, read.object));
        Err(Box::new(Denial::no_rule(requester, objects.collect(), near_miss)))
    }
}

/// A read that the plan may make.
#[derive(Clone, Copy)]
struct PlannedRead<'a> {
    vault: &'a VaultUrl,
    /// Whether the vault is used only while another one is unavailable.
    failover: bool,
    object: (ObjectKind, &'a ObjectName),
}

fn reads(plan: &MountPlan) -> impl Iterator<Item = PlannedRead<'_>> {
    plan.objects.iter().flat_map(|object| {
        let named = (object.kind, &object.name);
        let replica = object.failover.as_ref();
        let replica = replica.map(|vault| PlannedRead { vault, failover: true, object: named });
        std::iter::once(PlannedRead { vault: &object.vault, failover: false, object: named }).chain(replica)
    })
}

impl Rule {
    fn matches(&self, requester: Requester<'_>) -> bool {
        self.match_requester(requester).iter().all(|(_, matches)| *matches)
    }

    fn allows(&self, read: PlannedRead<'_>) -> bool {
        self.match_read(read).iter().all(|(_, matches)| *matches)
    }

    /// The rule and its only field that does not match; `None` if several fields do not match.
    fn near_miss(&self, index: usize, requester: Requester<'_>, read: PlannedRead<'_>) -> Option<NearMiss> {
        let fields = self.match_requester(requester).into_iter().chain(self.match_read(read));
        let mut missed = fields.filter(|(_, matches)| !matches).map(|(field, _)| field);
        let (Some(field), None) = (missed.next(), missed.next()) else { return None };
        let rule = match &self.name {
            Some(RuleName(name)) => format!("rule {name:?}"),
            None => format!("rules[{index}]"),
        };
        Some(NearMiss { rule, field })
    }

    /// The fields about the requester, and whether they match.
    fn match_requester(&self, requester: Requester<'_>) -> [(&'static str, bool); 3] {
        [
            ("namespaces", self.namespaces.allows(|glob| glob.matches(requester.namespace))),
            ("serviceAccounts", self.service_accounts.allows(|glob| glob.matches(requester.account))),
            ("identities", self.identities.allows(|mode| *mode == requester.mode)),
        ]
    }

    /// The fields about the object and its vault, and whether they match.
    fn match_read(&self, read: PlannedRead<'_>) -> [(&'static str, bool); 2] {
        let PlannedRead { vault, object: (kind, name), .. } = read;
        [
            ("vaults", self.vaults.allows(|glob| glob.matches(vault))),
            ("objects", self.objects.allows(|glob| glob.matches(kind, name))),
        ]
    }
}

fn invalid(yaml: &str, error: &serde_saphyr::Error) -> InvalidPolicy {
    let (line, column) = error.location().map_or((1, 1), |location| (location.line(), location.column()));
    let message = error.render_with_formatter(&UserMessageFormatter);
    let location = format!(" at line {line}, column {column}");
    let problem = message.strip_suffix(&location).unwrap_or(&message).to_owned();
    let at = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let there = yaml.lines().nth(at(line)).and_then(|text| text.chars().nth(at(column)));
    let help = match there {
        Some('*') => {
            "put the value in quotes, because YAML requires quotes around a value that begins with *"
        }
        _ => "see docs/policy.md and docs/policy.schema.json of the provider for the fields of a policy",
    };
    InvalidPolicy { line, column, problem, help }
}
