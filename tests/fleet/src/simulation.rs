//! One fleet: pods start during the rollout, and are republished until the end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyvault_csi_provider::cache::Freshness;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::FleetOptions;
use crate::azure::{SimulatedClock, SimulatedEntra, SimulatedVault, between};
use crate::node::Node;

/// Whether the pods of a node share what they fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    With,
    Without,
}

impl Sharing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::With => "with",
            Self::Without => "without",
        }
    }
}

/// Parameters of a simulation.
pub(crate) struct Fleet {
    nodes: usize,
    sharing: Sharing,
    options: FleetOptions,
}

/// Results of a simulation.
pub(crate) struct Outcome {
    pub(crate) requests_per_second: f64,
    pub(crate) peak_per_second: u32,
    /// Share of requests answered with 429.
    pub(crate) throttled: f64,
    pub(crate) exchanges_per_second: f64,
    /// Share of failed mounts.
    pub(crate) failed: f64,
    /// How old each pod's values were whenever it had been republished, sorted; none of a pod that never had
    /// any.
    ages: Vec<Option<Duration>>,
}

/// Observations of the pods.
#[derive(Default)]
struct Seen {
    ages: Vec<Option<Duration>>,
    failed: usize,
}

impl Fleet {
    pub(crate) fn new(nodes: usize, sharing: Sharing, options: &FleetOptions) -> Self {
        Self { nodes, sharing, options: options.clone() }
    }

    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        fastrand::seed(self.options.seed);
        let clock = Arc::new(SimulatedClock::new());
        let vault = SimulatedVault::new(self.options.limit, self.options.retry_after.map(Into::into));
        let (vault, entra) = (Arc::new(vault), Arc::new(SimulatedEntra::new(&clock)));
        let client = reqwest::Client::builder().tls_certs_only([]).build()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let length = *self.options.rollout + *self.options.run;
        let end = Instant::now() + length;
        let mut pods = JoinSet::new();
        for _ in 0..self.nodes {
            let node = Arc::new(Node::new(&client, &vault, &entra, &clock));
            for pod in 0..self.options.pods {
                let account = pod % self.options.accounts.max(1);
                let pod =
                    Pod { node: Arc::clone(&node), account, sharing: self.sharing, seen: Arc::clone(&seen) };
                pods.spawn(pod.live(self.options.clone(), end));
            }
        }
        sleep_until(end).await;
        pods.shutdown().await;
        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        let (requests, peak_per_second, throttled) = vault.figures();
        Ok(Outcome::new(seen, length, (requests, peak_per_second, throttled), entra.exchanges()))
    }
}

struct Pod {
    node: Arc<Node>,
    account: usize,
    sharing: Sharing,
    seen: Arc<Mutex<Seen>>,
}

impl Pod {
    async fn live(self, options: FleetOptions, end: Instant) {
        sleep(between(Duration::ZERO, *options.rollout)).await;
        let republish = *options.republish;
        let mut values = None;
        while Instant::now() < end {
            let freshness = match values {
                Some(_) if !options.rotation_max_age.is_zero() => {
                    Freshness::Within(*options.rotation_max_age)
                }
                _ => Freshness::Since(Instant::now()),
            };
            let mounted = match self.sharing {
                Sharing::With => self.node.mount(self.account, options.objects, freshness).await,
                Sharing::Without => self.node.mount_alone(options.objects).await,
            };
            values = mounted.or(values);
            {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.ages.push(values.map(|asked| asked.elapsed()));
                seen.failed += usize::from(mounted.is_none());
            }
            sleep(between(republish, republish * 3 / 2)).await;
        }
    }
}

impl Outcome {
    #[expect(clippy::cast_precision_loss, reason = "rates and shares need none")]
    fn new(mut seen: Seen, length: Duration, requests: (u64, u32, f64), exchanges: u64) -> Self {
        let (requests, peak_per_second, throttled) = requests;
        // A pod without values sorts after pods with old values.
        seen.ages.sort_by_key(|age| age.unwrap_or(Duration::MAX));
        Self {
            requests_per_second: requests as f64 / length.as_secs_f64(),
            peak_per_second,
            throttled,
            exchanges_per_second: exchanges as f64 / length.as_secs_f64(),
            failed: seen.failed as f64 / seen.ages.len().max(1) as f64,
            ages: seen.ages,
        }
    }

    /// The age that `percent` of the mounts left their values at, or less.
    pub(crate) fn age(&self, percent: usize) -> Option<Duration> {
        let place = (self.ages.len() * percent / 100).min(self.ages.len().saturating_sub(1));
        self.ages.get(place).copied().flatten()
    }
}
