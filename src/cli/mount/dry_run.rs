//! `--dry-run`: the plan, in words.

use std::io::Write;

use anyhow::Context;

use super::caller::Caller;
use super::target::Target;
use crate::plan::{Identity, MountPlan, ObjectKind, ObjectPlan, PlannedIdentity, TokenExchange};
use crate::render;

/// Writes what the mount would do to standard output.
///
/// # Errors
/// If nobody reads it.
pub(super) fn show(
    plan: &MountPlan,
    caller: &Caller,
    target: &Target,
    options: render::Options,
) -> anyhow::Result<()> {
    let text = describe(plan, caller, target, options);
    std::io::stdout().lock().write_all(text.as_bytes()).context("cannot write to standard output")
}

fn describe(plan: &MountPlan, caller: &Caller, target: &Target, options: render::Options) -> String {
    let MountPlan { pod, endpoints, objects, warnings, .. } = plan;
    let mut lines = vec![
        format!("class      {} in namespace {}", pod.class, pod.namespace),
        format!("asks as    {}", identity(&plan.identity)),
        format!("by         {caller}"),
        format!("authority  {}", authority(plan)),
        format!("directory  {target}"),
    ];
    if let Some(resource) = &endpoints.vault_resource {
        lines.insert(4, format!("for        {resource}"));
    }
    lines.extend(objects.iter().map(|object| self::object(object, options)));
    lines.extend(warnings.iter().map(|warning| format!("warning    {warning}")));
    lines.push("Nothing was asked for, and nothing was written.".to_owned());
    lines.join("\n") + "\n"
}

fn identity(planned: &PlannedIdentity) -> String {
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
        PlannedIdentity::Annotated(annotated) => format!(
            "the workload identity that the annotations of service account {}/{} name",
            annotated.namespace, annotated.account
        ),
    }
}

fn authority(plan: &MountPlan) -> String {
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
    let optional = if object.optional { ", if it is there" } else { "" };
    let files = if object.history.is_some() { format!("{path}/0, {path}/1, …") } else { path.to_string() };
    let more = if options.separate_files && *kind == ObjectKind::Secret {
        ", with .crt and .key beside it if it backs a certificate"
    } else {
        ""
    };
    format!("object     {kind} {name} of {vault}{version}{optional} -> {files}, mode {mode}{more}")
}
