//! The rules of a policy, and what they say of a plan.

use serde::Deserialize;
use serde_saphyr::UserMessageFormatter;

use super::denial::{Asker, Denial, NearMiss, Wanted};
use super::glob::{NamespaceGlob, ObjectGlob, ServiceAccountGlob, VaultGlob};
use crate::plan::{IdentityMode, MountPlan, ObjectKind, ObjectName, Pod, VaultUrl};

/// What pods may mount. Whatever no rule allows is denied.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    rules: OneOf<Rule>,
}

/// What some pods may mount.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    name: Option<RuleName>,
    namespaces: OneOf<NamespaceGlob>,
    #[serde(default)]
    service_accounts: OneOf<ServiceAccountGlob>,
    vaults: OneOf<VaultGlob>,
    #[serde(default)]
    objects: OneOf<ObjectGlob>,
    #[serde(default = "of_the_pod")]
    identities: OneOf<IdentityMode>,
}

/// The modes for which a pod must have something of its own, a token or a secret. The node's identity is
/// there for whoever asks, so a rule must name it.
fn of_the_pod() -> OneOf<IdentityMode> {
    OneOf(Some(vec![
        IdentityMode::WorkloadIdentity,
        IdentityMode::IdentityBinding,
        IdentityMode::ServicePrincipal,
    ]))
}

/// A list that something must be in, never empty; anything is, where the field is left out.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<T>")]
struct OneOf<T>(Option<Vec<T>>);

impl<T> Default for OneOf<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> TryFrom<Vec<T>> for OneOf<T> {
    type Error = &'static str;

    fn try_from(list: Vec<T>) -> Result<Self, Self::Error> {
        if list.is_empty() {
            return Err("the list is empty, which would allow nothing; write what is allowed");
        }
        Ok(Self(Some(list)))
    }
}

impl<T> OneOf<T> {
    fn has(&self, matches: impl Fn(&T) -> bool) -> bool {
        self.0.as_ref().is_none_or(|list| list.iter().any(matches))
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }
}

/// What messages call a rule.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct RuleName(String);

impl TryFrom<String> for RuleName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if (1..=100).contains(&text.chars().count()) && !text.contains(char::is_control) {
            return Ok(Self(text));
        }
        Err("a rule's name has 1 to 100 characters in one line; shorten it, or leave it out")
    }
}

/// What is wrong with a policy, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}; {help}")]
pub struct WrongPolicy {
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub help: &'static str,
}

impl Policy {
    /// Reads a policy, YAML or JSON.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(yaml: &str) -> Result<Self, WrongPolicy> {
        // As the JSON schema has it: what other readers of YAML take for a number or a boolean is no text.
        let options = serde_saphyr::options! { no_schema: true, with_snippet: false };
        serde_saphyr::from_str_with_options(yaml, options).map_err(|error| wrong(yaml, &error))
    }

    /// Whether the pod may mount everything that its plan might ask for.
    ///
    /// # Errors
    /// All that it may not.
    pub fn check(&self, plan: &MountPlan) -> Result<(), Box<Denial>> {
        let Pod { namespace, service_account, .. } = &plan.pod;
        let asker = Asker { namespace, account: service_account, mode: plan.identity.mode() };
        if let Some(token) = plan.identity.token() {
            let subject = &token.claims().subject;
            if *subject != format!("system:serviceaccount:{namespace}:{service_account}") {
                return Err(Box::new(Denial::of_another(asker, subject)));
            }
        }
        let own = self.rules.iter().filter(|rule| rule.admits(asker)).collect::<Vec<_>>();
        let denied = demands(plan).filter(|demand| !own.iter().any(|rule| rule.covers(*demand)));
        let denied = denied.collect::<Vec<_>>();
        let Some(first) = denied.first() else { return Ok(()) };
        let near = self.rules.iter().enumerate().find_map(|(index, rule)| rule.misses(index, asker, *first));
        let wanted = denied.iter().map(|demand| Wanted::new(demand.vault, demand.failover, demand.object));
        Err(Box::new(Denial::by_no_rule(asker, wanted.collect(), near)))
    }
}

/// What one vault might be asked for.
#[derive(Clone, Copy)]
struct Demand<'a> {
    vault: &'a VaultUrl,
    /// Whether it is asked only while another is unavailable.
    failover: bool,
    object: (ObjectKind, &'a ObjectName),
}

fn demands(plan: &MountPlan) -> impl Iterator<Item = Demand<'_>> {
    plan.objects.iter().flat_map(|object| {
        let named = (object.kind, &object.name);
        let replica = object.failover.as_ref();
        let replica = replica.map(|vault| Demand { vault, failover: true, object: named });
        std::iter::once(Demand { vault: &object.vault, failover: false, object: named }).chain(replica)
    })
}

impl Rule {
    fn admits(&self, asker: Asker<'_>) -> bool {
        self.of_asker(asker).iter().all(|(_, matches)| *matches)
    }

    fn covers(&self, demand: Demand<'_>) -> bool {
        self.of_demand(demand).iter().all(|(_, matches)| *matches)
    }

    /// The one field for which the rule does not allow this, if it is only one.
    fn misses(&self, index: usize, asker: Asker<'_>, demand: Demand<'_>) -> Option<NearMiss> {
        let fields = self.of_asker(asker).into_iter().chain(self.of_demand(demand));
        let mut missed = fields.filter(|(_, matches)| !matches).map(|(field, _)| field);
        let (Some(field), None) = (missed.next(), missed.next()) else { return None };
        let rule = match &self.name {
            Some(RuleName(name)) => format!("rule {name:?}"),
            None => format!("rules[{index}]"),
        };
        Some(NearMiss { rule, field })
    }

    fn of_asker(&self, asker: Asker<'_>) -> [(&'static str, bool); 3] {
        [
            ("namespaces", self.namespaces.has(|glob| glob.matches(asker.namespace))),
            ("serviceAccounts", self.service_accounts.has(|glob| glob.matches(asker.account))),
            ("identities", self.identities.has(|mode| *mode == asker.mode)),
        ]
    }

    fn of_demand(&self, Demand { vault, object: (kind, name), .. }: Demand<'_>) -> [(&'static str, bool); 2] {
        [
            ("vaults", self.vaults.has(|glob| glob.matches(vault))),
            ("objects", self.objects.has(|glob| glob.matches(kind, name))),
        ]
    }
}

fn wrong(yaml: &str, error: &serde_saphyr::Error) -> WrongPolicy {
    let (line, column) = error.location().map_or((1, 1), |location| (location.line(), location.column()));
    let told = error.render_with_formatter(&UserMessageFormatter);
    let location = format!(" at line {line}, column {column}");
    let problem = told.strip_suffix(&location).unwrap_or(&told).to_owned();
    let at = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let there = yaml.lines().nth(at(line)).and_then(|text| text.chars().nth(at(column)));
    let help = match there {
        Some('*') => "in YAML a value that begins with * must stand in quotes",
        _ => "docs/policy.md and docs/policy.schema.json of the provider say what a policy may hold",
    };
    WrongPolicy { line, column, problem, help }
}
