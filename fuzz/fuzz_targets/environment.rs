//! The environment file of a private cloud.

#![no_main]

use keyvault_csi_provider::plan::Endpoints;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    match Endpoints::from_environment_file(json) {
        Ok(endpoints) => assert_eq!(endpoints.authority.scheme(), "https"),
        Err(fault) => assert!(!fault.problem.contains(char::is_control), "{fault:?}"),
    }
});
