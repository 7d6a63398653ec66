//! Keys: reading, listing, refusing.

use data_encoding::BASE64URL_NOPAD;
use keyvault_emulator::{Key, KeyType, Options, ReadPermission, RequestKind, Seed, Vault};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PublicKeyData as _};
use serde_json::{Value, json};

use crate::azure::{Azure, OLD_VERSION, read};

const SEED: &str = "
identities:
  - name: app
    clientId: 11111111-1111-4111-8111-111111111111
    federatedCredentials: [{subject: system:serviceaccount:default:app}]
vaults:
  - name: myKeyVault
    access: [{identity: app, keys: [get, list]}]
    secrets: [{name: rsa, value: of the same name}]
    keys:
      - {name: rsa, kty: RSA, tags: {owner: team}}
      - {name: rsa-hsm, kty: RSA-HSM, keyOps: [verify]}
      - {name: p256, kty: EC}
      - {name: p384, kty: EC, crv: P-384}
      - {name: p521-hsm, kty: EC-HSM, crv: P-521}
      - {name: p256k, kty: EC, crv: P-256K}
      - {name: turned-off, kty: EC, enabled: false}
      - name: with-history
        kty: EC
        versions:
          - {version: 0123456789abcdef0123456789abcdef, created: 2026-01-01T00:00:00Z, enabled: false}
          - {created: 2026-02-01T00:00:00Z, expires: 2036-01-01T00:00:00Z}
  - {name: rbac-closed, keys: [{name: a, kty: EC}]}
  - {name: policy-closed, authorization: policy, keys: [{name: a, kty: EC}]}
";

fn number(key: &Value, name: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(key[name].as_str().unwrap().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_key_is_read_with_its_public_numbers() {
    let azure = Azure::seeded(SEED).await;
    let token = azure.access_token().await;
    for (name, kty, operations) in [
        ("rsa", "RSA", json!(["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"])),
        ("rsa-hsm", "RSA-HSM", json!(["verify"])),
    ] {
        let (status, bundle) = azure.ask(&token, &format!("/keys/{name}")).await;
        assert_eq!(status, 200);
        let key = &bundle["key"];
        assert_eq!((&key["kty"], &key["key_ops"]), (&json!(kty), &operations));
        assert_eq!((number(key, "n").len(), number(key, "e")), (256, vec![1, 0, 1]));
        let kid = key["kid"].as_str().unwrap();
        assert!(kid.starts_with(&format!("https://mykeyvault.vault.azure.net/keys/{name}/")), "{kid}");
        assert_eq!(bundle["attributes"]["enabled"], true);
        assert!(bundle["attributes"]["created"].is_i64());
        assert!(bundle.get("managed").is_none());
    }
    for (name, kty, curve, length) in [
        ("p256", "EC", "P-256", 32),
        ("p384", "EC", "P-384", 48),
        ("p521-hsm", "EC-HSM", "P-521", 66),
        ("p256k", "EC", "P-256K", 32),
    ] {
        let (_, bundle) = azure.ask(&token, &format!("/keys/{name}")).await;
        let key = &bundle["key"];
        assert_eq!((key["kty"].as_str(), key["crv"].as_str()), (Some(kty), Some(curve)));
        assert_eq!((number(key, "x").len(), number(key, "y").len()), (length, length));
    }
    assert_eq!(azure.emulator.count(RequestKind::Key), 6);
}

#[tokio::test]
async fn a_key_that_the_seed_gives_is_the_one_that_is_read() {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let key = Key { public_key: Some(pair.public_key_pem()), ..Key::new("given", KeyType::Ec) };
    let vault = Vault::new("myKeyVault").key(key).key_access("app", &[ReadPermission::Get]);
    let identity = keyvault_emulator::Identity::new("app", crate::azure::APP).federated("default", "app");
    let azure = Azure::holding(Seed::default().identity(identity).vault(vault), Options::default()).await;
    let token = azure.access_token().await;
    let (_, bundle) = azure.ask(&token, "/keys/given").await;
    let key = &bundle["key"];
    assert_eq!(key["crv"], "P-384");
    assert_eq!([vec![4], number(key, "x"), number(key, "y")].concat(), pair.der_bytes());
}

#[tokio::test]
async fn versions_and_keys_are_listed_without_numbers_and_page_by_page() {
    let azure = Azure::seeded(SEED).await;
    let token = azure.access_token().await;
    let (versions, _) = azure.all(&token, "/keys/with-history/versions").await;
    assert_eq!(versions.len(), 2);
    assert_eq!(
        versions[0]["kid"],
        format!("https://mykeyvault.vault.azure.net/keys/with-history/{OLD_VERSION}")
    );
    assert_eq!(versions[0]["attributes"]["enabled"], false);
    assert!(versions.iter().all(|version| version.get("key").is_none()));
    let (keys, _) = azure.all(&token, "/keys").await;
    assert_eq!(keys.len(), 8);
    assert!(keys.iter().any(|key| key["kid"] == "https://mykeyvault.vault.azure.net/keys/rsa"));
    let page = azure.get("mykeyvault", "/keys").query(&[("maxresults", "3")]).bearer_auth(&token);
    let (_, page) = read(page).await;
    assert_eq!(page["value"].as_array().unwrap().len(), 3);
    assert!(page["nextLink"].as_str().unwrap().starts_with("https://mykeyvault.vault.azure.net:443/keys?"));
    assert_eq!(azure.emulator.count(RequestKind::KeyVersions), 1);
    assert_eq!(azure.emulator.count(RequestKind::KeyList), 2);
}

#[tokio::test]
async fn a_version_of_a_key_is_read_by_its_id_and_the_newest_without_one() {
    let azure = Azure::seeded(SEED).await;
    let token = azure.access_token().await;
    let (status, newest) = azure.ask(&token, "/keys/WITH-history").await;
    assert_eq!((status, newest["attributes"]["exp"].as_i64()), (200, Some(2_082_758_400)));
    let kid = newest["key"]["kid"].as_str().unwrap();
    let path = kid.strip_prefix("https://mykeyvault.vault.azure.net").unwrap();
    assert_eq!(azure.ask(&token, path).await, (200, newest.clone()));
}

#[tokio::test]
async fn every_kind_of_no_to_a_key_has_its_own_error() {
    let azure = Azure::seeded(SEED).await;
    let token = azure.access_token().await;
    let absent = "ffffffffffffffffffffffffffffffff";
    for (path, status, code) in [
        ("/keys/absent".to_owned(), 404, "KeyNotFound"),
        (format!("/keys/rsa/{absent}"), 404, "KeyNotFound"),
        ("/keys/absent/versions".to_owned(), 404, "KeyNotFound"),
        ("/keys/under_score".to_owned(), 400, "BadParameter"),
        ("/keys/rsa/1".to_owned(), 400, "BadParameter"),
        ("/secrets/rsa".to_owned(), 403, "Forbidden"),
    ] {
        let (got, body) = azure.ask(&token, &path).await;
        assert_eq!((got, body["error"]["code"].as_str().unwrap()), (status, code), "{path}");
    }
    for disabled in ["/keys/turned-off".to_owned(), format!("/keys/with-history/{OLD_VERSION}")] {
        let (status, body) = azure.ask(&token, &disabled).await;
        assert_eq!((status, body["attributes"]["enabled"].as_bool()), (200, Some(false)), "{disabled}");
    }
    for (vault, inner, words) in [
        ("rbac-closed", "ForbiddenByRbac", "Action: 'Microsoft.KeyVault/vaults/keys/read'"),
        ("policy-closed", "ForbiddenByPolicy", "does not have keys get permission on key vault"),
    ] {
        let (status, body) = read(azure.get(vault, "/keys/a").bearer_auth(&token)).await;
        assert_eq!((status, body["error"]["innererror"]["code"].as_str()), (403, Some(inner)));
        assert!(body["error"]["message"].as_str().unwrap().contains(words), "{body}");
    }
}
