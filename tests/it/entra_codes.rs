//! Codes of Entra, as they reach the pod's event.

use keyvault_emulator::RequestKind;
use serde_json::json;
use tonic::{Code, Status};

use crate::forced::token_answer;
use crate::harness::{APP, Claim, World};

const CLIENT_SECRET: &str = "a-client-secret-value";

/// Has Entra answer every token request with this code.
fn force(world: &World, code: u32, status: u16, error: &str) {
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{code}: In Entra's own words. Trace ID: 7bf2"),
        "error_codes": [code],
    });
    token_answer(&world.emulator, status, "application/json", &body.to_string());
}

fn secret_login(world: &World) -> Claim {
    let mut claim = world.claim().without("clientID").without("csi.storage.k8s.io/serviceAccount.tokens");
    claim.secrets = json!({ "clientid": APP, "clientsecret": CLIENT_SECRET }).to_string();
    claim
}

/// The error of a mount, before the caller's deadline.
async fn refused(world: &World, claim: &Claim) -> Status {
    let claim = claim.clone().timeout(std::time::Duration::from_secs(2));
    world.refused(&claim).await
}

fn says(status: &Status, code: Code, words: &[&str], absent: &[&str]) {
    assert_eq!(status.code(), code, "{status:?}");
    for word in words {
        assert!(status.message().contains(word), "{word:?} is not in {status:?}");
    }
    for word in absent {
        assert!(!status.message().contains(word), "{word:?} is in {status:?}");
    }
}

/// What sends a reader to the credential.
const CREDENTIAL: [&str; 4] = ["federated", "credential list", "nodePublishSecretRef", "client secret"];

#[tokio::test]
async fn each_code_that_entra_gives_to_a_client_has_its_own_fix_in_the_event() {
    let world = World::start(&[]).await;
    let create = format!("az ad sp create --id {APP}");
    for (code, status, error, fix) in [
        (900_382, 400, "invalid_request", "set cloudName to the vault's cloud"),
        (7_000_229, 401, "unauthorized_client", create.as_str()),
        (7_000_112, 401, "unauthorized_client", "is disabled: enable sign-in"),
        (53003, 400, "access_denied", "Conditional Access policy of tenant"),
        (500_021, 400, "invalid_request", "a proxy between the node and Entra allows only some tenants"),
        (501_051, 400, "invalid_grant", "requires an assignment"),
        (700_025, 401, "invalid_client", "public client"),
        (9_002_313, 400, "invalid_request", "malformed"),
    ] {
        force(&world, code, status, error);
        for claim in [world.claim(), secret_login(&world)] {
            let refusal = refused(&world, &claim).await;
            let number = format!("AADSTS{code}: In Entra's own words.");
            says(&refusal, Code::Unauthenticated, &[number.as_str(), fix], &CREDENTIAL);
            assert!(!refusal.message().contains(CLIENT_SECRET), "{refusal:?}");
        }
    }
}

#[tokio::test]
async fn a_token_that_entra_itself_issued_is_refused_with_the_clusters_issuer_as_the_fix() {
    let world = World::start(&[]).await;
    force(&world, 700_222, 401, "invalid_client");
    let refusal = refused(&world, &world.claim()).await;
    says(&refusal, Code::Unauthenticated, &["the cluster needs an issuer of its own"], &["az identity"]);
}

#[tokio::test]
async fn codes_of_one_kind_of_login_are_not_explained_with_another() {
    let world = World::start(&[]).await;
    for code in [70021, 700_211, 700_222] {
        force(&world, code, 401, "invalid_client");
        says(&refused(&world, &secret_login(&world)).await, Code::Unauthenticated, &["AADSTS"], &["federat"]);
    }
    for code in [7_000_215, 7_000_222] {
        force(&world, code, 401, "invalid_client");
        let refusal = refused(&world, &world.claim()).await;
        says(&refusal, Code::Unauthenticated, &["AADSTS"], &["nodePublishSecretRef", "client secret"]);
    }
}

#[tokio::test]
async fn a_code_that_is_not_known_gets_no_guess() {
    let world = World::start(&[]).await;
    force(&world, 999_999_999, 400, "invalid_grant");
    for claim in [world.claim(), secret_login(&world)] {
        let words = ["AADSTS999999999", "https://login.microsoftonline.com/error?code=999999999"];
        says(&refused(&world, &claim).await, Code::Unauthenticated, &words, &CREDENTIAL);
    }
}

#[tokio::test]
async fn a_passing_fault_of_entra_is_tried_again_and_is_no_matter_of_the_network() {
    let world = World::start(&[]).await;
    for (code, status) in [(90033, 503), (90033, 400), (90012, 408), (50196, 400), (90055, 429)] {
        force(&world, code, status, "temporarily_unavailable");
        world.emulator.clear_requests();
        let refusal = refused(&world, &world.claim()).await;
        let number = format!("AADSTS{code}");
        let words = [
            "Entra at login.microsoftonline.com fails temporarily:",
            number.as_str(),
            "kubelet will retry the mount",
        ];
        says(&refusal, Code::Internal, &words, &["DNS", "trusted CAs", "federated"]);
        assert!(world.emulator.count(RequestKind::Token) > 1, "AADSTS{code} is not tried again");
    }
    world.emulator.heal();
    world.mount(&world.claim()).await.unwrap();
}

#[tokio::test]
async fn a_code_in_the_description_alone_is_read_too() {
    let world = World::start(&[]).await;
    let body = r#"{"error":"invalid_request","error_description":"AADSTS900382: No."}"#;
    token_answer(&world.emulator, 400, "application/json", body);
    says(&refused(&world, &world.claim()).await, Code::Unauthenticated, &["set cloudName"], &CREDENTIAL);
}
