//! Certificates, and the secrets and keys that belong to them.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use keyvault_emulator::{
    Certificate, CertificateVersion, Identity, Options, ReadPermission, RequestKind, SecretPermission, Seed,
    Vault,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};

use crate::azure::{APP, Azure};

const FIRST: &str = "11111111111111111111111111111111";
const SECOND: &str = "22222222222222222222222222222222";
const URL: &str = "https://mykeyvault.vault.azure.net";

fn leaf() -> CertifiedKey<rcgen::KeyPair> {
    generate_simple_self_signed(vec!["web.test".to_owned()]).unwrap()
}

async fn azure(certificates: impl IntoIterator<Item = Certificate>) -> Azure {
    let read = [ReadPermission::Get, ReadPermission::List];
    let vault = Vault::new("myKeyVault")
        .access("app", &[SecretPermission::Get])
        .key_access("app", &read)
        .certificate_access("app", &read);
    let vault = certificates.into_iter().fold(vault, Vault::certificate);
    let identity = Identity::new("app", APP).federated("default", "app");
    Azure::holding(Seed::default().identity(identity).vault(vault), Options::default()).await
}

#[tokio::test]
async fn a_certificate_is_also_a_secret_and_a_key_of_the_same_version() {
    let leaf = leaf();
    let azure =
        azure([Certificate::from_pfx("web-tls", b"PKCS#12".to_vec(), leaf.cert.der().to_vec())]).await;
    let token = azure.access_token().await;
    let (status, certificate) = azure.ask(&token, "/certificates/web-tls").await;
    assert_eq!(status, 200);
    let id = certificate["id"].as_str().unwrap();
    let version = id.strip_prefix(&format!("{URL}/certificates/web-tls/")).unwrap();
    assert_eq!(certificate["cer"], BASE64.encode(leaf.cert.der()));
    assert_eq!(certificate["sid"], format!("{URL}/secrets/web-tls/{version}"));
    assert_eq!(certificate["kid"], format!("{URL}/keys/web-tls/{version}"));
    assert_eq!(certificate["policy"]["id"], format!("{URL}/certificates/web-tls/policy"));
    assert_eq!(certificate["policy"]["secret_props"], json!({"contentType": "application/x-pkcs12"}));
    assert_eq!(certificate["policy"]["key_props"]["crv"], "P-256");
    let thumbprint = BASE64URL_NOPAD.decode(certificate["x5t"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(thumbprint.len(), 20);

    let (_, secret) = azure.ask(&token, "/secrets/web-tls").await;
    assert_eq!((&secret["id"], &secret["kid"]), (&certificate["sid"], &certificate["kid"]));
    assert_eq!(secret["value"], BASE64.encode(b"PKCS#12"));
    assert_eq!((&secret["contentType"], &secret["managed"]), (&json!("application/x-pkcs12"), &json!(true)));

    let (_, key) = azure.ask(&token, "/keys/web-tls").await;
    assert_eq!((&key["key"]["kid"], &key["managed"]), (&certificate["kid"], &json!(true)));
    let number = |name: &str| BASE64URL_NOPAD.decode(key["key"][name].as_str().unwrap().as_bytes()).unwrap();
    let point = [vec![4], number("x"), number("y")].concat();
    assert!(leaf.cert.der().windows(point.len()).any(|window| window == point));
    for object in [&secret, &key] {
        assert_eq!(object["attributes"]["exp"], certificate["attributes"]["exp"]);
    }
    assert_eq!(azure.emulator.count(RequestKind::Certificate), 1);
}

#[tokio::test]
async fn a_certificate_in_pem_is_a_secret_in_pem_whose_first_certificate_is_the_leaf() {
    let (leaf, issuer) = (leaf(), leaf());
    let pem = format!("{}{}{}", leaf.signing_key.serialize_pem(), leaf.cert.pem(), issuer.cert.pem());
    let azure = azure([Certificate::from_pem("web-tls", pem.clone())]).await;
    let token = azure.access_token().await;
    let (_, certificate) = azure.ask(&token, "/certificates/web-tls").await;
    assert_eq!(certificate["cer"], BASE64.encode(leaf.cert.der()));
    let (_, secret) = azure.ask(&token, "/secrets/web-tls").await;
    assert_eq!(
        (secret["value"].as_str(), &secret["contentType"]),
        (Some(pem.as_str()), &json!("application/x-pem-file"))
    );
}

#[tokio::test]
async fn every_version_of_a_certificate_is_one_of_its_secret_and_its_key() {
    let (old, new) = (leaf(), leaf());
    let versions = vec![
        CertificateVersion {
            version: Some(FIRST.to_owned()),
            enabled: false,
            ..CertificateVersion::from_pfx(b"old".to_vec(), old.cert.der().to_vec())
        },
        CertificateVersion {
            version: Some(SECOND.to_owned()),
            ..CertificateVersion::from_pfx(b"new".to_vec(), new.cert.der().to_vec())
        },
    ];
    let azure = azure([Certificate::with_versions("web-tls", versions)]).await;
    let token = azure.access_token().await;
    let (listed, _) = azure.all(&token, "/certificates/web-tls/versions").await;
    let ids: Vec<&Value> = listed.iter().map(|version| &version["id"]).collect();
    assert_eq!(ids, [FIRST, SECOND].map(|id| format!("{URL}/certificates/web-tls/{id}")).each_ref());
    assert!(listed.iter().all(|version| version.get("cer").is_none() && version["x5t"].is_string()));
    let (certificates, _) = azure.all(&token, "/certificates").await;
    assert_eq!(certificates[0]["id"], format!("{URL}/certificates/web-tls"));

    let (_, newest) = azure.ask(&token, "/secrets/web-tls").await;
    assert_eq!(newest["id"], format!("{URL}/secrets/web-tls/{SECOND}"));
    for (collection, status) in [("secrets", 403), ("keys", 200), ("certificates", 200)] {
        let (got, _) = azure.ask(&token, &format!("/{collection}/web-tls/{FIRST}")).await;
        assert_eq!(got, status, "a disabled version at {collection}");
    }
    assert_eq!(azure.emulator.count(RequestKind::CertificateVersions), 1);
    assert_eq!(azure.emulator.count(RequestKind::CertificateList), 1);
}

#[tokio::test]
async fn a_certificate_that_is_missing_is_said_to_be() {
    let azure = azure([]).await;
    let token = azure.access_token().await;
    for path in ["/certificates/absent", "/certificates/absent/versions"] {
        let (status, body) = azure.ask(&token, path).await;
        assert_eq!((status, body["error"]["code"].as_str()), (404, Some("CertificateNotFound")));
    }
}

#[tokio::test]
async fn a_seed_gives_a_certificate_as_pfx_with_its_leaf_or_as_pem() {
    let leaf = leaf();
    let [cer, pem] = [BASE64.encode(leaf.cert.der()), leaf.cert.pem()];
    let yaml = json!({
        "identities": [{
            "name": "app",
            "clientId": APP,
            "federatedCredentials": [{"subject": "system:serviceaccount:default:app"}],
        }],
        "vaults": [{
            "name": "myKeyVault",
            "access": [{"identity": "app", "certificates": ["get"]}],
            "certificates": [
                {"name": "pfx", "contentType": "application/x-pkcs12", "pfx": "AAAA", "cer": cer},
                {"name": "pem", "contentType": "application/x-pem-file", "pem": pem},
            ],
        }],
    });
    let azure = Azure::seeded(&yaml.to_string()).await;
    let token = azure.access_token().await;
    for name in ["pfx", "pem"] {
        let (_, certificate) = azure.ask(&token, &format!("/certificates/{name}")).await;
        assert_eq!(certificate["cer"], cer);
    }
    assert_eq!(azure.ask(&token, "/secrets/pfx").await.0, 403);
}
