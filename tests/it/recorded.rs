//! Recorded answers of Key Vault and Entra, and the resulting mounts.

mod refusals;

use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use data_encoding::{BASE64, BASE64_MIME, BASE64URL_NOPAD};
use keyvault_csi_provider::proto::MountResponse;
use keyvault_emulator::{
    Key, KeyType, KeyVersion, ReadPermission, Recorded, RequestKind, Secret, SecretPermission, SecretVersion,
    Seed, Vault,
};
use serde_json::Value;
use url::Url;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::harness::{Claim, World, files, seed};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recorded")
}

fn recorded(name: &str) -> Recorded {
    Recorded::from_json(&std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap()).unwrap()
}

/// All recorded answers with this part in their name.
fn all(part: &str) -> Vec<Recorded> {
    let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut names = names
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name.contains(part))
        .collect::<Vec<_>>();
    names.sort();
    names.iter().map(|name| recorded(name)).collect()
}

fn body(name: &str) -> Value {
    serde_json::from_str(&recorded(name).response.body).unwrap()
}

/// The recorded value of a secret.
fn value(name: &str) -> String {
    body(name)["value"].as_str().unwrap().to_owned()
}

fn vault_name(recorded: &Recorded) -> String {
    let url = Url::parse(&recorded.request.url).unwrap();
    url.host_str().unwrap().split('.').next().unwrap().to_owned()
}

/// An entry of a class's `objects` for the request of the recording `name`.
fn object(name: &str, more: &str) -> String {
    let recorded = recorded(name);
    let url = Url::parse(&recorded.request.url).unwrap();
    let mut path = url.path_segments().unwrap().filter(|segment| !segment.is_empty());
    let kind = match path.next().unwrap() {
        "secrets" => "secret",
        "keys" => "key",
        _ => "cert",
    };
    let requested = path.next().unwrap();
    let version = match path.next() {
        Some("versions") | None => String::new(),
        Some(version) => format!(", objectVersion: {version}"),
    };
    let vault = vault_name(&recorded);
    format!(
        "- {{objectName: \"{requested}\", objectType: {kind}, keyvaultName: {vault}, objectAlias: {name}{version}{more}}}\n"
    )
}

fn objects(names: &[&str]) -> String {
    names.iter().map(|name| object(name, "")).collect()
}

fn readable(vault: Vault) -> Vault {
    let read = [ReadPermission::Get, ReadPermission::List];
    vault
        .access("myapp", &[SecretPermission::Get, SecretPermission::List])
        .key_access("myapp", &read)
        .certificate_access("myapp", &read)
}

/// A provider and vaults with these answers; the vaults are empty except for `filled`.
async fn world(answers: &[Recorded], filled: Vec<Vault>) -> World {
    let mut seed = filled.into_iter().map(readable).fold(seed(), Seed::vault);
    for name in answers.iter().map(vault_name) {
        if !seed.vaults.iter().any(|vault| vault.name == name) {
            seed = seed.vault(readable(Vault::new(name)));
        }
    }
    let world = World::with(seed, &[]).await;
    for answer in answers {
        world.emulator.inject_rule(answer.rule().unwrap()).unwrap();
    }
    world
}

async fn mounted(names: &[&str]) -> MountResponse {
    let answers = names.iter().map(|name| recorded(name)).collect::<Vec<_>>();
    let world = world(&answers, Vec::new()).await;
    world.mount(&claim(&world, &objects(names))).await.unwrap()
}

fn claim(world: &World, objects: &str) -> Claim {
    world.claim().objects(objects)
}

/// Label and bytes of each block of a PEM file.
fn blocks(pem: &[u8]) -> Vec<(String, Vec<u8>)> {
    let (mut blocks, mut label, mut base64) = (Vec::new(), None, String::new());
    for line in std::str::from_utf8(pem).unwrap().lines() {
        if let Some(begun) = line.strip_prefix("-----BEGIN ") {
            label = Some(begun.trim_end_matches('-').to_owned());
        } else if line.starts_with("-----END ") {
            let der = BASE64_MIME.decode(std::mem::take(&mut base64).as_bytes()).unwrap();
            blocks.push((label.take().unwrap(), der));
        } else {
            base64.push_str(line);
        }
    }
    blocks
}

fn number(key: &Value, name: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(key[name].as_str().unwrap().as_bytes()).unwrap()
}

/// The key in a certificate: a point, or the two numbers of RSA as DER.
fn key_in(certificate: &[u8]) -> Vec<u8> {
    let (rest, certificate) = X509Certificate::from_der(certificate).unwrap();
    assert!(rest.is_empty());
    certificate.public_key().subject_public_key.data.to_vec()
}

#[tokio::test]
async fn secrets_are_their_values_with_the_version_that_key_vault_names() {
    let names = ["secret", "secret-with-attributes"];
    let answers = names.map(recorded);
    let world = world(&answers, Vec::new()).await;
    let objects = object(names[0], ", filePermission: 0400") + &object(names[1], "");
    let response = world.mount(&claim(&world, &objects)).await.unwrap();
    let expected =
        [("secret", b"value".as_slice()), ("secret-with-attributes", b"CrudWithExtendedPropsValue1")];
    assert_eq!(files(&response), expected);
    assert_eq!(response.files.iter().map(|file| file.mode).collect::<Vec<_>>(), [0o400, 0o644]);
    let versions = response.object_version.iter().map(|version| (&*version.id, &*version.version));
    assert_eq!(
        versions.collect::<Vec<_>>(),
        [
            ("secret/227959232", "8a4c2dc2981f46ce9a753e6eb75b5194"),
            ("secret/1924275838", "ba13227380374a499d3e56faacbb4e4a"),
        ]
    );
    assert_eq!(world.emulator.count(RequestKind::Secret), 2);
}

#[tokio::test]
async fn an_rsa_certificate_of_key_vault_is_opened_and_its_key_signs_for_it() {
    let response = mounted(&["secret-pkcs12-rsa", "certificate-rsa"]).await;
    let blocks_of = |index: usize| blocks(&response.files[index].contents);
    let [(key_label, key), (certificate_label, certificate)] = &blocks_of(0)[..] else {
        panic!("{:?}", blocks_of(0).iter().map(|(label, _)| label.clone()).collect::<Vec<_>>());
    };
    assert_eq!((key_label.as_str(), certificate_label.as_str()), ("PRIVATE KEY", "CERTIFICATE"));
    let recorded = BASE64.decode(body("certificate-rsa")["cer"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(*certificate, recorded);
    assert_eq!(blocks_of(1), [("CERTIFICATE".to_owned(), recorded)]);

    let pair = RsaKeyPair::from_pkcs8(key).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), b"message", &mut signature).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key_in(certificate));
    public.verify(b"message", &signature).unwrap();
}

#[tokio::test]
async fn an_elliptic_curve_certificate_of_key_vault_is_opened_and_its_key_signs_for_it() {
    let response = mounted(&["secret-pkcs12-ec", "key-of-pkcs12-ec"]).await;
    let pem = blocks(&response.files[0].contents);
    let labels = pem.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>();
    assert_eq!(labels, ["PRIVATE KEY", "CERTIFICATE"]);
    let recorded = &body("key-of-pkcs12-ec")["key"];
    let point = [vec![4], number(recorded, "x"), number(recorded, "y")].concat();
    assert_eq!(key_in(&pem[1].1), point);

    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pem[0].1).unwrap();
    let signature = pair.sign(&random, b"message").unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(b"message", signature.as_ref()).unwrap();
}

#[tokio::test]
async fn pem_of_key_vault_is_the_file_and_matches_its_certificate() {
    let response = mounted(&["secret-pem-ec", "certificate-ec"]).await;
    assert_eq!(String::from_utf8_lossy(&response.files[0].contents), value("secret-pem-ec"));
    let [_, in_secret] = &blocks(&response.files[0].contents)[..] else { panic!("key and certificate") };
    assert_eq!(blocks(&response.files[1].contents), std::slice::from_ref(in_secret));
}

#[tokio::test]
async fn pkcs12_of_key_vault_in_its_original_format_keeps_its_bytes() {
    let names = ["secret-pkcs12-rsa", "secret-pkcs12-not-exportable"];
    let world = world(&names.map(recorded), Vec::new()).await;
    let objects = names.map(|name| object(name, ", objectFormat: pfx, objectEncoding: base64")).concat();
    let response = world.mount(&claim(&world, &objects)).await.unwrap();
    let [rsa, other] = names.map(|name| BASE64.decode(value(name).as_bytes()).unwrap());
    assert_eq!(files(&response), [(names[0], rsa.as_slice()), (names[1], other.as_slice())]);
}

#[tokio::test]
async fn keys_of_every_kind_become_pem_of_the_same_numbers() {
    let names = ["key-rsa", "key-rsa-hsm", "key-p256", "key-p256k", "key-p384", "key-p521"];
    let response = mounted(&names).await;
    for (name, file) in names.iter().zip(&response.files) {
        let [(label, der)] = &blocks(&file.contents)[..] else { panic!("{name}: one block") };
        assert_eq!(label, "PUBLIC KEY", "{name}");
        let (rest, info) = SubjectPublicKeyInfo::from_der(der).unwrap();
        assert!(rest.is_empty(), "{name}");
        let key = &body(name)["key"];
        let data = &info.subject_public_key.data;
        if name.contains("rsa") {
            let parsed = info.parsed().unwrap();
            let x509_parser::public_key::PublicKey::RSA(rsa) = parsed else { panic!("{name}: {parsed:?}") };
            let bare = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
            assert_eq!(bare(rsa.modulus), bare(&number(key, "n")), "{name}");
            // An HSM's exponent starts with a zero byte.
            assert_eq!(
                (bare(rsa.exponent), bare(&number(key, "e"))),
                (vec![1, 0, 1], vec![1, 0, 1]),
                "{name}"
            );
        } else {
            assert_eq!(data.as_ref(), [vec![4], number(key, "x"), number(key, "y")].concat(), "{name}");
        }
        let kid = key["kid"].as_str().unwrap();
        assert!(response.object_version.iter().any(|one| kid.ends_with(&one.version)), "{name}");
    }
}

/// Ids and times of all versions on the pages, as (time, id).
fn listed(pages: &str) -> Vec<(i64, String)> {
    let pages =
        all(pages).into_iter().map(|page| serde_json::from_str::<Value>(&page.response.body).unwrap());
    let items = pages.flat_map(|page| page["value"].as_array().unwrap().clone());
    items
        .map(|item| {
            let id = item["id"].as_str().or_else(|| item["kid"].as_str()).unwrap().to_owned();
            (item["attributes"]["created"].as_i64().unwrap(), id.rsplit('/').next().unwrap().to_owned())
        })
        .collect()
}

fn newest_first(mut versions: Vec<(i64, String)>) -> Vec<String> {
    versions.sort();
    versions.into_iter().rev().map(|(_, id)| id).collect()
}

fn mounted_versions(response: &MountResponse) -> Vec<String> {
    response.object_version.iter().map(|version| version.version.clone()).collect()
}

#[tokio::test]
async fn a_history_of_a_secret_is_followed_over_all_pages_that_key_vault_gave() {
    let versions = listed("secret-versions");
    assert_eq!(versions.len(), 7);
    // The pages contain no values; the emulator generates them.
    let held = versions
        .iter()
        .map(|(_, id)| SecretVersion { version: Some(id.clone()), ..SecretVersion::new(format!("of {id}")) });
    let vault = Vault::new("vault33a90fd8").secret(Secret::with_versions("secVer33a90fd8", held.collect()));
    let world = world(&all("secret-versions"), vec![vault]).await;
    let objects = object("secret-versions-1", ", objectVersionHistory: 10");
    let response = world.mount(&claim(&world, &objects)).await.unwrap();
    let expected = newest_first(versions);
    assert_eq!(mounted_versions(&response), expected);
    let contents = response.files.iter().map(|file| String::from_utf8_lossy(&file.contents).into_owned());
    assert_eq!(
        contents.collect::<Vec<_>>(),
        expected.iter().map(|id| format!("of {id}")).collect::<Vec<_>>()
    );
    assert_eq!(world.emulator.count(RequestKind::SecretVersions), 4);
}

#[tokio::test]
async fn a_history_of_a_key_is_followed_over_all_pages_that_key_vault_gave() {
    let versions = listed("key-versions");
    assert_eq!(versions.len(), 7);
    let held = versions.iter().map(|(_, id)| KeyVersion {
        version: Some(id.clone()),
        public_key: None,
        created: None,
        not_before: None,
        expires: None,
        enabled: true,
        tags: std::collections::BTreeMap::new(),
    });
    let key = Key { versions: held.collect(), ..Key::new("testKeyf5fa0e28", KeyType::Ec) };
    let world = world(&all("key-versions"), vec![Vault::new("vaultf5fa0e28").key(key)]).await;
    let objects = object("key-versions-1", ", objectVersionHistory: 3");
    let response = world.mount(&claim(&world, &objects)).await.unwrap();
    assert_eq!(mounted_versions(&response), newest_first(versions)[..3]);
    assert_eq!(world.emulator.count(RequestKind::KeyVersions), 4);
}

#[test]
fn every_recorded_answer_names_its_source() {
    let answers = all("");
    assert!(answers.len() > 20);
    for answer in answers {
        let location = format!("{:?}", answer.source);
        assert!(answer.source.repository.starts_with("Azure/azure-sdk-for-"), "{location}");
        assert_eq!(answer.source.commit.len(), 40, "{location}");
        assert!(answer.response.body.is_ascii() && answer.rule().is_ok(), "{location}");
        let sized = answer.response.headers.contains_key("content-length");
        assert!(
            sized || !answer.source.path.contains("ecord"),
            "a recording states the length of its body: {location}"
        );
    }
}
