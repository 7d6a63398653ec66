//! The admin endpoint, for other processes.

use keyvault_emulator::{Emulator, Options, Seed, StartError};
use reqwest::StatusCode;
use serde_json::json;

use crate::azure::{Azure, read};

const SECRET: &str = "/secrets/database-password";

async fn administered() -> (Azure, String) {
    let admin_listen = Some(([127, 0, 0, 1], 0).into());
    let azure = Azure::start_with(Options { admin_listen, ..Options::default() }).await;
    let url = format!("http://{}", azure.emulator.admin_address().unwrap());
    (azure, url)
}

#[tokio::test]
async fn it_counts_requests_by_kind_until_they_are_cleared() {
    let (azure, url) = administered().await;
    let token = azure.access_token().await;
    for _ in 0..2 {
        assert_eq!(azure.ask(&token, SECRET).await.0, 200);
    }
    let direct = reqwest::Client::builder().no_proxy().build().unwrap();
    let counts = || read(direct.get(format!("{url}/requests")));
    let expected = json!({
        "answered": {"token": 1, "secret": 2},
        "peak": {"token": 1, "secret": 1},
        "connections": 2,
    });
    assert_eq!(counts().await, (200, expected));
    let cleared = direct.delete(format!("{url}/requests")).send().await.unwrap();
    assert_eq!(cleared.status(), StatusCode::NO_CONTENT);
    assert_eq!(counts().await.1, json!({"answered": {}, "peak": {}, "connections": 0}));
}

#[tokio::test]
async fn it_replaces_the_rules_and_refuses_wrong_ones_without_touching_them() {
    let (azure, url) = administered().await;
    let token = azure.access_token().await;
    let direct = reqwest::Client::builder().no_proxy().build().unwrap();
    let put = async |rules: &str| {
        let answer = direct.put(format!("{url}/faults")).body(rules.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let down = r#"[{"target": "vaults", "fault": "status", "status": 503}]"#;
    assert_eq!(put(down).await, (204, String::new()));
    assert_eq!(azure.ask(&token, SECRET).await.0, 503);
    let (status, error) = put("- {target: vaults, fault: explode}").await;
    assert!(status == 400 && error.starts_with("[0].fault: \"explode\" is unknown"), "{status}: {error}");
    assert_eq!(azure.ask(&token, SECRET).await.0, 503);
    assert_eq!(put("[]").await.0, 204);
    assert_eq!(azure.ask(&token, SECRET).await.0, 200);
    assert_eq!(direct.get(format!("{url}/faults")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn it_is_not_there_unless_it_is_asked_for_and_not_beyond_loopback() {
    assert!(Azure::start().await.emulator.admin_address().is_none());
    let options = Options { admin_listen: Some(([0, 0, 0, 0], 0).into()), ..Options::default() };
    let error = Emulator::start_with(Seed::default(), options).await.unwrap_err();
    assert!(matches!(error, StartError::NotLoopback(_)), "{error}");
}
