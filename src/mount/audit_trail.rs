//! The audit records of one mount.

mod changes;

use std::sync::{Arc, Mutex, OnceLock};

use time::OffsetDateTime;

use changes::AuditedVolumes;

use super::error::{MountError, ObjectError};
use super::obtained::{ObjectResult, Obtained};
use crate::audit::{AuditLog, AuditedIdentity, AuditedPod, Record};
use crate::code::Code;
use crate::lock::LockUnpoisoned;
use crate::plan::{MountPlan, ObjectPlan, PlannedIdentity};
use crate::telemetry::Source;
use crate::tenant::Tenant;
use crate::vault::{FetchedObject, FetchedVersion};

/// The audit log, and the last records of mounted volumes.
#[derive(Debug)]
pub struct Audit {
    log: Arc<AuditLog>,
    volumes: AuditedVolumes,
}

/// Collects the outcome of each object of a mount. Writes the records when the mount ends, also if its caller
/// disconnects.
#[derive(Debug)]
pub(super) struct AuditTrail<'a> {
    audit: &'a Audit,
    plan: &'a MountPlan,
    tenant: Tenant,
    is_first: bool,
    client: OnceLock<String>,
    /// One for each finished object, in the plan's order.
    answers: Mutex<Vec<Answered>>,
    /// Empty if its caller disconnected, or the provider was stopped.
    end: OnceLock<MountEnd>,
}

#[derive(Debug)]
enum Answered {
    FetchedVersion(Arc<FetchedObject>, Source),
    LeftOut,
    Failed(Code),
}

#[derive(Clone, Copy, Debug)]
enum MountEnd {
    Delivered,
    Failed { stage: &'static str, code: Code },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ObjectOutcome {
    outcome: &'static str,
    /// The stage of the mount that failed, and the code.
    failure: Option<(&'static str, Code)>,
    source: Option<Source>,
}

impl Audit {
    /// The log.
    pub fn log(&self) -> &Arc<AuditLog> {
        &self.log
    }

    /// An audit that writes to `log`.
    pub fn new(log: Arc<AuditLog>) -> Self {
        Self { log, volumes: AuditedVolumes::default() }
    }

    pub(super) fn begin<'a>(&'a self, plan: &'a MountPlan, tenant: Tenant, is_first: bool) -> AuditTrail<'a> {
        let (client, answers) = (OnceLock::new(), Mutex::default());
        AuditTrail { audit: self, plan, tenant, is_first, client, answers, end: OnceLock::new() }
    }
}

impl AuditTrail<'_> {
    /// Records the identity, if the plan did not have it.
    pub(super) fn identified(&self, identity: &crate::plan::Identity) {
        let _ = self.client.set(identity.shown_client().to_owned());
    }

    /// Records the outcome of the next object of the plan.
    pub(super) fn answered(&self, object: &ObjectPlan, answer: &ObjectResult) {
        let answered = match answer {
            Ok(Obtained { object, source }) => Answered::FetchedVersion(Arc::clone(object), *source),
            Err(error) if object.optional && error.is_missing() => Answered::LeftOut,
            Err(error) => Answered::Failed(error.code()),
        };
        self.answers.lock_unpoisoned().push(answered);
    }

    pub(super) fn finish(&self, error: Option<&MountError>) {
        let failed = |error: &MountError| MountEnd::Failed { stage: stage(error), code: error.code() };
        let _ = self.end.set(error.map_or(MountEnd::Delivered, failed));
    }

    fn write(&self) {
        let answers = self.answers.lock_unpoisoned();
        let (time, pod) = (OffsetDateTime::now_utc(), &self.plan.pod);
        let caller = AuditedPod {
            namespace: &pod.namespace,
            pod: &pod.name,
            pod_uid: &pod.uid,
            service_account: &pod.service_account,
            class: &pod.class,
        };
        let client_id = self.client.get().map_or_else(|| planned_client(&self.plan.identity), String::as_str);
        let identity = AuditedIdentity { identity: self.plan.identity.mode().name(), client_id };
        let outcomes = self.plan.objects.iter().enumerate().map(|(index, object)| {
            let answer = answers.get(index);
            (object, ObjectOutcome::of(answer, self.end.get().copied()), versions(answer))
        });
        let outcomes = outcomes.collect::<Vec<_>>();
        let marks = outcomes
            .iter()
            .map(|(object, object_outcome, versions)| changes::mark(object, *object_outcome, versions));
        let is_new = self.audit.volumes.replace(&self.tenant, self.plan, self.is_first, marks.collect());
        let records = outcomes.iter().zip(is_new).filter(|(_, is_new)| *is_new).flat_map(|(entry, _)| {
            let (object, object_outcome, versions) = *entry;
            let record = move |version| Record {
                time,
                outcome: object_outcome.outcome,
                code: object_outcome.failure.map(|(_, code)| code.name()),
                stage: object_outcome.failure.map(|(stage, _)| stage),
                mount: if self.is_first { "first" } else { "refresh" },
                caller,
                identity,
                vault: object.vault.host(),
                object_type: object.kind.name(),
                object: object.name.as_str(),
                version,
                source: object_outcome.source.map(Source::label),
            };
            let missing = versions.is_empty().then(|| record(None));
            versions.iter().map(move |fetched| record(Some(fetched.version.as_str()))).chain(missing)
        });
        self.audit.log.write(&self.tenant, records);
    }
}

impl Drop for AuditTrail<'_> {
    fn drop(&mut self) {
        self.write();
    }
}

impl ObjectOutcome {
    fn of(answer: Option<&Answered>, end: Option<MountEnd>) -> Self {
        let source = match answer {
            Some(Answered::FetchedVersion(_, source)) => Some(*source),
            Some(Answered::LeftOut | Answered::Failed(_)) | None => None,
        };
        let (outcome, failure) = match (answer, end) {
            (Some(Answered::LeftOut), _) => ("left_out", None),
            (Some(Answered::Failed(code)), _) => ("refused", Some(("vault", *code))),
            (Some(Answered::FetchedVersion(..)), Some(MountEnd::Delivered)) => ("delivered", None),
            (Some(Answered::FetchedVersion(..)), Some(MountEnd::Failed { stage, code })) => {
                ("not_delivered", Some((stage, code)))
            }
            (None, Some(MountEnd::Failed { stage, code })) => ("refused", Some((stage, code))),
            // A delivered mount has an outcome for each object.
            (_, None | Some(MountEnd::Delivered)) => ("abandoned", None),
        };
        Self { outcome, failure, source }
    }
}

fn versions(answer: Option<&Answered>) -> &[FetchedVersion] {
    match answer {
        Some(Answered::FetchedVersion(object, _)) => object.versions(),
        Some(Answered::LeftOut | Answered::Failed(_)) | None => &[],
    }
}

/// The client id of an identity, if the plan has it.
fn planned_client(planned: &PlannedIdentity) -> &str {
    match planned {
        PlannedIdentity::Known(identity) => identity.shown_client(),
        PlannedIdentity::Annotated(_) => "",
    }
}

/// The stage in which a mount failed.
fn stage(error: &MountError) -> &'static str {
    match error {
        MountError::Plan(_) => "plan",
        MountError::Denied(_) => "policy",
        MountError::Identity(_) => "identity",
        MountError::Objects(errors) if errors.iter().all(ObjectError::is_render) => "render",
        MountError::Objects(_) => "vault",
        MountError::Late => "deadline",
        MountError::Stopping | MountError::Defect => "provider",
        MountError::Deliver(_) => "deliver",
        MountError::Warned { error, .. } => stage(error),
    }
}
