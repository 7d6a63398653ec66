//! Azure fails, is slow, or returns malformed answers: the mount fails with a final code before the caller's
//! deadline, and names the service.

use std::time::{Duration, Instant};

use keyvault_emulator::{BadCertificate, Fault, RequestKind, Target};
use tonic::Code;

use crate::harness::World;

/// Runs a mount that must fail before its caller's deadline, and name `culprit`.
async fn fails_in_time(world: &World, culprit: &str) -> String {
    let patience = Duration::from_secs(6);
    let start = Instant::now();
    let status = world.refused(&world.claim().timeout(patience)).await;
    // After the deadline, the code would be the caller's own, and not a final one.
    assert!(start.elapsed() < patience);
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    assert!(status.message().contains(culprit), "{culprit} is not in {status:?}");
    status.message().to_owned()
}

#[tokio::test]
async fn a_failing_vault_is_named() {
    for (fault, word) in [
        (Fault::Status(500), "HTTP status 500"),
        (Fault::Gateway(503), "HTTP status 503"),
        (Fault::Garbage, "is malformed"),
        (Fault::Hang, "did not answer in time"),
        (Fault::HangInBody, "did not answer in time"),
        (Fault::Truncate, "cannot be reached"),
        (Fault::WrongLength, "cannot be reached"),
        (Fault::Disconnect, "cannot be reached"),
        (Fault::Reset, "cannot be reached"),
        (Fault::Refuse, "cannot be reached"),
        (Fault::Throttle { retry_after: None }, "429"),
        (Fault::Throttle { retry_after: Some(Duration::from_mins(1)) }, "429"),
    ] {
        let world = World::start(&[]).await;
        let fault_name = format!("{fault:?}");
        world.emulator.inject(Target::AllVaults, fault);
        let message = fails_in_time(&world, "Key Vault").await;
        assert!(message.contains(word), "{fault_name}: {message}");
    }
}

#[tokio::test]
async fn a_failing_entra_is_named() {
    let world = World::start(&[]).await;
    let unreachable = "Entra at login.microsoftonline.com is unreachable";
    let intercepted = "the answer did not come from Entra at login.microsoftonline.com";
    for (fault, culprit) in [
        (Fault::Status(500), "Entra at login.microsoftonline.com fails temporarily"),
        (Fault::Gateway(502), intercepted),
        (Fault::Garbage, intercepted),
        (Fault::Hang, unreachable),
        (Fault::HangInBody, unreachable),
        (Fault::Truncate, unreachable),
        (Fault::WrongLength, unreachable),
        (Fault::Disconnect, unreachable),
        (Fault::Reset, unreachable),
        (Fault::Refuse, unreachable),
    ] {
        world.emulator.inject(Target::Entra, fault);
        let message = fails_in_time(&world, culprit).await;
        assert!(!message.contains("Key Vault"), "{message}");
        world.emulator.heal();
    }
    world.mount(&world.claim()).await.unwrap();
}

#[tokio::test]
async fn a_vault_with_a_bad_certificate_is_not_trusted() {
    for bad in [BadCertificate::Expired, BadCertificate::OtherAuthority, BadCertificate::WrongName] {
        let world = World::start(&[]).await;
        world.emulator.inject(Target::AllVaults, Fault::Certificate(bad));
        fails_in_time(&world, "Key Vault cannot be reached").await;
        assert_eq!(world.emulator.count(RequestKind::Secret), 0);
    }
}

#[tokio::test]
async fn transient_faults_are_retried() {
    let world = World::start(&[]).await;
    world.mount(&world.claim()).await.unwrap();
    world.emulator.clear_requests();
    world.emulator.inject(Target::AllVaults, Fault::Status(503));
    let claim = world.claim();
    let mounting = world.mount(&claim);
    let healing = async {
        // Only the first answer is the fault.
        while world.emulator.count(RequestKind::Secret) == 0 {
            tokio::task::yield_now().await;
        }
        world.emulator.heal();
    };
    let (mounted, ()) = tokio::join!(mounting, healing);
    mounted.unwrap();
    assert!(world.emulator.count(RequestKind::Secret) >= 2);
}

#[tokio::test]
async fn a_vault_whose_name_does_not_exist_is_named() {
    let world = World::start(&[]).await;
    let claim = world.claim().set("keyvaultName", "no-such-vault").timeout(Duration::from_secs(2));
    let status = world.refused(&claim).await;
    assert_eq!(status.code(), Code::Internal);
    assert!(
        status.message().contains("no-such-vault.vault.azure.net: Key Vault cannot be reached"),
        "{status:?}"
    );
}

#[tokio::test]
async fn a_running_mount_survives_a_caller_that_disconnects() {
    let world = World::start(&[]).await;
    world.emulator.inject(Target::AllVaults, Fault::Hang);
    let claim = world.claim();
    tokio::select! {
        biased;
        answer = world.mount(&claim) => panic!("{answer:?}"),
        () = async {
            while world.emulator.requests().is_empty() {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    world.emulator.heal();
    world.mount(&claim).await.unwrap();
}
