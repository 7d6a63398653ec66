//! A token is a claim until it is proven. An attacker who puts a victim's subject and client id into a token
//! neither reads a value nor affects others, whatever is cached, with and without
//! the cluster's keys, and with and without Azure.

use std::time::Duration;

use futures_util::future::join_all;
use keyvault_emulator::{Emulator, Fault, RequestKind, Target, TokenBuilder};
use tonic::Code;

use crate::harness::{APP, Claim, OTHER_APP, Provider, VALUE, World, files};

/// Tokens with the victim's subject that are not the victim's.
fn impostors(emulator: &Emulator) -> Vec<(&'static str, String)> {
    let token = || -> TokenBuilder { emulator.token("default", "workload-identity-sa") };
    let mut cases = vec![
        ("forged signature", token().forged().build()),
        ("unknown key", token().kid("unknown").forged().build()),
        ("no signature", token().unsigned().build()),
        ("expired", token().expires_in(-10).build()),
        ("foreign issuer", token().issuer("https://evil.test/").build()),
        ("wrong audience", token().audience("https://kubernetes.default.svc").build()),
        ("another's token, subject rewritten", rewritten(&emulator.token("default", "other-sa").build())),
    ];
    let genuine = token().build();
    let (rest, _) = genuine.rsplit_once('.').unwrap();
    cases.push(("genuine token without its signature", format!("{rest}.")));
    cases
}

/// Puts the victim's subject into another account's genuine token.
fn rewritten(token: &str) -> String {
    let parts = token.split('.').collect::<Vec<_>>();
    let claims = data_encoding::BASE64URL_NOPAD.decode(parts[1].as_bytes()).unwrap();
    let claims = String::from_utf8(claims).unwrap().replace("other-sa", "workload-identity-sa");
    format!("{}.{}.{}", parts[0], data_encoding::BASE64URL_NOPAD.encode(claims.as_bytes()), parts[2])
}

/// Mounts with all impostors, and expects the same code for all.
async fn try_all(world: &World, expected: Code) {
    for (case, token) in impostors(&world.emulator) {
        let status = world.refused(&world.claim().token(&token)).await;
        assert_eq!(status.code(), expected, "{case}: {status:?}");
        assert!(!status.message().contains(VALUE) && !status.message().contains(&token), "{case}");
    }
}

/// The victim mounts, impostors try, and the victim mounts again without a loss: with keys,
/// the second mount costs no token.
async fn impostors_get_nothing(world: World, keys: bool) {
    let token = world.token().build();
    let victim = world.claim().token(&token);
    world.mount(&victim).await.unwrap();

    try_all(&world, Code::Unauthenticated).await;
    world.emulator.clear_requests();
    assert_eq!(files(&world.mount(&victim).await.unwrap()), [("db-password", VALUE.as_bytes())]);
    assert_eq!(world.emulator.count(RequestKind::Token), 0, "keys: {keys}: the token is still cached");

    world.emulator.inject(Target::Entra, Fault::Status(503));
    try_all_briefly(&world).await;
    world.emulator.inject(Target::AllVaults, Fault::Status(503));
    try_all_briefly(&world).await;
    world.emulator.heal();

    world.emulator.clear_requests();
    assert_eq!(files(&world.mount(&victim).await.unwrap()), [("db-password", VALUE.as_bytes())]);
    assert_eq!(
        world.emulator.count(RequestKind::Token),
        0,
        "keys: {keys}: an outage does not help an impostor"
    );
}

/// While Azure is down, impostors cannot be detected: the mount fails for that reason.
async fn try_all_briefly(world: &World) {
    let attempts = impostors(&world.emulator).into_iter().map(|(case, token)| async move {
        let claim = world.claim().token(&token).timeout(Duration::from_secs(4));
        let status = world.refused(&claim).await;
        assert_eq!(status.code(), Code::Internal, "{case}: {status:?}");
        assert!(!status.message().contains(VALUE), "{case}");
    });
    join_all(attempts).await;
}

#[tokio::test]
async fn impostors_get_nothing_with_the_clusters_keys_at_hand() {
    impostors_get_nothing(World::with_keys(&[]).await, true).await;
}

#[tokio::test]
async fn impostors_get_nothing_without_keys() {
    impostors_get_nothing(World::start(&[]).await, false).await;
}

#[tokio::test]
async fn an_impostor_does_not_learn_the_vaults_answer() {
    let world = World::start(&[]).await;
    world.mount(&world.claim()).await.unwrap();
    let probe = world.claim().objects("- {objectName: does-not-exist, objectType: secret}");
    assert_eq!(world.refused(&probe).await.code(), Code::NotFound, "the owner learns it");
    world.emulator.clear_requests();
    for (case, token) in impostors(&world.emulator) {
        let status = world.refused(&probe.clone().token(&token)).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{case}: {status:?}");
        assert!(!status.message().contains("does-not-exist"), "{case}: {status:?}");
    }
    // The vault does not get a request in the victim's name either.
    assert_eq!(world.emulator.count(RequestKind::Secret), 0);
}

#[tokio::test]
async fn a_genuine_token_gives_no_access_to_another_client_id() {
    for world in [World::start(&[]).await, World::with_keys(&[]).await] {
        world.mount(&world.claim()).await.unwrap();
        let other = world.emulator.token("default", "other-sa").build();
        let stolen = world.refused(&world.claim().token(&other)).await;
        assert_eq!(stolen.code(), Code::Unauthenticated, "{stolen:?}");
        let own = world.refused(&world.claim().token(&other).set("clientID", OTHER_APP)).await;
        assert_eq!(own.code(), Code::PermissionDenied, "{own:?}");
        assert!(world.mount(&world.claim()).await.is_ok());
    }
}

#[tokio::test]
async fn a_proof_holds_for_the_token_and_the_identity_it_was_given_for() {
    let world = World::start(&[]).await;
    world
        .emulator
        .add_federated_credential(
            OTHER_APP,
            keyvault_emulator::FederatedCredential::new("default", "workload-identity-sa"),
        )
        .unwrap();
    let token = world.token().build();
    world.mount(&world.claim().token(&token)).await.unwrap();
    world.emulator.clear_requests();
    // The same token for another client: Entra is called again.
    let denied = world.refused(&world.claim().token(&token).set("clientID", OTHER_APP)).await;
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
    // The same token for the same client: Entra is not called.
    world.mount(&world.claim().token(&token)).await.unwrap();
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
}

#[tokio::test]
async fn keys_that_cannot_be_loaded_leave_the_proof_to_entra() {
    let emulator = Emulator::start(crate::harness::seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "--service-account-jwks=/nonexistent/jwks.json",
        "--service-account-issuer=https://oidc.emulator.test/",
    ];
    let provider = Provider::start(&emulator, folder.path(), &args);
    let world = World { emulator, provider, folder };
    world.mount(&world.claim()).await.unwrap();
    try_all(&world, Code::Unauthenticated).await;
    world.provider.log_with("/nonexistent/jwks.json", 1);
}

#[tokio::test]
async fn keys_of_another_cluster_disable_sharing_but_pods_start() {
    let emulator = Emulator::start(crate::harness::seed()).await.unwrap();
    let other_cluster = Emulator::start(crate::harness::seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let jwks = folder.path().join("jwks.json");
    std::fs::write(&jwks, other_cluster.jwks()).unwrap();
    let args = [
        format!("--service-account-jwks={}", jwks.display()),
        format!("--service-account-issuer={}", emulator.issuer()),
    ];
    let provider = Provider::start(&emulator, folder.path(), &args.each_ref().map(String::as_str));
    let world = World { emulator, provider, folder };
    for mounts in 1..=2 {
        // Entra accepts the token, so the pod starts; but each mount costs an exchange.
        world.mount(&world.claim()).await.unwrap();
        assert_eq!(world.emulator.count(RequestKind::Token), mounts);
    }
}

#[tokio::test]
async fn a_removed_federated_credential_is_refused_at_the_next_exchange() {
    let world = World::start(&[]).await;
    world.mount(&world.claim()).await.unwrap();
    world.emulator.remove_federated_credentials(APP).unwrap();
    let pod = world.emulator.token("default", "workload-identity-sa").pod("myapp-1", "uid-1").build();
    let status =
        world.refused(&Claim::new(&pod).objects("- {objectName: api-key, objectType: secret}")).await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
}
