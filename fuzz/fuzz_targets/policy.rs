//! A policy file, and its decision about a mount.

#![no_main]

use std::sync::LazyLock;

use keyvault_csi_provider::plan::{Attributes, Defaults, MountPlan, Request};
use keyvault_csi_provider::policy::Policy;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// A mount of `team-a/web` with the node's identity.
static PLAN: LazyLock<MountPlan> = LazyLock::new(|| {
    let attributes = json!({
        "csi.storage.k8s.io/pod.name": "web-0",
        "csi.storage.k8s.io/pod.namespace": "team-a",
        "csi.storage.k8s.io/serviceAccount.name": "web",
        "useVMManagedIdentity": "true",
        "keyvaultName": "shared",
        "failoverKeyvaultName": "replica",
        "objects": "[{objectName: db-password, objectType: secret}, {objectName: signing, objectType: key}]",
    });
    let request = Request {
        attributes: &Attributes::parse("attributes", &attributes.to_string()).expect("they are JSON"),
        secrets: &Attributes::default(),
        target_path: "/target",
        permission: "420",
        environment: None,
    };
    MountPlan::parse(request, &Defaults::default()).expect("it is right")
});

fuzz_target!(|yaml: &str| {
    match Policy::parse(yaml).map(|policy| policy.check(&PLAN)) {
        Ok(Ok(())) => {}
        Ok(Err(denial)) => assert!(
            denial.to_string().contains("allow it with {"),
            "a denial shows a rule that allows the mount"
        ),
        Err(wrong) => assert!(wrong.line > 0 && !wrong.problem.is_empty(), "a mistake has its place"),
    }
});
