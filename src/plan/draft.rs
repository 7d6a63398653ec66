//! A plan whose parts may be missing because the request has mistakes.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use super::attributes::{Attributes, POD_ACCOUNT, POD_NAME, POD_NAMESPACE};
use super::cloud::{Cloud, Endpoints, VaultUrl};
use super::finding::{Fault, Finding, Findings, PlanError, quoted};
use super::identity::{self, PlannedIdentity};
use super::names::{FileMode, VaultName};
use super::objects::{self, ParsedObject};
use super::templates::{self, TemplatePlan};
use super::{Defaults, MountPlan, Pod, Request, durations};

/// The valid parts of a request.
#[derive(Debug)]
pub struct Draft {
    pod: Pod,
    target: Option<PathBuf>,
    endpoints: Option<Endpoints>,
    identity: Option<PlannedIdentity>,
    /// The valid objects.
    pub objects: Vec<ParsedObject>,
    /// The valid templates.
    pub templates: Vec<TemplatePlan>,
    rotation_max_age: Duration,
    stale_if_error: Duration,
}

impl Draft {
    /// Parses a request for `lint`, and returns all findings without a limit. Unknown parameters are not among them:
    /// [`super::parameter_fault`] reports those.
    pub fn examine(request: Request<'_>, defaults: &Defaults) -> (Self, Vec<Finding>) {
        let mut findings = Findings::unbounded();
        let draft = Self::read(request, defaults, &mut findings);
        (draft, findings.all())
    }

    pub(super) fn read(request: Request<'_>, defaults: &Defaults, findings: &mut Findings) -> Self {
        let attributes = request.attributes;
        let pod = pod(attributes, findings);
        let target = findings.take("target_path", target_path(request.target_path));
        let mode = findings.take("permission", FileMode::parse_decimal(request.permission));
        let endpoints = endpoints(attributes, request.environment, defaults, findings);
        let vault = vault(attributes, endpoints.as_ref(), defaults, findings);
        let failover = failover(attributes, endpoints.as_ref(), findings);
        let identity = identity::parse(attributes, request.secrets, defaults.tenant.as_ref(), findings);
        let inherited = objects::Inherited {
            vault: vault.as_ref(),
            failover: failover.as_ref(),
            failover_vaults: &defaults.failover_vaults,
            vault_needed: Cell::new(false),
            suffix: endpoints.as_ref().map(|endpoints| &endpoints.vault_suffix),
            mode,
        };
        let objects = objects::parse(attributes.text("objects"), &inherited, findings);
        let planned = objects.iter().map(|object| &object.plan).collect::<Vec<_>>();
        let templates = templates::parse(attributes.text("templates"), mode, &planned, findings);
        if let Some(hidden) = planned.iter().find(|object| object.hidden)
            && attributes.text("templates").is_none()
        {
            let problem = "it has no effect without the parameter templates";
            findings.error(format!("{}.hidden", hidden.location), Fault::new(problem, "remove it"));
        }
        objects::check_paths(&objects, &templates, findings);
        let vault_given = attributes.text("keyvaultName").or(attributes.text("vaultURL")).is_some();
        if inherited.vault_needed.get() && !vault_given {
            findings
                .error("keyvaultName", Fault::new("it is missing", "name the vault here or in every object"));
        }
        let rotation_max_age = durations::rotation_max_age(attributes, defaults, findings);
        let stale_if_error = durations::stale_if_error(attributes, defaults, findings);
        Self { pod, target, endpoints, identity, objects, templates, rotation_max_age, stale_if_error }
    }

    /// The plan, if no part is missing.
    pub(super) fn finish(self, warnings: Vec<Finding>) -> Result<MountPlan, PlanError> {
        let Self { pod, target, endpoints, identity, objects, templates, rotation_max_age, stale_if_error } =
            self;
        // `findings.finish()` has already failed if a part is missing.
        let (Some(target), Some(endpoints), Some(identity)) = (target, endpoints, identity) else {
            return Err(PlanError::one("request", Fault::new("it is incomplete", "report this as a bug")));
        };
        let objects = objects.into_iter().map(|object| object.plan).collect();
        Ok(MountPlan {
            pod,
            target,
            endpoints,
            identity,
            objects,
            templates,
            rotation_max_age,
            stale_if_error,
            warnings,
        })
    }
}

fn pod(attributes: &Attributes, findings: &mut Findings) -> Pod {
    let text = |key: &str| attributes.text(key).unwrap_or_default().to_owned();
    let mut required = |key: &str| {
        if attributes.text(key).is_none() {
            findings.error(
                key,
                Fault::new("it is missing", "the CSIDriver object must have podInfoOnMount: true"),
            );
        }
        text(key)
    };
    Pod {
        name: required(POD_NAME),
        uid: text("csi.storage.k8s.io/pod.uid"),
        namespace: required(POD_NAMESPACE),
        service_account: text(POD_ACCOUNT),
        class: text("secretProviderClass"),
    }
}

/// Parses the volume's directory: an absolute path without `..`.
pub(crate) fn target_path(text: &str) -> Result<PathBuf, Fault> {
    let has_parent = text.split('/').any(|element| element == "..");
    if text.starts_with('/') && !has_parent && !text.contains('\0') && text.len() <= 4096 {
        // The kernel follows a symbolic link whose path ends with a slash.
        return Ok(PathBuf::from(format!("/{}", text.trim_matches('/'))));
    }
    Err(Fault::new(
        format!("{} is not an absolute path", quoted(text)),
        "the driver must send the path of the volume's directory",
    ))
}

fn endpoints(
    attributes: &Attributes,
    environment: Option<Result<Endpoints, Fault>>,
    defaults: &Defaults,
    findings: &mut Findings,
) -> Option<Endpoints> {
    let cloud = match attributes.text("cloudName") {
        Some(text) => findings.take("cloudName", Cloud::parse(text))?,
        None => defaults.cloud,
    };
    if cloud != Cloud::Stack && attributes.text("cloudEnvFileName").is_some() {
        let problem = "it has no effect without cloudName: AzureStackCloud";
        findings.warning("cloudEnvFileName", Fault::new(problem, "remove it, or set cloudName"));
    }
    match (cloud.endpoints(), environment) {
        (Some(endpoints), _) => Some(endpoints),
        (None, Some(environment)) => findings.take("cloudEnvFileName", environment),
        (None, None) => {
            let help = "set it to the path of the environment file in the provider's container, or set the provider's AZURE_ENVIRONMENT_FILEPATH for all classes";
            findings.error(
                "cloudEnvFileName",
                Fault::new("it is missing, and AzureStackCloud requires it", help),
            );
            None
        }
    }
}

/// The class's failover vault.
fn failover(
    attributes: &Attributes,
    endpoints: Option<&Endpoints>,
    findings: &mut Findings,
) -> Option<VaultUrl> {
    let key = "failoverKeyvaultName";
    let name = findings.take(key, VaultName::parse(attributes.text(key)?))?;
    findings.take(key, VaultUrl::of(&name, &endpoints?.vault_suffix))
}

fn vault(
    attributes: &Attributes,
    endpoints: Option<&Endpoints>,
    defaults: &Defaults,
    findings: &mut Findings,
) -> Option<VaultUrl> {
    match (attributes.text("keyvaultName"), attributes.text("vaultURL")) {
        (Some(_), Some(_)) => {
            findings.error("vaultURL", Fault::new("keyvaultName is also set", "keep one of the two"));
            None
        }
        (Some(name), None) => {
            let name = findings.take("keyvaultName", VaultName::parse(name))?;
            findings.take("keyvaultName", VaultUrl::of(&name, &endpoints?.vault_suffix))
        }
        (None, Some(url)) => {
            let suffixes = defaults.allowed_vault_suffixes.iter().chain([&endpoints?.vault_suffix]);
            findings.take("vaultURL", VaultUrl::parse(url, &suffixes.collect::<Vec<_>>()))
        }
        (None, None) => None,
    }
}
