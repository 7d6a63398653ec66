//! Secrets: reading, listing, writing.

use keyvault_emulator::{RequestKind, SecretPermission};
use reqwest::Method;
use serde_json::{Value, json};

use crate::azure::{APP, Azure, OLD_VERSION, read};

#[tokio::test]
async fn a_service_account_token_becomes_a_secret() {
    let azure = Azure::start().await;
    let url = "https://oidc.emulator.test/api/v1/namespaces/default/serviceaccounts/app/token";
    let request = json!({"spec": {"audiences": ["api://AzureADTokenExchange"]}});
    let (status, answer) = read(azure.client.post(url).json(&request)).await;
    assert_eq!(status, 201);
    let assertion = answer["status"]["token"].as_str().unwrap();
    let token: Value = azure.exchange(assertion).await.json().await.unwrap();
    let token = token["access_token"].as_str().unwrap();

    let (status, bundle) =
        read(azure.get("MyKeyVault", "/secrets/database-password").bearer_auth(token)).await;
    assert_eq!(status, 200);
    assert_eq!(bundle["value"], "hunter2");
    assert_eq!(bundle["contentType"], "text/plain");
    assert_eq!(bundle["tags"], json!({"owner": "team"}));
    assert_eq!(bundle["attributes"]["enabled"], true);
    assert_eq!(bundle["attributes"]["recoveryLevel"], "Recoverable+Purgeable");
    let id = bundle["id"].as_str().unwrap();
    assert!(id.starts_with("https://mykeyvault.vault.azure.net/secrets/database-password/"), "{id}");
    for (kind, count) in [
        (RequestKind::TokenRequest, 1),
        (RequestKind::Token, 1),
        (RequestKind::Secret, 1),
        (RequestKind::Challenge, 0),
    ] {
        assert_eq!(azure.emulator.count(kind), count, "{kind:?}");
    }
}

#[tokio::test]
async fn every_answer_of_a_vault_can_be_traced() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    let get = |path: &str| azure.get("mykeyvault", path).header("x-ms-client-request-id", "mine");
    for request in [get("/secrets/a"), get("/secrets/absent").bearer_auth(&token)] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["x-ms-request-id"].len(), 36);
        assert_eq!(answer.headers()["x-ms-client-request-id"], "mine");
        assert!(answer.headers().contains_key("x-ms-keyvault-region"));
        assert!(answer.headers().contains_key("x-ms-keyvault-service-version"));
    }
}

#[tokio::test]
async fn a_version_is_read_by_its_id_and_the_newest_without_one() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    for (path, value) in [
        ("/secrets/with-history", "two"),
        ("/secrets/with-history/", "two"),
        ("/secrets/WITH-history", "two"),
        (&format!("/secrets/with-history/{OLD_VERSION}"), "one"),
    ] {
        let (status, bundle) = read(azure.get("mykeyvault", path).bearer_auth(&token)).await;
        assert_eq!((status, bundle["value"].as_str().unwrap()), (200, value), "{path}");
    }
}

#[tokio::test]
async fn a_secret_behind_a_certificate_names_its_key() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    let (_, bundle) = read(azure.get("mykeyvault", "/secrets/web-tls").bearer_auth(&token)).await;
    assert_eq!(bundle["managed"], true);
    let key = bundle["id"].as_str().unwrap().replace("/secrets/", "/keys/");
    assert_eq!(bundle["kid"], key);
}

#[tokio::test]
async fn lists_come_in_pages_that_lead_to_all_of_them() {
    let azure = Azure::start().await;
    for number in 0..60 {
        azure.emulator.set_secret("mykeyvault", &format!("many-{number}"), "x").unwrap();
    }
    let token = azure.access_token().await;
    let (mut names, mut sizes) = (Vec::new(), Vec::new());
    let mut next = Some("https://mykeyvault.vault.azure.net/secrets?api-version=7.5".to_owned());
    while let Some(url) = next {
        let (status, page) = read(azure.client.get(url).bearer_auth(&token)).await;
        assert_eq!(status, 200);
        let items = page["value"].as_array().unwrap();
        assert!(items.iter().all(|item| item.get("value").is_none()));
        sizes.push(items.len());
        names.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        next = page["nextLink"].as_str().map(str::to_owned);
    }
    names.sort();
    names.dedup();
    assert_eq!((sizes, names.len()), (vec![25, 25, 14], 64));
    assert_eq!(azure.emulator.count(RequestKind::SecretList), 3);
}

#[tokio::test]
async fn versions_are_listed_without_values_and_in_pages_as_small_as_asked() {
    let azure = Azure::start().await;
    let newest = azure.emulator.set_secret("mykeyvault", "with-history", "three").unwrap();
    let token = azure.access_token().await;
    let path = "/secrets/with-history/versions";
    let page = azure.get("mykeyvault", path).query(&[("maxresults", "2")]).bearer_auth(&token);
    let (_, first) = read(page).await;
    assert_eq!(first["value"].as_array().unwrap().len(), 2);
    let next = azure.client.get(first["nextLink"].as_str().unwrap()).bearer_auth(&token);
    let (_, second) = read(next).await;
    assert_eq!(second["nextLink"], Value::Null);
    let items: Vec<&Value> =
        [&first, &second].iter().flat_map(|page| page["value"].as_array().unwrap()).collect();
    assert_eq!(items.len(), 3);
    let latest = items.iter().max_by_key(|item| item["attributes"]["created"].as_i64()).unwrap();
    assert!(latest["id"].as_str().unwrap().ends_with(&newest), "{latest}");
    let too_many = azure.get("mykeyvault", path).query(&[("maxresults", "26")]).bearer_auth(&token);
    assert_eq!(read(too_many).await.0, 400);
    assert_eq!(azure.emulator.count(RequestKind::SecretVersions), 3);
}

#[tokio::test]
async fn a_secret_is_written_by_whoever_may() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    let body = json!({"value": "new", "contentType": "text/plain", "attributes": {"exp": 2_000_000_000}});
    let put = |vault: &str, body: &Value| {
        let url = format!("https://{vault}.vault.azure.net/secrets/fresh?api-version=7.5");
        read(azure.client.request(Method::PUT, url).bearer_auth(&token).json(body))
    };
    let (status, bundle) = put("mykeyvault", &body).await;
    assert_eq!((status, bundle["attributes"]["exp"].as_i64()), (200, Some(2_000_000_000)));
    let (_, read_back) = read(azure.get("mykeyvault", "/secrets/fresh").bearer_auth(&token)).await;
    assert_eq!(read_back, bundle);
    assert_eq!(put("mykeyvault", &json!({"secret": "x"})).await.0, 400);

    azure.emulator.set_access("myKeyVault", APP, &[SecretPermission::Get]).unwrap();
    let (status, refused) = put("mykeyvault", &body).await;
    assert_eq!(status, 403);
    assert!(refused["error"]["message"].as_str().unwrap().contains("setSecret/action"));
    assert_eq!(azure.emulator.count(RequestKind::SecretSet), 3);
}

#[tokio::test]
async fn a_test_changes_secrets_while_the_vault_serves_them() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    let status =
        || async { read(azure.get("mykeyvault", "/secrets/database-password").bearer_auth(&token)).await.0 };
    azure.emulator.set_enabled("mykeyvault", "database-password", false).unwrap();
    assert_eq!(status().await, 403);
    azure.emulator.set_enabled("mykeyvault", "database-password", true).unwrap();
    assert_eq!(status().await, 200);
    azure.emulator.delete_secret("mykeyvault", "Database-Password").unwrap();
    assert_eq!(status().await, 404);
    assert!(azure.emulator.delete_secret("mykeyvault", "database-password").is_err());
    assert!(azure.emulator.set_enabled("elsewhere", "a", true).is_err());
    assert!(azure.emulator.set_secret("elsewhere", "a", "x").is_err());
    assert!(azure.emulator.set_secret("mykeyvault", "under_score", "x").is_err());
    assert!(azure.emulator.set_access("mykeyvault", "missing", &[]).is_err());
}
