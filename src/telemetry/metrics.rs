//! The Go provider's two histograms under the same names, and our own metrics.
//!
//! Object names and messages are never labels, because they are unbounded. `error` and `outcome` hold a class
//! from a closed set instead of an error's text. Counting never waits for a scrape.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::oldest::Oldest;
use super::source::Source;
use super::watched::{Labels, MetricKind, Watched};
use crate::lock::LockUnpoisoned;

/// Seconds, the same buckets as in the Go provider.
const BUCKETS: [f64; 14] = [0.1, 0.2, 0.3, 0.4, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0, 15.0, 30.0];

const PROVIDER: &str = "azure";
const OS_TYPE: &str = "linux";
const SERVICE_NAME: &str = "csi-secrets-store-provider-azure";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyvaultRequestLabels {
    provider: &'static str,
    os_type: &'static str,
    service_name: &'static str,
    object_type: &'static str,
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GrpcRequestLabels {
    provider: &'static str,
    os_type: &'static str,
    service_name: &'static str,
    grpc_method: &'static str,
    grpc_code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MountLabels {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectFetchLabels {
    object_type: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenExchangeLabels {
    mode: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLoadLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LostLineLabels {
    reason: &'static str,
}

/// Why a line of the audit log was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostLine {
    /// The namespace's share of the queue is full: the log is written too slowly.
    QueueFull,
    /// The log cannot be written.
    WriteFailed,
}

/// The label value of a success.
const OK: &str = "ok";

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    /// Locked during a scrape; counting does not need it.
    registry: Mutex<Registry>,
    keyvault_request: Family<KeyvaultRequestLabels, Histogram>,
    grpc_request: Family<GrpcRequestLabels, Histogram>,
    mounts: Family<MountLabels, Counter>,
    object_fetches: Family<ObjectFetchLabels, Counter>,
    objects_served: Family<SourceLabels, Counter>,
    objects_left_out: Counter,
    token_exchanges: Family<TokenExchangeLabels, Counter>,
    oldest_stale: Arc<Oldest>,
    policy_reload_failed: Gauge,
    policy_loads: Family<PolicyLoadLabels, Counter>,
    audit_lines_lost: Family<LostLineLabels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram = || Histogram::new(BUCKETS);
        let metrics = Self {
            registry: Mutex::default(),
            keyvault_request: Family::new_with_constructor(histogram as fn() -> Histogram),
            grpc_request: Family::new_with_constructor(histogram as fn() -> Histogram),
            mounts: Family::default(),
            object_fetches: Family::default(),
            objects_served: Family::default(),
            objects_left_out: Counter::default(),
            token_exchanges: Family::default(),
            oldest_stale: Arc::default(),
            policy_reload_failed: Gauge::default(),
            policy_loads: Family::default(),
            audit_lines_lost: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&self) {
        let mut registry = self.registry();
        let requests = self.keyvault_request.clone();
        registry.register("keyvault_request", "Duration of requests to Key Vault in seconds", requests);
        let requests = self.grpc_request.clone();
        registry.register("grpc_request", "Duration of the driver's calls in seconds", requests);
        let mounts = self.mounts.clone();
        registry.register("keyvault_csi_mounts", "Mounts, by gRPC code", mounts);
        let help = "Objects fetched from vaults, including retries and versions, by type and outcome";
        registry.register("keyvault_csi_object_fetches", help, self.object_fetches.clone());
        let help = "Objects of mounts, by source";
        registry.register("keyvault_csi_objects_served", help, self.objects_served.clone());
        let help = "Optional objects that were missing or disabled";
        registry.register("keyvault_csi_objects_left_out", help, self.objects_left_out.clone());
        let help = "Token exchanges, including retries, by mode of identity and outcome";
        registry.register("keyvault_csi_token_exchanges", help, self.token_exchanges.clone());
        let help = "1 while the policy file is missing or invalid, and an earlier policy is in force";
        registry.register("keyvault_csi_policy_reload_failed", help, self.policy_reload_failed.clone());
        let help = "Loads of the policy file, by outcome";
        registry.register("keyvault_csi_policy_loads", help, self.policy_loads.clone());
        let help = "Audit log lines that were lost, by reason";
        registry.register("keyvault_csi_audit_lines_lost", help, self.audit_lines_lost.clone());
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("keyvault_csi_build", "The provider", version);
        drop(registry);
        let oldest = Arc::clone(&self.oldest_stale);
        self.watch(
            MetricKind::Gauge,
            "keyvault_csi_oldest_served_age_seconds",
            "Age of the oldest stale value served in the last five to ten minutes",
            move || vec![(Labels::new(), oldest.age().as_secs_f64())],
        );
    }

    /// Adds a metric whose samples `read` returns at each scrape; it must not block. A metric without samples is left
    /// out.
    pub fn watch(
        &self,
        kind: MetricKind,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Vec<(Labels, f64)> + Send + Sync + 'static,
    ) {
        self.registry().register_collector(Box::new(Watched { name, help, kind, read: Box::new(read) }));
    }

    /// Counts one request to Key Vault; `error` is empty if it succeeded.
    pub fn keyvault_request(&self, object_type: &'static str, error: &'static str, took: Duration) {
        let labels = KeyvaultRequestLabels {
            provider: PROVIDER,
            os_type: OS_TYPE,
            service_name: SERVICE_NAME,
            object_type,
            error,
        };
        self.keyvault_request.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts one gRPC call of the driver; `grpc_code` is `OK` if it succeeded.
    pub fn grpc_request(&self, grpc_method: &'static str, grpc_code: &'static str, took: Duration) {
        let labels = GrpcRequestLabels {
            provider: PROVIDER,
            os_type: OS_TYPE,
            service_name: SERVICE_NAME,
            grpc_method,
            grpc_code,
        };
        self.grpc_request.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts a mount; `code` is `OK` if it succeeded.
    pub fn mount(&self, code: &'static str) {
        self.mounts.get_or_create(&MountLabels { code }).inc();
    }

    /// Counts an object fetched from a vault; `failure` is the class of the error, if any.
    pub fn object_fetch(&self, object_type: &'static str, failure: Option<&'static str>) {
        let labels = ObjectFetchLabels { object_type, outcome: failure.unwrap_or(OK) };
        self.object_fetches.get_or_create(&labels).inc();
    }

    /// Counts a token exchange; `failure` is the class of the error, if any.
    pub fn token_exchange(&self, mode: &'static str, failure: Option<&'static str>) {
        let labels = TokenExchangeLabels { mode, outcome: failure.unwrap_or(OK) };
        self.token_exchanges.get_or_create(&labels).inc();
    }

    /// Records the age of a stale value that was served.
    pub fn stale_age(&self, age: Duration) {
        self.oldest_stale.note(age);
    }

    /// Counts an object from this source.
    pub fn object_served(&self, source: Source) {
        self.objects_served.get_or_create(&SourceLabels { source: source.label() }).inc();
    }

    /// Counts optional objects that were missing or disabled.
    pub fn objects_left_out(&self, count: usize) {
        self.objects_left_out.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Counts a load of the policy file; `good` if its content is in force now.
    pub fn policy_read(&self, good: bool) {
        self.policy_reload_failed.set(i64::from(!good));
        let outcome = if good { "ok" } else { "failed" };
        self.policy_loads.get_or_create(&PolicyLoadLabels { outcome }).inc();
    }

    /// Counts lines of the audit log that were lost.
    pub fn audit_lines_lost(&self, reason: LostLine, lines: u64) {
        let reason = match reason {
            LostLine::QueueFull => "queue_full",
            LostLine::WriteFailed => "write_failed",
        };
        self.audit_lines_lost.get_or_create(&LostLineLabels { reason }).inc_by(lines);
    }

    /// All metrics in the text format of Prometheus (OpenMetrics 1.0).
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry());
        text
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock_unpoisoned()
    }
}
