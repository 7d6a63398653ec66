//! Rules: faults of some requests, clocks, revoked tokens, limits.

use std::time::Duration;

use keyvault_emulator::{Fault, Options, RequestKind, Rule, Target};
use serde_json::Value;

use crate::azure::{Azure, TENANT, read, refused};

const SECRET: &str = "/secrets/database-password";

fn inject(azure: &Azure, rule: &str) {
    azure.emulator.inject_rule(rule.parse().unwrap()).unwrap();
}

#[tokio::test]
async fn the_token_endpoint_is_down_while_discovery_answers() {
    let azure = Azure::start().await;
    inject(&azure, "target=entra,kind=token,fault=status,status=503");
    let (status, error, code) = refused(azure.exchange(&azure.service_account().build()).await).await;
    assert_eq!((status, error.as_str(), code), (503, "temporarily_unavailable", 90033));
    let instance = "https://login.microsoftonline.com/common/discovery/instance?api-version=1.1&\
                    authorization_endpoint=https://login.microsoftonline.com/common/oauth2/v2.0/authorize";
    assert_eq!(azure.client.get(instance).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn entra_refuses_with_any_code_at_both_endpoints_and_the_metadata_service_passes_it_on() {
    let azure = Azure::start().await;
    for (code, status, error) in [
        (900_382, 400, "invalid_request"),
        (7_000_229, 401, "unauthorized_client"),
        (7_000_112, 401, "unauthorized_client"),
        (700_222, 401, "invalid_client"),
        (90033, 503, "temporarily_unavailable"),
    ] {
        azure.emulator.heal();
        let refusal = format!("fault=refusal,aadsts={code},status={status},error={error}");
        inject(&azure, &format!("target=entra,kind=token,{refusal}"));
        inject(&azure, &format!("target=imds,{refusal}"));
        let v1 = format!("https://login.microsoftonline.com/{TENANT}/oauth2/token");
        let imds = "http://169.254.169.254/metadata/identity/oauth2/token";
        for answer in [
            azure.exchange(&azure.service_account().build()).await,
            azure.client.post(v1).send().await.unwrap(),
            azure.client.get(imds).send().await.unwrap(),
        ] {
            assert_eq!(refused(answer).await, (status, error.to_owned(), code));
        }
    }
}

#[tokio::test]
async fn the_first_requests_for_one_object_fail_and_those_for_others_do_not() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    inject(&azure, "vault=mykeyvault,object=database-password,fault=status,status=500,times=2");
    assert_eq!(azure.ask(&token, "/secrets/with-history").await.0, 200);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(azure.ask(&token, SECRET).await.0);
    }
    assert_eq!(statuses, [500, 500, 200]);
}

#[tokio::test]
async fn a_fault_that_begins_later_has_not_begun() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    inject(&azure, "target=vaults,fault=status,status=500,after=1h");
    inject(&azure, "target=vaults,fault=status,status=503,for=1h");
    assert_eq!(azure.ask(&token, SECRET).await.0, 503);
    azure.emulator.heal();
    inject(&azure, "target=vaults,fault=status,status=500,after=1h");
    assert_eq!(azure.ask(&token, SECRET).await.0, 200);
}

#[tokio::test]
async fn a_vault_takes_no_more_than_its_limit() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    let retry_after = Some(Duration::from_secs(7));
    let limit = Fault::Limit { requests: 2, per: Duration::from_hours(1), retry_after };
    azure.emulator.inject_rule(Rule::new(Target::AllVaults, limit)).unwrap();
    let get = || azure.get("mykeyvault", SECRET).bearer_auth(&token).send();
    assert_eq!(get().await.unwrap().status(), 200);
    assert_eq!(get().await.unwrap().status(), 200);
    let throttled = get().await.unwrap();
    assert_eq!(
        (throttled.status().as_u16(), &throttled.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    assert_eq!(read(azure.get("rbac-closed", SECRET).bearer_auth(&token)).await.0, 403);
}

#[tokio::test]
async fn tokens_from_before_are_revoked_and_new_ones_are_not() {
    let azure = Azure::start().await;
    let old = azure.access_token().await;
    assert_eq!(azure.ask(&old, SECRET).await.0, 200);
    inject(&azure, "vault=mykeyvault,fault=revoked");
    let answer = azure.get("mykeyvault", SECRET).bearer_auth(&old).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert!(answer.headers().contains_key("www-authenticate"));
    assert_eq!(read(azure.get("rbac-closed", SECRET).bearer_auth(&old)).await.0, 403);
    let new = azure.access_token().await;
    assert_eq!(azure.ask(&new, SECRET).await.0, 200);
}

#[tokio::test]
async fn entra_refuses_an_assertion_that_its_clock_finds_out_of_time() {
    for skew in ["2h", "-10m"] {
        let azure = Azure::start().await;
        let assertion = azure.service_account().build();
        inject(&azure, &format!("target=entra,fault=clock-skew,skew={skew}"));
        let (status, _, code) = refused(azure.exchange(&assertion).await).await;
        assert_eq!((status, code), (401, 700_024));
    }
}

#[tokio::test]
async fn an_issuer_whose_clock_is_ahead_makes_tokens_of_the_future() {
    let azure = Azure::start().await;
    inject(&azure, "target=issuer,fault=clock-skew,skew=10m");
    let (_, _, code) = refused(azure.exchange(&azure.service_account().build()).await).await;
    assert_eq!(code, 700_024);
    let url = "https://oidc.emulator.test/api/v1/namespaces/default/serviceaccounts/app/token";
    let spec = serde_json::json!({"spec": {"audiences": ["api://AzureADTokenExchange"]}});
    let (status, body) = read(azure.client.post(url).json(&spec)).await;
    assert_eq!(status, 201);
    let (_, _, code) = refused(azure.exchange(body["status"]["token"].as_str().unwrap()).await).await;
    assert_eq!(code, 700_024);
}

#[tokio::test]
async fn a_vault_whose_clock_is_wrong_takes_no_token() {
    for (skew, words) in [("2h", "The token is expired"), ("-10m", "The token is not yet valid")] {
        let azure = Azure::start().await;
        let token = azure.access_token().await;
        inject(&azure, &format!("vault=mykeyvault,fault=clock-skew,skew={skew}"));
        let (status, body) = azure.ask(&token, SECRET).await;
        assert_eq!(status, 401);
        assert!(body["error"]["message"].as_str().unwrap().contains(words), "{body}");
    }
}

#[tokio::test]
async fn a_rule_that_makes_no_sense_is_not_taken() {
    let azure = Azure::start().await;
    let rule = Rule::new(Target::Imds, Fault::Revoked).kind(RequestKind::Secret).times(1);
    let error = azure.emulator.inject_rule(rule).unwrap_err().to_string();
    for place in ["target: ", "kind: ", "times: "] {
        assert!(error.contains(place), "{error}");
    }
}

#[tokio::test]
async fn requests_that_are_not_kept_are_counted() {
    let azure = Azure::start_with(Options { keep_requests: false, ..Options::default() }).await;
    let token = azure.access_token().await;
    let (_, body): (u16, Value) = azure.ask(&token, SECRET).await;
    assert_eq!(body["value"], "hunter2");
    assert!(azure.emulator.requests().is_empty());
    assert_eq!(azure.emulator.count(RequestKind::Secret), 1);
    assert_eq!(azure.emulator.in_flight_peak(RequestKind::Token), 1);
}
