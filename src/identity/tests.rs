//! Access tokens over time, with a fake clock and an emulated Entra.

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
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

struct IdentityFixture {
    emulator: Emulator,
    clock: Arc<ShiftedClock>,
    identities: Identities,
    _folder: tempfile::TempDir,
}

impl IdentityFixture {
    /// Entra's tokens are valid for `life`; `keys` is whether the cluster's keys are available.
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

    /// A pod's login, with its own token that is valid for a day.
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
            Access::Proving(_, proof) => proof.await,
        }
    }

    fn exchanges(&self) -> usize {
        self.emulator.count(RequestKind::Token)
    }
}

#[tokio::test]
async fn a_token_is_shared_by_its_account_and_by_no_other() {
    let fixture = IdentityFixture::new(HOUR, true).await;
    let (one, two) = (fixture.login("sa", "one").await, fixture.login("sa", "two").await);
    let other = fixture.login("other", "three").await;
    let token = fixture.access(&one).await.unwrap();
    assert!(Arc::ptr_eq(&token, &fixture.access(&two).await.unwrap()));
    assert!(!Arc::ptr_eq(&token, &fixture.access(&other).await.unwrap()), "same client id, another subject");
    assert_eq!(fixture.exchanges(), 2);
}

#[tokio::test]
async fn a_vault_that_rejects_every_token_evicts_one_in_ten_seconds() {
    let fixture = IdentityFixture::new(HOUR, true).await;
    let login = fixture.login("sa", "one").await;
    let renewed = async |rejected: &Arc<AccessToken>| {
        fixture.identities.renew(&login, SCOPE, Some(rejected), Deadline::after(MINUTE)).await.unwrap()
    };
    let first = fixture.access(&login).await.unwrap();
    let second = renewed(&first).await;
    assert!(!Arc::ptr_eq(&first, &second));
    fixture.clock.advance(Duration::from_secs(9));
    assert!(Arc::ptr_eq(&second, &renewed(&second).await));
    fixture.clock.advance(Duration::from_secs(1));
    assert!(!Arc::ptr_eq(&second, &renewed(&second).await));
}

#[tokio::test]
async fn a_token_is_renewed_in_the_background() {
    let fixture = IdentityFixture::new(HOUR, true).await;
    let login = fixture.login("sa", "one").await;
    let first = fixture.access(&login).await.unwrap();
    fixture.clock.advance(46 * MINUTE);
    assert!(Arc::ptr_eq(&first, &fixture.access(&login).await.unwrap()), "no mount waits");
    let renewed = async {
        loop {
            let token = fixture.access(&login).await.unwrap();
            if !Arc::ptr_eq(&first, &token) {
                break token;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(MINUTE, renewed).await.unwrap();
    assert_eq!(fixture.exchanges(), 2, "one renewal for all mounts");
}

#[tokio::test]
async fn after_an_hour_a_token_is_renewed_before_use_and_kept_while_entra_is_down() {
    let fixture = IdentityFixture::new(24 * HOUR, true).await;
    let login = fixture.login("sa", "one").await;
    let first = fixture.access(&login).await.unwrap();
    fixture.clock.advance(61 * MINUTE);
    // A 500 does not open the circuit breaker, however many attempts there are.
    fixture.emulator.inject(Target::Entra, Fault::Status(500));
    let deadline = Deadline::after(Duration::from_millis(500));
    let Access::Ready(token) =
        fixture.identities.access(&login, SCOPE, (deadline.left(), deadline)).await.unwrap()
    else {
        panic!("access is ready for a proven login")
    };
    assert!(Arc::ptr_eq(&first, &token), "Entra is down: the token is still good");
    let exchanges = fixture.exchanges();
    for _ in 0..50 {
        assert!(Arc::ptr_eq(&first, &fixture.access(&login).await.unwrap()));
    }
    // The renewal in the background may still retry.
    assert!(fixture.exchanges() < exchanges + 25, "not every mount sends a request to Entra");

    fixture.emulator.heal();
    fixture.clock.advance(MINUTE);
    let renewed = fixture.access(&login).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &renewed));
}

#[tokio::test]
async fn a_removed_federated_credential_takes_effect_within_the_hour_and_evicts_the_identity() {
    for keys in [true, false] {
        let fixture = IdentityFixture::new(24 * HOUR, keys).await;
        let login = fixture.login("sa", "one").await;
        fixture.access(&login).await.unwrap();
        fixture.emulator.remove_federated_credentials(APP).unwrap();
        fixture.clock.advance(61 * MINUTE);
        let login = fixture.login("sa", "one").await;
        assert!(matches!(fixture.access(&login).await, Err(IdentityError::Refused(_))), "keys: {keys}");
        fixture.emulator.inject(Target::Entra, Fault::Status(503));
        let login = fixture.login("sa", "two").await;
        let deadline = Deadline::after(Duration::from_millis(500));
        let again = fixture.identities.access(&login, SCOPE, (deadline.left(), deadline)).await;
        let fails = match again {
            // On a slow machine there may be no answer in time.
            Err(error) => error.is_unavailable(),
            Ok(Access::Proving(_, proof)) => proof.await.is_err_and(|error| error.is_unavailable()),
            Ok(Access::Ready(_)) => false,
        };
        assert!(fails, "its tokens and proofs are evicted; keys: {keys}");
    }
}

#[tokio::test]
async fn while_entra_hangs_a_valid_token_is_used_after_a_short_wait() {
    let fixture = IdentityFixture::new(24 * HOUR, true).await;
    let login = fixture.login("sa", "one").await;
    let first = fixture.access(&login).await.unwrap();
    fixture.clock.advance(61 * MINUTE);
    fixture.emulator.inject(Target::Entra, Fault::Hang);
    let deadline = Deadline::after(Duration::from_secs(2));
    let Access::Ready(token) =
        fixture.identities.access(&login, SCOPE, (deadline.left(), deadline)).await.unwrap()
    else {
        panic!("access is ready for a proven login")
    };
    assert!(Arc::ptr_eq(&first, &token));
    assert!(!deadline.left().is_zero(), "there is time left for the vault");
}

#[tokio::test]
async fn invented_client_ids_evict_only_tokens_of_their_own_service_account() {
    let fixture = IdentityFixture::new(HOUR, true).await;
    let (victim, attacker) = (fixture.login("other", "victim").await, fixture.login("sa", "attacker").await);
    let token = fixture.access(&victim).await.unwrap();
    for number in 0..2100 {
        let mut key = attacker.key().as_ref().clone();
        key.client = number.to_string();
        let login = Login { key: Arc::new(key), ..attacker.clone() };
        fixture.identities.tokens.insert(&login, SCOPE.to_owned(), &token);
    }
    assert!(Arc::ptr_eq(&token, &fixture.access(&victim).await.unwrap()));
    assert_eq!(fixture.exchanges(), 1, "the victim's token is still cached");
}

#[tokio::test]
async fn service_accounts_without_number_evict_only_tokens_of_their_own_namespace() {
    let fixture = IdentityFixture::new(HOUR, true).await;
    let (victim, attacker) = (fixture.login("other", "victim").await, fixture.login("sa", "attacker").await);
    let token = fixture.access(&victim).await.unwrap();
    for number in 0..2100 {
        let mut key = attacker.key().as_ref().clone();
        key.subject = format!("system:serviceaccount:flood:{number}");
        let login = Login { key: Arc::new(key), tenant: Tenant::new("flood"), ..attacker.clone() };
        fixture.identities.tokens.insert(&login, SCOPE.to_owned(), &token);
    }
    assert!(Arc::ptr_eq(&token, &fixture.access(&victim).await.unwrap()));
    assert_eq!(fixture.exchanges(), 1, "the victim's token is still cached");
}

#[tokio::test]
async fn entras_description_may_contain_any_character() {
    let fixture = IdentityFixture::new(HOUR, false).await;
    // Entra repeats the subject, and JSON escapes its special characters.
    let token = fixture.emulator.token("default", "sa").subject("quote \" backslash \\ é").build();
    let mut login = fixture.login("sa", "one").await;
    let Identity::Workload(workload) = &mut login.identity else { panic!("a workload identity") };
    workload.token = ServiceAccountToken::parse(token, TokenExchange::Entra.audience()).unwrap();
    let Err(IdentityError::Refused(refusal)) = fixture.access(&login).await else { panic!("it is refused") };
    assert_eq!(refusal.code, "700213");
}

#[tokio::test]
async fn an_expired_token_is_not_used() {
    let fixture = IdentityFixture::new(HOUR, true).await;
    let login = fixture.login("sa", "one").await;
    let first = fixture.access(&login).await.unwrap();
    fixture.clock.advance(60 * MINUTE);
    assert!(!Arc::ptr_eq(&first, &fixture.access(&login).await.unwrap()));
}

#[tokio::test]
async fn a_proof_by_entra_ends_with_the_token_it_was_given_for() {
    let fixture = IdentityFixture::new(48 * HOUR, false).await;
    let login = fixture.login("sa", "one").await;
    assert_eq!(login.trust, Trust::Unproven);
    fixture.access(&login).await.unwrap();
    let again = fixture.identities.login(&login.identity, &login.authority, &login.tenant).await.unwrap();
    assert_eq!(again.trust, Trust::Proven);
    fixture.clock.advance(25 * HOUR);
    let late = fixture.identities.login(&login.identity, &login.authority, &login.tenant).await.unwrap();
    assert_eq!(late.trust, Trust::Unproven);
}

#[tokio::test]
async fn the_keys_prove_only_valid_tokens() {
    let fixture = IdentityFixture::new(HOUR, true).await;
    let login = fixture.login("sa", "one").await;
    assert_eq!(login.trust, Trust::Proven);
    fixture.clock.advance(25 * HOUR);
    let late = fixture.identities.login(&login.identity, &login.authority, &login.tenant).await.unwrap();
    assert_eq!(late.trust, Trust::Isolated);
}

#[tokio::test]
async fn an_exchange_without_waiters_is_cancelled() {
    let fixture = IdentityFixture::new(HOUR, true).await;
    fixture.emulator.inject(Target::Entra, Fault::Hang);
    let login = fixture.login("sa", "one").await;
    let waiting = timeout(Duration::from_millis(200), fixture.access(&login));
    assert!(waiting.await.is_err());
    fixture.emulator.heal();
    // If this joined the exchange that hangs, it would wait for it.
    fixture.access(&login).await.unwrap();
}
