//! What whoever scrapes is shown of vaults, tokens and the cache.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Mounter;
use crate::telemetry::{Kind, Labels, Metrics};
use crate::vault::Health;

impl Mounter {
    /// Lets `metrics` show what is kept here: read when somebody scrapes, so that it is kept once.
    pub fn watched_by(&self, metrics: &Metrics) {
        self.watch_vaults(
            metrics,
            Kind::Gauge,
            "keyvault_csi_vault_breaker_open",
            "Whether a vault has not answered lately, and is not asked just now",
            |health| Some(f64::from(u8::from(health.down))),
        );
        self.watch_vaults(
            metrics,
            Kind::Counter,
            "keyvault_csi_vault_throttled_seconds",
            "How long a vault has wanted to be left alone, all in all",
            |health| Some(health.paused.as_secs_f64()),
        );
        self.watch_vaults(
            metrics,
            Kind::Gauge,
            "keyvault_csi_vault_last_success_timestamp_seconds",
            "When a vault last gave what it was asked for",
            |health| {
                let at = SystemTime::now().checked_sub(health.succeeded?)?;
                Some(at.duration_since(UNIX_EPOCH).ok()?.as_secs_f64().floor())
            },
        );
        let grantors = self.identities.grantors();
        metrics.watch(
            Kind::Gauge,
            "keyvault_csi_token_breaker_open",
            "Whether who grants tokens has not answered lately, and is not asked just now",
            move || {
                let labels =
                    |authority, mode: &'static str| vec![("authority", authority), ("mode", mode.to_owned())];
                let grantors = grantors().into_iter();
                grantors
                    .map(|(authority, mode, down)| {
                        (labels(authority, mode.name()), f64::from(u8::from(down)))
                    })
                    .collect()
            },
        );
        let cache = Arc::clone(&self.cache);
        metrics.watch(
            Kind::Gauge,
            "keyvault_csi_cache_bytes",
            "Memory that kept objects take",
            #[allow(clippy::cast_precision_loss, reason = "nobody has so many bytes")]
            move || vec![(Labels::new(), cache.bytes() as f64)],
        );
    }

    fn watch_vaults(
        &self,
        metrics: &Metrics,
        kind: Kind,
        name: &'static str,
        help: &'static str,
        figure: impl Fn(&Health) -> Option<f64> + Send + Sync + 'static,
    ) {
        let vaults = Arc::clone(&self.vaults);
        metrics.watch(kind, name, help, move || {
            let health = vaults.health().into_iter();
            health
                .filter_map(|health| Some((vec![("vault", health.vault.clone())], figure(&health)?)))
                .collect()
        });
    }
}
