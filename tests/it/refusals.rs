//! Refusals by Azure, and the resulting events of the pod.

use keyvault_emulator::{Authorization, FederatedCredential, RequestKind, Secret, SecretPermission, Vault};
use tonic::Code;

use crate::harness::{APP, Claim, OTHER_APP, World, objects, seed};

const WORKLOAD: &str = "system:serviceaccount:default:workload-identity-sa";

/// Expects the code, and these words in the message.
async fn expect(world: &World, claim: &Claim, code: Code, words: &[&str]) {
    let status = world.refused(claim).await;
    assert_eq!(status.code(), code, "{status:?}");
    for word in words {
        assert!(status.message().contains(word), "{word:?} is missing from {status:?}");
    }
}

#[tokio::test]
async fn entras_refusals_show_what_was_sent_and_the_fix() {
    let world = World::start(&[]).await;
    let unknown = world.emulator.token("shop", "cart").build();
    let subject = "the federated credential's subject must be \"system:serviceaccount:shop:cart\"";
    expect(
        &world,
        &world.claim().token(&unknown),
        Code::Unauthenticated,
        &["AADSTS700213", subject, "https://oidc.emulator.test/", "api://AzureADTokenExchange", APP],
    )
    .await;

    let issuer = world.token().issuer("https://other.test/").build();
    expect(
        &world,
        &world.claim().token(&issuer),
        Code::Unauthenticated,
        &["AADSTS700211", "issuer must be \"https://other.test/\""],
    )
    .await;

    let audience = world.token().audience("api://wrong").build();
    expect(
        &world,
        &world.claim().token(&audience),
        Code::Unauthenticated,
        &["AADSTS700212", "api://wrong", WORKLOAD],
    )
    .await;

    let expired = world.token().expires_in(-10).build();
    expect(&world, &world.claim().token(&expired), Code::Unauthenticated, &["AADSTS700024", "clocks"]).await;

    let forged = world.token().forged().build();
    expect(&world, &world.claim().token(&forged), Code::Unauthenticated, &["AADSTS", "signature"]).await;

    let client = world.claim().set("clientID", "99999999-0000-4000-8000-000000000000");
    expect(&world, &client, Code::Unauthenticated, &["AADSTS700016", "(not its object id) and tenantID"])
        .await;

    let tenant = world.claim().set("tenantID", "99999999-0000-4000-8000-000000000000");
    expect(&world, &tenant, Code::Unauthenticated, &["AADSTS90002", "check tenantID"]).await;
}

#[tokio::test]
async fn the_message_is_one_line_without_entras_trace_ids() {
    let world = World::start(&[]).await;
    let status = world.refused(&world.claim().token(&world.token().expires_in(-10).build())).await;
    assert!(!status.message().contains('\n') && !status.message().contains("Trace ID"), "{status:?}");
}

#[tokio::test]
async fn the_kinds_of_403_are_distinguished() {
    let vault = |name: &str| Vault::new(name).secret(Secret::new("s", "v"));
    let seed = seed()
        .vault(vault("by-role"))
        .vault(Vault { authorization: Authorization::Policy, ..vault("by-policy") })
        .vault(Vault { firewall: true, ..vault("by-firewall") })
        .vault(Vault { private_link: true, ..vault("by-link") });
    let world = World::with(seed, &[]).await;
    for (name, words) in [
        ("by-role", ["\"Key Vault Secrets User\"", "x-ms-request-id"]),
        ("by-policy", ["secret permission Get", "x-ms-request-id"]),
        ("by-firewall", ["firewall of by-firewall.vault.azure.net", "x-ms-request-id"]),
        ("by-link", ["private DNS zone", "x-ms-request-id"]),
    ] {
        let claim = world.claim().set("keyvaultName", name).objects(&objects(&["s"]));
        expect(&world, &claim, Code::PermissionDenied, &words).await;
    }
}

#[tokio::test]
async fn missing_and_disabled_secrets_are_not_found() {
    let world = World::start(&[]).await;
    expect(
        &world,
        &world.claim().objects(&objects(&["nowhere"])),
        Code::NotFound,
        &["objects[0], secret nowhere of mykeyvault.vault.azure.net", "check objectName", "x-ms-request-id"],
    )
    .await;
    let version = format!("- {{objectName: api-key, objectType: secret, objectVersion: {}}}", "0".repeat(32));
    expect(&world, &world.claim().objects(&version), Code::NotFound, &["api-key"]).await;
    world.emulator.set_enabled("myKeyVault", "api-key", false).unwrap();
    expect(
        &world,
        &world.claim().objects(&objects(&["api-key"])),
        Code::NotFound,
        &["disabled", "az keyvault secret set-attributes"],
    )
    .await;
}

#[tokio::test]
async fn all_failing_objects_are_named_in_order_with_the_most_severe_code() {
    let world = World::with(seed().vault(Vault::new("denied").secret(Secret::new("s", "v"))), &[]).await;
    let yaml = "- {objectName: first, objectType: secret}\n\
                - {objectName: api-key, objectType: secret}\n\
                - {objectName: s, objectType: secret, keyvaultName: denied}\n\
                - {objectName: third, objectType: secret}\n";
    let status = world.refused(&world.claim().objects(yaml)).await;
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    let places = [
        "3 objects failed",
        "(1) objects[0], secret first",
        "(2) objects[2], secret s",
        "(3) objects[3], secret third",
    ]
    .map(|location| {
        status.message().find(location).unwrap_or_else(|| panic!("{location} is missing from {status:?}"))
    });
    assert!(places.is_sorted(), "{status:?}");
}

#[tokio::test]
async fn an_identity_without_access_gets_nothing_even_if_another_has_access() {
    let world = World::with_keys(&[]).await;
    world.mount(&world.claim()).await.unwrap();
    let other =
        world.claim().token(&world.emulator.token("default", "other-sa").build()).set("clientID", OTHER_APP);
    expect(&world, &other, Code::PermissionDenied, &["database-password"]).await;
    world.emulator.set_access("myKeyVault", OTHER_APP, &[SecretPermission::Get]).unwrap();
    world.mount(&other).await.unwrap();
}

#[tokio::test]
async fn a_missing_token_says_which_token_request_the_driver_needs() {
    let world = World::start(&[]).await;
    let key = "csi.storage.k8s.io/serviceAccount.tokens";
    let help = "tokenRequests: [{audience: api://AzureADTokenExchange}]";
    expect(&world, &world.claim().without(key), Code::InvalidArgument, &[key, help]).await;
    let other = serde_json::json!({ "api://other": { "token": world.token().build() } }).to_string();
    expect(&world, &world.claim().set(key, &other), Code::InvalidArgument, &[key, help]).await;
    assert_eq!(world.emulator.requests().len(), 0);
}

#[tokio::test]
async fn a_pod_starts_on_its_next_attempt_after_its_federated_credential_is_added() {
    let world = World::start(&[]).await;
    let claim = world.claim().token(&world.emulator.token("shop", "cart").build());
    expect(&world, &claim, Code::Unauthenticated, &["AADSTS700213"]).await;
    world.emulator.add_federated_credential(APP, FederatedCredential::new("shop", "cart")).unwrap();
    world.mount(&claim).await.unwrap();
    assert_eq!(world.emulator.count(RequestKind::Token), 2);
}
