//! The attributes of a pod's mount.

use keyvault_csi_provider::plan::Attributes;
use serde_json::json;

/// `{"alg":"RS256"}`, `{"iss":"https://issuer/","sub":"system:serviceaccount:namespace:account"}` and a
/// signature that is not checked here.
pub const POD_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci8iLCJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6bmFtZXNwYWNlOmFjY291bnQifQ.c2lnbmF0dXJl";

/// The attributes of a class that is valid if its vault and objects are; `vault` is a parameter for the vault.
pub fn attributes((vault, name): (&str, &str), objects: &str) -> Attributes {
    let tokens = json!({ "api://AzureADTokenExchange": { "token": POD_TOKEN } }).to_string();
    let attributes = json!({
        "csi.storage.k8s.io/pod.name": "pod",
        "csi.storage.k8s.io/pod.namespace": "namespace",
        "csi.storage.k8s.io/serviceAccount.tokens": tokens,
        "clientID": "11111111-1111-4111-8111-111111111111",
        "tenantID": "00000000-0000-4000-8000-000000000001",
        vault: name,
        "objects": objects,
    });
    Attributes::parse("attributes", &attributes.to_string()).expect("they are JSON")
}
