//! The instance metadata service.

use std::time::{Duration, SystemTime};

use keyvault_emulator::{Fault, RequestKind, Target};
use reqwest::{Client, Proxy, RequestBuilder};
use serde_json::Value;

use crate::azure::{APP, Azure, OTHER_APP, read, trusting};

const PATH: &str = "/metadata/identity/oauth2/token";
const RESOURCE: &str = "https://vault.azure.net";

const SYSTEM_AND_USER: &str = "
identities:
  - {name: machine, clientId: 11111111-1111-4111-8111-111111111111, managedIdentity: system}
  - {name: assigned, clientId: 22222222-2222-4222-8222-222222222222, managedIdentity: user}
  - {name: elsewhere, clientId: 33333333-3333-4333-8333-333333333333}
vaults:
  - {name: myKeyVault, access: [{identity: assigned, secrets: [get]}], secrets: [{name: a, value: x}]}
";

fn plain() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap()
}

fn ask(azure: &Azure, query: &[(&str, &str)]) -> RequestBuilder {
    let url = format!("http://{}{PATH}", azure.emulator.imds_address());
    plain().get(url).header("Metadata", "true").query(&[("api-version", "2018-02-01")]).query(query)
}

fn description(body: &Value) -> &str {
    body["error_description"].as_str().unwrap_or_else(|| panic!("no description in {body}"))
}

#[tokio::test]
async fn the_machines_own_identity_gets_a_token_unless_another_is_named() {
    let azure = Azure::seeded(SYSTEM_AND_USER).await;
    let (status, own) = read(ask(&azure, &[("resource", RESOURCE)])).await;
    assert_eq!((status, own["client_id"].as_str()), (200, Some(APP)));
    assert_eq!((own["token_type"].as_str(), own["resource"].as_str()), (Some("Bearer"), Some(RESOURCE)));
    assert_eq!(own["expires_in"], "3599");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let expires_on: u64 = own["expires_on"].as_str().unwrap().parse().unwrap();
    assert!((now + 3590..=now + 3599).contains(&expires_on));

    let named = [("resource", RESOURCE), ("client_id", OTHER_APP)];
    let (_, assigned) = read(ask(&azure, &named)).await;
    assert_eq!(assigned["client_id"], OTHER_APP);
    let token = assigned["access_token"].as_str().unwrap();
    assert_eq!(azure.ask(token, "/secrets/a").await.1["value"], "x");
    assert_eq!(azure.ask(own["access_token"].as_str().unwrap(), "/secrets/a").await.0, 403);
    assert_eq!(azure.emulator.count(RequestKind::Imds), 2);
}

#[tokio::test]
async fn the_only_assigned_identity_needs_no_name_and_several_do() {
    let one = "identities: [{name: a, clientId: a, managedIdentity: user}, {name: b, clientId: b}]";
    let (_, only) = read(ask(&Azure::seeded(one).await, &[("resource", RESOURCE)])).await;
    assert_eq!(only["client_id"], "a");
    let two = one.replace("clientId: b", "clientId: b, managedIdentity: user");
    let (status, several) = read(ask(&Azure::seeded(&two).await, &[("resource", RESOURCE)])).await;
    assert_eq!(status, 400);
    assert!(description(&several).starts_with("Multiple user assigned identities exist"), "{several}");
}

#[tokio::test]
async fn what_the_service_would_refuse_is_refused_in_its_words() {
    let azure = Azure::seeded(SYSTEM_AND_USER).await;
    let url =
        format!("http://{}{PATH}?api-version=2018-02-01&resource={RESOURCE}", azure.emulator.imds_address());
    let (status, bare) = read(plain().get(&url)).await;
    assert_eq!((status, description(&bare)), (400, "Required metadata header not specified"));
    let (status, old) =
        read(plain().get(url.replace("2018-02-01", "2017-01-01")).header("Metadata", "true")).await;
    assert_eq!(status, 400);
    assert!(old["error"].as_str().unwrap().contains("api-version"), "{old}");
    for (query, words) in [
        (vec![], "Required audience parameter not specified"),
        (
            vec![("resource", RESOURCE), ("client_id", "33333333-3333-4333-8333-333333333333")],
            "Identity not found",
        ),
        (vec![("resource", "https://graph.microsoft.com")], "AADSTS500011"),
    ] {
        let (status, body) = read(ask(&azure, &query)).await;
        assert_eq!(status, 400);
        assert!(description(&body).contains(words), "{body}");
    }
    let nowhere = plain().get(format!("http://{}/metadata/instance", azure.emulator.imds_address()));
    assert_eq!(read(nowhere).await.0, 404);
    let none = Azure::seeded("identities: []").await;
    let (status, body) = read(ask(&none, &[("resource", RESOURCE)])).await;
    assert_eq!((status, description(&body)), (400, "Identity not found"));
}

#[tokio::test]
async fn it_fails_when_it_is_told_to() {
    let azure = Azure::seeded(SYSTEM_AND_USER).await;
    let answer = async || ask(&azure, &[("resource", RESOURCE)]).send().await;
    azure.emulator.inject(Target::Imds, Fault::Throttle { retry_after: Some(Duration::from_secs(3)) });
    let throttled = answer().await.unwrap();
    assert_eq!(
        (throttled.status().as_u16(), &throttled.headers()["retry-after"]),
        (429, &"3".parse().unwrap())
    );
    azure.emulator.inject(Target::Imds, Fault::Status(500));
    let (status, failing) = read(ask(&azure, &[("resource", RESOURCE)])).await;
    assert_eq!((status, failing["error"].as_str()), (500, Some("unknown")));
    azure.emulator.inject(Target::Imds, Fault::Disconnect);
    assert!(answer().await.is_err());
    azure.emulator.heal();
    azure.emulator.inject(Target::Entra, Fault::Status(500));
    assert_eq!(answer().await.unwrap().status(), 200);
}

#[tokio::test]
async fn it_is_found_at_its_usual_address_through_the_proxy() {
    let azure = Azure::seeded(SYSTEM_AND_USER).await;
    let client =
        trusting(&azure.emulator).proxy(Proxy::all(azure.emulator.proxy_url()).unwrap()).build().unwrap();
    let usual = |path: &str| client.get(format!("http://169.254.169.254{path}")).header("Metadata", "true");
    let query = [("api-version", "2018-02-01"), ("resource", RESOURCE)];
    let (status, token) = read(usual(PATH).query(&query)).await;
    assert_eq!((status, token["client_id"].as_str()), (200, Some(APP)));
    let request = azure.emulator.requests().pop().unwrap();
    assert_eq!((request.host.as_str(), request.kind), ("169.254.169.254", RequestKind::Imds));
    assert_eq!(request.server_name, None);
    let elsewhere = client.get("http://mykeyvault.vault.azure.net/secrets/a").send().await.unwrap();
    assert_eq!(elsewhere.status(), 405);
}
