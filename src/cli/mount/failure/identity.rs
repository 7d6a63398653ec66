//! Commands for what Entra, the metadata service of the machine, or the cluster refuses.

use super::Hosts;
use super::shell::word;
use crate::cli::mount::caller::{CERTIFICATE_FILE, Caller};
use crate::cli::mount::preparation::Preparation;
use crate::identity::IdentityError;
use crate::plan::{
    ClientCredential, Identity, PlannedIdentity, ServicePrincipal, TokenExchange, WorkloadIdentity,
};

/// The principal id of a machine, which only Azure's own command line tells.
const MACHINE: &str =
    "\"$(az vm identity show --resource-group GROUP --name VM --query principalId --output tsv)\"";

/// The identity of the mount as `az` takes it.
pub(super) fn assignee(preparation: &Preparation) -> String {
    match &preparation.plan.identity {
        PlannedIdentity::Known(Identity::Managed(managed)) if managed.client.is_none() => MACHINE.to_owned(),
        PlannedIdentity::Known(identity) => word(identity.shown_client()),
        PlannedIdentity::Annotated(annotated) => format!(
            "\"$(kubectl get serviceaccount {} -n {} -o jsonpath='{{.metadata.annotations.azure\\.workload\\.identity/client-id}}')\"",
            word(&annotated.account),
            word(&annotated.namespace)
        ),
    }
}

/// What fixes the failure of an identity, or shows more of it.
pub(super) fn help(error: &IdentityError, preparation: &Preparation, hosts: &Hosts<'_>) -> Vec<String> {
    let identity = match &preparation.plan.identity {
        PlannedIdentity::Known(identity) => Some(identity),
        PlannedIdentity::Annotated(_) => None,
    };
    match error {
        IdentityError::Refused(refusal) => match identity {
            Some(Identity::Workload(workload)) => federated(&refusal.code, workload, preparation),
            Some(Identity::ServicePrincipal(principal)) => application(&refusal.code, principal),
            Some(Identity::Managed(managed)) => vec![match &managed.client {
                Some(client) => format!(
                    "with the resource group and the name of this machine: az vm identity assign --resource-group GROUP --name VM --identities \"$(az identity list --query \"[?clientId=='{0}'].id\" --output tsv)\"",
                    client.as_str()
                ),
                None => "with the resource group and the name of this machine: az vm identity assign --resource-group GROUP --name VM".to_owned(),
            }],
            None => Vec::new(),
        },
        IdentityError::ServiceAccount { account, .. } => match account.split_once('/') {
            Some((namespace, name)) => {
                vec![format!("kubectl get serviceaccount {} -n {} -o yaml", word(name), word(namespace))]
            }
            None => Vec::new(),
        },
        IdentityError::Unreachable { .. }
        | IdentityError::Failing { .. }
        | IdentityError::Intercepted { .. } => vec![reach(preparation, hosts)],
        IdentityError::Certificate(_) => {
            std::env::var(CERTIFICATE_FILE).map(|file| vec![format!("whether it can be read: openssl pkey -in {0} -noout || openssl pkcs12 -in {0} -noout -passin pass:", word(&file))]).unwrap_or_default()
        }
        IdentityError::Busy | IdentityError::Queued | IdentityError::Unproven(_) => Vec::new(),
    }
}

/// A request to who was asked, which needs no identity.
fn reach(preparation: &Preparation, hosts: &Hosts<'_>) -> String {
    let plan = &preparation.plan;
    match &plan.identity {
        PlannedIdentity::Known(Identity::Managed(_)) => format!(
            "curl -v -H Metadata:true --noproxy '*' \"{}metadata/instance?api-version=2021-02-01\"",
            hosts.imds
        ),
        PlannedIdentity::Known(Identity::Workload(WorkloadIdentity {
            exchange: TokenExchange::TokenProxy,
            ..
        })) => {
            format!("curl -v {}", word(hosts.token_proxy))
        }
        PlannedIdentity::Known(
            Identity::Workload(WorkloadIdentity { tenant, .. })
            | Identity::ServicePrincipal(ServicePrincipal { tenant, .. }),
        ) => {
            format!(
                "curl -v {}{}/v2.0/.well-known/openid-configuration",
                plan.endpoints.authority,
                tenant.as_str()
            )
        }
        PlannedIdentity::Annotated(_) => format!("curl -v {}", plan.endpoints.authority),
    }
}

/// What a refused token of a service account needs.
fn federated(code: &str, workload: &WorkloadIdentity, preparation: &Preparation) -> Vec<String> {
    let (claims, client) = (workload.token.claims(), workload.client.as_str());
    let audience = workload.exchange.audience();
    let Caller::ServiceAccount(token) = &preparation.caller else { return Vec::new() };
    let account = token.account();
    let new_token = || {
        let (namespace, name) = account?;
        Some(format!(
            "kubectl create token {} -n {} --audience {audience} > {}",
            word(name),
            word(namespace),
            word(token.file())
        ))
    };
    match code {
        // The token itself is wrong: Entra issued it, or it is not within its time.
        "700222" | "700229" | "700024" => new_token().into_iter().collect(),
        "700212" if !claims.audiences.iter().any(|claimed| claimed == audience) => {
            new_token().into_iter().collect()
        }
        "70021" | "700211" | "700212" | "700213" if workload.exchange == TokenExchange::Entra => {
            let name = account.map_or("NAME", |(_, name)| name);
            let of = |field: &str| {
                format!("\"$(az identity list --query \"[?clientId=='{client}'].{field}\" --output tsv)\"")
            };
            let parameters = serde_json::json!({
                "name": name, "issuer": claims.issuer, "subject": claims.subject, "audiences": [audience],
            });
            vec![
                format!(
                    "az identity federated-credential list --identity-name {} --resource-group {}",
                    of("name"),
                    of("resourceGroup")
                ),
                format!(
                    "az identity federated-credential create --name {} --identity-name {} --resource-group {} --issuer {} --subject {} --audiences {audience}",
                    word(name),
                    of("name"),
                    of("resourceGroup"),
                    word(&claims.issuer),
                    word(&claims.subject)
                ),
                format!(
                    "if {client} is an app registration: az ad app federated-credential create --id {client} --parameters {}",
                    word(&parameters.to_string())
                ),
            ]
        }
        _ => directory(code, client, workload.tenant.as_str()),
    }
}

/// What a refused service principal needs.
fn application(code: &str, principal: &ServicePrincipal) -> Vec<String> {
    let client = principal.client.shown();
    match (code, &principal.credential) {
        ("7000215" | "7000222" | "70002", ClientCredential::Secret(_)) => vec![
            format!("its secrets, and when they expire: az ad app credential list --id {client}"),
            format!("a new secret: az ad app credential reset --append --id {client}"),
        ],
        ("7000222" | "700027" | "7000272", ClientCredential::Certificate(_)) => {
            vec![format!("az ad app credential list --id {client} --cert")]
        }
        _ => directory(code, client, principal.tenant.as_str()),
    }
}

/// What the directory has.
fn directory(code: &str, client: &str, tenant: &str) -> Vec<String> {
    match code {
        "700016" | "700011" | "7000229" | "7000112" | "70001" => {
            vec![format!(
                "whether the tenant has it: az login --tenant {tenant} && az ad sp show --id {client} --query '{{name: displayName, enabled: accountEnabled}}'"
            )]
        }
        "90002" | "900023" | "50059" | "90019" => {
            vec![format!("whether {tenant} is one of your tenants: az account list --query '[].tenantId'")]
        }
        _ => Vec::new(),
    }
}
