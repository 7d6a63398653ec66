//! What is mounted, in words: identity, objects and files, and never a value.

use super::caller::Caller;
use super::preparation::Preparation;
use crate::plan::{
    Identity, JsonField, MountPlan, ObjectKind, ObjectPlan, PlannedIdentity, TemplatePlan, TokenExchange,
};
use crate::render;

/// The plan of a mount, or of what `is_mounted` by now.
pub(super) fn describe(preparation: &Preparation, is_mounted: bool) -> String {
    let Preparation { plan, caller, target, render_options, .. } = preparation;
    let MountPlan { pod, endpoints, objects, .. } = plan;
    let mut lines = vec![
        format!("class      {} in namespace {}", pod.class, pod.namespace),
        format!("identity   {}", identity(&plan.identity, caller)),
    ];
    let by = caller.to_string();
    if !by.is_empty() {
        lines.push(format!("by         {by}"));
    }
    lines.push(format!("authority  {}", authority(plan)));
    if let Some(resource) = &endpoints.vault_resource {
        lines.push(format!("for        {resource}"));
    }
    lines.push(match target {
        Some(target) => format!("directory  {target}"),
        None => "directory  none is given (--target)".to_owned(),
    });
    lines.extend(objects.iter().map(|object| self::object(object, *render_options)));
    let template = |template: &TemplatePlan| {
        format!("template   {} -> {}, mode {}", template.location, template.path, template.mode)
    };
    lines.extend(plan.templates.iter().map(template));
    if !is_mounted {
        lines.push("No request was sent, and no file was written.".to_owned());
    }
    lines.join("\n") + "\n"
}

fn identity(planned: &PlannedIdentity, caller: &Caller) -> String {
    match planned {
        PlannedIdentity::Known(Identity::Workload(workload)) => format!(
            "workload identity {} of tenant {}, through {}",
            workload.client.as_str(),
            workload.tenant.as_str(),
            match workload.exchange {
                TokenExchange::Entra => "Entra",
                TokenExchange::TokenProxy => "the token proxy of AKS",
            }
        ),
        PlannedIdentity::Known(Identity::ServicePrincipal(principal)) => {
            format!("service principal {} of tenant {}", principal.client.shown(), principal.tenant.as_str())
        }
        PlannedIdentity::Known(Identity::Managed(managed)) => match &managed.client {
            Some(client) => format!("managed identity {} of this machine", client.as_str()),
            None => "the system-assigned managed identity of this machine".to_owned(),
        },
        PlannedIdentity::Annotated(_) if matches!(caller, Caller::Tokenless { account: None, .. }) => {
            "the workload identity that the annotations of the pod's service account name".to_owned()
        }
        PlannedIdentity::Annotated(annotated) => format!(
            "the workload identity that the annotations of service account {}/{} name",
            annotated.namespace, annotated.account
        ),
    }
}

pub(super) fn authority(plan: &MountPlan) -> String {
    match &plan.identity {
        PlannedIdentity::Known(Identity::Managed(_)) => "the metadata service of this machine".to_owned(),
        _ => plan.endpoints.authority.to_string(),
    }
}

fn object(object: &ObjectPlan, options: render::Options) -> String {
    let ObjectPlan { kind, name, vault, path, mode, .. } = object;
    let version = match (object.version.exact(), object.history) {
        (Some(version), None) => format!(", version {version}"),
        (None, None) => String::new(),
        (Some(version), Some(history)) => format!(", {} versions up to {version}", history.count()),
        (None, Some(history)) => format!(", the newest {} versions", history.count()),
    };
    let optional = if object.optional { ", optional" } else { "" };
    if object.hidden {
        return format!("object     {kind} {name} of {vault}{version}{optional}, for templates only");
    }
    if !object.json_fields.is_empty() {
        let file = |field: &JsonField| {
            format!("{} (field {}, mode {})", field.file, field.expression.as_str(), field.mode)
        };
        let files = object.json_fields.iter().map(file).collect::<Vec<_>>().join(", ");
        return format!("object     {kind} {name} of {vault}{version}{optional} -> {files}");
    }
    let files = if object.history.is_some() { format!("{path}/0, {path}/1, …") } else { path.to_string() };
    let more = if options.separate_files && *kind == ObjectKind::Secret {
        ", with .crt and .key files if it backs a certificate"
    } else {
        ""
    };
    format!("object     {kind} {name} of {vault}{version}{optional} -> {files}, mode {mode}{more}")
}
