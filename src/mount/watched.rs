//! Metrics of vaults, token issuers and the cache.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::fetcher::Fetcher;
use crate::identity::Issuer;
use crate::lanes::ServiceHealth;
use crate::telemetry::{Labels, MetricKind, Metrics};

/// Adds metrics that read the state of `fetcher` at each scrape.
pub fn watch(fetcher: &Fetcher, metrics: &Metrics) {
    watch_vaults(
        fetcher,
        metrics,
        MetricKind::Gauge,
        ("keyvault_csi_vault_breaker_open", "Whether the circuit breaker of a vault is open"),
        |health| Some(f64::from(u8::from(health.open))),
    );
    watch_vaults(
        fetcher,
        metrics,
        MetricKind::Counter,
        ("keyvault_csi_vault_throttled_seconds", "How long a vault has throttled requests, in total"),
        |health| Some(health.throttled.as_secs_f64()),
    );
    watch_vaults(
        fetcher,
        metrics,
        MetricKind::Gauge,
        (
            "keyvault_csi_vault_last_success_timestamp_seconds",
            "Time of the last successful answer of a vault",
        ),
        |health| {
            let at = SystemTime::now().checked_sub(health.succeeded?)?;
            Some(at.duration_since(UNIX_EPOCH).ok()?.as_secs_f64().floor())
        },
    );
    let issuers = fetcher.identities.health();
    metrics.watch(
        MetricKind::Gauge,
        "keyvault_csi_token_breaker_open",
        "Whether the circuit breaker of a token issuer is open",
        move || {
            let sample = |health: ServiceHealth<Issuer>| {
                let mode = health.service.mode.name().to_owned();
                let labels = vec![("authority", health.service.authority), ("mode", mode)];
                (labels, f64::from(u8::from(health.open)))
            };
            issuers().into_iter().map(sample).collect()
        },
    );
    let cache = Arc::clone(&fetcher.cache);
    metrics.watch(
        MetricKind::Gauge,
        "keyvault_csi_cache_bytes",
        "Memory used by cached objects",
        #[allow(clippy::cast_precision_loss, reason = "no cache has so many bytes")]
        move || vec![(Labels::new(), cache.bytes() as f64)],
    );
}

fn watch_vaults(
    fetcher: &Fetcher,
    metrics: &Metrics,
    kind: MetricKind,
    (name, help): (&'static str, &'static str),
    figure: impl Fn(&ServiceHealth<String>) -> Option<f64> + Send + Sync + 'static,
) {
    let vaults = Arc::clone(&fetcher.vaults);
    metrics.watch(kind, name, help, move || {
        let health = vaults.health().into_iter();
        health
            .filter_map(|health| Some((vec![("vault", health.service.clone())], figure(&health)?)))
            .collect()
    });
}
