//! How many requests many pods and mounted volumes cost, and what evicts a cached value.

use std::time::Duration;

use futures_util::future::join_all;
use keyvault_csi_provider::proto::ObjectVersion;
use keyvault_emulator::{Emulator, Fault, RequestKind, Secret, SecretPermission, Seed, Target, Vault};
use tonic::Code;

use crate::harness::{APP, Claim, VALUE, World, files, objects, seed};

/// Objects of one mount that are fetched concurrently.
const AT_ONCE: usize = 16;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("secret-{index}")).collect()
}

/// A vault with this name and number of secrets, which `myapp` may read.
fn large_vault(name: &str, count: usize) -> Vault {
    let vault = Vault::new(name).access("myapp", &[SecretPermission::Get]);
    names(count)
        .into_iter()
        .fold(vault, |vault, name| vault.secret(Secret::new(&name, format!("value of {name}"))))
}

async fn large_world(count: usize) -> World {
    let seed = seed().vault(large_vault("large", count)).vault(large_vault("other", count));
    World::of_emulator_with_keys(Emulator::start(seed).await.unwrap(), &[])
}

/// A pod of the service account, with its own token, that mounts the first `count` secrets.
fn pod(world: &World, index: usize, vault: &str, count: usize) -> Claim {
    let token = world.token().pod(format!("myapp-{index}"), format!("uid-{index}")).build();
    let names = names(count);
    let names = names.iter().map(String::as_str).collect::<Vec<_>>();
    Claim::new(&token).pod(index).set("keyvaultName", vault).objects(&objects(&names))
}

async fn mount_all(world: &World, claims: &[Claim]) {
    for mount in join_all(claims.iter().map(|claim| world.mount(claim))).await {
        mount.unwrap();
    }
}

#[tokio::test]
async fn a_storm_of_pods_costs_few_requests_per_object() {
    let world = large_world(10).await;
    let claims = (0..250).map(|index| pod(&world, index, "large", 10)).collect::<Vec<_>>();
    mount_all(&world, &claims).await;
    let requests = world.emulator.count(RequestKind::Secret);
    assert!((10..=3 * 10).contains(&requests), "{requests} requests");
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
    assert_eq!(world.emulator.count(RequestKind::Challenge), 0);
}

#[tokio::test]
async fn a_storm_without_keys_costs_one_exchange_per_pod_and_few_requests_per_object() {
    let seed = seed().vault(large_vault("large", 10));
    let world = World::with(seed, &[]).await;
    for storm in 0..2 {
        let claims = (0..100).map(|index| pod(&world, 1000 * storm + index, "large", 10)).collect::<Vec<_>>();
        world.emulator.clear_requests();
        world.emulator.inject(Target::Vault("large".to_owned()), Fault::Latency(Duration::from_millis(300)));
        mount_all(&world, &claims).await;
        assert_eq!(world.emulator.count(RequestKind::Token), 100);
        let requests = world.emulator.count(RequestKind::Secret);
        assert!((10..=10 * 10).contains(&requests), "storm {storm}: {requests} requests");
        world.emulator.heal();
    }
}

#[tokio::test]
async fn rotation_costs_one_request_per_object_for_any_number_of_pods() {
    let world = large_world(10).await;
    let claims = (0..30).map(|index| pod(&world, index, "large", 10)).collect::<Vec<_>>();
    mount_all(&world, &claims).await;
    world.emulator.clear_requests();
    for _ in 0..3 {
        mount_all(&world, &claims).await;
    }
    assert_eq!(world.emulator.requests().len(), 0, "all within --rotation-max-age");
}

#[tokio::test]
async fn a_first_mount_is_never_answered_from_the_cache() {
    let world = World::with_keys(&["--rotation-max-age=24h"]).await;
    world.mount(&world.claim().pod(0)).await.unwrap();
    world.emulator.set_secret("myKeyVault", "database-password", "new").unwrap();
    assert_eq!(files(&world.mount(&world.claim().pod(1)).await.unwrap())[0].1, b"new");
    let refreshed = world.mount(&world.claim().pod(0)).await.unwrap();
    assert_eq!(files(&refreshed)[0].1, b"new", "a refresh gets the newest cached value");
}

#[tokio::test]
async fn a_volume_that_the_driver_reports_as_mounted_is_refreshed_from_the_cache() {
    let world = World::with_keys(&[]).await;
    world.mount(&world.claim().pod(0)).await.unwrap();
    world.emulator.clear_requests();
    let mut claim = world.claim().pod(1);
    claim.current.push(ObjectVersion { id: "secret/database-password".to_owned(), version: "1".to_owned() });
    world.mount(&claim).await.unwrap();
    assert_eq!(world.emulator.requests().len(), 0);
}

#[tokio::test]
async fn a_class_can_set_another_age_or_zero() {
    let world = World::with_keys(&["--rotation-max-age-limit=2h"]).await;
    let claim = world.claim().set("rotationMaxAge", "0");
    for mounts in 1..=3 {
        world.mount(&claim).await.unwrap();
        assert_eq!(world.emulator.count(RequestKind::Secret), mounts);
    }
    world.mount(&claim.clone().set("rotationMaxAge", "2h")).await.unwrap();
    assert_eq!(world.emulator.count(RequestKind::Secret), 3);
    let refusal = world.refused(&claim.set("rotationMaxAge", "3h")).await;
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().contains("the operator's limit of 2h"), "{}", refusal.message());
}

#[tokio::test]
async fn a_mount_fetches_objects_concurrently_up_to_a_limit() {
    let world = large_world(64).await;
    world.emulator.inject(Target::AllVaults, Fault::Latency(Duration::from_millis(200)));
    world.mount(&pod(&world, 0, "large", 64)).await.unwrap();
    assert_eq!(world.emulator.count(RequestKind::Secret), 64);
    assert_eq!(world.emulator.in_flight_peak(RequestKind::Secret), AT_ONCE);
}

#[tokio::test]
async fn a_huge_mount_of_a_slow_vault_does_not_delay_other_mounts() {
    let world = large_world(200).await;
    world.emulator.inject(Target::Vault("large".to_owned()), Fault::Latency(Duration::from_millis(300)));
    let of = |vault: &str| {
        let requests = world.emulator.requests();
        requests.iter().filter(|request| request.host.starts_with(vault)).count()
    };
    let small_mounts = async {
        let (same, other) = (pod(&world, 1, "large", 16), pod(&world, 2, "other", 16));
        let other = async {
            world.mount(&other).await.unwrap();
            of("large")
        };
        let same = async {
            world.mount(&same).await.unwrap();
            of("large")
        };
        tokio::join!(other, same)
    };
    let huge = pod(&world, 0, "large", 200);
    let (mounted, (before_other, before_same)) = tokio::join!(world.mount(&huge), small_mounts);
    mounted.unwrap();
    assert_eq!(of("large"), 200, "objects of both mounts were fetched once");
    assert!(before_other <= 4 * AT_ONCE, "{before_other} requests of the huge mount went first");
    assert!(before_same <= 6 * AT_ONCE, "{before_same} requests of the huge mount went first");
}

#[tokio::test]
async fn a_refusal_by_the_vault_evicts_the_cached_value() {
    let world = World::with_keys(&["--rotation-max-age=1h"]).await;
    let (mounted, new) = (world.claim().pod(0), world.claim().pod(1));
    for (case, code) in [("denied", Code::PermissionDenied), ("deleted", Code::NotFound)] {
        world.mount(&mounted).await.unwrap();
        if case == "denied" {
            world.emulator.set_access("myKeyVault", APP, &[]).unwrap();
        } else {
            world.emulator.delete_secret("myKeyVault", "database-password").unwrap();
        }
        assert_eq!(files(&world.mount(&mounted).await.unwrap()), [("db-password", VALUE.as_bytes())]);
        assert_eq!(world.refused(&new).await.code(), code, "{case}");
        assert_eq!(world.refused(&mounted).await.code(), code, "{case}: evicted");
        world.emulator.set_access("myKeyVault", APP, &[SecretPermission::Get]).unwrap();
    }
}

#[tokio::test]
async fn a_refusal_by_entra_of_a_proven_token_evicts_all_values_of_its_identity() {
    let world = World::with_keys(&["--rotation-max-age=1h"]).await;
    let mounted = world.claim().pod(0);
    world.mount(&mounted).await.unwrap();
    world.emulator.remove_federated_credentials(APP).unwrap();
    world.emulator.revoke_access_tokens();
    assert_eq!(world.refused(&world.claim().pod(1)).await.code(), Code::Unauthenticated);
    world.emulator.inject(Target::AllVaults, Fault::Hang);
    assert_eq!(world.refused(&mounted).await.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_small_cache_costs_requests_and_nothing_else() {
    let seed = Seed::vault(seed(), large_vault("large", 10));
    let world = World::of_emulator_with_keys(Emulator::start(seed).await.unwrap(), &["--cache-max-bytes=0"]);
    let claim = pod(&world, 0, "large", 10);
    for mounts in 1..=2 {
        assert_eq!(world.mount(&claim).await.unwrap().files.len(), 10);
        assert_eq!(world.emulator.count(RequestKind::Secret), 10 * mounts);
    }
}
