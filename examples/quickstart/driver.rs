//! The part of the Secrets Store CSI driver: asks the provider, and writes the files.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use keyvault_csi_provider::deliver::{File, Outcome, write};
use keyvault_csi_provider::plan::{FileMode, RelativePath};
use keyvault_csi_provider::proto::csi_driver_provider_client::CsiDriverProviderClient;
use keyvault_csi_provider::proto::{MountRequest, VersionRequest};
use keyvault_csi_provider::secret::SecretBytes;
use keyvault_csi_provider::server::socket;
use keyvault_emulator::Emulator;
use serde::Deserialize;
use tonic::transport::Channel;

use crate::volume::Volume;
use crate::{Result, say};

/// A `SecretProviderClass`.
#[derive(Deserialize)]
pub(crate) struct Class {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
struct Spec {
    parameters: BTreeMap<String, String>,
}

impl Class {
    pub(crate) fn parse(yaml: &str) -> Result<Self> {
        Ok(serde_saphyr::from_str(yaml)?)
    }
}

/// A pod, as kubelet describes it.
pub(crate) struct Pod {
    pub(crate) name: &'static str,
    pub(crate) uid: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) service_account: &'static str,
}

/// Whether the provider answers on its socket.
pub(crate) async fn answers(channel: &Channel) -> bool {
    CsiDriverProviderClient::new(channel.clone()).version(VersionRequest::default()).await.is_ok()
}

/// One `NodePublishVolume`: kubelet's token and the class's parameters in, files out.
pub(crate) async fn mount(
    emulator: &Emulator,
    path: &Path,
    class: &Class,
    pod: &Pod,
    volume: &Volume,
) -> Result<()> {
    let mut attributes = class.spec.parameters.clone();
    let tokens = emulator.token(pod.namespace, pod.service_account).pod(pod.name, pod.uid).attribute();
    for (key, value) in [
        ("csi.storage.k8s.io/pod.name", pod.name),
        ("csi.storage.k8s.io/pod.namespace", pod.namespace),
        ("csi.storage.k8s.io/pod.uid", pod.uid),
        ("csi.storage.k8s.io/serviceAccount.name", pod.service_account),
        ("csi.storage.k8s.io/serviceAccount.tokens", &tokens),
        ("secretProviderClass", &class.metadata.name),
    ] {
        attributes.insert(key.to_owned(), value.to_owned());
    }
    let mut request = tonic::Request::new(MountRequest {
        attributes: serde_json::to_string(&attributes)?,
        secrets: "null".to_owned(),
        target_path: volume.path().display().to_string(),
        permission: "420".to_owned(),
        current_object_version: Vec::new(),
    });
    request.set_timeout(Duration::from_secs(120));

    let start = Instant::now();
    let answer = CsiDriverProviderClient::new(socket::channel(path)).mount(request).await;
    let response =
        answer.map_err(|status| format!("{:?}: {}", status.code(), status.message()))?.into_inner();
    say!("   Answered after {} ms.", start.elapsed().as_millis());
    for object in &response.object_version {
        say!("   {} is at version {}", object.id, object.version);
    }
    let files = response.files.into_iter().map(file).collect::<Result<Vec<_>>>()?;
    let outcome = write(volume.path(), &files, &|| false)?;
    if outcome == Outcome::Unchanged {
        say!("   Nothing changed.");
    }
    Ok(())
}

fn file(file: keyvault_csi_provider::proto::File) -> Result<File> {
    let wrong = |fault: keyvault_csi_provider::plan::Fault| fault.problem;
    Ok(File {
        path: RelativePath::parse(&file.path).map_err(wrong)?,
        mode: FileMode::parse_decimal(&file.mode.to_string()).map_err(wrong)?,
        contents: SecretBytes::new(file.contents),
    })
}
