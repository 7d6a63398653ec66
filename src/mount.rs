//! One mount: plan, identity, vault, render, deliver.

mod error;
mod fetch;
mod told;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use error::{MountError, ObjectError};
pub use told::Told;

use crate::deliver::{self, DeliverError, File, FileWriter, Targets};
use crate::identity::Identities;
use crate::plan::{Attributes, Defaults, Endpoints, Fault, MountPlan, ObjectPlan, Request};
use crate::proto::{MountRequest, MountResponse, ObjectVersion};
use crate::render::render;
use crate::retry::Deadline;
use crate::vault::{Fetched, Vaults};

/// Mounts volumes.
#[derive(Debug)]
pub struct Mounter {
    /// What requests leave out.
    pub defaults: Defaults,
    /// Who asks.
    pub identities: Identities,
    /// Who is asked.
    pub vaults: Vaults,
    /// Who writes the files.
    pub file_writer: FileWriter,
    /// The largest response that the driver accepts.
    pub max_response_bytes: usize,
    /// Who writes where just now.
    pub targets: Targets,
    /// Warnings that have been logged.
    pub told: Told,
}

impl Mounter {
    /// Serves one request of the driver, and ends before `deadline`.
    ///
    /// # Errors
    /// [`MountError`], with nothing written.
    pub async fn mount(
        &self,
        request: MountRequest,
        deadline: Deadline,
    ) -> Result<MountResponse, MountError> {
        let plan = self.plan(&request).await?;
        self.told.tell(&plan);
        let fetched = self.fetch(&plan, deadline).await?;
        let (files, versions) = render_all(&plan.objects, fetched)?;
        let files = deliver::last_wins(files);
        match self.file_writer {
            FileWriter::Driver => Ok(deliver::respond(files, versions, self.max_response_bytes)?),
            FileWriter::Provider => {
                self.write(&plan.target, files, deadline).await?;
                Ok(MountResponse { object_version: versions, error: None, files: Vec::new() })
            }
        }
    }

    async fn plan(&self, request: &MountRequest) -> Result<MountPlan, MountError> {
        let attributes = Attributes::parse("attributes", &request.attributes)?;
        attributes.record(&tracing::Span::current());
        let secrets = Attributes::parse("secrets", &request.secrets)?;
        let environment = match attributes.cloud_environment_file(self.defaults.cloud) {
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
        let held = deadline.limit(self.targets.lock(target)).await;
        let held = held.ok_or_else(|| DeliverError::Busy(target.to_owned()))?;
        let gone = Arc::new(AtomicBool::new(false));
        let on_drop = SetOnDrop(Arc::clone(&gone));
        let path = target.to_owned();
        let written = tokio::task::spawn_blocking(move || {
            // Held until the last descriptor is closed, even if nobody waits any more.
            let _held = held;
            deliver::write(&path, &files, &|| gone.load(Ordering::Relaxed))
        })
        .await;
        drop(on_drop);
        match written {
            Ok(outcome) => outcome.map(|outcome| tracing::debug!(?outcome, "files written")),
            Err(_) => Err(DeliverError::Cancelled),
        }
    }
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Renders every object, or names all that cannot be.
fn render_all(
    objects: &[ObjectPlan],
    fetched: Vec<Fetched>,
) -> Result<(Vec<File>, Vec<ObjectVersion>), MountError> {
    let mut files = Vec::with_capacity(objects.len());
    let mut versions = Vec::with_capacity(objects.len());
    let mut errors = Vec::new();
    for (object, fetched) in objects.iter().zip(fetched) {
        versions
            .push(ObjectVersion { id: format!("secret/{}", object.name), version: fetched.version.clone() });
        match render(object, fetched) {
            Ok(contents) => files.push(File { path: object.path.clone(), mode: object.mode, contents }),
            Err(error) => errors.push(ObjectError::Render(error)),
        }
    }
    if errors.is_empty() { Ok((files, versions)) } else { Err(MountError::Objects(errors)) }
}

/// A private cloud's file is small; what is not, is another file.
const LARGEST_ENVIRONMENT: u64 = 64 << 10;

async fn read_environment(path: &Path) -> Result<Endpoints, Fault> {
    let unreadable = |why: String| {
        Fault::new(
            format!("{} {why}", path.display()),
            "mount it into the provider's container, for example from /etc/kubernetes",
        )
    };
    let file = tokio::fs::OpenOptions::new()
        .read(true)
        // A named pipe must not hold a thread.
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .await
        .map_err(|error| unreadable(format!("cannot be opened: {error}")))?;
    let metadata = file.metadata().await.map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    if !metadata.is_file() || metadata.len() > LARGEST_ENVIRONMENT {
        return Err(unreadable("is not a small file".to_owned()));
    }
    let json = tokio::fs::read(path).await.map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    Endpoints::from_environment_file(&json)
}
