//! The Secret of `nodePublishSecretRef`: what it holds, and what is said where it cannot be used.

use keyvault_emulator::{Emulator, Identity, RequestKind, SecretPermission};
use tonic::Code;

use crate::harness::{Claim, Provider, VALUE, World, files, seed};
use crate::identities::{CLIENT_SECRET, PRINCIPAL, seed_with_applications};

const TOKENS: &str = "csi.storage.k8s.io/serviceAccount.tokens";

async fn world() -> World {
    let emulator = Emulator::start(seed_with_applications()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(&emulator, folder.path(), &[]);
    World { emulator, provider, folder }
}

/// A claim with this Secret, with the pod's token or without.
fn claim(world: &World, secret: &[(&str, &str)], with_token: bool) -> Claim {
    let claim = world.claim().without("clientID");
    let mut claim = if with_token { claim } else { claim.without(TOKENS) };
    let entries = secret.iter().map(|(key, value)| ((*key).to_owned(), serde_json::json!(value)));
    claim.secrets = serde_json::Value::Object(entries.collect()).to_string();
    claim
}

async fn refused(world: &World, secret: &[(&str, &str)], words: &[&str]) {
    for with_token in [false, true] {
        let status = world.refused(&claim(world, secret, with_token)).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        for word in words {
            assert!(status.message().contains(word), "token: {with_token}, {word:?} is not in {status:?}");
        }
        for (_, value) in secret.iter().filter(|(_, value)| !value.is_empty()) {
            assert!(!status.message().contains(value), "a value is in {status:?}");
        }
        assert!(!status.message().contains("annotation"), "{status:?}");
    }
}

#[tokio::test]
async fn a_secret_with_other_keys_is_said_to_have_those() {
    let world = world().await;
    let secret = [("client_id", PRINCIPAL), ("client_secret", CLIENT_SECRET)];
    let words = [
        "the Secret of nodePublishSecretRef has neither clientid nor clientsecret",
        "the keys \"client_id\", \"client_secret\"",
        "must have clientid and clientsecret",
    ];
    refused(&world, &secret, &words).await;
    let one = [("clientid", PRINCIPAL), ("password", CLIENT_SECRET)];
    refused(&world, &one, &["secrets.clientsecret: it is missing", "\"clientid\", \"password\""]).await;
    let other = [("appId", PRINCIPAL), ("clientSecret", CLIENT_SECRET)];
    refused(&world, &other, &["secrets.clientid: it is missing", "\"appId\", \"clientSecret\""]).await;
    assert_eq!(world.emulator.requests().len(), 0);
}

#[tokio::test]
async fn a_secret_with_empty_values_is_said_to_have_those() {
    let world = world().await;
    let empty = "it is empty in the Secret of nodePublishSecretRef";
    let (client, secret) = (format!("secrets.clientid: {empty}"), format!("secrets.clientsecret: {empty}"));
    refused(&world, &[("clientid", ""), ("clientsecret", "")], &[&client, &secret]).await;
    refused(&world, &[("clientid", ""), ("clientsecret", CLIENT_SECRET)], &[&client]).await;
    refused(&world, &[("ClientID", PRINCIPAL), ("ClientSecret", " \n")], &[&secret]).await;
}

#[tokio::test]
async fn a_secret_that_serves_the_go_provider_mounts_whatever_else_it_holds() {
    let world = world().await;
    for more in [
        &[("clientcertificate", "left over from another tool")][..],
        &[("client_id", "x"), ("tenant", "y"), ("clientid ", "z")],
        &[("CLIENTID", ""), ("CLIENTSECRET", "")],
    ] {
        let secret = [&[("clientid", PRINCIPAL), ("clientsecret", CLIENT_SECRET)], more].concat();
        for with_token in [false, true] {
            let mounted = world.mount(&claim(&world, &secret, with_token)).await.unwrap();
            assert_eq!(files(&mounted), [("db-password", VALUE.as_bytes())], "{more:?}");
        }
    }
    let log = world.provider.log_with("secrets.clientcertificate", 1);
    assert!(
        log.contains("it is not used: the Secret of nodePublishSecretRef also has clientsecret"),
        "{log}"
    );
    assert!(!log.contains("left over") && !log.contains(CLIENT_SECRET), "{log}");
}

#[tokio::test]
async fn a_secret_beside_a_client_id_in_the_class_is_said_to_have_no_effect() {
    let world = world().await;
    let secret = [("clientid", PRINCIPAL), ("clientsecret", CLIENT_SECRET)];
    let claim = claim(&world, &secret, false).set("clientID", crate::harness::APP);
    let status = world.refused(&claim).await;
    assert!(status.message().contains("serviceAccount.tokens"), "{status:?}");
    let claim = claim.token(&world.emulator.token("shop", "cart").build());
    let status = world.refused(&claim).await;
    let words = "the Secret of nodePublishSecretRef is not used because the class sets clientID";
    assert!(status.message().contains(words), "{status:?}");
}

/// What an administrator of an AD FS may call a client.
const CHOSEN: &str = "urn:key-vault/reader_1";

/// A private cloud with an AD FS that knows [`CHOSEN`].
async fn adfs() -> (World, impl Fn(&[(&str, &str)]) -> Claim) {
    let mut seed = seed().identity(Identity::new("chosen", CHOSEN).client_secret(CLIENT_SECRET));
    let vault = seed.vaults.remove(0).access("chosen", &[SecretPermission::Get]);
    let emulator = Emulator::start(seed.vault(vault)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stack.json");
    let environment = r#"{"activeDirectoryEndpoint":"https://adfs.stack.test/adfs","keyVaultDNSSuffix":"vault.stack.test"}"#;
    std::fs::write(&file, environment).unwrap();
    let provider = Provider::start(&emulator, folder.path(), &["-v=8"]);
    let world = World { emulator, provider, folder };
    let stack = world.claim().set("cloudName", "AzureStackCloud").set("tenantID", "adfs");
    let stack = stack.set("cloudEnvFileName", file.to_str().unwrap()).without("clientID").without(TOKENS);
    let claim = move |secret: &[(&str, &str)]| {
        let mut claim = stack.clone();
        let entries = secret.iter().map(|(key, value)| ((*key).to_owned(), serde_json::json!(value)));
        claim.secrets = serde_json::Value::Object(entries.collect()).to_string();
        claim
    };
    (world, claim)
}

#[tokio::test]
async fn a_client_of_an_adfs_may_have_an_id_that_is_not_a_uuid() {
    let (world, claim) = adfs().await;
    let mounted =
        world.mount(&claim(&[("clientid", CHOSEN), ("clientsecret", CLIENT_SECRET)])).await.unwrap();
    assert_eq!(files(&mounted), [("db-password", VALUE.as_bytes())]);
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
}

#[tokio::test]
async fn a_client_secret_in_the_place_of_an_adfs_clients_id_is_never_shown() {
    let (world, claim) = adfs().await;
    let exchanged = world.refused(&claim(&[("clientid", CLIENT_SECRET), ("clientsecret", PRINCIPAL)])).await;
    assert!(exchanged.message().contains("secrets.clientid: it is not a client id"), "{exchanged:?}");
    let both = world.refused(&claim(&[("clientid", CLIENT_SECRET), ("clientsecret", CHOSEN)])).await;
    assert_eq!(both.code(), Code::Unauthenticated, "{both:?}");
    assert!(both.message().starts_with("AD FS refuses the service principal"), "{both:?}");
    let log = world.provider.log_with("mount failed", 2);
    for text in [exchanged.message(), both.message(), &log] {
        assert!(!text.contains(CLIENT_SECRET), "{text}");
    }
}
