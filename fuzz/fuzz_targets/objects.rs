//! The parameter `objects` of an otherwise valid class.

#![no_main]

mod class;

use class::attributes;
use keyvault_csi_provider::plan::{Attributes, Defaults, MountPlan, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|objects: &str| {
    let attributes = attributes(("keyvaultName", "vault"), objects);
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
