//! Keys, certificates, certificate-backed secrets and histories, compared with the output of `openssl`.

use std::path::Path;

use data_encoding::{BASE64, BASE64_MIME};
use keyvault_csi_provider::proto::MountResponse;
use keyvault_emulator::{
    Certificate, CertificateVersion, Curve, Fault, Key, KeyType, ReadPermission, RequestKind, Secret,
    SecretPermission, SecretVersion, Seed, Target, Vault,
};
use tonic::Code;

use crate::harness::{Claim, World, files, seed};

fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(name: &str) -> String {
    String::from_utf8(data(name)).unwrap()
}

/// The bytes in the first block of a PEM file.
fn der(name: &str) -> Vec<u8> {
    let text = text(name);
    let body = text.lines().skip_while(|line| !line.starts_with("-----BEGIN")).skip(1);
    let body = body.take_while(|line| !line.starts_with("-----END")).collect::<String>();
    BASE64_MIME.decode(body.as_bytes()).unwrap()
}

fn vault() -> Vault {
    let read = [ReadPermission::Get, ReadPermission::List];
    Vault::new("objects")
        .access("myapp", &[SecretPermission::Get, SecretPermission::List])
        .key_access("myapp", &read)
        .certificate_access("myapp", &read)
}

async fn world(vault: Vault, args: &[&str]) -> World {
    World::with(Seed::vault(seed(), vault), args).await
}

fn claim(world: &World, objects: &str) -> Claim {
    world.claim().set("keyvaultName", "objects").objects(objects)
}

async fn mount(world: &World, objects: &str) -> MountResponse {
    world.mount(&claim(world, objects)).await.unwrap()
}

fn ids(response: &MountResponse) -> Vec<&str> {
    response.object_version.iter().map(|version| version.id.as_str()).collect()
}

/// PKCS#12 files, and the chain in each of them.
const FILES: [(&str, &str); 12] = [
    ("rsa-3des", "rsa"),
    ("rsa-rc2-40", "rsa"),
    ("rsa-aes-256", "rsa"),
    ("rsa-bare", "rsa-bare"),
    ("ec-3des", "ec"),
    ("ec-rc2-40", "ec"),
    ("ec-2key-rc2-128", "ec"),
    ("ec-aes-256", "ec"),
    ("ec-sha-512", "ec"),
    ("ec-no-mac", "ec"),
    ("p384-aes-256", "p384"),
    ("p521-aes-256", "p521"),
];

fn pfx(name: &str, chain: &str) -> Certificate {
    Certificate::from_pfx(name, data(&format!("pfx/{name}.pfx")), der(&format!("chain/{chain}-leaf.pem")))
}

fn in_order(chain: &str) -> String {
    ["leaf", "intermediate", "root"].map(|level| text(&format!("chain/{chain}-{level}.pem"))).concat()
}

#[tokio::test]
async fn keys_are_written_as_pem_of_their_public_part() {
    let keys = [
        ("rsa-2048", KeyType::Rsa, None),
        ("rsa-4096", KeyType::RsaHsm, None),
        ("p-256", KeyType::Ec, Some(Curve::P256)),
        ("p-384", KeyType::EcHsm, Some(Curve::P384)),
        ("p-521", KeyType::Ec, Some(Curve::P521)),
        ("p-256k", KeyType::Ec, Some(Curve::P256K)),
    ];
    let vault = keys.iter().fold(vault(), |vault, (name, kty, crv)| {
        let public_key = Some(text(&format!("keys/{name}.pem")));
        vault.key(Key { crv: *crv, public_key, ..Key::new(*name, *kty) })
    });
    let world = world(vault, &[]).await;
    let objects = keys.map(|(name, ..)| format!("- {{objectName: {name}, objectType: key}}\n")).concat();
    let response = mount(&world, &objects).await;
    for (name, _, _) in keys {
        let file = response.files.iter().find(|file| file.path == name).unwrap();
        assert_eq!(String::from_utf8_lossy(&file.contents), text(&format!("keys/{name}.pem")), "{name}");
    }
    assert_eq!(ids(&response)[0], "key/rsa-2048");
    assert_eq!(world.emulator.count(RequestKind::Key), keys.len());
    assert_eq!(world.emulator.count(RequestKind::Challenge), 0);
}

#[tokio::test]
async fn a_certificate_is_written_without_its_chain() {
    let world = world(vault().certificate(pfx("rsa-aes-256", "rsa")), &[]).await;
    let response = mount(&world, "- {objectName: rsa-aes-256, objectType: cert, objectAlias: tls.crt}").await;
    assert_eq!(files(&response), [("tls.crt", data("chain/rsa-leaf.pem").as_slice())]);
    assert_eq!(ids(&response), ["cert/rsa-aes-256"]);
}

#[tokio::test]
async fn pkcs12_of_every_kind_is_written_as_key_and_chain() {
    let vault = FILES.iter().fold(vault(), |vault, (name, chain)| vault.certificate(pfx(name, chain)));
    let world = world(vault, &[]).await;
    let objects = FILES.map(|(name, _)| format!("- {{objectName: {name}, objectType: secret}}\n")).concat();
    let response = mount(&world, &objects).await;
    for ((name, chain), file) in FILES.iter().zip(&response.files) {
        let expected = format!("{}{}", text(&format!("pfx/{name}.key")), in_order(chain));
        assert_eq!(String::from_utf8_lossy(&file.contents), expected, "{name}");
    }
}

#[tokio::test]
async fn a_shuffled_chain_is_ordered_unless_the_operator_disables_it() {
    let object = "- {objectName: rsa-shuffled, objectType: secret}";
    let shuffled = || vault().certificate(pfx("rsa-shuffled", "rsa"));
    let (key, kept) = (text("pfx/rsa-shuffled.key"), text("pfx/rsa-shuffled.crt"));
    assert_ne!(kept, in_order("rsa"));
    let ordering = world(shuffled(), &[]).await;
    let response = mount(&ordering, object).await;
    assert_eq!(String::from_utf8_lossy(&response.files[0].contents), format!("{key}{}", in_order("rsa")));
    let keeping = world(shuffled(), &["--construct-pem-chain=false"]).await;
    let response = mount(&keeping, object).await;
    assert_eq!(String::from_utf8_lossy(&response.files[0].contents), format!("{key}{kept}"));
}

#[tokio::test]
async fn an_incomplete_chain_keeps_its_order_and_causes_one_warning() {
    let world = world(vault().certificate(pfx("ec-unrelated", "ec")), &[]).await;
    let object = "- {objectName: ec-unrelated, objectType: secret}";
    let expected = format!("{}{}", text("pfx/ec-unrelated.key"), text("pfx/ec-unrelated.crt"));
    for pod in 0..2 {
        let response = world.mount(&claim(&world, object).pod(pod)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&response.files[0].contents), expected);
    }
    let log = world.provider.log_with("mounted", 2);
    assert_eq!(log.matches("do not form a complete chain").count(), 1, "{log}");
}

#[tokio::test]
async fn pem_is_written_unchanged_in_any_order_of_its_certificates() {
    let certificates = [text("chain/ec-leaf.pem"), text("chain/rsa-root.pem")].concat();
    let pem = format!("{}{certificates}", text("pfx/ec-aes-256.key"));
    let world = world(vault().certificate(Certificate::from_pem("pem", pem.clone())), &[]).await;
    let response = mount(&world, "- {objectName: pem, objectType: secret}").await;
    assert_eq!(String::from_utf8_lossy(&response.files[0].contents), pem);
}

#[tokio::test]
async fn with_format_pfx_the_file_is_written_unchanged() {
    let world = world(vault().certificate(pfx("ec-aes-256", "ec")), &[]).await;
    let objects = "- {objectName: ec-aes-256, objectType: secret, objectFormat: pfx, objectAlias: text}\n\
                   - {objectName: ec-aes-256, objectType: secret, objectFormat: PFX, objectEncoding: base64, objectAlias: binary}\n";
    let response = mount(&world, objects).await;
    let file = data("pfx/ec-aes-256.pfx");
    assert_eq!(files(&response), [("text", BASE64.encode(&file).as_bytes()), ("binary", file.as_slice())]);
}

#[tokio::test]
async fn certificate_and_key_are_written_as_separate_files_if_enabled() {
    let pem = format!("{}{}", text("chain/rsa-leaf.pem"), text("pfx/rsa-aes-256.key"));
    let vault = vault()
        .certificate(pfx("ec-aes-256", "ec"))
        .certificate(Certificate::from_pem("pem", pem.clone()))
        .secret(Secret::new("plain", "value"));
    let world = world(vault, &["--write-cert-and-key-in-separate-files"]).await;
    let objects = "- {objectName: ec-aes-256, objectType: secret, objectAlias: tls/app}\n\
                   - {objectName: pem, objectType: secret}\n\
                   - {objectName: plain, objectType: secret}\n";
    let response = mount(&world, objects).await;
    let file = |path: &str| {
        let file = response.files.iter().find(|file| file.path == path);
        String::from_utf8(file.unwrap_or_else(|| panic!("no {path}")).contents.clone()).unwrap()
    };
    assert_eq!(file("tls/app.crt"), in_order("ec"));
    assert_eq!(file("tls/app.key"), text("pfx/ec-aes-256.key"));
    assert_eq!(file("tls/app"), format!("{}{}", text("pfx/ec-aes-256.key"), in_order("ec")));
    assert_eq!((file("pem.crt"), file("pem.key")), (text("chain/rsa-leaf.pem"), text("pfx/rsa-aes-256.key")));
    assert_eq!((file("pem"), file("plain")), (pem, "value".to_owned()));
    assert_eq!(response.files.len(), 7);
}

#[tokio::test]
async fn a_secret_with_only_the_content_type_of_pkcs12_is_written_unchanged() {
    let secret =
        Secret { content_type: Some("application/x-pkcs12".to_owned()), ..Secret::new("claims", "no file") };
    let world = world(vault().secret(secret), &["--write-cert-and-key-in-separate-files"]).await;
    let response = mount(&world, "- {objectName: claims, objectType: secret}").await;
    assert_eq!(files(&response), [("claims", b"no file".as_slice())]);
}

#[tokio::test]
async fn a_pkcs12_file_that_cannot_be_converted_fails_the_mount_with_its_cause() {
    let refused = ["camellia", "iterations", "no-certificate", "password", "rc4"];
    let vault = refused.iter().fold(vault(), |vault, name| {
        let file = data(&format!("pfx/refused-{name}.pfx"));
        vault.certificate(Certificate::from_pfx(*name, file, der("chain/ec-leaf.pem")))
    });
    let world = world(vault.secret(Secret::new("good", "good")), &[]).await;
    for name in refused {
        let objects = format!(
            "- {{objectName: good, objectType: secret}}\n- {{objectName: {name}, objectType: secret}}\n"
        );
        let status = world.refused(&claim(&world, &objects)).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let words = format!("objects[1], secret {name}: its PKCS#12 cannot be read");
        assert!(status.message().contains(&words), "{status:?}");
    }
}

#[tokio::test]
async fn a_certificate_whose_key_is_not_exportable_is_refused_as_a_secret_and_mounts_as_a_certificate() {
    // Key Vault exports PKCS#12 with only the certificate.
    let pkcs12 = Certificate::from_pfx("pkcs12", data("pfx/refused-no-key.pfx"), der("chain/ec-leaf.pem"));
    let world = world(vault().certificate(pkcs12), &[]).await;
    let status = world.refused(&claim(&world, "- {objectName: pkcs12, objectType: secret}")).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    for words in ["objects[0], secret pkcs12: it has no private key", "not exportable", "objectType: cert"] {
        assert!(status.message().contains(words), "{status:?}");
    }
    assert!(!status.message().contains("import"), "{status:?}");
    let response = mount(&world, "- {objectName: pkcs12, objectType: cert}").await;
    assert_eq!(files(&response), [("pkcs12", text("chain/ec-leaf.pem").as_bytes())]);
}

#[tokio::test]
async fn an_encoding_that_does_not_match_the_stored_certificate_is_refused_with_a_fix() {
    let pem = Certificate::from_pem("pem", text("pfx/bundle-pkcs8.pem"));
    let pkcs12 = Certificate::from_pfx("pkcs12", data("pfx/ec-aes-256.pfx"), der("chain/ec-leaf.pem"));
    let world = world(vault().certificate(pem).certificate(pkcs12), &[]).await;
    for (object, words) in [
        ("objectName: pem, objectFormat: PFX, objectEncoding: base64", ["stored as PEM", "not base64"]),
        ("objectName: pem, objectEncoding: hex", ["stored as PEM", "hexadecimal"]),
        ("objectName: pkcs12, objectEncoding: base64", ["written as PEM", "set objectFormat: PFX"]),
    ] {
        let status = world.refused(&claim(&world, &format!("- {{objectType: secret, {object}}}"))).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        for words in words {
            assert!(status.message().contains(words), "{object}: {status:?}");
        }
    }
}

#[tokio::test]
async fn a_history_writes_the_newest_versions_to_numbered_files() {
    let version = |digit: &str, value: &str| SecretVersion {
        version: Some(digit.repeat(32)),
        ..SecretVersion::new(value)
    };
    let mut versions =
        vec![version("1", "one"), version("2", "two"), version("3", "three"), version("4", "four")];
    versions[2].enabled = false;
    let certificates = ["rsa", "ec"].map(|chain| {
        let name = format!("{chain}-aes-256");
        CertificateVersion::from_pfx(
            data(&format!("pfx/{name}.pfx")),
            der(&format!("chain/{chain}-leaf.pem")),
        )
    });
    let vault = vault()
        .secret(Secret::with_versions("rotated", versions))
        .certificate(Certificate::with_versions("renewed", certificates.to_vec()));
    let world = world(vault, &[]).await;
    let response =
        mount(&world, "- {objectName: rotated, objectType: secret, objectVersionHistory: 2}").await;
    assert_eq!(files(&response), [("rotated/0", b"four".as_slice()), ("rotated/1", b"two")]);
    assert_eq!(ids(&response), ["secret/rotated/0", "secret/rotated/1"]);
    assert_eq!(response.object_version[1].version, "2".repeat(32));

    let from = format!(
        "- {{objectName: rotated, objectType: secret, objectVersionHistory: 5, objectAlias: old, objectVersion: {}}}",
        "2".repeat(32)
    );
    let response = mount(&world, &from).await;
    assert_eq!(files(&response), [("old/0", b"two".as_slice()), ("old/1", b"one")]);

    let both = "- {objectName: renewed, objectType: cert, objectVersionHistory: 2, objectAlias: cert}\n\
                - {objectName: renewed, objectType: key, objectVersionHistory: 2, objectAlias: key}\n";
    let response = mount(&world, both).await;
    let leaves = [data("chain/ec-leaf.pem"), data("chain/rsa-leaf.pem")];
    assert_eq!(files(&response)[..2], [("cert/0", leaves[0].as_slice()), ("cert/1", leaves[1].as_slice())]);
    assert_eq!(ids(&response), ["cert/renewed/0", "cert/renewed/1", "key/renewed/0", "key/renewed/1"]);
}

#[tokio::test]
async fn a_long_history_is_fetched_in_pages() {
    let versions = (0..60).map(|index| SecretVersion::new(index.to_string())).collect();
    let world = world(vault().secret(Secret::with_versions("long", versions)), &[]).await;
    let response = mount(&world, "- {objectName: long, objectType: secret, objectVersionHistory: 60}").await;
    let values = response.files.iter().map(|file| String::from_utf8_lossy(&file.contents).into_owned());
    let newest_first = (0..60).rev().map(|index| index.to_string()).collect::<Vec<_>>();
    assert_eq!(values.collect::<Vec<_>>(), newest_first);
    assert!(world.emulator.count(RequestKind::SecretVersions) > 1);
}

#[tokio::test]
async fn refusals_name_the_kind_of_the_object_and_the_required_role() {
    let disabled = Key { enabled: false, ..Key::new("off", KeyType::Ec) };
    let off = Certificate { enabled: false, ..pfx("ec-aes-256", "ec") };
    let denied = Vault::new("denied").key(Key::new("k", KeyType::Ec)).certificate(pfx("ec-aes-256", "ec"));
    let world = World::with(seed().vault(vault().key(disabled).certificate(off)).vault(denied), &[]).await;
    for (vault, object, code, words) in [
        (
            "objects",
            "{objectName: nowhere, objectType: key}",
            Code::NotFound,
            "key nowhere of objects.vault.azure.net: key or version not found",
        ),
        ("objects", "{objectName: nowhere, objectType: cert}", Code::NotFound, "certificate nowhere"),
        (
            "objects",
            "{objectName: nowhere, objectType: secret, objectVersionHistory: 3}",
            Code::NotFound,
            "secret nowhere",
        ),
        ("objects", "{objectName: off, objectType: key}", Code::NotFound, "the key is disabled"),
        (
            "objects",
            "{objectName: ec-aes-256, objectType: cert}",
            Code::NotFound,
            "the certificate is disabled",
        ),
        ("denied", "{objectName: k, objectType: key}", Code::PermissionDenied, "\"Key Vault Crypto User\""),
        (
            "denied",
            "{objectName: ec-aes-256, objectType: cert}",
            Code::PermissionDenied,
            "\"Key Vault Certificate User\"",
        ),
    ] {
        let claim = world.claim().set("keyvaultName", vault).objects(&format!("- {object}"));
        let status = world.refused(&claim).await;
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(words), "{words:?} is not in {status:?}");
    }
}

#[tokio::test]
async fn malformed_responses_for_every_kind_are_an_error() {
    let vault = vault().key(Key::new("k", KeyType::Ec)).certificate(pfx("ec-aes-256", "ec"));
    let world = world(vault, &[]).await;
    world.emulator.inject(Target::AllVaults, Fault::Garbage);
    for object in [
        "{objectName: k, objectType: key}",
        "{objectName: ec-aes-256, objectType: cert}",
        "{objectName: k, objectType: key, objectVersionHistory: 2}",
    ] {
        let claim = claim(&world, &format!("- {object}")).timeout(std::time::Duration::from_secs(3));
        let status = world.refused(&claim).await;
        assert_eq!(status.code(), Code::Internal, "{object}: {status:?}");
        assert!(status.message().contains("is malformed"), "{status:?}");
    }
}
