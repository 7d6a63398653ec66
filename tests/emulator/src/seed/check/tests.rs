//! What a seed is told that makes no sense.

use super::*;
use crate::seed::{Curve, KeyType};

fn error(yaml: &str) -> String {
    Seed::from_yaml(yaml).unwrap_err().to_string()
}

#[test]
fn a_seed_that_makes_no_sense_is_refused_with_every_finding_and_its_place() {
    let message = error(
        "
identities: [{name: app, clientId: '1'}, {name: app, clientId: '2'}]
vaults:
  - name: ok-vault
    access: [{identity: missing, secrets: [get]}]
    secrets:
      - {name: under_score, value: x}
      - {name: both, value: x, versions: [{value: y}]}
      - {name: neither}
      - {name: short, versions: [{version: abc, value: y}]}
  - name: OK-Vault
  - name: v
",
    );
    for finding in [
        "identities[1].name: duplicate name \"app\"",
        "vaults[0].access[0].identity: identity \"missing\" does not exist",
        "vaults[0].secrets[0].name: \"under_score\" is not an object name",
        "vaults[0].secrets[1]: set value or versions, not both",
        "vaults[0].secrets[2]: set value or versions",
        "vaults[0].secrets[3].versions[0].version: \"abc\" is not 32 hexadecimal digits",
        "vaults[1].name: duplicate name \"OK-Vault\"",
        "vaults[2].name: \"v\" is not a vault name",
    ] {
        assert!(message.contains(finding), "{finding:?} is missing from {message}");
    }
}

#[test]
fn a_misspelt_field_is_refused_with_its_line() {
    let message = error("vaults:\n  - name: my-vault\n    secretz: []\n");
    assert!(message.contains("secretz"), "{message}");
    assert!(message.contains("line 3"), "{message}");
}

#[test]
fn a_time_that_is_none_is_refused_with_its_line() {
    let message = error(
        "vaults:\n  - name: my-vault\n    secrets:\n      - name: a\n        versions:\n          - {value: x, created: yesterday}\n",
    );
    assert!(message.contains("line 6"), "{message}");
}

#[test]
fn defaults_make_a_short_seed_whole() {
    let seed = Seed::from_yaml(
        "
identities: [{name: app, clientId: '1', federatedCredentials: [{subject: s}]}]
vaults:
  - name: my-vault
    secrets:
      - {name: digits, versions: [{version: 11111111111111111111111111111111, value: 0123, created: 2026-01-01T00:00:00Z}]}
",
    )
    .unwrap();
    assert_eq!(seed.tenant, "00000000-0000-4000-8000-000000000001");
    let credential = &seed.identities[0].federated_credentials[0];
    assert_eq!(credential.issuer, "https://oidc.emulator.test/");
    assert_eq!(credential.audience, "api://AzureADTokenExchange");
    let version = &seed.vaults[0].secrets[0].versions[0];
    assert_eq!(version.value, "0123");
    assert_eq!(version.version.as_deref(), Some("11111111111111111111111111111111"));
    assert!(version.enabled);
}

#[test]
fn keys_certificates_and_accounts_that_make_no_sense_are_refused_with_their_places() {
    let message = error(
        "
identities:
  - {name: one, clientId: '1', managedIdentity: system}
  - {name: two, clientId: '2', managedIdentity: system}
vaults:
  - name: ok-vault
    secrets: [{name: taken, value: x}]
    keys:
      - {name: curved, kty: RSA, crv: P-256}
      - {name: secretive, kty: EC, publicKey: x}
      - {name: both, kty: EC, publicKey: x, versions: [{version: abc}]}
      - {name: web, kty: EC}
    certificates:
      - {name: taken, pfx: AAAA}
      - {name: web, pem: x, pfx: x}
      - {name: leafless, pem: x}
      - {name: contrary, contentType: application/x-pem-file, pfx: AAAA, cer: AAAA}
serviceAccounts: [{namespace: a, name: b}, {namespace: a, name: b}]
",
    );
    for finding in [
        "identities: only one identity can be the system-assigned identity",
        "vaults[0].keys[0].crv: an RSA key has no curve",
        "vaults[0].keys[1].publicKey: no PEM block PUBLIC KEY",
        "vaults[0].keys[2]: set publicKey or versions, not both",
        "vaults[0].keys[2].versions[0].version: \"abc\" is not 32 hexadecimal digits",
        "vaults[0].certificates[0].name: duplicate name \"taken\"",
        "vaults[0].certificates[0]: cer: required with pfx",
        "vaults[0].certificates[1].name: a key has the name \"web\", too",
        "vaults[0].certificates[1]: set pfx or pem, not both",
        "vaults[0].certificates[2]: cer: neither base64 nor a PEM block CERTIFICATE",
        "vaults[0].certificates[3]: cer: not an X.509 certificate with a supported key",
        "serviceAccounts[1]: duplicate name \"a/b\"",
    ] {
        assert!(message.contains(finding), "{finding:?} is missing from {message}");
    }
}

#[test]
fn a_key_must_be_of_the_type_and_on_the_curve_that_the_seed_says() {
    let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
    for (key, finding) in [
        (Key::new("a", KeyType::Rsa), "the public key is not of type RSA"),
        (Key { crv: Some(Curve::P384), ..Key::new("a", KeyType::Ec) }, "the public key is on P-256"),
    ] {
        let key = Key { public_key: Some(pem.clone()), ..key };
        let error = Seed::default().vault(Vault::new("my-vault").key(key)).check().unwrap_err();
        assert!(error.to_string().contains(finding), "{error}");
    }
}
