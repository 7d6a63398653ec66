//! Access tokens over time, with a clock that is set and an Entra that is emulated.

use std::sync::Arc;
use std::time::Duration;

use keyvault_emulator::{Emulator, Fault, Options, RequestKind, Seed, Target};

use super::*;
use crate::clock::ShiftedClock;
use crate::fair::FairQueue;
use crate::plan::{ClientId, ServiceAccountToken, TenantId, WorkloadIdentity};

const TENANT: &str = "00000000-0000-4000-8000-000000000001";
const APP: &str = "11111111-1111-4111-8111-111111111111";
const SCOPE: &str = "https://vault.azure.net/.default";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

struct World {
    emulator: Emulator,
    clock: Arc<ShiftedClock>,
    identities: Identities,
    _folder: tempfile::TempDir,
}

impl World {
    /// Entra's tokens live for `life`; the cluster's keys are at hand if `keys`.
    async fn new(life: Duration, keys: bool) -> Self {
        let seed = Seed::default().identity(
            keyvault_emulator::Identity::new("myapp", APP)
                .federated("default", "sa")
                .federated("default", "other"),
        );
        let options = Options { access_token_lifetime: life, ..Options::default() };
        let emulator = Emulator::start_with(seed, options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let jwks = folder.path().join("jwks.json");
        std::fs::write(&jwks, emulator.jwks()).unwrap();
        let source = if keys { KeySource::File(jwks, emulator.issuer().to_owned()) } else { KeySource::None };
        let client = crate::transport::builder()
            .proxy(reqwest::Proxy::https(emulator.proxy_url()).unwrap())
            .tls_certs_only([reqwest::Certificate::from_pem(emulator.ca_pem().as_bytes()).unwrap()])
            .build()
            .unwrap();
        let clock = Arc::new(ShiftedClock::default());
        let imds = Url::parse(IMDS).unwrap();
        let proxy = TokenProxy::new(Url::parse(TokenProxy::URL).unwrap(), None, "/nonexistent".into());
        let token_proxy = Arc::new(proxy);
        let exchange = Exchange {
            entra: crate::transport::azure(&client),
            node: crate::transport::azure(&client),
            imds,
            token_proxy,
            heavy_work: FairQueue::new(1, 0),
            clock: clock.clone(),
        };
        let identities = Identities::new(
            ServiceAccountKeys::new(source, client.clone()),
            ServiceAccounts::new(None, None),
            Arc::new(exchange),
            clock.clone(),
            Arc::default(),
            |_| {},
        );
        Self { emulator, clock, identities, _folder: folder }
    }

    /// A pod's login, with a token of its own that lives for a day.
    async fn login(&self, account: &str, pod: &str) -> Login {
        let token = self.emulator.token("default", account).pod(pod, pod).expires_in(24 * 3600).build();
        let identity = Identity::Workload(WorkloadIdentity {
            exchange: TokenExchange::Entra,
            tenant: TenantId::parse(TENANT).unwrap(),
            client: ClientId::parse(APP).unwrap(),
            token: ServiceAccountToken::parse(token, TokenExchange::Entra.audience()).unwrap(),
        });
        let authority = Url::parse("https://login.microsoftonline.com/").unwrap();
        self.identities.login(&identity, &authority, &Tenant::new("default")).await.unwrap()
    }

    async fn access(&self, login: &Login) -> Result<Arc<AccessToken>, IdentityError> {
        match self.identities.access(login, SCOPE, (MINUTE, Deadline::after(MINUTE))).await? {
            Access::Ready(token) => Ok(token),
            Access::Beside(_, proof) => proof.await,
        }
    }

    fn exchanges(&self) -> usize {
        self.emulator.count(RequestKind::Token)
    }
}

#[tokio::test]
async fn a_token_is_shared_by_its_account_and_by_no_other() {
    let world = World::new(HOUR, true).await;
    let (one, two) = (world.login("sa", "one").await, world.login("sa", "two").await);
    let other = world.login("other", "three").await;
    let token = world.access(&one).await.unwrap();
    assert!(Arc::ptr_eq(&token, &world.access(&two).await.unwrap()));
    assert!(!Arc::ptr_eq(&token, &world.access(&other).await.unwrap()), "same client id, another subject");
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn a_vault_that_rejects_every_token_costs_one_in_ten_seconds() {
    let world = World::new(HOUR, true).await;
    let login = world.login("sa", "one").await;
    let renewed = async |rejected: &Arc<AccessToken>| {
        world.identities.renew(&login, SCOPE, Some(rejected), Deadline::after(MINUTE)).await.unwrap()
    };
    let first = world.access(&login).await.unwrap();
    let second = renewed(&first).await;
    assert!(!Arc::ptr_eq(&first, &second));
    world.clock.advance(Duration::from_secs(9));
    assert!(Arc::ptr_eq(&second, &renewed(&second).await));
    world.clock.advance(Duration::from_secs(1));
    assert!(!Arc::ptr_eq(&second, &renewed(&second).await));
}

#[tokio::test]
async fn a_token_is_renewed_behind_the_mounts_that_use_it() {
    let world = World::new(HOUR, true).await;
    let login = world.login("sa", "one").await;
    let first = world.access(&login).await.unwrap();
    world.clock.advance(46 * MINUTE);
    assert!(Arc::ptr_eq(&first, &world.access(&login).await.unwrap()), "nobody waits");
    let renewed = async {
        loop {
            let token = world.access(&login).await.unwrap();
            if !Arc::ptr_eq(&first, &token) {
                break token;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(MINUTE, renewed).await.unwrap();
    assert_eq!(world.exchanges(), 2, "one renewal, however many ask");
}

#[tokio::test]
async fn after_an_hour_a_token_is_renewed_first_and_kept_while_entra_is_down() {
    let world = World::new(24 * HOUR, true).await;
    let login = world.login("sa", "one").await;
    let first = world.access(&login).await.unwrap();
    world.clock.advance(61 * MINUTE);
    world.emulator.inject(Target::Entra, Fault::Status(503));
    let deadline = Deadline::after(Duration::from_millis(500));
    let Access::Ready(kept) =
        world.identities.access(&login, SCOPE, (deadline.left(), deadline)).await.unwrap()
    else {
        panic!("a proven login is ready");
    };
    assert!(Arc::ptr_eq(&first, &kept), "Entra is down: the token is still good");
    let asked = world.exchanges();
    assert!(Arc::ptr_eq(&first, &world.access(&login).await.unwrap()));
    assert_eq!(world.exchanges(), asked, "and not every mount asks Entra again");

    world.emulator.heal();
    world.clock.advance(MINUTE);
    let renewed = world.access(&login).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &renewed));
}

#[tokio::test]
async fn a_removed_federated_credential_takes_effect_within_the_hour_and_evicts_the_identity() {
    for keys in [true, false] {
        let world = World::new(24 * HOUR, keys).await;
        let login = world.login("sa", "one").await;
        world.access(&login).await.unwrap();
        world.emulator.remove_federated_credentials(APP).unwrap();
        world.clock.advance(61 * MINUTE);
        let login = world.login("sa", "one").await;
        assert!(matches!(world.access(&login).await, Err(IdentityError::Refused(_))), "keys: {keys}");
        world.emulator.inject(Target::Entra, Fault::Status(503));
        let login = world.login("sa", "two").await;
        let deadline = Deadline::after(Duration::from_millis(300));
        let again = world.identities.access(&login, SCOPE, (deadline.left(), deadline)).await;
        let fails = match again {
            Err(IdentityError::Failing { .. }) => true,
            Ok(Access::Beside(_, proof)) => matches!(proof.await, Err(IdentityError::Failing { .. })),
            _ => false,
        };
        assert!(fails, "nothing of it is kept; keys: {keys}");
    }
}

#[tokio::test]
async fn while_entra_hangs_a_good_token_is_used_after_a_moment() {
    let world = World::new(24 * HOUR, true).await;
    let login = world.login("sa", "one").await;
    let first = world.access(&login).await.unwrap();
    world.clock.advance(61 * MINUTE);
    world.emulator.inject(Target::Entra, Fault::Hang);
    let deadline = Deadline::after(Duration::from_secs(2));
    let Access::Ready(kept) =
        world.identities.access(&login, SCOPE, (deadline.left(), deadline)).await.unwrap()
    else {
        panic!("a proven login is ready");
    };
    assert!(Arc::ptr_eq(&first, &kept));
    assert!(!deadline.left().is_zero(), "there is time left for the vault");
}

#[tokio::test]
async fn made_up_client_ids_use_up_the_room_of_their_own_service_account_only() {
    let world = World::new(HOUR, true).await;
    let (victim, attacker) = (world.login("other", "victim").await, world.login("sa", "attacker").await);
    let token = world.access(&victim).await.unwrap();
    for number in 0..2100 {
        let mut key = attacker.key().as_ref().clone();
        key.client = number.to_string();
        let login = Login { key: Arc::new(key), ..attacker.clone() };
        world.identities.tokens.keep(&login, SCOPE.to_owned(), &token);
    }
    assert!(Arc::ptr_eq(&token, &world.access(&victim).await.unwrap()));
    assert_eq!(world.exchanges(), 1, "the victim's token is still there");
}

#[tokio::test]
async fn entras_words_are_read_whatever_characters_they_have() {
    let world = World::new(HOUR, false).await;
    // Entra repeats the subject, and JSON escapes what is in it.
    let token = world.emulator.token("default", "sa").subject("quote \" backslash \\ é").build();
    let mut login = world.login("sa", "one").await;
    let Identity::Workload(workload) = &mut login.identity else { panic!("a workload identity") };
    workload.token = ServiceAccountToken::parse(token, TokenExchange::Entra.audience()).unwrap();
    let Err(IdentityError::Refused(refusal)) = world.access(&login).await else { panic!("it is refused") };
    assert_eq!(refusal.code, "700213");
}

#[tokio::test]
async fn an_expired_token_is_not_used() {
    let world = World::new(HOUR, true).await;
    let login = world.login("sa", "one").await;
    let first = world.access(&login).await.unwrap();
    world.clock.advance(60 * MINUTE);
    assert!(!Arc::ptr_eq(&first, &world.access(&login).await.unwrap()));
}

#[tokio::test]
async fn a_proof_by_entra_ends_with_the_token_it_was_given_for() {
    let world = World::new(48 * HOUR, false).await;
    let login = world.login("sa", "one").await;
    assert_eq!(login.trust, Trust::Unproven);
    world.access(&login).await.unwrap();
    let again = world.identities.login(&login.identity, &login.authority, &login.tenant).await.unwrap();
    assert_eq!(again.trust, Trust::Proven);
    world.clock.advance(25 * HOUR);
    let late = world.identities.login(&login.identity, &login.authority, &login.tenant).await.unwrap();
    assert_eq!(late.trust, Trust::Unproven);
}

#[tokio::test]
async fn the_keys_prove_only_living_tokens() {
    let world = World::new(HOUR, true).await;
    let login = world.login("sa", "one").await;
    assert_eq!(login.trust, Trust::Proven);
    world.clock.advance(25 * HOUR);
    let late = world.identities.login(&login.identity, &login.authority, &login.tenant).await.unwrap();
    assert_eq!(late.trust, Trust::Isolated);
}

#[tokio::test]
async fn an_exchange_that_nobody_waits_for_is_given_up() {
    let world = World::new(HOUR, true).await;
    world.emulator.inject(Target::Entra, Fault::Hang);
    let login = world.login("sa", "one").await;
    let waiting = timeout(Duration::from_millis(200), world.access(&login));
    assert!(waiting.await.is_err());
    world.emulator.heal();
    // Had the hanging exchange been joined, this would wait for it.
    world.access(&login).await.unwrap();
}
