//! A vault's challenge: the header `WWW-Authenticate` of a 401.

#![no_main]

mod scripted;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use keyvault_csi_provider::plan::MountPlan;
use keyvault_csi_provider::retry::Deadline;
use keyvault_csi_provider::telemetry::Metrics;
use keyvault_csi_provider::tenant::Tenant;
use keyvault_csi_provider::trust::Trust;
use keyvault_csi_provider::vault::Vaults;
use libfuzzer_sys::fuzz_target;
use scripted::{Answer, Script, VAULT_HOST, plan, run};

static PLAN: LazyLock<MountPlan> = LazyLock::new(|| plan("- {objectName: name, objectType: secret}"));
static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(Arc::default);

fuzz_target!(|challenge: &str| {
    let answer = format!("401\nwww-authenticate: {}\n\n", challenge.replace(['\n', '\r'], " "));
    let Some(answer) = Answer::parse(answer.as_bytes()) else { return };
    let asked = run(async {
        let vaults = Arc::new(Vaults::new(Script::transport(vec![answer]), None, Arc::clone(&METRICS)));
        let tenant = Tenant::new("fuzz");
        let deadline = Deadline::after(Duration::from_secs(2));
        vaults.resource(&PLAN.objects[0], &PLAN.endpoints, Trust::Proven, (&tenant, deadline)).await
    });
    match asked {
        Ok(resource) => {
            let url = url::Url::parse(&resource).expect("it is a URL");
            let host = url.host_str().expect("it has a host");
            assert_eq!(url.scheme(), "https", "{resource}");
            assert!(VAULT_HOST.ends_with(&format!(".{host}")), "{resource} is another's");
            assert!(host.ends_with("keys.corp.example"), "{resource} is everybody's");
        }
        Err(error) => {
            let told = error.to_string();
            assert!(told.len() < 2000 && !told.contains(char::is_control), "{told:?}");
        }
    }
});
