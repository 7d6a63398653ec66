//! The ways in which a vault refuses.

use keyvault_emulator::RequestKind;
use serde_json::{Value, json};

use crate::azure::{Azure, TENANT, read};

#[tokio::test]
async fn a_request_without_a_token_is_told_where_to_get_which() {
    let azure = Azure::start().await;
    let answer = azure.get("mykeyvault", "/secrets/a").send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let challenge = format!(
        "Bearer authorization=\"https://login.microsoftonline.com/{TENANT}\", resource=\"https://vault.azure.net\""
    );
    assert_eq!(answer.headers()["www-authenticate"], challenge.as_str());
    let body: Value = answer.json().await.unwrap();
    let error =
        json!({"code": "Unauthorized", "message": "AKV10000: Request is missing a Bearer or PoP token."});
    assert_eq!(body["error"], error);
    assert_eq!(azure.emulator.count(RequestKind::Challenge), 1);
    assert_eq!(azure.emulator.count(RequestKind::Secret), 0);
    assert!(!azure.emulator.requests()[0].authenticated);
}

#[tokio::test]
async fn a_challenge_names_the_authority_and_resource_of_the_vaults_own_cloud() {
    let azure = Azure::start().await;
    for (host, authority, resource) in [
        ("mykeyvault.vault.usgovcloudapi.net", "login.microsoftonline.us", "vault.usgovcloudapi.net"),
        ("mykeyvault.vault.azure.cn", "login.chinacloudapi.cn", "vault.azure.cn"),
        ("mykeyvault.vault.stack.test", "login.stack.test", "vault.stack.test"),
    ] {
        let answer = azure.client.get(format!("https://{host}/secrets/a")).send().await.unwrap();
        let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.contains(&format!("https://{authority}/{TENANT}\"")), "{challenge}");
        assert!(challenge.contains(&format!("resource=\"https://{resource}\"")), "{challenge}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_here_is_challenged_again() {
    let azure = Azure::start().await;
    let made_up = azure.get("mykeyvault", "/secrets/a").bearer_auth("made-up");
    let (status, body) = read(made_up).await;
    assert_eq!(status, 401);
    assert!(body["error"]["message"].as_str().unwrap().starts_with("AKV"), "{body}");

    let token = azure.access_token().await;
    let elsewhere = azure.client.get("https://mykeyvault.vault.azure.cn/secrets/a?api-version=7.5");
    let (status, body) = read(elsewhere.bearer_auth(&token)).await;
    assert_eq!(status, 401);
    assert!(body["error"]["message"].as_str().unwrap().starts_with("AKV10022"), "{body}");

    azure.emulator.revoke_access_tokens();
    let revoked = azure.get("mykeyvault", "/secrets/database-password").bearer_auth(&token);
    assert_eq!(read(revoked).await.0, 401);
    assert_eq!(azure.emulator.count(RequestKind::Challenge), 3);
}

#[tokio::test]
async fn every_kind_of_no_has_its_own_inner_error() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    for (vault, secret, inner, words) in [
        (
            "rbac-closed",
            "a",
            "ForbiddenByRbac",
            "Caller is not authorized to perform action on resource.\r\n",
        ),
        ("policy-closed", "a", "ForbiddenByPolicy", "does not have secrets get permission on key vault"),
        ("firewalled", "a", "ForbiddenByFirewall", "Client address is not authorized"),
        ("private-only", "a", "ForbiddenByConnection", "Public network access is disabled"),
        ("mykeyvault", "turned-off", "SecretDisabled", "Operation get is not allowed on a disabled secret."),
    ] {
        let (status, body) = read(azure.get(vault, &format!("/secrets/{secret}")).bearer_auth(&token)).await;
        assert_eq!(status, 403, "{body}");
        assert_eq!(body["error"]["code"], "Forbidden");
        assert_eq!(body["error"]["innererror"]["code"], inner);
        assert!(body["error"]["message"].as_str().unwrap().contains(words), "{body}");
    }
}

#[tokio::test]
async fn what_is_missing_or_malformed_is_said_so() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    let absent = "ffffffffffffffffffffffffffffffff";
    for (path, status, code) in [
        ("/secrets/absent".to_owned(), 404, "SecretNotFound"),
        (format!("/secrets/database-password/{absent}"), 404, "SecretNotFound"),
        ("/secrets/absent/versions".to_owned(), 404, "SecretNotFound"),
        ("/secrets/under_score".to_owned(), 400, "BadParameter"),
        ("/secrets/database-password/1".to_owned(), 400, "BadParameter"),
        ("/rotations".to_owned(), 404, "NotFound"),
    ] {
        let (got, body) = read(azure.get("mykeyvault", &path).bearer_auth(&token)).await;
        assert_eq!((got, body["error"]["code"].as_str().unwrap()), (status, code), "{path}");
    }
    let unversioned = azure.client.get("https://mykeyvault.vault.azure.net/secrets/database-password");
    assert_eq!(read(unversioned.bearer_auth(&token)).await.0, 400);
}
