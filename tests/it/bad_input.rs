//! Whatever is wrong with a request: a clear error, no request sent, nothing written, and the
//! process lives.

use std::fmt::Write;
use std::time::Duration;

use keyvault_csi_provider::proto::MountRequest;
use tonic::Code;

use crate::harness::{Claim, World, objects};

/// An error about `location`, and about nothing else in the world.
async fn invalid(world: &World, claim: &Claim, words: &[&str]) {
    let status = world.refused(claim).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    for word in words {
        assert!(status.message().contains(word), "{word:?} is not in {:?}", status.message());
    }
    assert_eq!(world.emulator.requests().len(), 0, "a wrong request sends nothing");
}

#[tokio::test]
async fn wrong_parameters_are_named_with_their_mend() {
    let world = World::start(&[]).await;
    let claim = world.claim();
    let uuid = "csi.storage.k8s.io/pod.name";
    for (claim, words) in [
        (claim.clone().without("keyvaultName"), ["keyvaultName: it is missing", "name the vault"]),
        (
            claim.clone().without("keyvaultName").set("keyVaultName", "myKeyVault"),
            ["keyvaultName: it is missing", "did you mean `keyvaultName`?"],
        ),
        (claim.clone().set("keyvaultName", "my_vault"), ["keyvaultName: \"my_vault\"", "3 to 24"]),
        (claim.clone().set("keyvaultName", "evil.example/x?"), ["keyvaultName", "3 to 24"]),
        (claim.clone().set("keyvaultName", "a@b"), ["keyvaultName", "3 to 24"]),
        (
            claim.clone().set("vaultURL", "https://myKeyVault.vault.azure.net/"),
            ["vaultURL: keyvaultName is there too", "keep one"],
        ),
        (claim.clone().without("tenantID"), ["tenantID: it is missing", "tenant's id"]),
        (claim.clone().set("tenantID", "../common"), ["tenantID: \"../common\"", "az account show"]),
        (
            claim.clone().without("clientID").without("csi.storage.k8s.io/serviceAccount.tokens"),
            ["clientID: it is missing", "federated credential"],
        ),
        (claim.clone().set("clientID", "a&b"), ["clientID: \"a&b\"", "UUID"]),
        (claim.clone().set("cloudName", "AzureMoon"), ["cloudName: \"AzureMoon\"", "AzurePublicCloud"]),
        (claim.clone().set("usePodIdentity", "true"), ["usePodIdentity", "workload identity"]),
        (
            claim.clone().set("usePodIdentity", "yes"),
            ["usePodIdentity: \"yes\" is not a boolean", "\"true\""],
        ),
        (
            claim.clone().set("usePodIdentity", "1").set("useVMManagedIdentity", "T"),
            ["only one identity mode", "usePodIdentity, useVMManagedIdentity"],
        ),
        (claim.clone().without(uuid), ["csi.storage.k8s.io/pod.name: it is missing", "podInfoOnMount"]),
        (
            claim.clone().without("csi.storage.k8s.io/pod.namespace"),
            ["pod.namespace: it is missing", "podInfoOnMount"],
        ),
        (claim.clone().token("not a token"), ["serviceAccount.tokens", "is not a JSON Web Token"]),
        (
            claim.clone().set("csi.storage.k8s.io/serviceAccount.tokens", "{"),
            ["serviceAccount.tokens", "leave this key to kubelet"],
        ),
        (claim.clone().without("objects"), ["objects: the parameter is missing", "YAML list"]),
    ] {
        invalid(&world, &claim, &words).await;
    }
}

#[tokio::test]
async fn wrong_objects_are_named_with_their_mend() {
    let world = World::start(&[]).await;
    let with = |fields: &str| format!("- {{objectName: api-key, objectType: secret, {fields}}}");
    let deep = format!("- {}x{}", "[".repeat(10_000), "]".repeat(10_000));
    for (yaml, words) in [
        (String::new(), ["objects", "missing"]),
        ("# nothing".to_owned(), ["objects: it is empty", "YAML list"]),
        ("text".to_owned(), ["objects: it is text", "YAML list"]),
        ("[]".to_owned(), ["the list is empty", "at least one"]),
        ("array: {}".to_owned(), ["`array` is a mapping", "YAML list"]),
        ("arrays: []".to_owned(), ["there is no `array`, but \"arrays\"", "YAML list"]),
        ("- [a]".to_owned(), ["objects[0]: it is a list", "objectName"]),
        ("- 7".to_owned(), ["objects[0]: it is a scalar", "objectName"]),
        (
            "- objectName: [a, b]\n  objectType: secret".to_owned(),
            ["objects[0]: objectName is a list", "single value"],
        ),
        ("- {objectType: secret}".to_owned(), ["objects[0].objectName: it is missing", "name the object"]),
        ("- {objectName: a_b, objectType: secret}".to_owned(), ["objects[0].objectName: \"a_b\"", "127"]),
        ("- {objectName: a}".to_owned(), ["objects[0].objectType: it is missing", "secret"]),
        (
            "- {objectName: a, objectType: Secret}".to_owned(),
            ["objects[0].objectType: \"Secret\"", "secret, key or cert"],
        ),
        (
            "- {objectName: a, objectType: key, objectEncoding: hex}".to_owned(),
            ["objects[0].objectEncoding: a key has no encoding", "only secrets"],
        ),
        (
            "- {objectName: a, objectType: cert, objectFormat: pfx}".to_owned(),
            ["objects[0].objectFormat: a cert has no PFX format", "only secrets"],
        ),
        (with("objectAlias: ../up"), ["objects[0].objectAlias: \"../up\" climbs", "`..`"]),
        (with("objectAlias: /etc/passwd"), ["objects[0].objectAlias", "absolute"]),
        (with("objectAlias: a//b"), ["objects[0].objectAlias", "not a clean path"]),
        (with("objectAlias: ..data"), ["objects[0].objectAlias", "starts with `..`"]),
        (with("objectAlias: \"a\\0b\""), ["objects[0].objectAlias", "control character"]),
        (with("filePermission: 0888"), ["objects[0].filePermission: \"0888\"", "\"0777\""]),
        (with("filePermission: 01777"), ["objects[0].filePermission: \"01777\"", "\"0777\""]),
        (with("filePermission: -1"), ["objects[0].filePermission", "\"0777\""]),
        (with("objectVersion: ../x"), ["objects[0].objectVersion", "32 hexadecimal digits"]),
        (with("objectVersionHistory: 2147483648"), ["objects[0].objectVersionHistory", "up to 2147483647"]),
        (with("objectVersionHistory: x"), ["objects[0].objectVersionHistory: \"x\"", "number of versions"]),
        (with("objectEncoding: rot13"), ["objects[0].objectEncoding: \"rot13\"", "base64"]),
        (with("objectFormat: DER"), ["objects[0].objectFormat: \"DER\"", "PFX"]),
        (with("keyvaultName: x"), ["objects[0].keyvaultName: \"x\"", "3 to 24"]),
        (with("objectName: twice"), ["the key \"objectName\" appears twice", "keep one"]),
        (
            format!("{}\n{}", with("objectAlias: a"), with("objectAlias: a/b")),
            ["objects[1]: \"a/b\" lies inside \"a\"", "objects[0]"],
        ),
        ("array:\n - |\n   a: [".to_owned(), ["objects[0]", "invalid YAML"]),
        ("a: b: c".to_owned(), ["objects: line 1", "invalid YAML"]),
        ("a\0b".to_owned(), ["objects: it holds a NUL byte", "remove"]),
        (deep, ["objects", "line 1"]),
        (bomb(), ["objects", "too large with its aliases"]),
    ] {
        invalid(&world, &world.claim().objects(&yaml), &words).await;
    }
    world.mount(&world.claim()).await.unwrap();
}

fn bomb() -> String {
    let mut yaml = String::from("- &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(yaml, "- &a{level} [{inner}]").unwrap();
    }
    yaml
}

#[tokio::test]
async fn every_mistake_is_in_one_answer() {
    let world = World::start(&[]).await;
    let yaml = "- {objectName: a_b, objectType: secret, filePermission: 9}\n- {objectName: good, objectType: cart}\n";
    let claim = world.claim().set("tenantID", "a b").set("keyvaultName", "x").objects(yaml);
    let places = [
        "5 mistakes",
        "keyvaultName",
        "tenantID",
        "objects[0].objectName",
        "objects[0].filePermission",
        "objects[1].objectType",
    ];
    invalid(&world, &claim, &places).await;

    let many = "- {objectName: a_b, objectType: secret}\n".repeat(900);
    let status = world.refused(&world.claim().objects(&many)).await;
    assert!(
        status.message().contains("900 mistakes") && status.message().contains("And 880 more"),
        "{status:?}"
    );
}

#[tokio::test]
async fn the_drivers_fields_are_checked_too() {
    let world = World::start(&[]).await;
    for permission in ["", "0x1a4", "512", "-1", "\"420\"", "null"] {
        let claim = Claim { permission: permission.to_owned(), ..world.claim() };
        invalid(&world, &claim, &["permission: ", "0 to 511"]).await;
    }
    for target in ["", "relative/path", "/var/../etc"] {
        invalid(&world, &world.claim().target(target.as_ref()), &["target_path: ", "absolute path"]).await;
    }
}

#[tokio::test]
async fn malformed_json_is_named_without_its_contents() {
    let world = World::start(&[]).await;
    let good = world.claim().request();
    let deep = "[".repeat(200_000);
    for bad in [
        "{",
        "[]",
        "7",
        "\"text\"",
        "{\"secret-thing\": 1}",
        "{\"a\": {\"b\": []}}",
        "\u{0}",
        "{\"hunter2\": \"hunter2",
        deep.as_str(),
    ] {
        for (location, request) in [
            ("attributes", MountRequest { attributes: bad.to_owned(), ..good.clone() }),
            ("secrets", MountRequest { secrets: bad.to_owned(), ..good.clone() }),
        ] {
            let status = world.provider.client().mount(request).await.expect_err(bad);
            assert_eq!(status.code(), Code::InvalidArgument, "{bad:.40}: {status:?}");
            assert!(
                status.message().starts_with(location) && !status.message().contains("hunter2"),
                "{status:?}"
            );
        }
    }
    for empty in ["", "null", "{}"] {
        let request = MountRequest { secrets: empty.to_owned(), ..good.clone() };
        world.provider.client().mount(request).await.unwrap();
    }
}

#[tokio::test]
async fn ten_megabytes_are_refused_and_three_are_read() {
    let world = World::start(&[]).await;
    let huge = world.claim().objects(&"x".repeat(10 << 20));
    let status = world.refused(&huge).await;
    assert_eq!(status.code(), Code::OutOfRange, "tonic's own limit: {status:?}");
    let many = objects(&["api-key"]).repeat(80_000);
    invalid(&world, &world.claim().objects(&many), &["bytes are more than the 196608"]).await;
    let many = objects(&["api-key"]).repeat(1001);
    invalid(&world, &world.claim().objects(&many), &["1000 are allowed"]).await;
    world.mount(&world.claim()).await.unwrap();
}

/// Small classes that cost much: text inside text, long paths and long names, many times over. Were one
/// of them to hold a worker, these mounts would not be answered in time.
#[tokio::test]
async fn no_small_class_keeps_the_process_busy() {
    let world = World::start(&[]).await;
    let path = "a/".repeat(2000) + "a";
    let inner = format!("{{objectName: api-key, objectType: secret, x: [{}]}}", "y, ".repeat(2000));
    for yaml in [
        format!(
            "- &a {{objectName: api-key, objectType: secret, objectAlias: {path}}}\n{}",
            "- *a\n".repeat(900)
        ),
        format!("- &s '{inner}'\n{}", "- *s\n".repeat(900)),
        format!("- {{objectName: api-key, objectType: secret, {}: x}}", "k".repeat(1 << 20)),
    ] {
        let claim =
            world.claim().objects(&yaml).set(&"p".repeat(1 << 20), "x").timeout(Duration::from_secs(10));
        match world.mount(&claim).await {
            Ok(_) => {}
            Err(status) => assert_eq!(status.code(), Code::InvalidArgument, "{status:?}"),
        }
    }
}
