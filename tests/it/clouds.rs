//! Sovereign and private clouds, and `vaultURL`.

use std::time::Duration;

use keyvault_emulator::{Emulator, RequestKind};
use tonic::Code;

use crate::harness::{Provider, VALUE, World, files, seed};

#[tokio::test]
async fn each_cloud_uses_its_own_entra_and_vaults() {
    let world = World::start(&[]).await;
    for (cloud, authority, vault) in [
        ("AzurePublicCloud", "login.microsoftonline.com", "mykeyvault.vault.azure.net"),
        ("azurecloud", "login.microsoftonline.com", "mykeyvault.vault.azure.net"),
        ("AzureUSGovernmentCloud", "login.microsoftonline.us", "mykeyvault.vault.usgovcloudapi.net"),
        ("AzureUSGovernment", "login.microsoftonline.us", "mykeyvault.vault.usgovcloudapi.net"),
        ("AZURECHINACLOUD", "login.chinacloudapi.cn", "mykeyvault.vault.azure.cn"),
        ("AzureGermanCloud", "login.microsoftonline.de", "mykeyvault.vault.microsoftazure.de"),
    ] {
        world.emulator.clear_requests();
        let response = world.mount(&world.claim().set("cloudName", cloud)).await.unwrap();
        assert_eq!(files(&response), [("db-password", VALUE.as_bytes())], "{cloud}");
        for request in world.emulator.requests() {
            let expected = if request.kind == RequestKind::Token { authority } else { vault };
            assert_eq!(request.host, expected, "{cloud}: {request:?}");
        }
        assert_eq!(world.emulator.count(RequestKind::Challenge), 0, "{cloud}");
    }
}

#[tokio::test]
async fn the_operators_cloud_is_the_default() {
    let world = World::start(&["--cloud-name=AzureChinaCloud"]).await;
    world.mount(&world.claim()).await.unwrap();
    assert!(
        world
            .emulator
            .requests()
            .iter()
            .all(|request| request.host.contains("azure.cn") || request.host == "login.chinacloudapi.cn")
    );
}

#[tokio::test]
async fn a_private_clouds_file_is_read_at_every_mount_and_each_vault_is_challenged_once() {
    let world = World::start(&[]).await;
    let file = world.folder.path().join("stack.json");
    let environment = |suffix: &str| {
        let json = serde_json::json!({
            "name": "AzureStackCloud",
            "activeDirectoryEndpoint": "https://login.stack.test/",
            "keyVaultDNSSuffix": suffix,
        });
        std::fs::write(&file, json.to_string()).unwrap();
    };
    let claim =
        world.claim().set("cloudName", "AzureStackCloud").set("cloudEnvFileName", file.to_str().unwrap());
    environment("vault.stack.test");
    for _ in 0..2 {
        let response = world.mount(&claim).await.unwrap();
        assert_eq!(files(&response), [("db-password", VALUE.as_bytes())]);
    }
    assert_eq!(world.emulator.count(RequestKind::Challenge), 1, "once per vault");
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
    let hosts = world.emulator.requests().into_iter().map(|request| request.host).collect::<Vec<_>>();
    assert!(
        hosts.iter().all(|host| host == "login.stack.test" || host == "mykeyvault.vault.stack.test"),
        "{hosts:?}"
    );

    environment("vault.other.test:8443");
    world.emulator.clear_requests();
    world.mount(&claim).await.unwrap();
    let secret =
        world.emulator.requests().into_iter().find(|request| request.kind == RequestKind::Secret).unwrap();
    assert!(secret.host.starts_with("mykeyvault.vault.other.test"), "{secret:?}");
}

#[tokio::test]
async fn ad_fs_has_a_different_token_path() {
    let world = World::start(&[]).await;
    let file = world.folder.path().join("stack.json");
    let environment = r#"{"activeDirectoryEndpoint":"https://adfs.stack.test/adfs","keyVaultDNSSuffix":"vault.stack.test"}"#;
    std::fs::write(&file, environment).unwrap();
    let claim = world.claim().set("cloudName", "AzureStackCloud").set("tenantID", "adfs");
    let _ = world.mount(&claim.set("cloudEnvFileName", file.to_str().unwrap())).await;
    let asked = world.emulator.requests();
    let token = asked.iter().find(|request| request.kind == RequestKind::Token).unwrap();
    assert_eq!(
        (token.host.as_str(), token.path_and_query.as_str()),
        ("adfs.stack.test", "/adfs/oauth2/token")
    );
}

#[tokio::test]
async fn an_environment_file_of_the_go_provider_works_unchanged() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("capitals.json");
    let environment = r#"{"Name": "AzureStackCloud", "ActiveDirectoryEndpoint": "https://login.stack.test/",
        "KeyVaultEndpoint": "https://vault.stack.test/", "KeyVaultDNSSuffix": "vault.stack.test"}"#;
    std::fs::write(&file, environment).unwrap();
    let file = file.to_str().unwrap().to_owned();
    // As in the Go provider: the file in the environment, and one cloud for all classes.
    let provider = Provider::start_in(
        &emulator,
        folder.path(),
        &["--cloud-name=AzureStackCloud"],
        &[("AZURE_ENVIRONMENT_FILEPATH", &file)],
    );
    let world = World { emulator, provider, folder };
    for claim in [
        world.claim(),
        world.claim().set("cloudName", "azurestackcloud"),
        world.claim().set("cloudName", "AzureStackCloud").set("cloudEnvFileName", &file),
    ] {
        let mounted = world.mount(&claim).await.unwrap();
        assert_eq!(files(&mounted), [("db-password", VALUE.as_bytes())]);
    }
    let hosts = world.emulator.requests().into_iter().map(|request| request.host).collect::<Vec<_>>();
    assert!(hosts.iter().all(|host| host.ends_with(".stack.test")), "{hosts:?}");
    let other = world.claim().set("cloudEnvFileName", "/nonexistent.json");
    let status = world.refused(&other).await;
    assert!(
        status.message().contains("/nonexistent.json"),
        "the class's own file takes precedence: {status:?}"
    );
}

#[tokio::test]
async fn a_missing_or_invalid_environment_file_is_named() {
    let world = World::start(&[]).await;
    let stack = world.claim().set("cloudName", "AzureStackCloud");
    let pipe = world.folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let broken = world.folder.path().join("broken.json");
    std::fs::write(&broken, "{").unwrap();
    let large = world.folder.path().join("large.json");
    std::fs::write(&large, " ".repeat(70_000)).unwrap();
    for (claim, word) in [
        (stack.clone(), "AzureStackCloud requires it"),
        (stack.clone().set("cloudEnvFileName", "/nonexistent.json"), "cannot be opened"),
        (stack.clone().set("cloudEnvFileName", pipe.to_str().unwrap()), "is not a file"),
        (stack.clone().set("cloudEnvFileName", "/proc/self/pagemap"), "cannot be read"),
        (stack.clone().set("cloudEnvFileName", large.to_str().unwrap()), "is too large"),
        (stack.clone().set("cloudEnvFileName", broken.to_str().unwrap()), "ends too early"),
    ] {
        let status = world.refused(&claim).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(
            status.message().starts_with("cloudEnvFileName") && status.message().contains(word),
            "{status:?}"
        );
    }
    assert_eq!(world.emulator.requests().len(), 0);
}

#[tokio::test]
async fn a_vault_url_must_have_a_suffix_of_the_cloud_or_of_the_operator() {
    let world = World::start(&["--allowed-vault-suffix=vault.corp.test"]).await;
    let claim = world.claim().without("keyvaultName");
    for url in ["https://myKeyVault.vault.azure.net/", "https://mykeyvault.vault.azure.net"] {
        let response = world.mount(&claim.clone().set("vaultURL", url)).await.unwrap();
        assert_eq!(files(&response), [("db-password", VALUE.as_bytes())]);
    }
    world.emulator.clear_requests();
    for url in [
        "https://mykeyvault.vault.azure.net.evil.test/",
        "https://mykeyvault.vault.usgovcloudapi.net/",
        "http://mykeyvault.vault.azure.net/",
        "https://127.0.0.1/",
    ] {
        let status = world.refused(&claim.clone().set("vaultURL", url)).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{url}");
        assert!(status.message().starts_with("vaultURL"), "{status:?}");
    }
    assert_eq!(world.emulator.requests().len(), 0);
}

#[tokio::test]
async fn an_allowed_vault_is_challenged_before_any_token_is_sent_to_it() {
    let world = World::start(&["--allowed-vault-suffix=vault.corp.test"]).await;
    let claim = world.claim().without("keyvaultName").set("vaultURL", "https://mykeyvault.vault.corp.test/");
    // The emulator's corp.test accepts tokens for its own resource, issued by the public cloud's authority.
    let _ = world.mount(&claim).await;
    let first = world.emulator.requests().into_iter().next().unwrap();
    assert_eq!((first.kind, first.authenticated), (RequestKind::Challenge, false), "{first:?}");
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_trusted_is_named() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let other_emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.pem");
    std::fs::write(&other, other_emulator.ca_pem()).unwrap();
    let trust = [("SSL_CERT_FILE", other.to_str().unwrap())];
    let provider = Provider::start_in(&emulator, folder.path(), &[], &trust);
    let world = World { emulator, provider, folder };
    let status = world.refused(&world.claim().timeout(Duration::from_secs(2))).await;
    assert_eq!(status.code(), Code::Internal);
    assert!(
        status.message().contains("certificate") && status.message().contains("trusted CAs"),
        "{status:?}"
    );
}

#[tokio::test]
async fn trusted_certificates_are_also_read_from_a_directory() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let certificates = folder.path().join("certificates");
    std::fs::create_dir(&certificates).unwrap();
    // A file name as in OpenSSL's certificate directories: a hash and a number.
    std::fs::write(certificates.join("0a1b2c3d.0"), emulator.ca_pem()).unwrap();
    let nothing = folder.path().join("nothing.pem");
    std::fs::write(&nothing, "").unwrap();
    let trust =
        [("SSL_CERT_DIR", certificates.to_str().unwrap()), ("SSL_CERT_FILE", nothing.to_str().unwrap())];
    let provider = Provider::start_in(&emulator, folder.path(), &[], &trust);
    let world = World { emulator, provider, folder };
    world.mount(&world.claim()).await.unwrap();
}
