//! The emulator's own answers beside those that Key Vault gave to the same requests.

use std::collections::BTreeMap;
use std::path::Path;

use data_encoding::BASE64;
use keyvault_emulator::{
    Authorization, Certificate, CertificateVersion, Curve, Identity, Key, KeyType, KeyVersion, Options,
    ReadPermission, Recorded, Secret, SecretPermission, SecretVersion, Seed, Vault,
};
use reqwest::Response;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::azure::{APP, Azure};

/// What differs between Key Vault's versions and settings, or is about how a certificate came to be; no mount
/// depends on it.
const NOT_COMPARED: [&str; 8] = [
    "/attributes/recoveryLevel",
    "/attributes/recoverableDays",
    "/attributes/exportable",
    "/policy",
    "/pending",
    "/subject",
    "/issuer",
    "/serialnumber",
];

/// What is made up here: the name must be there, and its value may be another.
const MADE_UP: [&str; 7] =
    ["/key/n", "/key/e", "/key/x", "/key/y", "/attributes/updated", "/error/message", "/nextLink"];

fn recorded(name: &str) -> Recorded {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recorded");
    Recorded::from_json(&std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap()).unwrap()
}

fn body(name: &str) -> Value {
    serde_json::from_str(&recorded(name).response.body).unwrap()
}

/// Name and version in the id of a recorded object.
fn id(id: &Value) -> (String, Option<String>) {
    let mut parts = id.as_str().unwrap().rsplit('/');
    let version = parts.next().unwrap().to_owned();
    (parts.next().unwrap().to_owned(), Some(version))
}

fn time(value: &Value) -> Option<OffsetDateTime> {
    value.as_i64().map(|seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap())
}

fn secret(name: &str) -> Secret {
    let body = body(name);
    let ((name, version), attributes) = (id(&body["id"]), &body["attributes"]);
    let version = SecretVersion {
        version,
        created: time(&attributes["created"]),
        not_before: time(&attributes["nbf"]),
        expires: time(&attributes["exp"]),
        content_type: body["contentType"].as_str().map(str::to_owned),
        tags: serde_json::from_value(body["tags"].clone()).unwrap_or_default(),
        ..SecretVersion::new(body["value"].as_str().unwrap())
    };
    Secret::with_versions(name, vec![version])
}

fn key(name: &str, kty: KeyType, crv: Option<Curve>) -> Key {
    let body = body(name);
    let (name, version) = id(&body["key"]["kid"]);
    Key { crv, versions: vec![key_version(version, &body["attributes"])], ..Key::new(name, kty) }
}

fn key_version(version: Option<String>, attributes: &Value) -> KeyVersion {
    KeyVersion {
        version,
        public_key: None,
        created: time(&attributes["created"]),
        not_before: None,
        expires: None,
        enabled: true,
        tags: BTreeMap::new(),
    }
}

/// A certificate as its recorded answers, the second one of its secret, describe it.
fn certificate(name: &str, its_secret: &str) -> Certificate {
    let (body, its_secret) = (body(name), body(its_secret));
    let (name, version) = id(&body["id"]);
    let decoded = |value: &Value| BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap();
    let material = match its_secret["contentType"].as_str() {
        Some("application/x-pem-file") => CertificateVersion::from_pem(its_secret["value"].as_str().unwrap()),
        _ => CertificateVersion::from_pfx(decoded(&its_secret["value"]), decoded(&body["cer"])),
    };
    let version = CertificateVersion { version, created: time(&body["attributes"]["created"]), ..material };
    Certificate::with_versions(name, vec![version])
}

fn pages(name: &str) -> Vec<Value> {
    (1..=4).flat_map(|page| body(&format!("{name}-{page}"))["value"].as_array().unwrap().clone()).collect()
}

fn listed_secret() -> Secret {
    let versions = pages("secret-versions").into_iter().map(|item| SecretVersion {
        version: id(&item["id"]).1,
        created: time(&item["attributes"]["created"]),
        ..SecretVersion::new("x")
    });
    Secret::with_versions("secVer33a90fd8", versions.collect())
}

fn listed_key() -> Key {
    let items = pages("key-versions").into_iter();
    let versions = items.map(|item| key_version(id(&item["kid"]).1, &item["attributes"])).collect();
    Key { versions, ..Key::new("testKeyf5fa0e28", KeyType::EcHsm) }
}

/// Vaults that hold what the recorded ones held.
fn vaults() -> Vec<Vault> {
    let disabled = Secret { enabled: false, ..Secret::new("955300954", "CrudBasicValue1") };
    vec![
        Vault::new("pakrym-keyvault").secret(secret("secret")).key(key("key-rsa", KeyType::Rsa, None)),
        Vault::new("heathskeyvault")
            .secret(secret("secret-with-attributes"))
            .secret(disabled)
            .key(key("key-rsa-hsm", KeyType::RsaHsm, None))
            .key(key("key-p256k", KeyType::Ec, Some(Curve::P256K)))
            .certificate(certificate("certificate-rsa", "secret-pkcs12-rsa")),
        Vault::new("heathskvtest").key(key("key-p384", KeyType::Ec, Some(Curve::P384))),
        Vault::new("heathskvtest2").certificate(certificate("certificate-ec", "secret-pem-ec")),
        Vault::new("tcac7e9c41ef52cec").key(key("key-p521", KeyType::Ec, Some(Curve::P521))),
        Vault::new("vault33a90fd8").secret(listed_secret()),
        Vault::new("vaultf5fa0e28").key(listed_key()),
    ]
}

async fn azure(vaults: impl IntoIterator<Item = Vault>) -> Azure {
    let identity = Identity::new("app", APP).federated("default", "app");
    let seed = vaults.into_iter().fold(Seed::default().identity(identity), Seed::vault);
    Azure::holding(seed, Options::default()).await
}

async fn readable() -> (Azure, String) {
    let read = [ReadPermission::Get, ReadPermission::List];
    let azure = azure(vaults().into_iter().map(|vault| {
        vault
            .access("app", &[SecretPermission::Get, SecretPermission::List])
            .key_access("app", &read)
            .certificate_access("app", &read)
    }))
    .await;
    let token = azure.access_token().await;
    (azure, token)
}

/// What an answer says, by path, as far as it is compared.
fn facts(body: &Value) -> BTreeMap<String, Value> {
    fn collect(path: &str, value: &Value, facts: &mut BTreeMap<String, Value>) {
        if NOT_COMPARED.iter().any(|left_out| path.ends_with(left_out)) {
            return;
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    collect(&format!("{path}/{name}"), value, facts);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    collect(&format!("{path}/{index}"), item, facts);
                }
            }
            _ if MADE_UP.iter().any(|made_up| path.ends_with(made_up)) => {
                facts.insert(path.to_owned(), json!(value.is_null()));
            }
            _ => {
                facts.insert(path.to_owned(), value.clone());
            }
        }
    }
    let mut facts = BTreeMap::new();
    collect("", body, &mut facts);
    facts
}

async fn alike(name: &str, own: Response) -> Value {
    let recorded = recorded(name).response;
    assert_eq!(own.status().as_u16(), recorded.status, "{name}");
    if recorded.headers.contains_key("content-length") {
        assert_eq!(own.headers()["content-type"], recorded.headers["content-type"].as_str(), "{name}");
    }
    for header in ["x-ms-request-id", "x-ms-keyvault-region", "x-ms-keyvault-service-version"] {
        assert!(own.headers().contains_key(header), "{name}: {header}");
    }
    let own: Value = own.json().await.unwrap();
    assert_eq!(facts(&own), facts(&serde_json::from_str(&recorded.body).unwrap()), "{name}");
    own
}

#[tokio::test]
async fn objects_and_refusals_are_said_as_key_vault_said_them() {
    let (azure, token) = readable().await;
    for name in [
        "secret",
        "secret-with-attributes",
        "secret-disabled",
        "secret-not-found",
        "secret-pkcs12-rsa",
        "secret-pem-ec",
        "key-rsa",
        "key-rsa-hsm",
        "key-p256",
        "key-p256k",
        "key-p384",
        "key-p521",
        "key-not-found",
        "certificate-rsa",
        "certificate-ec",
    ] {
        let request = azure.client.get(recorded(name).request.url).bearer_auth(&token);
        alike(name, request.send().await.unwrap()).await;
    }
}

#[tokio::test]
async fn listings_have_the_same_pages_and_the_same_way_to_the_next() {
    let (azure, token) = readable().await;
    for listing in ["secret-versions", "key-versions"] {
        let mut next = Some(recorded(&format!("{listing}-1")).request.url);
        for page in 1..=4 {
            let name = format!("{listing}-{page}");
            let request = azure.client.get(next.take().unwrap()).bearer_auth(&token);
            let own = alike(&name, request.send().await.unwrap()).await;
            // Everything except the value of the token.
            let link = |page: &Value| {
                let link = page["nextLink"].as_str()?;
                let (before, after) = link.split_once("$skiptoken=").unwrap();
                Some((before.to_owned(), after.split_once('&').unwrap().1.to_owned()))
            };
            assert_eq!(link(&own), link(&body(&name)), "{name}");
            next = own["nextLink"].as_str().map(str::to_owned);
        }
        assert_eq!(next, None);
    }
}

#[tokio::test]
async fn a_challenge_has_the_same_form() {
    let (azure, _) = readable().await;
    let recorded = recorded("challenge");
    let own = azure.client.get(&recorded.request.url).send().await.unwrap();
    // Key Vault named an older host of the same authority then.
    let form = |challenge: &str| {
        let rest = challenge.strip_prefix("Bearer authorization=\"https://login.").unwrap();
        rest.split_once("\", ").unwrap().1.to_owned()
    };
    let header = own.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert_eq!(form(&header), form(&recorded.response.headers["www-authenticate"]));
    let own = alike("challenge", own).await;
    assert_eq!(own, body("challenge"));
}

#[tokio::test]
async fn a_refusal_by_access_policy_has_the_same_codes() {
    let vault = Vault { authorization: Authorization::Policy, ..Vault::new("heathskeyvault") };
    let azure = azure([vault]).await;
    let token = azure.access_token().await;
    let url = format!("{}?api-version=7.4", recorded("refusal-policy").request.url);
    alike("refusal-policy", azure.client.get(url).bearer_auth(token).send().await.unwrap()).await;
}

#[tokio::test]
async fn what_was_recorded_is_given_as_it_was_to_whoever_asks_for_it() {
    let azure = azure([Vault::new("heathskeyvault")]).await;
    let recorded = recorded("secret-disabled");
    azure.emulator.inject_rule(recorded.rule().unwrap()).unwrap();
    let own = azure.client.get(&recorded.request.url).send().await.unwrap();
    assert_eq!(own.status().as_u16(), 403);
    for (name, value) in &recorded.response.headers {
        assert_eq!(own.headers()[name], value.as_str(), "{name}");
    }
    assert_eq!(own.text().await.unwrap(), recorded.response.body);
    let other = azure.get("heathskeyvault", "/secrets/other").send().await.unwrap();
    assert_eq!(other.status().as_u16(), 401, "the rest is the emulator's own");
}
