//! The operator's policy: which pods may mount which objects. It is checked before the provider sends any request.
//!
//! Key Vault decides what an *identity* may read. This is not sufficient if many pods use one identity: the node's managed
//! identity, an application whose federated credentials many service accounts share, or a service principal whose secret
//! is copied into many namespaces. For these, a policy defines which namespaces and service accounts may mount which
//! objects.
//!
//! # Inputs of the decision
//!
//! The decision uses the **namespace and the service account** in the request's `csi.storage.k8s.io/pod.namespace` and
//! `csi.storage.k8s.io/serviceAccount.name`. kubelet overwrites these two in a pod's `volumeAttributes` (`podInfoOnMount:
//! true` in the `CSIDriver` object, as in the driver's chart and manifests), and the driver copies kubelet's attributes
//! over the class's parameters. Therefore, the author of a pod or of a `SecretProviderClass` cannot forge them. Only root
//! on the node can, and root can read the pods' files as well.
//!
//! The decision does not use the **class**: a pod's `volumeAttributes` can overwrite its parameters, including `objects`
//! and `keyvaultName`. The policy is checked against the plan, with all objects and vaults that the plan may read.
//!
//! The decision does not use the **token** alone: if the `CSIDriver` object requests no tokens, the author of a pod or a
//! class can set one. If the identity authenticates with a token, the token must belong to the service account that kubelet
//! names; otherwise, the mount is denied. A stolen token therefore gives no access to what its owner may mount. The
//! cluster's keys and Entra verify the token's signature later.

mod denial;
mod file;
mod glob;
mod rules;
mod snippet;
#[cfg(test)]
mod tests;

pub use denial::{Denial, PolicyDenied};
pub use file::{PolicyFile, PolicyFileError};
pub use rules::{InvalidPolicy, Policy};
