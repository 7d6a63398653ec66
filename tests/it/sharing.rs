//! How many requests a second pod of the same service account costs.

use std::time::Duration;

use futures_util::future::join_all;
use keyvault_emulator::{Emulator, Fault, RequestKind, Target};

use crate::harness::{Claim, Provider, World, objects, seed};

const NAMES: [&str; 2] = ["database-password", "api-key"];

fn pod(world: &World, index: usize) -> Claim {
    let token = world.token().pod(format!("myapp-{index}"), format!("uid-{index}")).build();
    Claim::new(&token).pod(index).objects(&objects(&NAMES))
}

#[tokio::test]
async fn with_the_clusters_keys_a_second_pod_costs_one_request_per_object_and_nothing_else() {
    let world = World::with_keys(&[]).await;
    world.mount(&pod(&world, 0)).await.unwrap();
    world.emulator.clear_requests();
    world.mount(&pod(&world, 1)).await.unwrap();
    assert_eq!(world.emulator.count(RequestKind::Secret), NAMES.len());
    assert_eq!(world.emulator.requests().len(), NAMES.len(), "{:?}", world.emulator.requests());
    assert_eq!(world.emulator.connections(), 0, "no new connection");
}

#[tokio::test]
async fn without_keys_a_second_pod_costs_one_more_exchange() {
    let world = World::start(&[]).await;
    world.mount(&pod(&world, 0)).await.unwrap();
    world.emulator.clear_requests();
    world.mount(&pod(&world, 1)).await.unwrap();
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
    assert_eq!(world.emulator.requests().len(), NAMES.len() + 1, "{:?}", world.emulator.requests());
}

#[tokio::test]
async fn the_exchange_of_a_second_pod_runs_in_parallel_with_its_fetches() {
    let world = World::start(&[]).await;
    world.mount(&pod(&world, 0)).await.unwrap();
    // The vault answers while Entra has not yet: the fetches did not wait for the exchange.
    world.emulator.inject(Target::Entra, Fault::Hang);
    world.emulator.clear_requests();
    let claim = pod(&world, 1).timeout(Duration::from_secs(2));
    let status = world.refused(&claim).await;
    assert_eq!(status.code(), tonic::Code::Internal, "nothing is returned without the proof: {status:?}");
    assert!(status.message().contains("Entra"), "{status:?}");
    assert_eq!(world.emulator.count(RequestKind::Secret), NAMES.len());
}

#[tokio::test]
async fn the_same_pod_costs_no_second_exchange() {
    let world = World::start(&["--rotation-max-age=0s"]).await;
    let claim = pod(&world, 0);
    for _ in 0..3 {
        world.mount(&claim).await.unwrap();
    }
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
    assert_eq!(world.emulator.count(RequestKind::Secret), 3 * NAMES.len());
}

#[tokio::test]
async fn two_volumes_of_one_pod_share_one_exchange_although_its_token_is_unproven() {
    let world = World::start(&[]).await;
    world.emulator.inject(Target::Entra, Fault::Latency(Duration::from_millis(300)));
    let token = world.token().build();
    let claims = [0, 1].map(|volume| pod(&world, volume).token(&token));
    let mounts = join_all(claims.iter().map(|claim| world.mount(claim))).await;
    assert!(mounts.iter().all(Result::is_ok), "{mounts:?}");
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
}

#[tokio::test]
async fn pods_of_one_account_that_start_together_share_one_exchange() {
    let world = World::with_keys(&[]).await;
    let claims = (0..50).map(|index| pod(&world, index)).collect::<Vec<_>>();
    let mounts = join_all(claims.iter().map(|claim| world.mount(claim))).await;
    assert!(mounts.iter().all(Result::is_ok), "{mounts:?}");
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
}

#[tokio::test]
async fn a_token_that_the_vault_rejects_is_replaced_once() {
    let world = World::with_keys(&[]).await;
    world.mount(&pod(&world, 0)).await.unwrap();
    world.emulator.revoke_access_tokens();
    world.emulator.clear_requests();
    world.mount(&pod(&world, 1)).await.unwrap();
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
    assert_eq!(world.emulator.count(RequestKind::Secret), NAMES.len());
    assert_eq!(world.emulator.count(RequestKind::Challenge), NAMES.len());
}

#[tokio::test]
async fn a_rejected_token_is_replaced_without_keys_too() {
    let world = World::start(&[]).await;
    world.mount(&pod(&world, 0)).await.unwrap();
    world.emulator.revoke_access_tokens();
    world.mount(&pod(&world, 1)).await.unwrap();
    world.emulator.revoke_access_tokens();
    world.mount(&pod(&world, 1)).await.unwrap();
}

#[tokio::test]
async fn keys_from_a_url_are_fetched_once() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let issuer = format!("--service-account-issuer={}", emulator.issuer());
    let provider = Provider::start(
        &emulator,
        folder.path(),
        &["--service-account-jwks=https://oidc.emulator.test/openid/v1/jwks", &issuer],
    );
    let world = World { emulator, provider, folder };
    for index in 0..3 {
        world.mount(&pod(&world, index)).await.unwrap();
    }
    assert_eq!(world.emulator.count(RequestKind::Jwks), 1);
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
    // A token that names an unknown key must not make the provider fetch the keys again immediately.
    world.refused(&pod(&world, 3).token(&world.token().kid("unknown").forged().build())).await;
    world.refused(&pod(&world, 4).token(&world.token().kid("unknown-2").forged().build())).await;
    assert_eq!(world.emulator.count(RequestKind::Jwks), 1);
}

#[tokio::test]
async fn in_a_cluster_the_keys_come_from_the_api_server() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "the provider's own token").unwrap();
    std::fs::write(folder.path().join("ca.crt"), emulator.ca_pem()).unwrap();
    let port = emulator.address().port().to_string();
    let cluster = [("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", port.as_str())];
    let credentials = format!("--service-account-dir={}", folder.path().display());
    let provider = Provider::start_in(&emulator, folder.path(), &[&credentials], &cluster);
    let world = World { emulator, provider, folder };
    for index in 0..3 {
        world.mount(&pod(&world, index)).await.unwrap();
    }
    assert_eq!(world.emulator.count(RequestKind::Jwks), 1);
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
    let requests = world.emulator.requests();
    let keys = requests.iter().find(|request| request.kind == RequestKind::Jwks).unwrap();
    assert!(keys.authenticated, "the API server is called with the provider's own token: {keys:?}");
}
