//! The computations of a mount: its plan, PKCS#12 to PEM, the order of chains.
//!
//! `cargo bench --bench render`; a single one by its name, as in `cargo bench --bench render -- chain`.

#![allow(clippy::expect_used, reason = "a benchmark whose fixture is missing cannot go on")]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use data_encoding::BASE64URL_NOPAD;
use keyvault_csi_provider::plan::{Attributes, Defaults, MountPlan, Request};
use keyvault_csi_provider::render::{chain, pem, pfx};
use keyvault_csi_provider::secret::SecretBytes;
use serde_json::json;

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pfx").join(name);
    fs::read(path).expect("tests/data holds the fixture")
}

/// As in a mount: opens, orders and writes a certificate.
fn pem_of(pkcs12: &[u8]) -> SecretBytes {
    let bundle = pfx::open(pkcs12).expect("the fixture opens");
    let mut text = SecretBytes::default();
    pem::encode(pem::PRIVATE_KEY, bundle.key.expose(), &mut text);
    for certificate in chain::order(bundle.certificates).certificates {
        pem::encode(pem::CERTIFICATE, &certificate, &mut text);
    }
    text
}

/// 4 KiB of RSA 2048 and three certificates. The first has one iteration for each derivation: it is
/// the conversion itself; the others add the 2048 iterations that tools ask for.
fn pfx_to_pem(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pfx to pem");
    let kinds = [
        ("without key derivation", "rsa-cheap.pfx"),
        ("3des, sha-1", "rsa-3des.pfx"),
        ("rc2-40, sha-1", "rsa-rc2-40.pfx"),
        ("aes-256, sha-256", "rsa-aes-256.pfx"),
        ("aes-256, sha-256, p-256", "ec-aes-256.pfx"),
    ];
    for (kind, name) in kinds {
        let pkcs12 = fixture(name);
        group.bench_function(kind, |bencher| bencher.iter(|| pem_of(black_box(&pkcs12))));
    }
    group.finish();
}

fn chains(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chain");
    for (kind, name) in [("three of rsa 2048", "rsa-shuffled.pfx"), ("three of p-256", "ec-shuffled.pfx")] {
        let certificates = pfx::open(&fixture(name)).expect("the fixture opens").certificates;
        let given = || certificates.clone();
        group
            .bench_function(kind, |bencher| bencher.iter_batched(given, chain::order, BatchSize::SmallInput));
    }
    group.finish();
}

/// A request of 100 objects, as the Go provider's manifests write them.
fn attributes() -> String {
    let object = |number| {
        format!(
            "  - |\n    objectName: secret-{number}\n    objectType: secret\n    objectAlias: folder/file-{number}\n    filePermission: 0600\n"
        )
    };
    let objects = (0..100).map(object).collect::<String>();
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let claims = part(r#"{"iss":"https://issuer/","sub":"system:serviceaccount:namespace:account"}"#);
    let token = format!("{}.{claims}.{}", part(r#"{"alg":"RS256"}"#), part("signature"));
    let tokens = json!({ "api://AzureADTokenExchange": { "token": token } }).to_string();
    let attributes = json!({
        "csi.storage.k8s.io/pod.name": "pod",
        "csi.storage.k8s.io/pod.namespace": "namespace",
        "csi.storage.k8s.io/serviceAccount.tokens": tokens,
        "clientID": "11111111-1111-4111-8111-111111111111",
        "tenantID": "00000000-0000-4000-8000-000000000001",
        "keyvaultName": "vault",
        "objects": format!("array:\n{objects}"),
    });
    attributes.to_string()
}

fn plan(criterion: &mut Criterion) {
    let (json, secrets) = (attributes(), Attributes::default());
    let defaults = Defaults::default();
    let parse = |json: &str| {
        let attributes = Attributes::parse("attributes", json).expect("the attributes are JSON");
        let (target_path, permission) = ("/target", "420");
        let request = Request {
            attributes: &attributes,
            secrets: &secrets,
            target_path,
            permission,
            environment: None,
        };
        MountPlan::parse(request, &defaults).expect("the request has a plan")
    };
    assert_eq!(parse(&json).objects.len(), 100);
    criterion.bench_function("plan of 100 objects", |bencher| bencher.iter(|| parse(black_box(&json))));
}

criterion_group!(benches, plan, pfx_to_pem, chains);
criterion_main!(benches);
