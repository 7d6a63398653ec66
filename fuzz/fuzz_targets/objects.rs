//! The parameter `objects` of a class that is right otherwise.

#![no_main]

use keyvault_csi_provider::plan::{Attributes, Defaults, MountPlan, Request};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// `{"alg":"RS256"}`, `{"iss":"https://issuer/","sub":"system:serviceaccount:namespace:account"}` and a
/// signature that nobody checks here.
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci8iLCJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6bmFtZXNwYWNlOmFjY291bnQifQ.c2lnbmF0dXJl";

fuzz_target!(|objects: &str| {
    let tokens = json!({ "api://AzureADTokenExchange": { "token": TOKEN } }).to_string();
    let attributes = json!({
        "csi.storage.k8s.io/pod.name": "pod",
        "csi.storage.k8s.io/pod.namespace": "namespace",
        "csi.storage.k8s.io/serviceAccount.tokens": tokens,
        "clientID": "11111111-1111-4111-8111-111111111111",
        "tenantID": "00000000-0000-4000-8000-000000000001",
        "keyvaultName": "vault",
        "objects": objects,
    });
    let attributes = Attributes::parse("attributes", &attributes.to_string()).expect("they are JSON");
    let secrets = Attributes::default();
    let request = Request {
        attributes: &attributes,
        secrets: &secrets,
        target_path: "/target",
        permission: "420",
        environment: None,
    };
    if let Err(error) = MountPlan::parse(request, &Defaults::default()) {
        let findings = error.to_string();
        assert!(!findings.is_empty(), "a refusal says why");
        assert!(!findings.contains("serviceAccount.tokens"), "all but the objects is right: {findings}");
    }
});
