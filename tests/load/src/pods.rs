//! The pods, and what they ask.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyvault_csi_provider::proto::{MountRequest, MountResponse, ObjectVersion};
use provider_launcher::Pod as PodInfo;
use tokio::time::Instant;

use crate::Result;
use crate::azure::{Azure, Claim};
use crate::options::Options;
use crate::server::Server;

/// kubelet asks for a new token when less than a fifth of an hour is left.
const TOKEN_AGE: Duration = Duration::from_mins(48);

/// kubelet's timeout for a volume.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A pod with one volume.
pub(crate) struct Pod {
    info: PodInfo,
    claim: Claim,
    tokens: (String, Instant),
    volume: Volume,
    /// The object versions of the last mount, which the driver sends back.
    versions: Vec<ObjectVersion>,
}

/// Where the files go.
enum Volume {
    /// The driver would write them.
    Unseen,
    /// The provider writes them.
    Written {
        path: PathBuf,
        /// Kept so that all volumes are removed when the last pod goes.
        _folder: Arc<tempfile::TempDir>,
    },
}

pub(crate) fn make(options: &Options, azure: &Azure, server: &Server) -> Result<Vec<Pod>> {
    let volumes = server.writes_files().then(|| tempfile::tempdir_in("/dev/shm")).transpose()?.map(Arc::new);
    let pod = |index| {
        let (name, uid) = (format!("pod-{index}"), format!("00000000-0000-4000-9000-{index:012}"));
        let claim = azure.claim(options, index);
        let tokens = (azure.tokens(&claim, (&name, &uid)), Instant::now());
        let volume = match &volumes {
            Some(folder) => {
                let path = folder.path().join(&name);
                std::fs::create_dir(&path)?;
                Volume::Written { path, _folder: Arc::clone(folder) }
            }
            None => Volume::Unseen,
        };
        let (namespace, service_account) = (claim.namespace.clone(), claim.service_account.clone());
        let info = PodInfo { name, uid, namespace, service_account, class: "load".to_owned() };
        Ok(Pod { info, claim, tokens, volume, versions: Vec::new() })
    };
    (0..options.pods).map(pod).collect()
}

impl Pod {
    /// The request of the next mount.
    pub(crate) fn request(&mut self, azure: &Azure) -> Result<tonic::Request<MountRequest>> {
        if self.tokens.1.elapsed() > TOKEN_AGE {
            let PodInfo { name, uid, .. } = &self.info;
            self.tokens = (azure.tokens(&self.claim, (name, uid)), Instant::now());
        }
        let Self { info, tokens, claim, versions, .. } = &*self;
        let attributes = info.attributes(&tokens.0, &claim.parameters);
        let mut request = tonic::Request::new(MountRequest {
            attributes: serde_json::to_string(&attributes)?,
            secrets: "null".to_owned(),
            target_path: self.target().display().to_string(),
            permission: "420".to_owned(),
            current_object_version: versions.clone(),
        });
        request.set_timeout(TIMEOUT);
        Ok(request)
    }

    /// Takes the answer; says what is wrong with it.
    pub(crate) fn mounted(&mut self, response: MountResponse) -> std::result::Result<(), String> {
        let files = match &self.volume {
            Volume::Unseen => response.files.len(),
            Volume::Written { path, .. } => {
                files(path).map_err(|error| format!("{}: {error}", path.display()))?
            }
        };
        self.versions = response.object_version;
        match self.claim.files {
            Some(expected) if expected != files => Err(format!("there are {files} files, not {expected}")),
            _ => Ok(()),
        }
    }

    fn target(&self) -> PathBuf {
        match &self.volume {
            Volume::Unseen => PathBuf::from(format!(
                "/var/lib/kubelet/pods/{}/volumes/kubernetes.io~csi/load/mount",
                self.info.uid
            )),
            Volume::Written { path, .. } => path.clone(),
        }
    }
}

/// How many there are in a volume, beside the writer's own.
fn files(volume: &Path) -> std::io::Result<usize> {
    let mut files = 0;
    for entry in std::fs::read_dir(volume)? {
        files += usize::from(!entry?.file_name().to_string_lossy().starts_with(".."));
    }
    Ok(files)
}
