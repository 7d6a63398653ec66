//! Token exchange and discovery.

use std::time::Duration;

use keyvault_emulator::{Emulator, FederatedCredential, Options, RequestKind, Seed};
use serde_json::Value;

use crate::azure::{APP, Azure, JWT_BEARER, OTHER_APP, TENANT, VAULT_SCOPE, refused};

fn refusal(status: u16, error: &str, code: u64) -> (u16, String, u64) {
    (status, error.to_owned(), code)
}

#[tokio::test]
async fn a_correct_assertion_gets_a_bearer_token() {
    let azure = Azure::start().await;
    let answer = azure.exchange(&azure.service_account().build()).await;
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 3599);
    assert_eq!(body["ext_expires_in"], 3599);
    assert!(!body["access_token"].as_str().unwrap().is_empty());
    assert_eq!(azure.emulator.count(RequestKind::Token), 1);
}

#[tokio::test]
async fn every_wrong_assertion_is_refused_with_the_code_that_entra_has_for_it() {
    let azure = Azure::start().await;
    let good = azure.service_account();
    let unauthorized = |code| refusal(401, "invalid_client", code);
    for (assertion, expected) in [
        ("no token".to_owned(), refusal(400, "invalid_request", 50027)),
        (good.clone().unsigned().build(), refusal(400, "invalid_request", 50027)),
        (good.clone().issuer("https://elsewhere.test/").build(), unauthorized(700_211)),
        (good.clone().subject("system:serviceaccount:default:App").build(), unauthorized(700_213)),
        (good.clone().audience("api://AKSIdentityBinding").build(), unauthorized(700_212)),
        (good.clone().kid("unheard-of").build(), unauthorized(7_000_272)),
        (good.clone().forged().build(), unauthorized(700_027)),
        (good.clone().expires_in(-1).build(), unauthorized(700_024)),
        (good.clone().not_before_in(60).build(), unauthorized(700_024)),
    ] {
        assert_eq!(refused(azure.exchange(&assertion).await).await, expected);
    }
}

#[tokio::test]
async fn a_wrong_tenant_client_or_resource_is_refused_with_the_code_that_entra_has_for_it() {
    let azure = Azure::start().await;
    let assertion = azure.service_account().build();
    let tenant = azure.exchange_as(APP, "elsewhere", VAULT_SCOPE, &assertion).await;
    assert_eq!(refused(tenant).await, refusal(400, "invalid_request", 90002));
    let client = azure.exchange_as("unregistered", TENANT, VAULT_SCOPE, &assertion).await;
    assert_eq!(refused(client).await, refusal(400, "unauthorized_client", 700_016));
    let other = azure.exchange_as(OTHER_APP, TENANT, VAULT_SCOPE, &assertion).await;
    assert_eq!(refused(other).await, refusal(401, "invalid_client", 700_211));
    let graph = "https://graph.microsoft.com/.default";
    let resource = azure.exchange_as(APP, TENANT, graph, &assertion).await;
    assert_eq!(refused(resource).await, refusal(400, "invalid_resource", 500_011));
    let scope = azure.exchange_as(APP, TENANT, "https://vault.azure.net", &assertion).await;
    assert_eq!(refused(scope).await, refusal(400, "invalid_scope", 1_002_012));
}

#[tokio::test]
async fn a_form_without_its_fields_is_refused() {
    let azure = Azure::start().await;
    let url = format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token");
    let ask = |form: Vec<(&'static str, &'static str)>| azure.client.post(&url).form(&form).send();
    let grant = ("grant_type", "client_credentials");
    let missing = ask(vec![grant]).await.unwrap();
    assert_eq!(refused(missing).await, refusal(400, "invalid_request", 900_144));
    let password = ask(vec![("grant_type", "password")]).await.unwrap();
    assert_eq!(refused(password).await, refusal(400, "unsupported_grant_type", 70003));
    let rest = vec![grant, ("client_id", APP), ("scope", VAULT_SCOPE)];
    let no_assertion = ask([rest.clone(), vec![("client_assertion_type", JWT_BEARER)]].concat()).await;
    assert_eq!(refused(no_assertion.unwrap()).await, refusal(401, "invalid_client", 7_000_218));
    let no_type = ask([rest, vec![("client_assertion", "x")]].concat()).await.unwrap();
    assert_eq!(refused(no_type).await, refusal(401, "invalid_client", 7_000_218));
}

#[tokio::test]
async fn a_correlation_id_comes_back() {
    let azure = Azure::start().await;
    let url = format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token");
    let answer = azure.client.post(url).header("client-request-id", "my-id").send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["correlation_id"], "my-id");
}

#[tokio::test]
async fn federated_credentials_come_and_go() {
    let azure = Azure::start().await;
    let assertion = azure.emulator.token("team", "late").build();
    assert_eq!(azure.exchange(&assertion).await.status(), 401);
    let credential = FederatedCredential::new("team", "late");
    azure.emulator.add_federated_credential(APP, credential).unwrap();
    assert_eq!(azure.exchange(&assertion).await.status(), 200);
    azure.emulator.remove_federated_credentials(APP).unwrap();
    let again = refused(azure.exchange(&assertion).await).await;
    assert_eq!(again, refusal(401, "invalid_client", 700_211));
}

#[tokio::test]
async fn the_keys_of_a_real_cluster_are_trusted_for_its_own_issuer() {
    let cluster = Emulator::start(Seed::default()).await.unwrap();
    let options = Options { issuer_jwks: Some(cluster.jwks()), ..Options::default() };
    let azure = Azure::start_with(options).await;
    let issuer = "https://kubernetes.default.svc.cluster.local".to_owned();
    let credential = FederatedCredential { issuer, ..FederatedCredential::new("default", "app") };
    azure.emulator.add_federated_credential(APP, credential.clone()).unwrap();
    let assertion = cluster.token("default", "app").issuer(&credential.issuer).build();
    assert_eq!(azure.exchange(&assertion).await.status(), 200);
}

#[tokio::test]
async fn ad_fs_serves_both_of_its_token_endpoints() {
    let azure = Azure::start().await;
    for path in ["/adfs/oauth2/token", "/adfs/oauth2/v2.0/token"] {
        let assertion = azure.service_account().build();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", APP),
            ("scope", "https://vault.stack.test/.default"),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", &assertion),
        ];
        let url = format!("https://adfs.stack.test{path}");
        assert_eq!(azure.client.post(url).form(&form).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn discovery_leads_back_to_the_authority_that_was_asked() {
    let azure = Azure::start().await;
    let url = format!("https://login.microsoftonline.us/{TENANT}/v2.0/.well-known/openid-configuration");
    let tenant: Value = azure.client.get(url).send().await.unwrap().json().await.unwrap();
    let token_endpoint = format!("https://login.microsoftonline.us/{TENANT}/oauth2/v2.0/token");
    assert_eq!(tenant["token_endpoint"], token_endpoint);

    let url = "https://login.microsoftonline.com/common/discovery/instance";
    let query = [
        ("api-version", "1.1"),
        ("authorization_endpoint", "https://login.stack.test/tenant/oauth2/v2.0/authorize"),
    ];
    let instance = azure.client.get(url).query(&query).send().await.unwrap();
    let instance: Value = instance.json().await.unwrap();
    let endpoint = instance["tenant_discovery_endpoint"].as_str().unwrap();
    assert!(endpoint.starts_with("https://login.stack.test/"), "{endpoint}");
    assert_eq!(instance["api-version"], "1.1");
    assert_eq!(instance["metadata"][0]["preferred_network"], "login.stack.test");
    assert_eq!(instance["metadata"][1]["aliases"][0], "login.microsoftonline.com");
    assert_eq!(azure.emulator.count(RequestKind::Discovery), 2);
}

#[tokio::test]
async fn an_access_token_lasts_as_long_as_it_was_told_to() {
    let lifetime = Duration::ZERO;
    let options = Options { access_token_lifetime: lifetime, ..Options::default() };
    let azure = Azure::start_with(options).await;
    let token = azure.access_token().await;
    let secret = azure.get("mykeyvault", "/secrets/database-password").bearer_auth(token);
    let (status, body) = crate::azure::read(secret).await;
    assert_eq!(status, 401);
    assert!(body["error"]["message"].as_str().unwrap().contains("expired"), "{body}");
}
