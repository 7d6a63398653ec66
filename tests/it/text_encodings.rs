//! Text files in UTF-16, and in UTF-8 with a byte order mark, as written by Windows PowerShell and old editors.

use keyvault_emulator::{Emulator, RequestKind};

use crate::harness::{Provider, VALUE, World, files, seed};
use crate::one_mount::site::{Site, WORKLOAD, manifest};

/// The text in each encoding with a byte order mark.
fn encoded(text: &str) -> [Vec<u8>; 3] {
    let units = || std::iter::once(0xfeff).chain(text.encode_utf16());
    [
        format!("\u{feff}{text}").into_bytes(),
        units().flat_map(u16::to_le_bytes).collect(),
        units().flat_map(u16::to_be_bytes).collect(),
    ]
}

#[tokio::test]
async fn a_mount_reads_class_and_token_in_each_encoding() {
    let site = Site::start().await;
    let class = manifest(WORKLOAD).replace('\n', "\r\n");
    let token = format!("{}\r\n", site.token());
    for (class, token) in encoded(&class).into_iter().zip(encoded(&token)) {
        site.file("class.yaml", class);
        site.file("token", token);
        site.run(&["--token-file=token"], &[]).await.succeeded();
        assert_eq!(site.read("db-password"), VALUE);
        std::fs::remove_dir_all(site.target()).unwrap();
    }
    site.file("token", b"\xff\xfe\x00");
    let errors = site.refused(&["--token-file=token"], &[]).await;
    assert!(errors.contains("save it as UTF-8"), "{errors}");
}

#[tokio::test]
async fn the_clusters_keys_and_a_private_cloud_are_read_in_each_encoding() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let environment = serde_json::json!({
        "activeDirectoryEndpoint": "https://login.stack.test/",
        "keyVaultDNSSuffix": "vault.stack.test",
    });
    let jwks = emulator.jwks();
    let folder = tempfile::tempdir().unwrap();
    let (keys, cloud) = (folder.path().join("jwks.json"), folder.path().join("stack.json"));
    let [first, ..] = encoded(&jwks);
    std::fs::write(&keys, first).unwrap();
    let args = [
        format!("--service-account-jwks={}", keys.display()),
        format!("--service-account-issuer={}", emulator.issuer()),
    ];
    let provider = Provider::start(&emulator, folder.path(), &args.each_ref().map(String::as_str));
    let world = World { emulator, provider, folder };
    // Two pods of one service account: because the provider has the keys, it uses the first pod's access token for the
    // second.
    for pod in 0..2 {
        world.mount(&world.claim().pod(pod)).await.unwrap();
    }
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
    let claim =
        world.claim().set("cloudName", "AzureStackCloud").set("cloudEnvFileName", cloud.to_str().unwrap());
    for bytes in encoded(&environment.to_string()) {
        std::fs::write(&cloud, bytes).unwrap();
        assert_eq!(files(&world.mount(&claim).await.unwrap()), [("db-password", VALUE.as_bytes())]);
    }
}

#[tokio::test]
async fn a_policy_is_read_in_each_encoding() {
    let yaml = "rules: [{namespaces: [default], vaults: [mykeyvault]}]\n";
    for bytes in encoded(yaml) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let world = World::start(&[&format!("--policy-file={}", file.path().display())]).await;
        world.mount(&world.claim()).await.unwrap();
    }
}
