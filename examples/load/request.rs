//! What kubelet and the driver put into a request.

use std::collections::BTreeMap;
use std::path::Path;

use keyvault_csi_provider::proto::{MountRequest, ObjectVersion};

use crate::Result;

/// Which pod asks.
#[derive(Debug, Clone)]
pub(crate) struct PodInfo {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    pub(crate) class: String,
}

/// A request of `pod` with its class's `parameters`, and what it mounted last time.
pub(crate) fn mount_request(
    pod: &PodInfo,
    tokens: &str,
    parameters: &BTreeMap<String, String>,
    target: &Path,
    versions: &[ObjectVersion],
) -> Result<MountRequest> {
    let said: [(&str, &str); 6] = [
        ("csi.storage.k8s.io/pod.name", &pod.name),
        ("csi.storage.k8s.io/pod.namespace", &pod.namespace),
        ("csi.storage.k8s.io/pod.uid", &pod.uid),
        ("csi.storage.k8s.io/serviceAccount.name", &pod.service_account),
        ("csi.storage.k8s.io/serviceAccount.tokens", tokens),
        ("secretProviderClass", &pod.class),
    ];
    let parameters = parameters.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let attributes: BTreeMap<&str, &str> = parameters.chain(said).collect();
    Ok(MountRequest {
        attributes: serde_json::to_string(&attributes)?,
        secrets: "null".to_owned(),
        target_path: target.display().to_string(),
        permission: "420".to_owned(),
        current_object_version: versions.to_vec(),
    })
}
