//! One mount: plan, policy, identity, vault, render, deliver.

mod error;
mod fetch;
mod gather;
mod held;
mod instead;
mod known;
mod object_key;
mod told;
mod volumes;
mod watched;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use zeroize::Zeroize;

pub use error::{MountError, ObjectError};
pub use held::LARGE_MOUNTS;
pub use known::Known;
pub use object_key::ObjectKey;
pub use told::Told;
pub use volumes::{News, Volumes};

use crate::cache::{Cache, Freshness};
use crate::deliver::{self, DeliverError, File, FileWriter, Targets};
use crate::identity::Identities;
use crate::plan::{Attributes, Defaults, Endpoints, Fault, MountPlan, ObjectPlan, Request, quoted};
use crate::policy::PolicyFile;
use crate::proto::{MountRequest, MountResponse, ObjectVersion};
use crate::render;
use crate::retry::Deadline;
use crate::telemetry::{Came, Metrics, milliseconds_since};
use crate::text;
use crate::vault::{Fetched, Object, VaultError, Vaults};
use fetch::Occasion;
use held::Held;

/// A mount that was done.
#[derive(Debug)]
pub struct Mounted {
    /// The answer to the driver.
    pub response: MountResponse,
    /// What it brought.
    pub news: News,
    /// How the objects came.
    pub came: Came,
}

/// Mounts volumes.
#[derive(Debug)]
pub struct Mounter {
    /// What requests leave out.
    pub defaults: Defaults,
    /// What may be mounted, if the operator says.
    pub policy: Option<PolicyFile>,
    /// Who asks.
    pub identities: Identities,
    /// Who is asked.
    pub vaults: Arc<Vaults>,
    /// What they gave.
    pub cache: Arc<Cache<ObjectKey, Object, VaultError>>,
    /// What becomes of certificates.
    pub render_options: render::Options,
    /// Who writes the files.
    pub file_writer: FileWriter,
    /// The largest response that the driver accepts.
    pub max_response_bytes: usize,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Places for work that keeps a core busy; shared with whoever else has such work.
    pub costly: Arc<Semaphore>,
    /// Places for mounts that hold much.
    pub large: Arc<Semaphore>,
    /// Who writes where just now.
    pub targets: Targets,
    /// Warnings that have been logged.
    pub told: Told,
    /// What identities have fetched.
    pub known: Known,
    /// What is mounted already.
    pub volumes: Volumes,
}

impl Mounter {
    /// Serves one request of the driver, and ends before `deadline`.
    ///
    /// # Errors
    /// [`MountError`], with nothing written.
    pub async fn mount(&self, request: MountRequest, deadline: Deadline) -> Result<Mounted, MountError> {
        let arrived = Instant::now();
        let rotated = !request.current_object_version.is_empty();
        let plan = deadline.limit(self.plan(request)).await.unwrap_or(Err(MountError::Late))?;
        let (objects, milliseconds) = (plan.objects.len(), milliseconds_since(arrived));
        tracing::debug!(objects, milliseconds, "planned");
        self.told.tell(&plan.pod, &plan.warnings);
        let warnings = plan.warnings.clone();
        self.mount_planned(plan, rotated, arrived, deadline).await.map_err(|error| error.warned(warnings))
    }

    async fn mount_planned(
        &self,
        plan: MountPlan,
        rotated: bool,
        arrived: Instant,
        deadline: Deadline,
    ) -> Result<Mounted, MountError> {
        let held = Held::new(Arc::clone(&self.large));
        let fetching = async {
            if let Some(policy) = &self.policy {
                policy.check(&plan).await?;
            }
            let occasion = self.occasion(&plan, rotated, arrived);
            let fetched = self.fetch(&plan, occasion, &held, deadline).await?;
            held.warn();
            let (options, begun) = (self.render_options, Instant::now());
            let objects = plan.objects;
            let rendered =
                if fetched.iter().flatten().flat_map(|object| object.versions()).any(Fetched::is_costly) {
                    // Key derivations would keep a worker, and many of them all cores, from other mounts.
                    let place =
                        Arc::clone(&self.costly).acquire_owned().await.map_err(|_| MountError::Defect)?;
                    let span = tracing::Span::current();
                    let rendering = tokio::task::spawn_blocking(move || {
                        let _place = place;
                        span.in_scope(|| render_all(&objects, &fetched, options, deadline))
                    });
                    rendering.await.unwrap_or(Err(MountError::Defect))
                } else {
                    render_all(&objects, &fetched, options, deadline)
                };
            let Contents { files, versions, warnings } = rendered?;
            tracing::debug!(files = files.len(), milliseconds = milliseconds_since(begun), "rendered");
            self.told.tell(&plan.pod, &warnings);
            Ok((plan.target, plan.pod, deliver::distinct(files)?, versions))
        };
        let mounted = deadline.limit(fetching).await.unwrap_or(Err(MountError::Late))?;
        let (target, pod, files, versions) = mounted;
        let mark = volumes::mark(&files, &versions);
        let response = match self.file_writer {
            FileWriter::Driver => deliver::respond(files, versions, self.max_response_bytes)?,
            FileWriter::Provider => {
                self.write(&target, files, deadline).await?;
                MountResponse { object_version: versions, error: None, files: Vec::new() }
            }
        };
        let news = self.volumes.remember(&pod.uid, &target, mark, rotated);
        Ok(Mounted { response, news, came: held.came() })
    }

    /// A first mount is answered with what was asked for when it came, or later; a volume that is mounted
    /// already may be refreshed with something older. Drivers before v1.6 say themselves that it is.
    fn occasion(&self, plan: &MountPlan, rotated: bool, arrived: Instant) -> Occasion {
        let mounted = rotated || self.volumes.holds(&plan.pod.uid, &plan.target);
        let freshness = if mounted && !plan.rotation_max_age.is_zero() {
            Freshness::Within(plan.rotation_max_age)
        } else {
            Freshness::Since(arrived)
        };
        Occasion { first: !mounted, freshness }
    }

    /// Waits until nobody writes into `target`: after a mount was given up, its last descriptor there
    /// is closed when this returns.
    pub async fn settle(&self, target: &Path) {
        drop(self.targets.lock(target).await);
    }

    /// Refuses to hold more than can be delivered; what is encoded may be twice as large.
    fn check_size(&self, size: usize) -> Result<(), DeliverError> {
        match self.file_writer {
            FileWriter::Driver if size / 2 > self.max_response_bytes => {
                Err(DeliverError::TooLarge { size, limit: self.max_response_bytes })
            }
            FileWriter::Provider if size > LARGEST_VOLUME => {
                Err(DeliverError::TooMuch { limit: LARGEST_VOLUME })
            }
            _ => Ok(()),
        }
    }

    /// Reads a request as [`Self::mount`] does, and asks nobody.
    ///
    /// # Errors
    /// Every mistake in it.
    pub async fn plan(&self, mut request: MountRequest) -> Result<MountPlan, MountError> {
        let attributes = Attributes::parse("attributes", &request.attributes)?;
        attributes.record(&tracing::Span::current());
        let secrets = Attributes::parse("secrets", &request.secrets)?;
        request.attributes.zeroize();
        request.secrets.zeroize();
        let environment = match attributes.cloud_environment_file(&self.defaults) {
            Some(file) => Some(read_environment(&file).await),
            None => None,
        };
        let request = Request {
            attributes: &attributes,
            secrets: &secrets,
            target_path: &request.target_path,
            permission: &request.permission,
            environment,
        };
        Ok(MountPlan::parse(request, &self.defaults)?)
    }

    /// Writes the files here. The work is joined before this returns; if the caller goes away, it
    /// stops at the next file and lets go of the target.
    async fn write(&self, target: &Path, files: Vec<File>, deadline: Deadline) -> Result<(), DeliverError> {
        let (begun, count) = (Instant::now(), files.len());
        let held = deadline.limit(self.targets.lock(target)).await;
        let held = held.ok_or_else(|| DeliverError::Busy(target.to_owned()))?;
        let gone = Arc::new(AtomicBool::new(false));
        let on_drop = SetOnDrop(Arc::clone(&gone));
        let path = target.to_owned();
        let written = tokio::task::spawn_blocking(move || {
            // Held until the last descriptor is closed, even if nobody waits any more.
            let _held = held;
            deliver::write(&path, &files, &|| gone.load(Ordering::Relaxed) || deadline.left().is_zero())
        })
        .await;
        drop(on_drop);
        match written {
            Ok(outcome) => outcome.map(|outcome| {
                let milliseconds = milliseconds_since(begun);
                tracing::debug!(?outcome, files = count, milliseconds, "files written");
            }),
            Err(_) => Err(DeliverError::Defect),
        }
    }
}

/// All secrets of one volume, with `--file-writer=provider`: a thousand of the largest that Key Vault has.
const LARGEST_VOLUME: usize = 32 << 20;

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a volume is to hold.
#[derive(Default)]
struct Contents {
    files: Vec<File>,
    versions: Vec<ObjectVersion>,
    warnings: Vec<String>,
}

/// Renders every object, or names all that cannot be.
fn render_all(
    objects: &[ObjectPlan],
    fetched: &[Option<Arc<Object>>],
    options: render::Options,
    deadline: Deadline,
) -> Result<Contents, MountError> {
    let mut contents = Contents::default();
    let mut errors = Vec::new();
    for (object, fetched) in objects.iter().zip(fetched) {
        let Some(fetched) = fetched else { continue };
        if deadline.left().is_zero() {
            return Err(MountError::Late);
        }
        contents.versions.extend(
            fetched
                .versions()
                .iter()
                .enumerate()
                .map(|(index, fetched)| object_version(object, index, fetched)),
        );
        match render::render(object, fetched, options, &|| !deadline.left().is_zero()) {
            Ok(rendered) => {
                contents.files.extend(rendered.files);
                contents.warnings.extend(rendered.warnings);
            }
            Err(error) => errors.push(ObjectError::Render(error)),
        }
    }
    if contents.versions.is_empty() && errors.is_empty() {
        // All objects are optional, and none is there. The driver takes an empty list for a provider's error.
        contents.versions.push(ObjectVersion { id: NOTHING.to_owned(), version: String::new() });
    }
    if errors.is_empty() { Ok(contents) } else { Err(MountError::Objects(errors)) }
}

/// The id that stands for a volume without an object.
const NOTHING: &str = "nothing";

fn object_version(object: &ObjectPlan, index: usize, fetched: &Fetched) -> ObjectVersion {
    let id = match object.history {
        Some(_) => format!("{}/{}/{index}", object.kind, object.name),
        None => format!("{}/{}", object.kind, object.name),
    };
    ObjectVersion { id, version: fetched.version.clone() }
}

/// A private cloud's file is small; what is not, is another file.
const LARGEST_ENVIRONMENT: u64 = 64 << 10;

async fn read_environment(path: &Path) -> Result<Endpoints, Fault> {
    let unreadable = |why: String| {
        let mend = "mount a small file into the provider's container, for example from /etc/kubernetes";
        Fault::new(format!("{} {why}", quoted(&path.to_string_lossy())), mend)
    };
    let resolved = tokio::fs::canonicalize(path)
        .await
        .map_err(|error| unreadable(format!("cannot be opened: {error}")))?;
    // With --file-writer=provider the volumes of pods are in reach, and what lies there is the pods' own.
    if resolved.to_string_lossy().contains("/volumes/kubernetes.io~") {
        return Err(unreadable("lies in a pod's volume".to_owned()));
    }
    let file = tokio::fs::OpenOptions::new()
        .read(true)
        // A named pipe must not hold a thread.
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(&resolved)
        .await
        .map_err(|error| unreadable(format!("cannot be opened: {error}")))?;
    let metadata = file.metadata().await.map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    if !metadata.is_file() {
        return Err(unreadable("is not a file".to_owned()));
    }
    // Counted, since a file of /proc says that it is empty.
    let mut json = Vec::new();
    let read = file.take(LARGEST_ENVIRONMENT + 1).read_to_end(&mut json).await;
    read.map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    if json.len() as u64 > LARGEST_ENVIRONMENT {
        return Err(unreadable("is too large".to_owned()));
    }
    let json = text::decode(json).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    Endpoints::from_environment_file(json.as_bytes())
}
