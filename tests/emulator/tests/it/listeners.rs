//! The direct listener, the proxy, and what they refuse.

use keyvault_emulator::{Emulator, Options, RequestKind, Seed, StartError};
use reqwest::Version;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::azure::{Azure, TENANT, client, read, trusting};

async fn proxy_answer(emulator: &Emulator, request: &str) -> String {
    let address = emulator.proxy_url().replace("http://", "");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_proxy_refuses_what_it_is_not() {
    let azure = Azure::start().await;
    for target in ["management.azure.com:443", "example.com:443", "mykeyvault.vault.azure.net:80"] {
        let answer = proxy_answer(&azure.emulator, &format!("CONNECT {target}")).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    }
    let plain = proxy_answer(&azure.emulator, "GET http://login.microsoftonline.com/").await;
    assert!(plain.starts_with("HTTP/1.1 405 "), "{plain}");
}

#[tokio::test]
async fn a_vault_that_does_not_exist_has_no_address() {
    let azure = Azure::start().await;
    let answer = proxy_answer(&azure.emulator, "CONNECT no-such-vault.vault.azure.net:443").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.ends_with("Could not resolve host: no-such-vault.vault.azure.net"), "{answer}");
    let error = azure.get("no-such-vault", "/secrets/a").send().await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
}

#[tokio::test]
async fn an_unmodified_client_speaks_http2_and_http1_through_the_proxy() {
    let azure = Azure::start().await;
    let url = "https://oidc.emulator.test/openid/v1/jwks";
    assert_eq!(azure.client.get(url).send().await.unwrap().version(), Version::HTTP_2);
    let azure = azure.with_http1();
    assert_eq!(azure.client.get(url).send().await.unwrap().version(), Version::HTTP_11);
    assert_eq!(azure.emulator.connections(), 2);
}

#[tokio::test]
async fn every_service_answers_at_the_direct_listener() {
    let azure = Azure::start().await;
    let address = azure.emulator.address();
    let client = trusting(&azure.emulator).resolve("mykeyvault.localhost", address).build().unwrap();
    let base = format!("https://{address}");
    assert_eq!(read(client.get(format!("{base}/openid/v1/jwks"))).await.0, 200);
    let discovery = client.get(format!("{base}/{TENANT}/v2.0/.well-known/openid-configuration"));
    let (_, discovery) = read(discovery).await;
    assert_eq!(discovery["token_endpoint"], format!("{base}/{TENANT}/oauth2/v2.0/token"));

    let port = address.port();
    let answer = client.get(format!("https://mykeyvault.localhost:{port}/secrets/a")).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
    let expected =
        format!("Bearer authorization=\"https://localhost:{port}/{TENANT}\", resource=\"https://localhost\"");
    assert_eq!(challenge, expected);
}

#[tokio::test]
async fn the_proxy_leads_to_the_direct_listener_and_to_no_other_port() {
    let azure = Azure::start().await;
    let port = azure.emulator.address().port();
    let url = format!("https://127.0.0.1:{port}/openid/v1/jwks");
    assert_eq!(read(azure.client.get(url)).await.0, 200);
    let proxy_port = azure.emulator.proxy_url().replace("http://127.0.0.1:", "");
    let answer = proxy_answer(&azure.emulator, &format!("CONNECT 127.0.0.1:{proxy_port}")).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}

#[tokio::test]
async fn a_misrouted_request_is_answered_404_and_recorded() {
    let azure = Azure::start().await;
    let url = "https://login.microsoftonline.com/secrets/database-password?api-version=7.5";
    assert_eq!(azure.client.get(url).send().await.unwrap().status(), 404);
    assert_eq!(azure.emulator.count(RequestKind::Other), 1);
    let request = azure.emulator.requests().pop().unwrap();
    assert_eq!(request.host, "login.microsoftonline.com");
    assert_eq!(request.path_and_query, "/secrets/database-password?api-version=7.5");
    assert_eq!((request.method.as_str(), request.status), ("GET", Some(404)));
    azure.emulator.clear_requests();
    assert!(azure.emulator.requests().is_empty());
    assert_eq!(azure.emulator.connections(), 0);
}

#[tokio::test]
async fn a_dropped_emulator_answers_nobody() {
    let Azure { emulator, client: connected } = Azure::start().await;
    let url = "https://oidc.emulator.test/openid/v1/jwks";
    assert_eq!(connected.get(url).send().await.unwrap().status(), 200);
    let fresh = client(&emulator);
    drop(emulator);
    // Both the connection that was open and the listener are gone once their tasks have been cancelled.
    while connected.get(url).send().await.is_ok() {}
    assert!(fresh.get(url).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn an_address_beyond_loopback_is_refused() {
    let options = Options { listen: ([0, 0, 0, 0], 0).into(), ..Options::default() };
    let error = Emulator::start_with(Seed::default(), options).await.unwrap_err();
    assert!(matches!(error, StartError::NotLoopback(_)), "{error}");
    assert!(error.to_string().contains("--allow-non-loopback"), "{error}");
}

#[tokio::test]
async fn an_address_beyond_loopback_is_served_where_the_options_allow_it() {
    let everywhere = ([0, 0, 0, 0], 0).into();
    let options = Options {
        allow_non_loopback: true,
        listen: everywhere,
        proxy_listen: everywhere,
        imds_listen: everywhere,
        admin_listen: Some(everywhere),
        ..Options::default()
    };
    let azure = Azure::holding(Seed::default(), options).await;
    let answer = azure.client.get("https://oidc.emulator.test/openid/v1/jwks").send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_seed_built_in_code_is_checked_like_one_in_yaml() {
    let seed = Seed::default().vault(keyvault_emulator::Vault::new("v"));
    let error = Emulator::start(seed).await.unwrap_err();
    assert!(error.to_string().contains("vaults[0].name"), "{error}");
}

#[tokio::test]
async fn two_emulators_share_nothing() {
    let (one, two) = (Azure::start().await, Azure::start().await);
    assert_ne!(one.emulator.jwks(), two.emulator.jwks());
    assert_ne!(one.emulator.ca_pem(), two.emulator.ca_pem());
    let answer: Value = two.exchange(&one.service_account().build()).await.json().await.unwrap();
    assert_eq!(answer["error_codes"][0], 7_000_272);
}
