//! The role of the Secrets Store CSI driver: calls the provider, and writes the files.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use keyvault_csi_provider::deliver::{Outcome, VolumeFile, write};
use keyvault_csi_provider::plan::{FileMode, RelativePath};
use keyvault_csi_provider::proto::MountRequest;
use keyvault_csi_provider::proto::csi_driver_provider_client::CsiDriverProviderClient;
use keyvault_csi_provider::secret::SecretBytes;
use keyvault_csi_provider::server::socket;
use keyvault_emulator::Emulator;
use serde::Deserialize;

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

/// One `NodePublishVolume`: kubelet's token and the class's parameters in, files out.
pub(crate) async fn mount(
    emulator: &Emulator,
    path: &Path,
    class: &Class,
    pod: &Pod,
    volume: &Volume,
) -> Result<()> {
    let tokens = emulator.token(pod.namespace, pod.service_account).pod(pod.name, pod.uid).attribute();
    let described = provider_launcher::Pod {
        name: pod.name.to_owned(),
        uid: pod.uid.to_owned(),
        namespace: pod.namespace.to_owned(),
        service_account: pod.service_account.to_owned(),
        class: class.metadata.name.clone(),
    };
    let attributes = described.attributes(&tokens, &class.spec.parameters);
    let mut request = tonic::Request::new(MountRequest {
        attributes: serde_json::to_string(&attributes)?,
        secrets: "null".to_owned(),
        target_path: volume.path().display().to_string(),
        permission: "420".to_owned(),
        current_object_version: Vec::new(),
    });
    request.set_timeout(Duration::from_mins(2));

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

fn file(file: keyvault_csi_provider::proto::File) -> Result<VolumeFile> {
    let wrong = |fault: keyvault_csi_provider::plan::Fault| fault.problem;
    Ok(VolumeFile {
        path: RelativePath::parse(&file.path).map_err(wrong)?,
        mode: FileMode::parse_decimal(&file.mode.to_string()).map_err(wrong)?,
        contents: SecretBytes::new(file.contents),
    })
}
