//! Who may mount what: the operator's rules, asked before anything leaves the node.
//!
//! Key Vault decides what an *identity* may read. That is enough where each pod asks as itself, and not
//! where many pods ask as one: the node's managed identity, an application whose federated credentials
//! many service accounts share, a service principal whose secret is copied into many namespaces. There a
//! policy says which namespace and which service account may have which objects.
//!
//! # By what it decides
//!
//! By the **namespace and the service account** that the request's `csi.storage.k8s.io/pod.namespace` and
//! `csi.storage.k8s.io/serviceAccount.name` name. kubelet writes these two over whatever a pod's
//! `volumeAttributes` say (`podInfoOnMount: true` in the `CSIDriver` object, as the driver's chart and manifests
//! have it), and the driver copies kubelet's attributes over the class's parameters. So neither the author
//! of a pod nor that of a `SecretProviderClass` can forge them. Only root on the node can, who can reach
//! the socket, and the pods' files as well.
//!
//! Never by the **class**: its parameters, `objects` and `keyvaultName` among them, can be overwritten by a
//! pod's `volumeAttributes`, so it is the plan that is judged, with everything that it might ask for.
//!
//! Never by the **token** alone: where the `CSIDriver` object asks for no tokens, anybody can put one there.
//! But a token that the identity is to be proven with must be the very service account's that
//! kubelet names, or the mount is denied: a stolen token brings nobody what its owner may mount. Whether it is
//! genuine is for the cluster's keys and Entra to say, later.

mod denial;
mod file;
mod glob;
mod rules;
mod snippet;
#[cfg(test)]
mod tests;

pub use denial::{Denial, Denied};
pub use file::{PolicyFile, PolicyFileError};
pub use rules::{Policy, WrongPolicy};
