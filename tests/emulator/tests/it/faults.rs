//! Injected faults.

use std::time::{Duration, Instant};

use keyvault_emulator::{Fault, RequestKind, Target};
use reqwest::Response;

use crate::azure::{Azure, read};

const SECRET: &str = "/secrets/database-password";

/// Lets other tasks run until `done`; a test that never gets there fails.
async fn until(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it never happened");
}

#[tokio::test]
async fn a_failing_vault_fails_alone_until_it_heals() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    let get = |vault: &str| read(azure.get(vault, SECRET).bearer_auth(&token));
    azure.emulator.inject(Target::Vault("mykeyvault".to_owned()), Fault::Status(503));
    let (status, body) = get("mykeyvault").await;
    assert_eq!((status, body["error"]["code"].as_str()), (503, Some("ServiceUnavailable")));
    assert_eq!(get("rbac-closed").await.0, 403);
    azure.emulator.heal();
    assert_eq!(get("mykeyvault").await.0, 200);
    azure.emulator.inject(Target::AllVaults, Fault::Status(500));
    assert_eq!(get("rbac-closed").await.0, 500);
}

#[tokio::test]
async fn throttling_is_said_as_the_service_says_it() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    let fault = Fault::Throttle { retry_after: Some(Duration::from_secs(7)) };
    azure.emulator.inject(Target::AllVaults, fault.clone());
    azure.emulator.inject(Target::Entra, fault);
    let vault = azure.get("mykeyvault", SECRET).bearer_auth(token).send().await.unwrap();
    let entra = azure.exchange(&azure.service_account().build()).await;
    for (answer, code) in [(vault, "\"Throttled\""), (entra, "AADSTS90055")] {
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["retry-after"], "7");
        assert!(answer.text().await.unwrap().contains(code));
    }
    azure.emulator.heal();
    azure.emulator.inject(Target::Issuer, Fault::Throttle { retry_after: None });
    let jwks = azure.client.get("https://oidc.emulator.test/openid/v1/jwks").send().await.unwrap();
    assert_eq!(jwks.status(), 429);
    assert!(!jwks.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn garbage_is_a_success_that_is_no_json_and_a_gateway_speaks_html() {
    let azure = Azure::start().await;
    let exchange = || async { azure.exchange(&azure.service_account().build()).await };
    let is_html = |answer: &Response| answer.headers()["content-type"].to_str().unwrap().contains("html");
    azure.emulator.inject(Target::Entra, Fault::Garbage);
    let garbage = exchange().await;
    assert!(garbage.status() == 200 && is_html(&garbage));
    azure.emulator.inject(Target::Entra, Fault::Gateway(502));
    let gateway = exchange().await;
    assert!(gateway.status() == 502 && is_html(&gateway));
    azure.emulator.inject(Target::Entra, Fault::Status(503));
    let failing = exchange().await;
    assert_eq!(failing.status(), 503);
    assert!(failing.text().await.unwrap().contains("AADSTS90033"));
}

async fn hang(azure: &Azure) {
    let token = azure.access_token().await;
    azure.emulator.inject(Target::AllVaults, Fault::Hang);
    let requests: Vec<_> =
        (0..4).map(|_| tokio::spawn(azure.get("mykeyvault", SECRET).bearer_auth(&token).send())).collect();
    until(|| azure.emulator.in_flight_peak(RequestKind::Secret) == 4).await;
    for request in requests {
        assert!(!request.is_finished());
        request.abort();
    }
    let given_up = || azure.emulator.requests().iter().filter(|one| one.status.is_none()).count();
    until(|| given_up() == 4).await;
    assert_eq!(azure.emulator.count(RequestKind::Secret), 0);
}

#[tokio::test]
async fn a_hanging_request_is_in_flight_until_the_client_gives_up() {
    hang(&Azure::start().await).await;
    hang(&Azure::start().await.with_http1()).await;
}

async fn disconnect(azure: &Azure) {
    let token = azure.access_token().await;
    azure.emulator.inject(Target::AllVaults, Fault::Disconnect);
    let answer = azure.get("mykeyvault", SECRET).bearer_auth(&token).send().await;
    assert!(answer.is_err());
    azure.emulator.heal();
    assert_eq!(read(azure.get("mykeyvault", SECRET).bearer_auth(&token)).await.0, 200);
}

#[tokio::test]
async fn a_disconnect_ends_the_connection_without_an_answer() {
    disconnect(&Azure::start().await).await;
    disconnect(&Azure::start().await.with_http1()).await;
}

#[tokio::test]
async fn latency_delays_the_answer_and_nothing_else() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    let delay = Duration::from_millis(30);
    azure.emulator.inject(Target::AllVaults, Fault::Latency(delay));
    let start = Instant::now();
    assert_eq!(read(azure.get("mykeyvault", SECRET).bearer_auth(&token)).await.0, 200);
    assert!(start.elapsed() >= delay);
}

#[tokio::test]
async fn an_injected_401_is_a_challenge() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    azure.emulator.inject(Target::AllVaults, Fault::Status(401));
    let answer = azure.get("mykeyvault", SECRET).bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert!(answer.headers().contains_key("www-authenticate"));
    assert_eq!(azure.emulator.count(RequestKind::Challenge), 1);
}
