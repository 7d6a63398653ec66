//! The error of a mount names a misspelt parameter and the correct one, in whichever step the mount fails.

use std::time::Duration;

use keyvault_emulator::{Emulator, Fault, Target};

use crate::harness::{Claim, Provider, TENANT, World, objects};
use crate::identities::{USER, seed_with_applications};

async fn world() -> World {
    let emulator = Emulator::start(seed_with_applications()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let imds = format!("--imds-endpoint=http://{}/", emulator.imds_address());
    let provider = Provider::start(&emulator, folder.path(), &[&imds]);
    World { emulator, provider, folder }
}

/// The error of the mount must contain the misspelt parameter, the correct one, and the reason.
async fn assert_names(world: &World, claim: &Claim, (written, meant): (&str, &str), reason: &str) {
    let status = world.refused(&claim.clone().timeout(Duration::from_secs(2))).await;
    let hint = format!("parameters: {written:?} is unknown; did you mean `{meant}`?");
    for words in [hint.as_str(), reason] {
        assert!(status.message().contains(words), "{words:?} is not in {status:?}");
    }
}

#[tokio::test]
async fn a_misspelt_client_id_is_named_when_the_identity_step_fails() {
    let world = world().await;
    let claim = world.claim().without("clientID").set("clientId", crate::harness::APP);
    assert_names(&world, &claim, ("clientId", "clientID"), "no clientID is set").await;
}

#[tokio::test]
async fn a_misspelt_user_assigned_identity_is_named_when_the_metadata_service_refuses() {
    let world = world().await;
    let claim = world.claim().without("clientID").set("useVMManagedIdentity", "true");
    // A node with several user-assigned identities and no system-assigned one.
    world.emulator.inject(Target::Imds, Fault::Status(400));
    let claim = claim.set("userAssignedIdentityId", USER);
    assert_names(&world, &claim, ("userAssignedIdentityId", "userAssignedIdentityID"), "metadata service")
        .await;
}

#[tokio::test]
async fn a_misspelt_parameter_is_named_whichever_step_fails() {
    let parameter = ("rotationMaxAgee", "rotationMaxAge");
    let claim = |world: &World| world.claim().set(parameter.0, "1h");
    // Planning fails.
    let fresh = world().await;
    assert_names(&fresh, &claim(&fresh).set("filePermission", "x").without("objects"), parameter, "objects")
        .await;
    // The identity is refused.
    let other_account = fresh.emulator.token("shop", "cart").build();
    assert_names(&fresh, &claim(&fresh).token(&other_account), parameter, "AADSTS700213").await;
    // The vault refuses.
    assert_names(
        &fresh,
        &claim(&fresh).objects(&objects(&["nowhere"])),
        parameter,
        "secret or version not found",
    )
    .await;
    // Rendering fails.
    let encoded = "- {objectName: database-password, objectType: secret, objectEncoding: hex}";
    assert_names(&fresh, &claim(&fresh).objects(encoded), parameter, "correct objectEncoding").await;
    // The deadline is exceeded.
    fresh.emulator.inject(Target::AllVaults, Fault::Hang);
    assert_names(&fresh, &claim(&fresh).set("tenantID", TENANT), parameter, "in time").await;
}

#[tokio::test]
async fn a_policys_denial_names_a_misspelt_parameter_too() {
    let emulator = Emulator::start(seed_with_applications()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, "rules: [{namespaces: [other], vaults: [other]}]\n").unwrap();
    let policy = format!("--policy-file={}", file.display());
    let provider = Provider::start(&emulator, folder.path(), &[&policy]);
    let world = World { emulator, provider, folder };
    let claim = world.claim().set("keyvaultname", "another");
    assert_names(&world, &claim, ("keyvaultname", "keyvaultName"), "rule").await;
}
