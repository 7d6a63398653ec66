//! One mount: plan, policy, identity, vault, render, deliver.

mod audit_trail;
mod budget;
mod contents;
mod delivery;
mod error;
mod fallback;
mod fetch;
mod fetch_history;
mod fetcher;
mod object_key;
mod objects;
mod obtained;
mod provenance;
mod volumes;
mod warnings;
mod watched;

use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use zeroize::Zeroize;

pub use audit_trail::Audit;
pub use budget::Memory;
pub use delivery::Delivery;
pub use error::{MountError, ObjectError};
pub use fetch_history::FetchHistory;
pub use fetcher::Fetcher;
pub use object_key::ObjectKey;
pub use volumes::{VolumeChange, Volumes};
pub use warnings::WarningDedup;
pub use watched::watch;

use crate::cache::Freshness;
use crate::deliver;
use crate::environment_file::EnvironmentFiles;
use crate::fair::{FairQueue, Party, Permit};
use crate::plan::{Attributes, Defaults, MountPlan, Request};
use crate::policy::PolicyFile;
use crate::proto::{MountRequest, MountResponse};
use crate::render;
use crate::retry::Deadline;
use crate::telemetry::{SourceCounts, milliseconds_since};
use crate::tenant::Tenant;
use crate::vault::FetchedVersion;
use audit_trail::AuditTrail;
use budget::{MountBudget, generated_bytes};
use contents::{Contents, render_all};
use fetch::FetchedObjects;
use fetcher::{Mount, MountKind};
use provenance::Provenance;

/// A successful mount.
#[derive(Debug)]
pub struct Mounted {
    /// The response for the driver.
    pub response: MountResponse,
    /// The change in the volume.
    pub change: VolumeChange,
    /// The sources of its objects.
    pub sources: SourceCounts,
    /// The permit for the memory of a large answer, to be held until the answer is sent.
    pub memory: Option<Arc<Permit>>,
}

/// A request whose maps are parsed and whose raw bytes are zeroized.
struct ParsedRequest {
    attributes: Attributes,
    secrets: Attributes,
    target_path: String,
    permission: String,
    /// Size of the raw maps in bytes.
    bytes: usize,
}

impl ParsedRequest {
    fn parse(mut request: MountRequest) -> Result<Self, MountError> {
        let attributes = Attributes::parse("attributes", &request.attributes);
        let secrets = Attributes::parse("secrets", &request.secrets);
        let bytes = request.attributes.len() + request.secrets.len();
        request.attributes.zeroize();
        request.secrets.zeroize();
        let attributes = attributes?;
        attributes.record(&tracing::Span::current());
        let MountRequest { target_path, permission, .. } = request;
        Ok(Self { attributes, secrets: secrets?, target_path, permission, bytes })
    }
}

/// Mounts volumes.
#[derive(Debug)]
pub struct Mounter {
    /// Defaults for values that requests omit.
    pub defaults: Defaults,
    /// The environment files of private clouds.
    pub environment_files: EnvironmentFiles,
    /// The operator's policy, if any.
    pub policy: Option<PolicyFile>,
    /// The audit log, if any.
    pub audit: Option<Audit>,
    /// Fetches objects.
    pub fetcher: Fetcher,
    /// How certificates are rendered.
    pub render_options: render::Options,
    /// Delivers the files into the volume.
    pub delivery: Delivery,
    /// Permits for CPU-heavy work.
    pub heavy_work: FairQueue,
    /// The memory of mounts in progress.
    pub memory: Memory,
    /// Warnings that were logged before.
    pub warnings: WarningDedup,
    /// The mounted volumes.
    pub volumes: Volumes,
}

impl Mounter {
    /// Serves one request of the driver before `deadline`.
    ///
    /// # Errors
    /// [`MountError`]; no file was written.
    pub async fn mount(&self, request: MountRequest, deadline: Deadline) -> Result<Mounted, MountError> {
        let arrived = Instant::now();
        let rotated = !request.current_object_version.is_empty();
        let request = ParsedRequest::parse(request)?;
        let party = Party::new(Tenant::new(request.attributes.namespace()));
        let planned = async {
            let memory = self.memory.for_request(&party, request.bytes).await;
            Ok((self.plan_parsed(request).await?, memory))
        };
        let (plan, _memory) = deadline.limit(planned).await.unwrap_or(Err(MountError::Late))?;
        let (objects, milliseconds) = (plan.objects.len(), milliseconds_since(arrived));
        tracing::debug!(objects, milliseconds, "planned");
        self.warnings.log(&plan.pod, &plan.warnings);
        let kind = self.kind(&plan, rotated, arrived);
        let mounted = self.mount_audited(&plan, kind, party, deadline).await;
        mounted.map_err(|error| error.with_warnings(plan.warnings))
    }

    async fn mount_audited(
        &self,
        plan: &MountPlan,
        kind: MountKind,
        party: Party,
        deadline: Deadline,
    ) -> Result<Mounted, MountError> {
        let tenant = party.starter().clone();
        let audit = self.audit.as_ref().map(|audit| audit.begin(plan, tenant, kind.is_first));
        let mounted = self.mount_planned(plan, kind, party, deadline, audit.as_ref()).await;
        if let Some(audit) = &audit {
            audit.finish(mounted.as_ref().err());
        }
        mounted
    }

    async fn mount_planned(
        &self,
        plan: &MountPlan,
        kind: MountKind,
        party: Party,
        deadline: Deadline,
        audit: Option<&AuditTrail<'_>>,
    ) -> Result<Mounted, MountError> {
        let (tenant, largest) = (party.starter().clone(), self.delivery.largest_volume());
        let budget = &MountBudget::new(&self.memory, party, plan, largest.bytes);
        let provenance = &Provenance::default();
        let troubles = Mutex::default();
        let mount = Mount { plan, kind, tenant, deadline, budget, provenance, audit, troubles, largest };
        let contents = async {
            if let Some(policy) = &self.policy {
                policy.check(plan).await?;
            }
            let fetched = self.fetcher.fetch(&mount).await?;
            provenance.warn();
            let contents = self.render(&mount, fetched).await?;
            self.warnings.log(&plan.pod, &contents.warnings);
            Ok((deliver::distinct(contents.files)?, contents.versions))
        };
        let (files, versions) = deadline.limit(contents).await.unwrap_or(Err(MountError::Late))?;
        let mark = volumes::mark(&files, &versions);
        let response = self.delivery.deliver(plan, files, versions, deadline).await?;
        let change = self.volumes.remember(&plan.pod, &plan.target, mark, !kind.is_first);
        Ok(Mounted { response, change, sources: provenance.sources(), memory: budget.permit() })
    }

    /// A first mount needs values requested after it arrived; a mounted volume may be refreshed with older ones. Drivers
    /// before v1.6 send a flag for a refresh.
    fn kind(&self, plan: &MountPlan, rotated: bool, arrived: Instant) -> MountKind {
        let mounted = rotated || self.volumes.holds(&plan.pod.uid, &plan.target);
        let freshness = if mounted && !plan.rotation_max_age.is_zero() {
            Freshness::Within(plan.rotation_max_age)
        } else {
            Freshness::Since(arrived)
        };
        MountKind { is_first: !mounted, freshness }
    }

    /// Renders the fetched objects. Key derivations run on a separate thread, in turn by tenant, because they would
    /// block a worker, and many of them all cores.
    async fn render(&self, mount: &Mount<'_>, fetched: FetchedObjects) -> Result<Contents, MountError> {
        let FetchedObjects { objects, left_out } = fetched;
        self.warnings.log(&mount.plan.pod, contents::left_out(&left_out).as_slice());
        // What is generated is accounted for before it is made.
        mount.budget.add(generated_bytes(mount.plan)).await;
        let (options, started, deadline) = (self.render_options, Instant::now(), mount.deadline);
        let MountPlan { objects: plans, templates, .. } = mount.plan;
        let mut versions = objects.iter().flatten().flat_map(|object| object.versions());
        let rendered = if !templates.is_empty() || versions.any(FetchedVersion::is_costly) {
            let permit = self.heavy_work.acquire(mount.budget.party(), 1).await;
            let (plans, templates, span) = (plans.clone(), templates.clone(), tracing::Span::current());
            let rendering = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                span.in_scope(|| render_all((&plans, &templates), &objects, options, deadline))
            });
            rendering.await.unwrap_or(Err(MountError::Defect))
        } else {
            render_all((plans, templates), &objects, options, deadline)
        };
        let contents = rendered?;
        let (files, milliseconds) = (contents.files.len(), milliseconds_since(started));
        tracing::debug!(files, milliseconds, "rendered");
        Ok(contents)
    }

    /// Plans a request like [`Self::mount`], without calling any service.
    ///
    /// # Errors
    /// All mistakes in the request.
    pub async fn plan(&self, request: MountRequest) -> Result<MountPlan, MountError> {
        self.plan_parsed(ParsedRequest::parse(request)?).await
    }

    async fn plan_parsed(&self, request: ParsedRequest) -> Result<MountPlan, MountError> {
        let ParsedRequest { attributes, secrets, target_path, permission, .. } = request;
        let environment = match attributes.cloud_environment_file(&self.defaults) {
            Some(file) => {
                let is_operators = self.defaults.environment_file.as_ref() == Some(&file);
                let target = Path::new(&target_path);
                Some(self.environment_files.read(&file, target, is_operators).await)
            }
            None => None,
        };
        let request = Request {
            attributes: &attributes,
            secrets: &secrets,
            target_path: &target_path,
            permission: &permission,
            environment,
        };
        Ok(MountPlan::parse(request, &self.defaults)?)
    }
}
