//! A node, built from the provider's own types that its pods share.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt};
use keyvault_csi_provider::cache::{Cache, Freshness};
use keyvault_csi_provider::fair::Party;
use keyvault_csi_provider::identity::{
    Identities, IdentityKey, KeySource, Login, ServiceAccountKeys, ServiceAccounts,
};
use keyvault_csi_provider::lanes::{Lanes, NoAnswer, RequestOptions};
use keyvault_csi_provider::plan::{ClientCredential, ClientId, Identity, ServicePrincipal, TenantId};
use keyvault_csi_provider::retry::Deadline;
use keyvault_csi_provider::secret::SecretText;
use keyvault_csi_provider::tenant::Tenant;
use keyvault_csi_provider::vault::REQUESTS;
use tokio::time::Instant;
use url::Url;

use crate::azure::{Failure, SimulatedClock, SimulatedEntra, SimulatedVault, Value};

const SCOPE: &str = "https://vault.azure.net/.default";
const VAULT: &str = "fleet.vault.azure.net";
/// As in the provider.
const OBJECTS_AT_ONCE: usize = 16;
/// Timeout of a mount.
const BUDGET: Duration = Duration::from_secs(57);

type Key = (Arc<IdentityKey>, u32);

pub(crate) struct Node {
    identities: Identities,
    cache: Arc<Cache<Key, Value, Failure>>,
    lanes: Arc<Lanes<String>>,
    tenant: Tenant,
    vault: Arc<SimulatedVault>,
    entra: Arc<SimulatedEntra>,
}

impl Node {
    pub(crate) fn new(
        client: &reqwest::Client,
        vault: &Arc<SimulatedVault>,
        entra: &Arc<SimulatedEntra>,
        clock: &Arc<SimulatedClock>,
    ) -> Self {
        Self {
            identities: Identities::new(
                ServiceAccountKeys::new(KeySource::None, client.clone()),
                ServiceAccounts::new(None, None),
                Arc::clone(entra) as _,
                Arc::clone(clock) as _,
                Arc::default(),
                |_| {},
            ),
            cache: Arc::new(Cache::new(32 << 20, Duration::from_hours(24))),
            lanes: Arc::new(Lanes::new(REQUESTS)),
            tenant: Tenant::new("fleet"),
            vault: Arc::clone(vault),
            entra: Arc::clone(entra),
        }
    }

    /// The login of an application; its secret is its proof, as the cluster's keys are for a service account's
    /// token.
    async fn login(&self, account: usize) -> anyhow::Result<Login> {
        let parsed = |fault| anyhow::anyhow!("{fault:?}");
        let identity = Identity::ServicePrincipal(ServicePrincipal {
            tenant: TenantId::parse("00000000-0000-4000-8000-000000000001").map_err(parsed)?,
            client: ClientId::parse(&format!("00000000-0000-4000-8000-{account:012}")).map_err(parsed)?,
            credential: ClientCredential::Secret(SecretText::new("secret".to_owned())),
        });
        let authority = Url::parse("https://login.microsoftonline.com/")?;
        self.identities.login(&identity, &authority, &self.tenant).await.context("login")
    }

    /// A mount as the provider does it. The oldest time that a value of it was asked for; none if it fails.
    pub(crate) async fn mount(&self, account: usize, objects: u32, freshness: Freshness) -> Option<Instant> {
        let deadline = Deadline::after(BUDGET);
        let login = &self.login(account).await.ok()?;
        deadline.limit(self.identities.access(login, SCOPE, (BUDGET, deadline))).await?.ok()?;
        let fetches = (0..objects).map(|object| self.shared(login, object, freshness, deadline));
        let mut fetches = stream::iter(fetches.collect::<Vec<_>>()).buffer_unordered(OBJECTS_AT_ONCE);
        let mut oldest = Instant::now();
        while let Some(value) = fetches.next().await {
            oldest = oldest.min(value?.asked);
        }
        Some(oldest)
    }

    async fn shared(
        &self,
        login: &Login,
        object: u32,
        freshness: Freshness,
        deadline: Deadline,
    ) -> Option<Arc<Value>> {
        let key = (Arc::clone(login.key()), object);
        if let Some(kept) = self.cache.fresh(&key, freshness, &self.tenant) {
            return Some(kept);
        }
        let (flight, _) = self.cache.flight(key, 0, &self.tenant, |party| {
            let (lanes, vault) = (Arc::clone(&self.lanes), Arc::clone(&self.vault));
            async move { ask(&lanes, &vault, &party, deadline).await }
        });
        deadline.limit(flight).await?.ok()
    }

    /// A mount without sharing: its own token, and one object after another.
    pub(crate) async fn mount_alone(&self, objects: u32) -> Option<Instant> {
        let deadline = Deadline::after(BUDGET);
        deadline.limit(self.entra.grant()).await?;
        let mut oldest = Instant::now();
        // Its own lane: other pods' pauses do not affect it.
        let lanes = Lanes::new(REQUESTS);
        let party = Party::new(self.tenant.clone());
        for _ in 0..objects {
            let value = ask(&lanes, &self.vault, &party, deadline).await.ok()?;
            oldest = oldest.min(value.asked);
        }
        Some(oldest)
    }
}

async fn ask(
    lanes: &Lanes<String>,
    vault: &SimulatedVault,
    party: &Party,
    deadline: Deadline,
) -> Result<Value, Failure> {
    let options = RequestOptions { party, is_evidence: true, patience: BUDGET, deadline, retries: true };
    let late = |late| match late {
        NoAnswer::TimedOut | NoAnswer::Queued | NoAnswer::CircuitOpen(_) => Failure::Late,
        NoAnswer::Throttled(left) => Failure::Throttled(Some(left)),
    };
    lanes.send(&VAULT.to_owned(), options, late, || vault.get()).await
}
