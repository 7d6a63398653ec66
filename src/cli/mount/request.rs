//! The request that a driver would have sent.

use std::collections::BTreeMap;

use anyhow::Context;

use super::caller::{Caller, CallerArgs};
use super::class::Class;
use super::target::Target;
use crate::plan::{ClientCredential, POD_ACCOUNT, POD_NAME, POD_NAMESPACE, TOKENS};
use crate::proto::MountRequest;

/// The default mode of files, 0644, as the driver sends it.
const PERMISSION: &str = "420";
/// The pod, where neither the command line nor a token names one.
const POD: &str = "mount";
/// The namespace of whoever names none.
const NAMESPACE: &str = "default";

/// Puts the request together.
///
/// # Errors
/// If the directory's path cannot be sent.
pub(super) fn build(
    class: &Class,
    caller: &Caller,
    args: &CallerArgs,
    target: &Target,
) -> anyhow::Result<MountRequest> {
    let path = target.path();
    let target_path =
        path.to_str().with_context(|| format!("--target={} is not UTF-8; choose another", path.display()))?;
    Ok(MountRequest {
        attributes: serde_json::to_string(&attributes(class, caller, args))?,
        secrets: secrets(caller)?,
        target_path: target_path.to_owned(),
        permission: PERMISSION.to_owned(),
        current_object_version: Vec::new(),
    })
}

/// The class's parameters, what they leave out, and the pod.
fn attributes(class: &Class, caller: &Caller, args: &CallerArgs) -> BTreeMap<String, String> {
    let mut attributes = class.parameters.clone();
    let mut set = |key: &str, value: &str| attributes.insert(key.to_owned(), value.to_owned());
    let token = if let Caller::ServiceAccount(token) = caller { Some(token) } else { None };
    let (namespace, account) = token.and_then(|token| token.account()).unzip();
    let namespace = args.namespace.as_deref().or(namespace).or(class.namespace.as_deref());
    set(POD_NAMESPACE, namespace.unwrap_or(NAMESPACE));
    if let Some(account) = args.service_account.as_deref().or(account) {
        set(POD_ACCOUNT, account);
    }
    let pod = args.pod.as_deref().or(token.and_then(|token| token.pod.as_deref()));
    set(POD_NAME, pod.unwrap_or(POD));
    set("secretProviderClass", &class.name);
    match caller {
        Caller::OfClass => {}
        Caller::Machine { client } => {
            set("useVMManagedIdentity", "true");
            if let (Some(client), None) = (client, class.text("userAssignedIdentityID")) {
                set("userAssignedIdentityID", client);
            }
        }
        Caller::ServiceAccount(token) => {
            if let Some(client) = &token.client {
                set("clientID", client);
            }
        }
        // With it, the request would be a service account's.
        Caller::ServicePrincipal { .. } => {
            attributes.remove("clientID");
        }
    }
    attributes
}

/// What the driver has from kubelet, or from the Secret of `nodePublishSecretRef`.
fn secrets(caller: &Caller) -> anyhow::Result<String> {
    let secrets = match caller {
        Caller::ServiceAccount(token) => {
            let tokens = token.tokens()?;
            return Ok(serde_json::to_string(&BTreeMap::from([(TOKENS, tokens.expose())]))?);
        }
        Caller::ServicePrincipal { client, credential, .. } => {
            let key = match credential {
                ClientCredential::Secret(_) => "clientsecret",
                ClientCredential::Certificate(_) => "clientcertificate",
            };
            BTreeMap::from([("clientid", client.as_str()), (key, credential.text().expose())])
        }
        Caller::OfClass | Caller::Machine { .. } => BTreeMap::new(),
    };
    Ok(serde_json::to_string(&secrets)?)
}
