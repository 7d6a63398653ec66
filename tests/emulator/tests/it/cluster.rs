//! The service account issuer.

use keyvault_emulator::RequestKind;
use serde_json::{Value, json};

use crate::azure::{Azure, read};

const TOKEN: &str = "https://oidc.emulator.test/api/v1/namespaces/team/serviceaccounts/app/token";

fn claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap()
}

#[tokio::test]
async fn discovery_names_the_issuer_and_leads_to_its_keys() {
    let azure = Azure::start().await;
    let url = format!("{}.well-known/openid-configuration", azure.emulator.issuer());
    let (_, configuration) = read(azure.client.get(url)).await;
    assert_eq!(configuration["issuer"], azure.emulator.issuer());
    let (_, keys) = read(azure.client.get(configuration["jwks_uri"].as_str().unwrap())).await;
    assert_eq!(keys.to_string(), azure.emulator.jwks());
    let key = &keys["keys"][0];
    assert_eq!((&key["kty"], &key["alg"], &key["use"]), (&json!("RSA"), &json!("RS256"), &json!("sig")));
    let header = jsonwebtoken::decode_header(azure.service_account().build()).unwrap();
    assert_eq!(key["kid"], json!(header.kid));
    assert_eq!(azure.emulator.count(RequestKind::Jwks), 1);
}

#[tokio::test]
async fn a_token_request_is_answered_as_kubernetes_answers_it() {
    let azure = Azure::start().await;
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": ["api://AzureADTokenExchange"],
            "expirationSeconds": 900,
            "boundObjectRef": {"kind": "Pod", "name": "pod-1", "uid": "uid-1"},
        },
    });
    let (status, answer) = read(azure.client.post(TOKEN).json(&request)).await;
    assert_eq!(status, 201);
    assert_eq!(answer["kind"], "TokenRequest");
    let claims = claims(answer["status"]["token"].as_str().unwrap());
    assert_eq!(claims["sub"], "system:serviceaccount:team:app");
    assert_eq!(claims["kubernetes.io"]["pod"], json!({"name": "pod-1", "uid": "uid-1"}));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
    assert!(answer["status"]["expirationTimestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_token_request_that_kubernetes_would_refuse_is_refused() {
    let azure = Azure::start().await;
    for (body, status) in [
        (json!({"kind": "TokenRequest"}), 400),
        (json!({"spec": {"expirationSeconds": 60}}), 422),
        (json!({"spec": {"boundObjectRef": {"kind": "Node"}}}), 422),
    ] {
        let (got, answer) = read(azure.client.post(TOKEN).json(&body)).await;
        assert_eq!(got, status);
        assert_eq!(answer["kind"], "Status");
    }
    let absent = azure.client.get("https://oidc.emulator.test/api/v1/pods");
    assert_eq!(read(absent).await.0, 404);
}
