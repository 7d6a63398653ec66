//! A driver's attributes and, after a NUL, secrets.

#![no_main]

use keyvault_csi_provider::plan::{Attributes, Defaults, MountPlan, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (attributes, secrets) = text.split_once('\0').unwrap_or((text, ""));
    let parsed = (Attributes::parse("attributes", attributes), Attributes::parse("secrets", secrets));
    let (Ok(attributes), Ok(secrets)) = &parsed else { return };
    let request =
        Request { attributes, secrets, target_path: "/target", permission: "420", environment: None };
    if let Err(error) = MountPlan::parse(request, &Defaults::default()) {
        assert!(!error.to_string().is_empty(), "a refusal says why");
    }
});
