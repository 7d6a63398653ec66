//! Connections and bodies that break, as a client sees it.

use std::error::Error;
use std::io;
use std::time::Duration;

use keyvault_emulator::{BadCertificate, Fault, Target};
use reqwest::Response;

use crate::azure::{Azure, client, read, trusting};

const SECRET: &str = "/secrets/database-password";

/// All that an error says, from its face to its root.
fn described(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// `ECONNRESET`, as an error of the system's or, where a layer hides that, in its words.
fn is_reset(error: &(dyn Error + 'static)) -> bool {
    let mut chain = std::iter::successors(Some(error), |error| (*error).source());
    let kind = |error: &(dyn Error + 'static)| error.downcast_ref::<io::Error>().map(io::Error::kind);
    chain.any(|error| kind(error) == Some(io::ErrorKind::ConnectionReset))
        || described(error).contains("Connection reset by peer")
}

async fn get(azure: &Azure, token: &str) -> reqwest::Result<Response> {
    azure.get("mykeyvault", SECRET).bearer_auth(token).send().await
}

async fn both_protocols() -> [Azure; 2] {
    [Azure::start().await, Azure::start().await.with_http1()]
}

#[tokio::test]
async fn a_reset_is_told_by_tcp() {
    for azure in both_protocols().await {
        let token = azure.access_token().await;
        azure.emulator.inject(Target::AllVaults, Fault::Reset);
        let error = get(&azure, &token).await.unwrap_err();
        assert!(is_reset(&error) && !error.is_connect(), "{}", described(&error));
        azure.emulator.heal();
        assert_eq!(get(&azure, &token).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_reset_reaches_clients_of_the_direct_listener_and_of_the_metadata_service() {
    let azure = Azure::start().await;
    for target in [Target::Issuer, Target::Imds] {
        azure.emulator.inject(target, Fault::Reset);
    }
    let direct = trusting(&azure.emulator).build().unwrap();
    for url in [
        format!("https://{}/openid/v1/jwks", azure.emulator.address()),
        format!("http://{}/metadata/identity/oauth2/token", azure.emulator.imds_address()),
    ] {
        let error = direct.get(url).send().await.unwrap_err();
        assert!(is_reset(&error), "{}", described(&error));
    }
}

#[tokio::test]
async fn a_refused_connection_is_one_to_nobody() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    assert_eq!(get(&azure, &token).await.unwrap().status(), 200);
    azure.emulator.inject(Target::Vault("mykeyvault".to_owned()), Fault::Refuse);
    // The connection that is open breaks once it is used; no other can be had.
    while !get(&azure, &token).await.unwrap_err().is_connect() {}
    assert_eq!(read(azure.get("rbac-closed", SECRET).bearer_auth(&token)).await.0, 403);
    let handshakes = azure.emulator.connections();
    let fresh = client(&azure.emulator).get("https://mykeyvault.vault.azure.net/").send().await.unwrap_err();
    assert!(fresh.is_connect(), "{}", described(&fresh));
    assert_eq!(azure.emulator.connections(), handshakes);
}

#[tokio::test]
async fn a_direct_connection_is_refused_before_its_handshake() {
    let azure = Azure::start().await;
    for target in [Target::Issuer, Target::Imds] {
        azure.emulator.inject(target, Fault::Refuse);
    }
    let direct = trusting(&azure.emulator).build().unwrap();
    let error = direct.get(format!("https://{}/", azure.emulator.address())).send().await.unwrap_err();
    assert!(error.is_connect() && is_reset(&error), "{}", described(&error));
    assert!(direct.get(format!("http://{}/", azure.emulator.imds_address())).send().await.is_err());
    assert_eq!(azure.emulator.connections(), 0);
}

#[tokio::test]
async fn a_truncated_body_ends_before_its_length() {
    for azure in both_protocols().await {
        let token = azure.access_token().await;
        azure.emulator.inject(Target::AllVaults, Fault::Truncate);
        let answer = get(&azure, &token).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.content_length().unwrap() > 0);
        let error = answer.bytes().await.unwrap_err();
        assert!(error.is_body() || error.is_decode(), "{}", described(&error));
    }
}

#[tokio::test]
async fn a_wrong_length_is_less_than_the_body() {
    let [http2, http1] = both_protocols().await;
    for azure in [&http2, &http1] {
        azure.emulator.inject(Target::AllVaults, Fault::WrongLength);
    }
    let answer = get(&http1, &http1.access_token().await).await.unwrap();
    let declared = answer.content_length().unwrap();
    let body = answer.text().await.unwrap();
    assert_eq!(body.len() as u64, declared);
    assert!(serde_json::from_str::<serde_json::Value>(&body).is_err(), "{body}");
    // By HTTP/2 a body that is longer than it says is an error.
    let answer = get(&http2, &http2.access_token().await).await.unwrap();
    assert!(answer.bytes().await.is_err());
}

#[tokio::test]
async fn a_body_that_hangs_begins() {
    for azure in both_protocols().await {
        let token = azure.access_token().await;
        azure.emulator.inject(Target::AllVaults, Fault::HangInBody);
        let mut answer = get(&azure, &token).await.unwrap();
        assert_eq!(answer.status(), 200);
        let whole = answer.content_length().unwrap();
        let mut had = 0;
        let waiting = tokio::time::timeout(Duration::from_millis(200), async {
            while let Some(chunk) = answer.chunk().await.unwrap() {
                had += chunk.len() as u64;
            }
        });
        assert!(waiting.await.is_err(), "it came to an end");
        assert!(0 < had && had < whole, "{had} of {whole}");
    }
}

#[tokio::test]
async fn a_bad_certificate_is_refused_by_the_client_for_what_is_wrong_with_it() {
    for (bad, words) in [
        (BadCertificate::Expired, "expired"),
        (BadCertificate::SelfSigned, "UnknownIssuer"),
        (BadCertificate::OtherAuthority, "UnknownIssuer"),
        (BadCertificate::WrongName, "not valid for name"),
    ] {
        let azure = Azure::start().await;
        azure.emulator.inject(Target::Vault("mykeyvault".to_owned()), Fault::Certificate(bad));
        let error = azure.get("mykeyvault", SECRET).send().await.unwrap_err();
        assert!(error.is_connect(), "{bad:?}: {}", described(&error));
        let said = described(&error);
        assert!(said.contains(words) || bad_signature(bad, &said), "{bad:?}: {said}");
        // Others keep theirs.
        assert_eq!(azure.get("rbac-closed", SECRET).send().await.unwrap().status(), 401);
        azure.emulator.heal();
        assert_eq!(azure.get("mykeyvault", SECRET).send().await.unwrap().status(), 401);
    }
}

/// An authority of the same name and another key is found out by its signature.
fn bad_signature(bad: BadCertificate, said: &str) -> bool {
    bad == BadCertificate::OtherAuthority && said.contains("BadSignature")
}
