//! An invalid request gets a clear error. The provider sends no request, writes nothing and keeps running.

use std::fmt::Write;
use std::time::Duration;

use keyvault_csi_provider::proto::MountRequest;
use tonic::Code;

use crate::harness::{Claim, World, objects};

/// The mount must fail with these words, and without any request to Azure.
async fn assert_invalid(world: &World, claim: &Claim, words: &[&str]) {
    let status = world.refused(claim).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    for word in words {
        assert!(status.message().contains(word), "{word:?} is not in {:?}", status.message());
    }
    assert_eq!(
        world.emulator.requests().len(),
        0,
        "an invalid mount request must not cause requests to Azure"
    );
}

#[tokio::test]
async fn invalid_parameters_are_reported_with_their_fix() {
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
            ["vaultURL: keyvaultName is also set", "keep one"],
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
            ["serviceAccount.tokens: it is not a JSON object", "kubelet sets it"],
        ),
        (claim.clone().without("objects"), ["objects: the parameter is missing", "YAML list"]),
    ] {
        assert_invalid(&world, &claim, &words).await;
    }
}

#[tokio::test]
async fn invalid_objects_are_reported_with_their_fix() {
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
        (with("objectAlias: ../up"), ["objects[0].objectAlias: \"../up\" leads out", "`..`"]),
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
            ["objects[1]: \"a/b\" is inside \"a\"", "objects[0]"],
        ),
        ("array:\n - |\n   a: [".to_owned(), ["objects[0]", "invalid YAML"]),
        ("a: b: c".to_owned(), ["objects: line 1", "invalid YAML"]),
        ("a\0b".to_owned(), ["objects: it contains a NUL byte", "remove"]),
        (deep, ["objects", "line 1"]),
        (yaml_bomb(), ["objects", "too large with its aliases"]),
    ] {
        assert_invalid(&world, &world.claim().objects(&yaml), &words).await;
    }
    world.mount(&world.claim()).await.unwrap();
}

/// Aliases of aliases: a small text that expands to an enormous one.
fn yaml_bomb() -> String {
    let mut yaml = String::from("- &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(yaml, "- &a{level} [{inner}]").unwrap();
    }
    yaml
}

#[tokio::test]
async fn all_mistakes_are_in_one_answer() {
    let world = World::start(&[]).await;
    let yaml = "- {objectName: a_b, objectType: secret, filePermission: 9}\n- {objectName: good, objectType: cart}\n";
    let claim = world.claim().set("tenantID", "a b").set("keyvaultName", "x").objects(yaml);
    let locations = [
        "5 mistakes",
        "keyvaultName",
        "tenantID",
        "objects[0].objectName",
        "objects[0].filePermission",
        "objects[1].objectType",
    ];
    assert_invalid(&world, &claim, &locations).await;

    let many = "- {objectName: a_b, objectType: secret}\n".repeat(900);
    let status = world.refused(&world.claim().objects(&many)).await;
    assert!(
        status.message().contains("900 mistakes") && status.message().contains("And 880 more"),
        "{status:?}"
    );
}

#[tokio::test]
async fn invalid_fields_of_the_driver_are_reported() {
    let world = World::start(&[]).await;
    for permission in ["", "0x1a4", "512", "-1", "\"420\"", "null"] {
        let claim = Claim { permission: permission.to_owned(), ..world.claim() };
        assert_invalid(&world, &claim, &["permission: ", "0 to 511"]).await;
    }
    for target in ["", "relative/path", "/var/../etc"] {
        assert_invalid(&world, &world.claim().target(target.as_ref()), &["target_path: ", "absolute path"])
            .await;
    }
}

#[tokio::test]
async fn an_error_about_malformed_json_does_not_quote_it() {
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
async fn requests_that_are_too_large_are_refused_with_the_limit() {
    let world = World::start(&[]).await;
    let huge = world.claim().objects(&"x".repeat(10 << 20));
    let status = world.refused(&huge).await;
    assert_eq!(status.code(), Code::OutOfRange, "tonic's own limit: {status:?}");
    let many = objects(&["api-key"]).repeat(80_000);
    assert_invalid(&world, &world.claim().objects(&many), &["bytes; the maximum is 196608"]).await;
    let many = objects(&["api-key"]).repeat(1001);
    assert_invalid(&world, &world.claim().objects(&many), &["the maximum is 1000"]).await;
    world.mount(&world.claim()).await.unwrap();
}

/// Small classes that are expensive to parse: nested YAML texts, long paths and long names, repeated many times. If one
/// of them blocked a worker thread, these mounts would time out.
#[tokio::test]
async fn no_small_class_blocks_the_process() {
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
