//! A plan in the making, which may have holes.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use super::cloud::Endpoints;
use super::finding::{Fault, Finding, Findings, PlanError};
use super::identity::{self, PlannedIdentity};
use super::names::FileMode;
use super::objects::{self, WrittenObject};
use super::templates::{self, TemplatePlan};
use super::{Defaults, MountPlan, Pod, Request, durations, endpoints, failover, pod, target_path, vault};

/// As much of a plan as a request gives, whatever else is wrong with it.
#[derive(Debug)]
pub struct Draft {
    pod: Pod,
    target: Option<PathBuf>,
    endpoints: Option<Endpoints>,
    identity: Option<PlannedIdentity>,
    /// The objects that can be planned.
    pub objects: Vec<WrittenObject>,
    /// The templates that are right.
    pub templates: Vec<TemplatePlan>,
    rotation_max_age: Duration,
    stale_if_error: Duration,
}

impl Draft {
    /// Reads a request for somebody who mends it: every finding is there, however many there are, but
    /// for parameters that nobody knows ([`super::parameter_fault`] tells those).
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
            findings.error(
                "keyvaultName",
                Fault::new("it is missing", "name the vault, here or in every object"),
            );
        }
        let rotation_max_age = durations::rotation_max_age(attributes, defaults, findings);
        let stale_if_error = durations::stale_if_error(attributes, defaults, findings);
        Self { pod, target, endpoints, identity, objects, templates, rotation_max_age, stale_if_error }
    }

    /// The plan, if nothing is missing.
    pub(super) fn finish(self, warnings: Vec<Finding>) -> Result<MountPlan, PlanError> {
        let Self { pod, target, endpoints, identity, objects, templates, rotation_max_age, stale_if_error } =
            self;
        // Whatever is missing here was reported above; this keeps the compiler's word for it.
        let (Some(target), Some(endpoints), Some(identity)) = (target, endpoints, identity) else {
            return Err(PlanError::one("request", Fault::new("it is incomplete", "report this as a defect")));
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
