//! What the audit log says about one mount.

mod changes;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use time::OffsetDateTime;

use changes::AuditedVolumes;

use super::error::{MountError, ObjectError};
use super::obtained::{Answer, Obtained};
use crate::audit::{AuditLog, AuditedIdentity, AuditedPod, Record};
use crate::code::Code;
use crate::plan::{MountPlan, ObjectPlan, PlannedIdentity};
use crate::telemetry::Source;
use crate::tenant::Tenant;
use crate::vault::{Fetched, Object};

/// The audit log, and what it says of the volumes that are mounted.
#[derive(Debug)]
pub struct Audit {
    log: Arc<AuditLog>,
    volumes: AuditedVolumes,
}

/// Collects what happens to the objects of one mount. Writes it when the mount ends, also if its caller goes away.
#[derive(Debug)]
pub(super) struct AuditTrail<'a> {
    audit: &'a Audit,
    plan: &'a MountPlan,
    tenant: Tenant,
    is_first: bool,
    client: OnceLock<String>,
    /// One for each object that has an answer, in the plan's order.
    answers: Mutex<Vec<Answered>>,
    /// Empty if its caller went away, or the provider was stopped.
    end: OnceLock<End>,
}

#[derive(Debug)]
enum Answered {
    Fetched(Arc<Object>, Source),
    LeftOut,
    Failed(Code),
}

/// How a mount ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Delivered,
    Failed { stage: &'static str, code: Code },
}

/// What happened to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ObjectFate {
    outcome: &'static str,
    /// The step of the mount that failed, and the code.
    failure: Option<(&'static str, Code)>,
    source: Option<Source>,
}

impl Audit {
    /// The log.
    pub fn log(&self) -> &Arc<AuditLog> {
        &self.log
    }

    /// Writes to `log`.
    pub fn new(log: Arc<AuditLog>) -> Self {
        Self { log, volumes: AuditedVolumes::default() }
    }

    /// The trail of a mount.
    pub(super) fn begin<'a>(&'a self, plan: &'a MountPlan, tenant: Tenant, is_first: bool) -> AuditTrail<'a> {
        let (client, answers) = (OnceLock::new(), Mutex::default());
        AuditTrail { audit: self, plan, tenant, is_first, client, answers, end: OnceLock::new() }
    }
}

impl AuditTrail<'_> {
    /// Notes the identity, which the plan may not have known.
    pub(super) fn identified(&self, identity: &crate::plan::Identity) {
        let _ = self.client.set(identity.shown_client().to_owned());
    }

    /// Notes the answer for the next object of the plan.
    pub(super) fn answered(&self, object: &ObjectPlan, answer: &Answer) {
        let answered = match answer {
            Ok(Obtained { object, source }) => Answered::Fetched(Arc::clone(object), *source),
            Err(error) if object.optional && error.is_missing() => Answered::LeftOut,
            Err(error) => Answered::Failed(error.code()),
        };
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(answered);
    }

    /// Notes how the mount ended.
    pub(super) fn finish(&self, error: Option<&MountError>) {
        let failed = |error: &MountError| End::Failed { stage: stage(error), code: error.code() };
        let _ = self.end.set(error.map_or(End::Delivered, failed));
    }

    fn write(&self) {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
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
        let fates = self.plan.objects.iter().enumerate().map(|(index, object)| {
            let answer = answers.get(index);
            (object, ObjectFate::of(answer, self.end.get().copied()), versions(answer))
        });
        let fates = fates.collect::<Vec<_>>();
        let marks = fates.iter().map(|(object, fate, versions)| changes::mark(object, *fate, versions));
        let is_new = self.audit.volumes.replace(&self.tenant, self.plan, self.is_first, marks.collect());
        let records = fates.iter().zip(is_new).filter(|(_, is_new)| *is_new).flat_map(|(told, _)| {
            let (object, fate, versions) = *told;
            let record = move |version| Record {
                time,
                outcome: fate.outcome,
                code: fate.failure.map(|(_, code)| code.name()),
                stage: fate.failure.map(|(stage, _)| stage),
                mount: if self.is_first { "first" } else { "refresh" },
                caller,
                identity,
                vault: object.vault.host(),
                object_type: object.kind.name(),
                object: object.name.as_str(),
                version,
                source: fate.source.map(Source::label),
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

impl ObjectFate {
    fn of(answer: Option<&Answered>, end: Option<End>) -> Self {
        let source = match answer {
            Some(Answered::Fetched(_, source)) => Some(*source),
            Some(Answered::LeftOut | Answered::Failed(_)) | None => None,
        };
        let (outcome, failure) = match (answer, end) {
            (Some(Answered::LeftOut), _) => ("left_out", None),
            (Some(Answered::Failed(code)), _) => ("refused", Some(("vault", *code))),
            (Some(Answered::Fetched(..)), Some(End::Delivered)) => ("delivered", None),
            (Some(Answered::Fetched(..)), Some(End::Failed { stage, code })) => {
                ("not_delivered", Some((stage, code)))
            }
            (None, Some(End::Failed { stage, code })) => ("refused", Some((stage, code))),
            // A delivered mount has an answer for each object.
            (_, None | Some(End::Delivered)) => ("abandoned", None),
        };
        Self { outcome, failure, source }
    }
}

fn versions(answer: Option<&Answered>) -> &[Fetched] {
    match answer {
        Some(Answered::Fetched(object, _)) => object.versions(),
        Some(Answered::LeftOut | Answered::Failed(_)) | None => &[],
    }
}

/// The client id of an identity that the plan knows.
fn planned_client(planned: &PlannedIdentity) -> &str {
    match planned {
        PlannedIdentity::Known(identity) => identity.shown_client(),
        PlannedIdentity::Annotated(_) => "",
    }
}

/// The step of a mount that failed.
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
