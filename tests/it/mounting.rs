//! The main job, and the shapes that requests come in.

use keyvault_emulator::{Fault, RequestKind, Secret, SecretVersion, Target};
use std::time::Duration;
use tonic::Code;

use crate::harness::{Claim, VALUE, World, files, objects, seed};

#[tokio::test]
async fn a_pod_gets_its_secret_with_its_own_token() {
    let world = World::start(&[]).await;
    let response = world.mount(&world.claim()).await.unwrap();
    assert_eq!(files(&response), [("db-password", VALUE.as_bytes())]);
    assert_eq!(response.files[0].mode, 0o644);
    assert_eq!(response.object_version[0].id, "secret/database-password");
    assert_eq!(response.object_version[0].version.len(), 32);
    assert_eq!(response.error, None);
}

#[tokio::test]
async fn the_first_mount_costs_one_token_and_one_request_an_object_and_no_challenge() {
    let world = World::start(&[]).await;
    let claim = world.claim().objects(&objects(&["database-password", "api-key", "\"007\""]));
    world.mount(&claim).await.unwrap();
    let kinds = world.emulator.requests().iter().map(|request| request.kind).collect::<Vec<_>>();
    assert_eq!(world.emulator.count(RequestKind::Token), 1, "{kinds:?}");
    assert_eq!(world.emulator.count(RequestKind::Secret), 3, "{kinds:?}");
    assert_eq!(kinds.len(), 4, "{kinds:?}");
}

#[tokio::test]
async fn objects_are_fetched_side_by_side_and_never_more_than_sixteen_at_once() {
    let names = (0..40).map(|index| format!("secret-{index}")).collect::<Vec<_>>();
    let mut seed = seed();
    for name in &names {
        seed.vaults[0].secrets.push(Secret::new(name, name));
    }
    let world = World::with(seed, &[]).await;
    world.emulator.inject(Target::AllVaults, Fault::Latency(Duration::from_millis(50)));
    let names = names.iter().map(String::as_str).collect::<Vec<_>>();
    let response = world.mount(&world.claim().objects(&objects(&names))).await.unwrap();
    let in_order = names.iter().map(|name| (*name, name.as_bytes())).collect::<Vec<_>>();
    assert_eq!(files(&response), in_order);
    let peak = world.emulator.in_flight_peak(RequestKind::Secret);
    assert!((2..=16).contains(&peak), "{peak}");
}

#[tokio::test]
async fn every_shape_of_objects_is_understood() {
    let world = World::start(&[]).await;
    let expected: &[(&str, &[u8])] = &[("db-password", VALUE.as_bytes()), ("007", b"bond")];
    for yaml in [
        // The Go provider's: strings that are YAML themselves.
        "array:\n  - |\n    objectName: database-password\n    objectType: secret\n    objectAlias: db-password\n  - |\n    objectName: 007\n    objectType: secret\n",
        "array:\n  - objectName: database-password\n    objectType: secret\n    objectAlias: db-password\n  - {objectName: 007, objectType: secret}\n",
        "- objectName: database-password\n  objectType: secret\n  objectAlias: db-password\n- {objectName: 007, objectType: secret}\n",
        r#"{"array": ["{\"objectName\": \"database-password\", \"objectType\": \"secret\", \"objectAlias\": \"db-password\"}", {"objectName": "007", "objectType": "secret"}]}"#,
        "  \n- {objectName: ' database-password ', objectType: secret, objectAlias: \"db-password\", objectVersion: latest, objectVersionHistory: 1}\n- {objectName: 007, objectType: secret, objectVersion: ''}\n",
    ] {
        let response = world.mount(&world.claim().objects(yaml)).await.unwrap();
        assert_eq!(files(&response), expected, "{yaml}");
    }
}

#[tokio::test]
async fn modes_are_octal_source_text_and_default_to_the_requests() {
    let world = World::start(&[]).await;
    let object = |index: usize, mode: &str| {
        format!("- {{objectName: api-key, objectType: secret, objectAlias: f{index}, {mode}}}\n")
    };
    let modes = [
        ("filePermission: 0755", 0o755),
        ("filePermission: \"0600\"", 0o600),
        ("filePermission: 440", 0o440),
        ("filePermission: ''", 0o644),
        ("filePermission: 0", 0),
    ];
    let yaml = modes.iter().enumerate().map(|(index, (mode, _))| object(index, mode)).collect::<String>();
    let mut claim = world.claim().objects(&yaml);
    let response = world.mount(&claim).await.unwrap();
    for (file, (text, mode)) in response.files.iter().zip(modes) {
        assert_eq!(file.mode, mode, "{text}");
    }
    claim.permission = "256".to_owned();
    assert_eq!(world.mount(&claim).await.unwrap().files[3].mode, 0o400);
}

#[tokio::test]
async fn values_are_decoded_and_aliases_may_hold_folders() {
    let mut seed = seed();
    seed.vaults[0].secrets.push(Secret::new("encoded", "AP8Q\r\nIA==\n"));
    seed.vaults[0].secrets.push(Secret::new("digits", "00fF1020"));
    let world = World::with(seed, &[]).await;
    let yaml = "- {objectName: encoded, objectType: secret, objectEncoding: BASE64, objectAlias: a/b/c.bin}\n\
                - {objectName: digits, objectType: secret, objectEncoding: hex, objectAlias: a/b/d.bin}\n\
                - {objectName: digits, objectType: secret, objectEncoding: utf-8}\n";
    let response = world.mount(&world.claim().objects(yaml)).await.unwrap();
    let expected: &[(&str, &[u8])] = &[
        ("a/b/c.bin", &[0, 0xff, 0x10, 0x20]),
        ("a/b/d.bin", &[0, 0xff, 0x10, 0x20]),
        ("digits", b"00fF1020"),
    ];
    assert_eq!(files(&response), expected);

    let wrong =
        world.claim().objects("- {objectName: database-password, objectType: secret, objectEncoding: hex}");
    let status = world.refused(&wrong).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("database-password") && !status.message().contains(VALUE),
        "{status:?}"
    );
}

#[tokio::test]
async fn a_named_version_is_fetched_and_rotation_brings_the_newest() {
    let mut seed = seed();
    let first = "1".repeat(32);
    let version = |digit: &str, value: &str| SecretVersion {
        version: Some(digit.repeat(32)),
        ..SecretVersion::new(value)
    };
    let versions = vec![version("1", "one"), version("2", "two")];
    seed.vaults[0].secrets.push(Secret::with_versions("rotated", versions));
    let world = World::with(seed, &["--rotation-max-age=0s"]).await;
    let pinned = format!("- {{objectName: rotated, objectType: secret, objectVersion: {first}}}");
    let response = world.mount(&world.claim().objects(&pinned)).await.unwrap();
    assert_eq!(
        (files(&response)[0].1, response.object_version[0].version.as_str()),
        (b"one".as_slice(), first.as_str())
    );

    let newest = world.claim();
    let before = world.mount(&newest).await.unwrap();
    let version = world.emulator.set_secret("myKeyVault", "database-password", "rotated value").unwrap();
    let after = world.mount(&newest).await.unwrap();
    assert_ne!(before.object_version, after.object_version);
    assert_eq!(after.object_version[0].version, version);
    assert_eq!(files(&after), [("db-password", b"rotated value".as_slice())]);
}

#[tokio::test]
async fn an_object_may_come_from_a_vault_of_its_own() {
    let mut seed = seed();
    let second = keyvault_emulator::Vault::new("second-vault")
        .access("myapp", &[keyvault_emulator::SecretPermission::Get])
        .secret(Secret::new("api-key", "of the second vault"));
    seed = seed.vault(second);
    let world = World::with(seed, &[]).await;
    let yaml = "- {objectName: api-key, objectType: secret, objectAlias: one}\n\
                - {objectName: api-key, objectType: secret, objectAlias: two, keyvaultName: second-vault}\n";
    let response = world.mount(&world.claim().objects(yaml)).await.unwrap();
    assert_eq!(files(&response), [("one", b"second value".as_slice()), ("two", b"of the second vault")]);
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
}

#[tokio::test]
async fn the_last_of_equal_paths_wins_and_is_warned_of() {
    let world = World::start(&[]).await;
    let yaml = "- {objectName: api-key, objectType: secret, objectAlias: same}\n\
                - {objectName: database-password, objectType: secret, objectAlias: same}\n";
    let response = world.mount(&world.claim().objects(yaml)).await.unwrap();
    assert_eq!(files(&response), [("same", VALUE.as_bytes())]);
    assert_eq!(response.object_version.len(), 2);
    world.provider.log_with("the last one is written", 1);
}

#[tokio::test]
async fn unknown_parameters_are_warned_of_once_per_class() {
    let world = World::start(&[]).await;
    let claim = world.claim().set("keyVaultName", "x").objects(
        "- {objectName: database-password, objectType: secret, objectAlais: db-password, extra: [1]}",
    );
    for pod in 0..3 {
        world.mount(&claim.clone().pod(pod)).await.unwrap();
    }
    let log = world.provider.log_with(": mounted", 3);
    assert_eq!(log.matches("did you mean `keyvaultName`?").count(), 1, "{log}");
    assert_eq!(log.matches("did you mean `objectAlias`?").count(), 1, "{log}");
    world.mount(&claim.pod(3).set("secretProviderClass", "another-class")).await.unwrap();
    assert_eq!(world.provider.log_with(": mounted", 4).matches("did you mean `keyvaultName`?").count(), 2);
}

#[tokio::test]
async fn tokens_in_the_secrets_come_first() {
    let world = World::start(&[]).await;
    let mut claim = world.claim().token(&world.token().forged().build());
    claim.secrets = serde_json::json!({
        "csi.storage.k8s.io/serviceAccount.tokens": crate::harness::tokens(&world.token().build())
    })
    .to_string();
    let response = world.mount(&claim).await.unwrap();
    assert_eq!(files(&response), [("db-password", VALUE.as_bytes())]);
}

#[tokio::test]
async fn a_response_larger_than_the_driver_takes_is_refused_with_both_ways_out() {
    let mut seed = seed();
    seed.vaults[0].secrets.push(Secret::new("large", "x".repeat(20_000)));
    let world = World::with(seed, &["--max-response-bytes=20000"]).await;
    let status = world.refused(&world.claim().objects(&objects(&["large"]))).await;
    assert_eq!(status.code(), Code::Internal);
    assert!(
        status.message().contains("--max-call-recv-msg-size")
            && status.message().contains("--file-writer=provider")
    );
    assert!(world.mount(&world.claim()).await.is_ok());
}

#[tokio::test]
async fn no_secret_and_no_token_is_ever_logged() {
    let world = World::start(&["-v=10", "--log-format-json"]).await;
    let good = world.token().build();
    let forged = world.token().forged().build();
    world.mount(&Claim::new(&good).objects(&objects(&["database-password"]))).await.unwrap();
    let status = world.refused(&Claim::new(&forged).objects(&objects(&["database-password"]))).await;
    let log = world.provider.log_with("mount failed", 1);
    assert!(log.contains("\"mounted\""), "{log}");
    for secret in [VALUE, &good, &forged, good.rsplit('.').next().unwrap(), "Bearer ey"] {
        assert!(!log.contains(secret) && !status.message().contains(secret), "{secret} is in {log}");
    }
}
