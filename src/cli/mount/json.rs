//! What is mounted, as one JSON object: identity, objects and files, and never a value.

use serde_json::{Value, json};

use super::message::Message;
use super::preparation::Preparation;
use super::text::authority;
use crate::plan::{
    ClientId, FileMode, History, Identity, JsonField, MountPlan, ObjectPlan, PlannedIdentity, TemplatePlan,
    TenantId, TokenExchange,
};
use crate::proto::ObjectVersion;

/// The plan of a mount, or what was mounted with these `versions`.
pub(super) fn describe(preparation: &Preparation, versions: Option<&[ObjectVersion]>) -> String {
    let Preparation { class, plan, target, warnings, .. } = preparation;
    let MountPlan { pod, endpoints, objects, .. } = plan;
    let version = |version: &ObjectVersion| json!({ "id": version.id, "version": version.version });
    let document = json!({
        "outcome": if versions.is_some() { "mounted" } else { "planned" },
        "class": { "name": pod.class, "namespace": pod.namespace, "location": class.location },
        "identity": identity(&plan.identity),
        "authority": authority(plan),
        "resource": endpoints.vault_resource.as_ref().map(ToString::to_string),
        "directory": target.as_ref().map(|target| target.path().display().to_string()),
        "objects": objects.iter().map(object).collect::<Vec<_>>(),
        "templates": plan.templates.iter().map(template).collect::<Vec<_>>(),
        "versions": versions.map(|versions| versions.iter().map(version).collect::<Vec<_>>()),
        "warnings": warnings.iter().map(Message::json).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn identity(planned: &PlannedIdentity) -> Value {
    match planned {
        PlannedIdentity::Known(Identity::Workload(workload)) => json!({
            "kind": match workload.exchange {
                TokenExchange::Entra => "workload_identity",
                TokenExchange::TokenProxy => "identity_binding",
            },
            "client": workload.client.as_str(),
            "tenant": workload.tenant.as_str(),
        }),
        PlannedIdentity::Known(Identity::ServicePrincipal(principal)) => json!({
            "kind": "service_principal",
            "client": principal.client.shown(),
            "tenant": principal.tenant.as_str(),
        }),
        PlannedIdentity::Known(Identity::Managed(managed)) => json!({
            "kind": "managed_identity",
            "client": managed.client.as_ref().map(ClientId::as_str),
        }),
        PlannedIdentity::Annotated(annotated) => json!({
            "kind": "service_account_annotations",
            "namespace": annotated.namespace,
            "service_account": annotated.account,
            "tenant": annotated.tenant.as_ref().map(TenantId::as_str),
        }),
    }
}

fn template(template: &TemplatePlan) -> Value {
    json!({
        "location": template.location,
        "path": template.path.as_str(),
        "mode": template.mode.to_string(),
    })
}

fn object(object: &ObjectPlan) -> Value {
    let file = |path: &str, mode: FileMode, expression: Option<&str>| json!({ "path": path, "mode": mode.to_string(), "jmes_path": expression });
    let field =
        |field: &JsonField| file(&field.file.to_string(), field.mode, Some(field.expression.as_str()));
    let files = match object.json_fields.as_slice() {
        _ if object.hidden => Vec::new(),
        [] => vec![file(object.path.as_str(), object.mode, None)],
        fields => fields.iter().map(field).collect::<Vec<_>>(),
    };
    json!({
        "location": object.location,
        "kind": object.kind.name(),
        "name": object.name.as_str(),
        "vault": object.vault.to_string(),
        "version": object.version.exact(),
        "history": object.history.map(History::count),
        "optional": object.optional,
        "files": files,
    })
}
