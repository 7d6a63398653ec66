//! The two histograms that people scrape from the Go provider, under the same names.
//!
//! Object names and messages are no labels here: they are unbounded. `error` holds a class from a
//! closed set instead of an error's text.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Seconds, as the Go provider has them.
const BUCKETS: [f64; 14] = [0.1, 0.2, 0.3, 0.4, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0, 15.0, 30.0];

const PROVIDER: &str = "azure";
const OS_TYPE: &str = "linux";
const SERVICE_NAME: &str = "csi-secrets-store-provider-azure";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyvaultRequest {
    provider: &'static str,
    os_type: &'static str,
    service_name: &'static str,
    object_type: &'static str,
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GrpcRequest {
    provider: &'static str,
    os_type: &'static str,
    service_name: &'static str,
    grpc_method: &'static str,
    grpc_code: &'static str,
}

/// How an object came that was not fetched for its mount alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// From a request of another pod that was under way.
    Flight,
    /// From the cache, young enough.
    Fresh,
    /// From the cache, since nothing fresher could be had.
    Stale,
    /// From the failover vault.
    Failover,
}

impl Served {
    fn label(self) -> &'static str {
        match self {
            Self::Flight => "flight",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Failover => "failover",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServedObject {
    by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLoad {
    outcome: &'static str,
}

/// What becomes of `--policy-file`.
#[derive(Debug, Default)]
struct PolicyMetrics {
    reload_failed: Gauge,
    loads: Family<PolicyLoad, Counter>,
}

impl PolicyMetrics {
    fn registered(registry: &mut Registry) -> Self {
        let Self { reload_failed, loads } = Self::default();
        registry.register(
            "keyvault_csi_policy_reload_failed",
            "1 while the policy's file is missing or wrong, and an earlier policy in force",
            reload_failed.clone(),
        );
        let help = "Readings of the policy's file, by their outcome";
        registry.register("keyvault_csi_policy_loads", help, loads.clone());
        Self { reload_failed, loads }
    }
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    keyvault_request: Family<KeyvaultRequest, Histogram>,
    grpc_request: Family<GrpcRequest, Histogram>,
    objects_served: Family<ServedObject, Counter>,
    objects_left_out: Counter,
    policy: PolicyMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram = || Histogram::new(BUCKETS);
        let keyvault_request = Family::new_with_constructor(histogram as fn() -> Histogram);
        let grpc_request = Family::new_with_constructor(histogram as fn() -> Histogram);
        let mut registry = Registry::default();
        registry.register(
            "keyvault_request",
            "Seconds that requests to Key Vault took",
            keyvault_request.clone(),
        );
        registry.register("grpc_request", "Seconds that calls of the driver took", grpc_request.clone());
        let objects_served = Family::<ServedObject, Counter>::default();
        registry.register(
            "keyvault_csi_objects_served",
            "Objects that were not fetched for their mount alone, by how they came",
            objects_served.clone(),
        );
        let objects_left_out = Counter::default();
        registry.register(
            "keyvault_csi_objects_left_out",
            "Optional objects that were missing or disabled",
            objects_left_out.clone(),
        );
        let policy = PolicyMetrics::registered(&mut registry);
        Self { registry, keyvault_request, grpc_request, objects_served, objects_left_out, policy }
    }
}

impl Metrics {
    /// Counts one request to Key Vault; `error` is empty if it succeeded.
    pub fn keyvault_request(&self, object_type: &'static str, error: &'static str, took: Duration) {
        let labels = KeyvaultRequest {
            provider: PROVIDER,
            os_type: OS_TYPE,
            service_name: SERVICE_NAME,
            object_type,
            error,
        };
        self.keyvault_request.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts one call of the driver; `grpc_code` is `OK` if it succeeded.
    pub fn grpc_request(&self, grpc_method: &'static str, grpc_code: &'static str, took: Duration) {
        let labels = GrpcRequest {
            provider: PROVIDER,
            os_type: OS_TYPE,
            service_name: SERVICE_NAME,
            grpc_method,
            grpc_code,
        };
        self.grpc_request.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts an object that came in this way.
    pub fn object_served(&self, served: Served) {
        self.objects_served.get_or_create(&ServedObject { by: served.label() }).inc();
    }

    /// Counts optional objects that were not there.
    pub fn objects_left_out(&self, count: usize) {
        self.objects_left_out.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Counts a reading of the policy's file; `good` if what it holds is in force now.
    pub fn policy_read(&self, good: bool) {
        self.policy.reload_failed.set(i64::from(!good));
        let outcome = if good { "ok" } else { "failed" };
        self.policy.loads.get_or_create(&PolicyLoad { outcome }).inc();
    }

    /// Everything in the text format of Prometheus (OpenMetrics 1.0).
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
