//! The request that a driver would have sent.

use std::collections::BTreeMap;
use std::path::Path;

use data_encoding::BASE64URL_NOPAD;

use super::caller::{Caller, CallerArgs};
use super::class::Class;
use super::token::{Token, by_audience};
use crate::plan::{
    ClientCredential, IDENTITY_BINDING_AUDIENCE, POD_ACCOUNT, POD_NAME, POD_NAMESPACE,
    TOKEN_EXCHANGE_AUDIENCE, TOKENS,
};
use crate::proto::MountRequest;

/// The default mode of files, 0644, as the driver sends it.
const PERMISSION: &str = "420";
/// The pod, where neither the command line nor a token names one.
const POD: &str = "mount";
/// The namespace, where nothing names one.
const NAMESPACE: &str = "default";
/// The service account of a dry run, where nothing names one.
const ACCOUNT: &str = "default";

/// Puts the request together.
pub(super) fn build(class: &Class, caller: &Caller, args: &CallerArgs, target: &Path) -> MountRequest {
    let attributes = attributes(class, caller, args);
    MountRequest {
        secrets: secrets(caller, &attributes),
        attributes: serde_json::json!(attributes).to_string(),
        target_path: target.to_string_lossy().into_owned(),
        permission: PERMISSION.to_owned(),
        current_object_version: Vec::new(),
    }
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
        Caller::ServiceAccount(Token { client, .. }) | Caller::Tokenless { client, .. } => {
            if let Some(client) = client {
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
fn secrets(caller: &Caller, attributes: &BTreeMap<String, String>) -> String {
    let secrets = match caller {
        Caller::ServiceAccount(token) => {
            return json(&BTreeMap::from([(TOKENS, token.tokens().expose())]));
        }
        Caller::Tokenless { .. } => {
            let audiences = [TOKEN_EXCHANGE_AUDIENCE, IDENTITY_BINDING_AUDIENCE];
            let tokens = by_audience(&audiences, &unsigned_token(attributes));
            return json(&BTreeMap::from([(TOKENS, tokens.expose())]));
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
    json(&secrets)
}

/// JSON without a copy in between that would not be wiped. A map of strings is always JSON.
fn json(map: &BTreeMap<&str, &str>) -> String {
    serde_json::to_string(map).unwrap_or_default()
}

/// A token that only a plan reads: no service would take it, and none is sent it.
fn unsigned_token(attributes: &BTreeMap<String, String>) -> String {
    let text = |key: &str, default: &'static str| attributes.get(key).map_or(default, String::as_str);
    let subject =
        format!("system:serviceaccount:{}:{}", text(POD_NAMESPACE, NAMESPACE), text(POD_ACCOUNT, ACCOUNT));
    let claims = serde_json::json!({ "iss": "https://issuer.invalid/", "sub": subject });
    let encode = |json: &serde_json::Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
    let header = serde_json::json!({ "alg": "RS256" });
    format!("{}.{}.{}", encode(&header), encode(&claims), BASE64URL_NOPAD.encode(b"unsigned"))
}
