//! Recorded refusals of Key Vault and Entra.

use keyvault_emulator::{Identity, RequestKind, Secret, Seed, Vault};
use tonic::Code;
use url::Url;

use super::{claim, objects, recorded, world};
use crate::harness::{APP, World, files};

async fn refused(world: &World, objects: &str, code: Code, words: &[&str]) {
    let status = world.refused(&claim(world, objects)).await;
    assert_eq!(status.code(), code, "{status:?}");
    for word in words {
        assert!(status.message().contains(word), "{word:?} is missing from {status:?}");
    }
}

#[tokio::test]
async fn refusals_of_key_vault_have_their_codes_fixes_and_request_ids() {
    let names = ["secret-disabled", "secret-not-found", "key-not-found", "refusal-policy"];
    let world = world(&names.map(recorded), Vec::new()).await;
    for (name, code, words) in [
        ("secret-disabled", Code::NotFound, ["the secret is disabled", "--enabled true --name 955300954"]),
        ("secret-not-found", Code::NotFound, ["secret ShouldNotExist of tcac7e9c41ef52cec", "list-deleted"]),
        ("key-not-found", Code::NotFound, ["key 526083110 of pakrym-keyvault", "key or version not found"]),
        ("refusal-policy", Code::PermissionDenied, ["no access policy", "secret permission Get"]),
    ] {
        refused(&world, &objects(&[name]), code, &words).await;
        if let Some(id) = recorded(name).response.headers.get("x-ms-request-id") {
            refused(&world, &objects(&[name]), code, &[id]).await;
        }
    }
}

#[tokio::test]
async fn a_challenge_of_key_vault_is_answered_once_with_a_fresh_token() {
    let challenge = recorded("challenge");
    let vault = Vault::new("tcac7e9c41ef52cec").secret(Secret::new("ShouldNotExist", "it does"));
    let world = world(std::slice::from_ref(&challenge), vec![vault]).await;
    let words = ["rejects a fresh access token (401)", &challenge.response.headers["x-ms-request-id"]];
    refused(&world, &objects(&["challenge"]), Code::PermissionDenied, &words).await;
    assert_eq!(world.emulator.count(RequestKind::Challenge), 2);

    world.emulator.heal();
    world.emulator.inject_rule(challenge.rule().unwrap().times(1)).unwrap();
    world.emulator.clear_requests();
    let response = world.mount(&claim(&world, &objects(&["challenge"]))).await.unwrap();
    assert_eq!(files(&response), [("challenge", b"it does".as_slice())]);
    assert_eq!(world.emulator.count(RequestKind::Challenge), 1);
}

#[tokio::test]
async fn a_refusal_of_entra_has_its_code_and_fix_without_trace_ids() {
    let refusal = recorded("entra-wrong-secret");
    let url = Url::parse(&refusal.request.url).unwrap();
    let tenant = url.path_segments().unwrap().next().unwrap();
    let seed = Seed { tenant: tenant.to_owned(), ..Seed::default() }
        .identity(Identity::new("principal", APP).client_secret("right"))
        .vault(Vault::new("myKeyVault"));
    let world = World::with(seed, &[]).await;
    world.emulator.inject_rule(refusal.rule().unwrap()).unwrap();
    let mut claim = world.claim().set("tenantID", tenant).without("clientID");
    claim = claim.without("csi.storage.k8s.io/serviceAccount.tokens");
    claim.secrets = serde_json::json!({ "clientid": APP, "clientsecret": "wrong" }).to_string();
    let status = world.refused(&claim).await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    for words in ["AADSTS7000215", "Invalid client secret is provided.", "client secret's value, not its id"]
    {
        assert!(status.message().contains(words), "{words:?} is missing from {status:?}");
    }
    assert!(!status.message().contains("Trace ID") && !status.message().contains('\r'), "{status:?}");
}

#[tokio::test]
async fn a_certificate_without_an_exportable_key_is_refused_with_its_fix() {
    let name = "secret-pkcs12-not-exportable";
    let world = world(&[recorded(name)], Vec::new()).await;
    let words = ["secret 1903327845: it has no private key", "not exportable", "objectType: cert"];
    refused(&world, &objects(&[name]), Code::InvalidArgument, &words).await;
}
