//! Commands for what a vault refuses.

use super::identity::assignee;
use crate::cli::mount::preparation::Preparation;
use crate::plan::{ObjectKind, ObjectPlan};
use crate::vault::{AccessDenial, VaultError, VaultFailure};

/// What fixes the failure of an object, or shows more of it.
pub(super) fn help(error: &VaultError, preparation: &Preparation) -> Vec<String> {
    match planned(error.location(), preparation) {
        Some(object) => commands(&error.failure, object, preparation),
        None => Vec::new(),
    }
}

/// What shows the form of an object, and not its value.
pub(super) fn content_help(place: &str, preparation: &Preparation) -> Vec<String> {
    let Some(object) = planned(place, preparation) else { return Vec::new() };
    let Names { vault, noun, name } = names(object);
    let query = "{contentType: contentType, certificate: kid, updated: attributes.updated}";
    if object.kind == ObjectKind::Secret {
        vec![format!("az keyvault {noun} show --vault-name {vault} --name {name} --query '{query}'")]
    } else {
        vec![format!("az keyvault {noun} show --vault-name {vault} --name {name}")]
    }
}

fn planned<'a>(place: &str, preparation: &'a Preparation) -> Option<&'a ObjectPlan> {
    preparation.plan.objects.iter().find(|object| object.location == place)
}

fn commands(failure: &VaultFailure, object: &ObjectPlan, preparation: &Preparation) -> Vec<String> {
    let Names { vault, noun, name } = names(object);
    let who = assignee(preparation);
    let scope = format!("--scope \"$(az keyvault show --name {vault} --query id --output tsv)\"");
    match failure {
        VaultFailure::Denied(AccessDenial::Role) => {
            let role = match object.kind {
                ObjectKind::Secret => "Key Vault Secrets User",
                ObjectKind::Key => "Key Vault Crypto User",
                ObjectKind::Certificate => "Key Vault Certificate User",
            };
            vec![format!("az role assignment create --role \"{role}\" --assignee {who} {scope}")]
        }
        VaultFailure::Denied(AccessDenial::AccessPolicy) => {
            let permissions = if object.history.is_some() { "get list" } else { "get" };
            vec![format!(
                "az keyvault set-policy --name {vault} --spn {who} --{noun}-permissions {permissions}"
            )]
        }
        VaultFailure::Denied(AccessDenial::Firewall) => vec![
            format!("az keyvault network-rule list --name {vault}"),
            format!(
                "with the outbound address of this machine: az keyvault network-rule add --name {vault} --ip-address ADDRESS"
            ),
        ],
        VaultFailure::Denied(AccessDenial::PrivateLink) => {
            vec![format!(
                "the vault must have a private address on this machine: nslookup {}",
                object.vault.host()
            )]
        }
        VaultFailure::Denied(AccessDenial::Other(_)) => vec![
            format!("az role assignment list --include-inherited --assignee {who} {scope}"),
            format!(
                "az keyvault show --name {vault} --query \"{{roles: properties.enableRbacAuthorization, network: properties.networkAcls}}\""
            ),
        ],
        VaultFailure::NotFound => not_found(object),
        VaultFailure::Disabled => vec![format!(
            "az keyvault {noun} set-attributes --vault-name {vault} --name {name} --enabled true"
        )],
        VaultFailure::Invalid(_) => {
            vec![format!("az keyvault {noun} list --vault-name {vault} --query '[].name'")]
        }
        VaultFailure::Unauthorized { .. } => {
            vec![format!(
                "the tenant of the vault: az keyvault show --name {vault} --query properties.tenantId"
            )]
        }
        VaultFailure::WrongResource(_) => vec![format!("nslookup {}", object.vault.host())],
        VaultFailure::Unreachable(_) => {
            vec![
                format!("nslookup {}", object.vault.host()),
                format!("curl -v {}healthstatus", object.vault.as_str()),
            ]
        }
        VaultFailure::Failing(_)
        | VaultFailure::Intercepted(_)
        | VaultFailure::TimedOut
        | VaultFailure::Malformed(_) => {
            vec![format!("curl -v {}healthstatus", object.vault.as_str())]
        }
        VaultFailure::CircuitOpen(failure, _) => commands(failure, object, preparation),
        VaultFailure::Throttled(_) | VaultFailure::Queued | VaultFailure::TooLarge(_) => Vec::new(),
    }
}

fn not_found(object: &ObjectPlan) -> Vec<String> {
    let Names { vault, noun, name } = names(object);
    let at = format!("--vault-name {vault} --name {name}");
    // The id alone: nothing prints a value.
    let (id, ids) = if object.kind == ObjectKind::Key { ("key.kid", "[].kid") } else { ("id", "[].id") };
    let mut commands = vec![format!("whether it exists: az keyvault {noun} show {at} --query {id}")];
    if object.version.exact().is_some() {
        commands.push(format!("its versions: az keyvault {noun} list-versions {at} --query '{ids}'"));
    }
    let deleted = format!("az keyvault {noun} list-deleted --vault-name {vault} --query '[].name'");
    commands.push(format!("whether it was deleted: {deleted}"));
    commands
}

struct Names<'a> {
    vault: &'a str,
    /// As Azure's command line calls it.
    noun: &'static str,
    name: &'a str,
}

fn names(object: &ObjectPlan) -> Names<'_> {
    let noun = match object.kind {
        ObjectKind::Secret => "secret",
        ObjectKind::Key => "key",
        ObjectKind::Certificate => "certificate",
    };
    Names { vault: object.vault.prefix(), noun, name: object.name.as_str() }
}
