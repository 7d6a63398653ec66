//! The Kubernetes API server's service accounts.

use keyvault_emulator::{Fault, RequestKind, ServiceAccount, Target};
use reqwest::RequestBuilder;
use serde_json::json;

use crate::azure::{Azure, read};

const SEED: &str = "
serviceAccounts:
  - namespace: team
    name: app
    annotations: {azure.workload.identity/client-id: 11111111-1111-4111-8111-111111111111}
  - {namespace: team, name: plain}
";

fn ask(azure: &Azure, name: &str) -> RequestBuilder {
    let address = azure.emulator.address();
    azure.client.get(format!("https://{address}/api/v1/namespaces/team/serviceaccounts/{name}"))
}

/// A token of the provider's own service account, for the cluster.
fn own(azure: &Azure) -> String {
    azure.emulator.token("kube-system", "provider").audience(azure.emulator.issuer()).build()
}

#[tokio::test]
async fn a_service_account_is_read_with_its_annotations() {
    let azure = Azure::seeded(SEED).await;
    let token = own(&azure);
    let (status, account) = read(ask(&azure, "app").bearer_auth(&token)).await;
    assert_eq!(
        (status, &account["kind"], &account["apiVersion"]),
        (200, &json!("ServiceAccount"), &json!("v1"))
    );
    let metadata = &account["metadata"];
    assert_eq!((&metadata["name"], &metadata["namespace"]), (&json!("app"), &json!("team")));
    let annotations = json!({"azure.workload.identity/client-id": "11111111-1111-4111-8111-111111111111"});
    assert_eq!(metadata["annotations"], annotations);
    assert!(metadata["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    let claims: serde_json::Value =
        jsonwebtoken::dangerous::insecure_decode_claims(azure.emulator.token("team", "app").build()).unwrap();
    assert_eq!(metadata["uid"], claims["kubernetes.io"]["serviceaccount"]["uid"]);

    let (_, plain) = read(ask(&azure, "plain").bearer_auth(&token)).await;
    assert!(plain["metadata"].get("annotations").is_none());
    assert_eq!(azure.emulator.count(RequestKind::ServiceAccount), 2);
}

#[tokio::test]
async fn a_service_account_that_a_test_writes_is_read_as_it_is_then() {
    let azure = Azure::seeded(SEED).await;
    let token = own(&azure);
    for value in ["one", "two"] {
        azure.emulator.set_service_account(ServiceAccount::new("team", "fresh").annotation("a", value));
        let (_, account) = read(ask(&azure, "fresh").bearer_auth(&token)).await;
        assert_eq!(account["metadata"]["annotations"], json!({"a": value}));
    }
}

#[tokio::test]
async fn the_api_server_refuses_whoever_it_does_not_know() {
    let azure = Azure::seeded(SEED).await;
    let token = || azure.emulator.token("kube-system", "provider").audience(azure.emulator.issuer());
    let (status, body) = read(ask(&azure, "app")).await;
    assert_eq!((status, &body["kind"], &body["reason"]), (401, &json!("Status"), &json!("Unauthorized")));
    for wrong in [
        "made-up".to_owned(),
        token().forged().build(),
        token().expires_in(-1).build(),
        azure.emulator.token("kube-system", "provider").build(),
    ] {
        assert_eq!(read(ask(&azure, "app").bearer_auth(wrong)).await.0, 401);
    }
}

#[tokio::test]
async fn missing_and_forbidden_accounts_are_told_apart_as_the_api_server_does() {
    let azure = Azure::seeded(SEED).await;
    let token = own(&azure);
    let (status, absent) = read(ask(&azure, "absent").bearer_auth(&token)).await;
    assert_eq!((status, &absent["reason"]), (404, &json!("NotFound")));
    assert_eq!(absent["message"], "serviceaccounts \"absent\" not found");

    azure.emulator.inject(Target::ApiServer, Fault::Status(403));
    let (status, forbidden) = read(ask(&azure, "app").bearer_auth(&token)).await;
    assert_eq!((status, &forbidden["reason"]), (403, &json!("Forbidden")));
    let message = "serviceaccounts \"app\" is forbidden: User \"system:serviceaccount:kube-system:provider\" \
                   cannot get resource \"serviceaccounts\" in API group \"\" in the namespace \"team\"";
    assert_eq!(forbidden["message"], message);
    azure.emulator.inject(Target::ApiServer, Fault::Status(503));
    assert_eq!(read(ask(&azure, "app").bearer_auth(&token)).await.0, 503);
    // The issuer is another's to spoil.
    assert_eq!(read(azure.client.get("https://oidc.emulator.test/openid/v1/jwks")).await.0, 200);
}
