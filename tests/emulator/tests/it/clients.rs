//! Clients that log in with secrets and certificates of their own.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use data_encoding::BASE64URL_NOPAD;
use keyvault_emulator::{Identity, Options, RequestKind, Seed};
use rcgen::{Certificate, CertificateParams, KeyPair, PKCS_RSA_SHA256};
use reqwest::Response;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::azure::{APP, Azure, OTHER_APP, TENANT, VAULT_SCOPE, refused};

const SECRETS: &str = "
identities:
  - name: app
    clientId: 11111111-1111-4111-8111-111111111111
    clientSecrets: [s3cr~t, {value: former, expires: 2026-01-01T00:00:00Z}, {value: later, expires: 2999-01-01T00:00:00Z}]
  - {name: other, clientId: 22222222-2222-4222-8222-222222222222}
";

fn endpoint() -> String {
    format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token")
}

/// A certificate and its key.
struct Holder {
    certificate: Certificate,
    key: RsaKeyPair,
}

impl Holder {
    fn new(not_after: OffsetDateTime) -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.not_after = not_after;
        let certificate = params.self_signed(&pair).unwrap();
        let key = RsaKeyPair::from_pkcs8(&pair.serialize_der()).unwrap();
        Self { certificate, key }
    }

    fn x5t(&self) -> Value {
        json!({"alg": "RS256", "x5t": encoded(digest(&SHA1_FOR_LEGACY_USE_ONLY, self.certificate.der()).as_ref())})
    }

    fn x5t_s256(&self) -> Value {
        json!({"alg": "PS256", "x5t#S256": encoded(digest(&SHA256, self.certificate.der()).as_ref())})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let padding: &dyn RsaEncoding =
            if header["alg"] == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
        let input =
            format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(padding, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        format!("{input}.{}", encoded(&signature))
    }
}

fn encoded(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn claims() -> Value {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    json!({"iss": APP, "sub": APP, "aud": endpoint(), "nbf": now, "exp": now + 300, "jti": "1"})
}

/// The claims, but for one.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

async fn azure_with(certificates: &[&Holder]) -> Azure {
    let identity = Identity::new("app", APP);
    let identity =
        certificates.iter().fold(identity, |identity, one| identity.certificate(one.certificate.pem()));
    let seed = Seed::default().identity(identity).identity(Identity::new("other", OTHER_APP));
    Azure::holding(seed, Options::default()).await
}

async fn with_secret(azure: &Azure, client_id: &str, secret: &str) -> Response {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("scope", VAULT_SCOPE),
        ("client_secret", secret),
    ];
    azure.client.post(endpoint()).form(&form).send().await.unwrap()
}

#[tokio::test]
async fn a_client_secret_gets_a_token_and_a_wrong_or_expired_one_is_refused() {
    let azure = Azure::seeded(SECRETS).await;
    for secret in ["s3cr~t", "later"] {
        assert_eq!(with_secret(&azure, APP, secret).await.status(), 200);
    }
    for (client_id, secret, code) in
        [(APP, "guessed", 7_000_215), (APP, "former", 7_000_222), (OTHER_APP, "s3cr~t", 7_000_215)]
    {
        let expected = (401, "invalid_client".to_owned(), code);
        assert_eq!(refused(with_secret(&azure, client_id, secret).await).await, expected);
    }
    assert_eq!(azure.emulator.count(RequestKind::Token), 5);
}

#[tokio::test]
async fn a_scope_names_one_resource_and_may_add_those_of_openid_connect() {
    let azure = Azure::seeded(SECRETS).await;
    let ask = async |scope: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", APP),
            ("client_secret", "s3cr~t"),
            ("scope", scope),
        ];
        azure.client.post(endpoint()).form(&form).send().await.unwrap()
    };
    // As Go's azidentity sends it.
    let go = format!("{VAULT_SCOPE} openid offline_access profile");
    for scope in [VAULT_SCOPE, &go, &format!("openid {VAULT_SCOPE}")] {
        assert_eq!(ask(scope).await.status(), 200, "{scope}");
    }
    let two = format!("{VAULT_SCOPE} https://graph.microsoft.com/.default");
    for scope in ["openid profile", "https://vault.azure.net", &two, &format!("{VAULT_SCOPE} User.Read"), ""]
    {
        let expected = (400, "invalid_scope".to_owned(), 1_002_012);
        assert_eq!(refused(ask(scope).await).await, expected, "{scope}");
    }
}

#[tokio::test]
async fn the_first_version_of_the_token_endpoint_takes_a_resource_and_answers_with_text() {
    let azure = Azure::seeded(SECRETS).await;
    let ask = async |parameters: &[(&str, &str)]| {
        let mut form =
            vec![("grant_type", "client_credentials"), ("client_id", APP), ("client_secret", "s3cr~t")];
        form.extend_from_slice(parameters);
        azure.client.post(endpoint().replace("/v2.0", "")).form(&form).send().await.unwrap()
    };
    let answer: Value = ask(&[("resource", "https://vault.azure.net")]).await.json().await.unwrap();
    let number = |name: &str| answer[name].as_str().unwrap().parse::<i64>().unwrap();
    assert_eq!(answer["resource"], "https://vault.azure.net");
    assert_eq!(number("expires_on"), number("not_before") + number("expires_in"));
    assert!(answer["access_token"].is_string(), "{answer}");
    let missing = (400, "invalid_request".to_owned(), 900_144);
    assert_eq!(refused(ask(&[("scope", VAULT_SCOPE)]).await).await, missing);
}

#[tokio::test]
async fn an_assertion_that_a_registered_certificate_signed_gets_a_token() {
    let holder = Holder::new(OffsetDateTime::now_utc() + Duration::DAY);
    let azure = azure_with(&[&holder]).await;
    for header in [holder.x5t(), holder.x5t_s256()] {
        let answer = azure.exchange(&holder.sign(&header, &claims())).await;
        assert_eq!(answer.status(), 200, "{header}");
    }
    // Some clients write times with a fraction, and some pad the thumbprint.
    let expires = OffsetDateTime::now_utc().unix_timestamp() + 300;
    let fraction = with("exp", json!(f64::from(i32::try_from(expires).unwrap()) + 0.5));
    assert_eq!(azure.exchange(&holder.sign(&holder.x5t(), &fraction)).await.status(), 200);
    let mut padded = holder.x5t();
    padded["x5t"] = json!(format!("{}=", padded["x5t"].as_str().unwrap()));
    assert_eq!(azure.exchange(&holder.sign(&padded, &claims())).await.status(), 200);
}

#[tokio::test]
async fn every_wrong_assertion_of_a_client_is_refused_with_the_code_that_entra_has_for_it() {
    let tomorrow = OffsetDateTime::now_utc() + Duration::DAY;
    let (holder, stranger) = (Holder::new(tomorrow), Holder::new(tomorrow));
    let former = Holder::new(OffsetDateTime::now_utc() - Duration::DAY);
    let azure = azure_with(&[&holder, &former]).await;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let good = holder.x5t();
    let graph = "https://graph.microsoft.com/v2.0";
    for (assertion, code) in [
        (stranger.sign(&stranger.x5t(), &claims()), 700_027),
        (stranger.sign(&good, &claims()), 700_027),
        (former.sign(&former.x5t(), &claims()), 700_027),
        (holder.sign(&good, &with("sub", json!(OTHER_APP))), 700_021),
        (holder.sign(&good, &with("aud", json!(graph))), 700_023),
        (holder.sign(&good, &with("exp", json!(now - 1))), 700_024),
        // An issuer that is not the client is one that the client would have to trust.
        (holder.sign(&good, &with("iss", json!(OTHER_APP))), 700_211),
    ] {
        let expected = (401, "invalid_client".to_owned(), code);
        assert_eq!(refused(azure.exchange(&assertion).await).await, expected);
    }
    let nameless = holder.sign(&json!({"alg": "RS256"}), &claims());
    let expected = (400, "invalid_request".to_owned(), 5_002_723);
    assert_eq!(refused(azure.exchange(&nameless).await).await, expected);
}

#[tokio::test]
async fn a_certificate_that_entra_would_not_take_is_refused_in_the_seed() {
    let elliptic = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap().cert.pem();
    let yaml = json!({"identities": [{"name": "app", "clientId": APP, "certificates": [elliptic, "none"]}]});
    let message = Seed::from_yaml(&yaml.to_string()).unwrap_err().to_string();
    for finding in [
        "identities[0].certificates[0]: not an RSA certificate; Entra accepts only RSA",
        "certificates[1]: neither",
    ] {
        assert!(message.contains(finding), "{message}");
    }
}
