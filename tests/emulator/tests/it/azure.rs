//! An emulator with something in it, and a client that takes it for Azure.

use std::time::Duration;

use keyvault_emulator::{Emulator, Options, Seed, TokenBuilder};
use reqwest::{Certificate, Client, Proxy, RequestBuilder, Response};
use serde_json::Value;

pub(crate) const TENANT: &str = "00000000-0000-4000-8000-000000000001";
pub(crate) const APP: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const OTHER_APP: &str = "22222222-2222-4222-8222-222222222222";
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
pub(crate) const VAULT_SCOPE: &str = "https://vault.azure.net/.default";
pub(crate) const OLD_VERSION: &str = "0123456789abcdef0123456789abcdef";

const SEED: &str = "
identities:
  - name: app
    clientId: 11111111-1111-4111-8111-111111111111
    federatedCredentials:
      - subject: system:serviceaccount:default:app
  - name: other
    clientId: 22222222-2222-4222-8222-222222222222
vaults:
  - name: myKeyVault
    access: [{identity: app, secrets: [get, list, set]}]
    secrets:
      - {name: database-password, value: hunter2, contentType: text/plain, tags: {owner: team}}
      - {name: turned-off, value: x, enabled: false}
      - {name: web-tls, value: MIIpfx, contentType: application/x-pkcs12, certificate: true}
      - name: with-history
        versions:
          - {version: 0123456789abcdef0123456789abcdef, value: one, created: 2026-01-01T00:00:00Z}
          - {value: two, created: 2026-02-01T00:00:00Z}
  - {name: rbac-closed, secrets: [{name: a, value: x}]}
  - {name: policy-closed, authorization: policy, secrets: [{name: a, value: x}]}
  - {name: firewalled, firewall: true, access: [{identity: app, secrets: [get]}]}
  - {name: private-only, privateLink: true, access: [{identity: app, secrets: [get]}]}
";

/// A running emulator and a client with its proxy and its certificate authority.
pub(crate) struct Azure {
    pub(crate) emulator: Emulator,
    pub(crate) client: Client,
}

impl Azure {
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        Self::holding(Seed::from_yaml(SEED).unwrap(), options).await
    }

    /// With what this YAML says in it.
    pub(crate) async fn seeded(yaml: &str) -> Self {
        Self::holding(Seed::from_yaml(yaml).unwrap(), Options::default()).await
    }

    pub(crate) async fn holding(seed: Seed, options: Options) -> Self {
        let emulator = Emulator::start_with(seed, options).await.unwrap();
        let client = client(&emulator);
        Self { emulator, client }
    }

    /// The same with a client that speaks HTTP/1.1 only.
    pub(crate) fn with_http1(self) -> Self {
        let proxy = Proxy::all(self.emulator.proxy_url()).unwrap();
        let client = trusting(&self.emulator).proxy(proxy).http1_only().build().unwrap();
        Self { client, ..self }
    }

    pub(crate) fn service_account(&self) -> TokenBuilder {
        self.emulator.token("default", "app")
    }

    /// Asks for a token with this assertion, as the app of the seed.
    pub(crate) async fn exchange(&self, assertion: &str) -> Response {
        self.exchange_as(APP, TENANT, VAULT_SCOPE, assertion).await
    }

    pub(crate) async fn exchange_as(
        &self,
        client_id: &str,
        tenant: &str,
        scope: &str,
        assertion: &str,
    ) -> Response {
        let url = format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token");
        let form = assertion_form(client_id, scope, assertion);
        self.client.post(url).form(&form).send().await.unwrap()
    }

    /// An access token for the vaults of the public cloud.
    pub(crate) async fn access_token(&self) -> String {
        let answer = self.exchange(&self.service_account().build()).await;
        assert_eq!(answer.status(), 200);
        let body: Value = answer.json().await.unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// Asks the public cloud's vault `myKeyVault` for this, with a token.
    pub(crate) async fn ask(&self, token: &str, path: &str) -> (u16, Value) {
        read(self.get("mykeyvault", path).bearer_auth(token)).await
    }

    /// All items of a list, and how many each page had.
    pub(crate) async fn all(&self, token: &str, path: &str) -> (Vec<Value>, Vec<usize>) {
        let (mut items, mut sizes) = (Vec::new(), Vec::new());
        let mut next = Some(format!("https://mykeyvault.vault.azure.net{path}?api-version=7.5"));
        while let Some(url) = next {
            let (status, page) = read(self.client.get(url).bearer_auth(token)).await;
            assert_eq!(status, 200, "{page}");
            let page_items = page["value"].as_array().unwrap();
            sizes.push(page_items.len());
            items.extend(page_items.iter().cloned());
            next = page["nextLink"].as_str().map(str::to_owned);
        }
        (items, sizes)
    }

    /// A request to a vault of the public cloud, with the API version and without a token.
    pub(crate) fn get(&self, vault: &str, path: &str) -> RequestBuilder {
        self.client.get(format!("https://{vault}.vault.azure.net{path}")).query(&[("api-version", "7.5")])
    }
}

pub(crate) fn client(emulator: &Emulator) -> Client {
    trusting(emulator).proxy(Proxy::all(emulator.proxy_url()).unwrap()).build().unwrap()
}

pub(crate) fn trusting(emulator: &Emulator) -> reqwest::ClientBuilder {
    let ca = Certificate::from_pem(emulator.ca_pem().as_bytes()).unwrap();
    // The limit is for a test that would otherwise never end.
    Client::builder().tls_certs_only([ca]).no_proxy().timeout(Duration::from_secs(30))
}

/// A token request with an assertion.
pub(crate) fn assertion_form<'a>(
    client_id: &'a str,
    scope: &'a str,
    assertion: &'a str,
) -> [(&'static str, &'a str); 5] {
    [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("scope", scope),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion),
    ]
}

/// Status, OAuth error and AADSTS code of a refusal, once it is sure to be one of Entra's.
pub(crate) async fn refused(answer: Response) -> (u16, String, u64) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    let code = body["error_codes"][0].as_u64().unwrap();
    let description = body["error_description"].as_str().unwrap();
    assert!(description.starts_with(&format!("AADSTS{code}: ")), "{description}");
    for part in ["Trace ID: ", "Correlation ID: ", "Timestamp: "] {
        assert!(description.contains(part), "{description}");
    }
    for field in ["timestamp", "trace_id", "correlation_id", "error_uri"] {
        assert!(body[field].is_string(), "{field} is missing from {body}");
    }
    (status, body["error"].as_str().unwrap().to_owned(), code)
}

/// Status and body.
pub(crate) async fn read(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}
