//! A proxy or a firewall answers instead of a service: the form of the answer decides who answered, before
//! its status is interpreted.

use std::time::Duration;

use keyvault_emulator::{Emulator, Fault, Target};
use tonic::Code;

use crate::forced::{answer, token_answer};
use crate::harness::{Provider, World, seed};

/// Statuses of such pages. 302 is from a sign-in page, 407 from a proxy.
const STATUSES: [u16; 10] = [302, 400, 401, 403, 404, 407, 418, 429, 502, 503];

const PAGE: &str = "<html><body><h1>This site is blocked</h1></body></html>";

#[tokio::test]
async fn a_page_instead_of_key_vaults_answer_is_attributed_to_a_proxy_or_firewall() {
    for status in STATUSES {
        let world = World::start(&[]).await;
        let request = ("GET", "https://mykeyvault.vault.azure.net/secrets/database-password/");
        answer(&world.emulator, request, status, &[("content-type", "text/html")], PAGE);
        let refusal = world.refused(&world.claim().timeout(Duration::from_secs(2))).await;
        assert_eq!(refusal.code(), Code::Internal, "{status}: {refusal:?}");
        let status = format!("HTTP status {status}");
        for words in [
            "the answer did not come from Key Vault",
            status.as_str(),
            "an HTML page",
            "a proxy or firewall may have answered",
            "let the node reach mykeyvault.vault.azure.net",
        ] {
            assert!(refusal.message().contains(words), "{words:?} is missing from {refusal:?}");
        }
        assert!(!refusal.message().contains("Key Vault fails"), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_page_instead_of_entras_answer_is_attributed_to_a_proxy_or_firewall() {
    for status in STATUSES {
        let world = World::start(&[]).await;
        token_answer(&world.emulator, status, "text/html", PAGE);
        let refusal = world.refused(&world.claim().timeout(Duration::from_secs(2))).await;
        assert_eq!(refusal.code(), Code::Internal, "{status}: {refusal:?}");
        let status = format!("HTTP status {status}");
        for words in [
            "the answer did not come from Entra at login.microsoftonline.com",
            status.as_str(),
            "an HTML page",
            "a proxy or firewall may have answered",
            "let the node reach login.microsoftonline.com",
        ] {
            assert!(refusal.message().contains(words), "{words:?} is missing from {refusal:?}");
        }
        assert!(!refusal.message().contains("DNS"), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_page_instead_of_the_metadata_services_answer_is_attributed_to_another_server() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let imds = format!("--imds-endpoint=http://{}/", emulator.imds_address());
    let provider = Provider::start(&emulator, folder.path(), &[&imds]);
    let world = World { emulator, provider, folder };
    world.emulator.inject(Target::Imds, Fault::Gateway(403));
    let claim = world.claim().without("clientID").set("useVMManagedIdentity", "true");
    let refusal = world.refused(&claim.timeout(Duration::from_secs(2))).await;
    assert_eq!(refusal.code(), Code::Internal, "{refusal:?}");
    let words = "the answer did not come from the node's metadata service";
    assert!(refusal.message().contains(words), "{refusal:?}");
}
