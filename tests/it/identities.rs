//! All identity modes, and their refusals.

use std::path::Path;

use data_encoding::BASE64;
use keyvault_emulator::{
    Emulator, Fault, Identity, ManagedIdentity, RequestKind, SecretPermission, Seed, ServiceAccount, Target,
};
use tonic::Code;

use crate::harness::{APP, Claim, OTHER_APP, Provider, TENANT, VALUE, World, files, seed};

pub const PRINCIPAL: &str = "55555555-5555-4555-8555-555555555555";
pub const SYSTEM: &str = "66666666-6666-4666-8666-666666666666";
pub const USER: &str = "77777777-7777-4777-8777-777777777777";
pub const CLIENT_SECRET: &str = "a-client-secret-value";

pub fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

pub fn text(name: &str) -> String {
    String::from_utf8(data(name)).unwrap()
}

pub fn seed_with_applications() -> Seed {
    let principal = Identity::new("principal", PRINCIPAL)
        .client_secret(CLIENT_SECRET)
        .certificate(text("chain/rsa-leaf.pem"));
    let mut seed = seed()
        .identity(principal)
        .identity(Identity::new("system", SYSTEM).managed(ManagedIdentity::System))
        .identity(Identity::new("user", USER).managed(ManagedIdentity::User));
    let vault = seed.vaults.remove(0);
    let names = ["principal", "system", "user"];
    let vault = names.iter().fold(vault, |vault, name| vault.access(*name, &[SecretPermission::Get]));
    seed.vault(vault)
}

async fn world() -> World {
    let emulator = Emulator::start(seed_with_applications()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let imds = format!("--imds-endpoint=http://{}/", emulator.imds_address());
    let provider = Provider::start(&emulator, folder.path(), &[&imds]);
    World { emulator, provider, folder }
}

/// A claim without a client id, with the secrets of `nodePublishSecretRef`.
fn principal(world: &World, secrets: &[(&str, &str)]) -> Claim {
    let mut claim = world.claim().without("clientID").without("csi.storage.k8s.io/serviceAccount.tokens");
    let secrets = secrets.iter().map(|(key, value)| ((*key).to_owned(), serde_json::json!(value)));
    claim.secrets = serde_json::Value::Object(secrets.collect()).to_string();
    claim
}

async fn reads(world: &World, claim: &Claim) {
    assert_eq!(files(&world.mount(claim).await.unwrap()), [("db-password", VALUE.as_bytes())]);
}

async fn refused(world: &World, claim: &Claim, code: Code, words: &str) {
    let status = world.refused(claim).await;
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.message().contains(words), "{words:?} is not in {status:?}");
    assert!(!status.message().contains(CLIENT_SECRET), "{status:?}");
}

#[tokio::test]
async fn a_service_principal_logs_in_with_its_secret_whatever_the_case_of_its_keys() {
    let world = world().await;
    for keys in [("clientid", "clientsecret"), ("ClientID", "ClientSecret"), ("clientId", "clientSecret")] {
        reads(&world, &principal(&world, &[(keys.0, PRINCIPAL), (keys.1, CLIENT_SECRET)])).await;
    }
    assert_eq!(world.emulator.count(RequestKind::Token), 1, "the token is cached under the secret's hash");
    let wrong = principal(&world, &[("clientid", PRINCIPAL), ("clientsecret", "another value")]);
    refused(&world, &wrong, Code::Unauthenticated, "AADSTS7000215").await;
    world.provider.log_with("mount failed", 1);
    assert!(!world.provider.log().contains("another value") && !world.provider.log().contains(CLIENT_SECRET));
    world.emulator.clear_requests();
    reads(&world, &principal(&world, &[("clientid", PRINCIPAL), ("clientsecret", CLIENT_SECRET)])).await;
    assert_eq!(world.emulator.count(RequestKind::Token), 0, "a wrong secret does not affect others");
}

#[tokio::test]
async fn a_service_principals_half_secrets_are_named_without_being_shown() {
    let world = world().await;
    for (secrets, words) in [
        (vec![("clientid", PRINCIPAL)], "secrets.clientsecret: it is missing"),
        (vec![("clientsecret", CLIENT_SECRET)], "secrets.clientid: it is missing"),
        (
            vec![("clientid", CLIENT_SECRET), ("clientsecret", PRINCIPAL)],
            "secrets.clientid: it is not a client id",
        ),
        (vec![], "clientID: it is missing"),
    ] {
        let claim = principal(&world, &secrets);
        refused(&world, &claim, Code::InvalidArgument, words).await;
    }
}

#[tokio::test]
async fn a_service_principal_logs_in_with_its_certificate_as_pem_and_as_pkcs12() {
    let world = world().await;
    let pem = format!("{}{}", text("pfx/rsa-aes-256.key"), text("chain/rsa-leaf.pem"));
    let pfx = BASE64.encode(&data("pfx/rsa-aes-256.pfx"));
    for certificate in [&pem, &pfx] {
        reads(&world, &principal(&world, &[("clientid", PRINCIPAL), ("clientcertificate", certificate)]))
            .await;
    }
    let other_certificate = BASE64.encode(&data("pfx/rsa-bare.pfx"));
    let claim = principal(&world, &[("clientid", PRINCIPAL), ("clientcertificate", &other_certificate)]);
    refused(&world, &claim, Code::Unauthenticated, "AADSTS700027").await;
    for (certificate, words) in [
        ("nonsense!", "neither PEM nor base64"),
        (&*text("chain/rsa-leaf.pem"), "no private key"),
        (&*text("pfx/rsa-aes-256.key"), "no certificate"),
        (&*BASE64.encode(&data("pfx/ec-aes-256.pfx")), "not an RSA key"),
        (&*BASE64.encode(&data("pfx/refused-password.pfx")), "cannot be opened"),
    ] {
        let claim = principal(&world, &[("clientid", PRINCIPAL), ("clientcertificate", certificate)]);
        refused(&world, &claim, Code::InvalidArgument, words).await;
    }
}

#[tokio::test]
async fn managed_identities_come_from_the_node() {
    let world = world().await;
    let node = world
        .claim()
        .without("clientID")
        .without("tenantID")
        .without("csi.storage.k8s.io/serviceAccount.tokens")
        .set("useVMManagedIdentity", "true");
    reads(&world, &node).await;
    reads(&world, &node.clone().set("userAssignedIdentityID", USER)).await;
    assert_eq!(world.emulator.count(RequestKind::Imds), 2);
    assert_eq!(world.emulator.count(RequestKind::Token), 0);
    reads(&world, &node).await;
    assert_eq!(world.emulator.count(RequestKind::Imds), 2, "the node's token is cached");

    let other_app = node.clone().set("userAssignedIdentityID", OTHER_APP);
    refused(&world, &other_app, Code::Unauthenticated, "the node has no managed identity").await;
    world.emulator.inject(Target::Imds, Fault::Status(500));
    let unknown = node.set("userAssignedIdentityID", "88888888-8888-4888-8888-888888888888");
    let down = unknown.timeout(std::time::Duration::from_secs(3));
    refused(&world, &down, Code::Internal, "HTTP status 500").await;
}

#[tokio::test]
async fn two_identity_modes_at_once_are_a_mistake() {
    let world = world().await;
    let claim = world.claim().set("useVMManagedIdentity", "true").set("useAzureTokenProxy", "true");
    refused(&world, &claim, Code::InvalidArgument, "only one identity mode").await;
    let claim = world.claim().set("usePodIdentity", "true");
    refused(&world, &claim, Code::InvalidArgument, "archived in 2023").await;
}

/// A provider in a "cluster" whose API server is the emulator.
async fn cluster_world(accounts: &[ServiceAccount], args: &[&str]) -> World {
    let seed = accounts.iter().cloned().fold(seed(), Seed::service_account);
    World::in_cluster(Emulator::start(seed).await.unwrap(), args)
}

const CLIENT_ANNOTATION: &str = "azure.workload.identity/client-id";
const TENANT_ANNOTATION: &str = "azure.workload.identity/tenant-id";

fn account() -> ServiceAccount {
    ServiceAccount::new("default", "workload-identity-sa").annotation(CLIENT_ANNOTATION, APP)
}

#[tokio::test]
async fn client_and_tenant_come_from_the_service_accounts_annotations() {
    let world = cluster_world(&[account().annotation(TENANT_ANNOTATION, TENANT)], &[]).await;
    let bare = world.claim().without("clientID").without("tenantID");
    let pods = (0..50).map(|index| {
        bare.clone().token(&world.token().pod(format!("pod-{index}"), format!("uid-{index}")).build())
    });
    let pods = pods.collect::<Vec<_>>();
    let mounts = futures_util::future::join_all(pods.iter().map(|claim| world.mount(claim))).await;
    assert!(mounts.iter().all(Result::is_ok), "{mounts:?}");
    assert_eq!(world.emulator.count(RequestKind::ServiceAccount), 1, "one request, whose answer is cached");
    assert_eq!(world.emulator.count(RequestKind::Token), 1);
}

#[tokio::test]
async fn the_tenant_may_come_from_the_class_or_the_operator() {
    let world = cluster_world(&[account()], &[]).await;
    let claim = world.claim().without("clientID");
    reads(&world, &claim).await;
    refused(&world, &claim.without("tenantID"), Code::InvalidArgument, TENANT_ANNOTATION).await;
    let world = cluster_world(&[account()], &[&format!("--default-tenant-id={TENANT}")]).await;
    reads(&world, &world.claim().without("clientID").without("tenantID")).await;
    reads(&world, &world.claim().without("tenantID")).await;
}

#[tokio::test]
async fn missing_annotations_are_reported_with_a_fix() {
    let world = cluster_world(&[ServiceAccount::new("default", "workload-identity-sa")], &[]).await;
    let bare = world.claim().without("clientID");
    refused(&world, &bare, Code::InvalidArgument, CLIENT_ANNOTATION).await;
    let unknown_account = bare.clone().without("csi.storage.k8s.io/serviceAccount.name");
    let unknown_account = unknown_account.token(&world.emulator.token("default", "unknown").build());
    refused(&world, &unknown_account, Code::InvalidArgument, "HTTP status 404").await;
    world.emulator.inject(Target::ApiServer, Fault::Status(403));
    let other = bare.clone().without("csi.storage.k8s.io/serviceAccount.name");
    let other = other.token(&world.emulator.token("default", "other-sa").build());
    refused(&world, &other, Code::InvalidArgument, "`get` on serviceaccounts").await;

    let strange = bare.clone().set("csi.storage.k8s.io/serviceAccount.name", "another-account");
    refused(&world, &strange, Code::InvalidArgument, "it does not match the pod's token").await;
    let forged = bare.token(&world.token().forged().build());
    refused(&world, &forged, Code::Unauthenticated, "does not prove its service account").await;

    let outside = World::start(&[]).await;
    refused(&outside, &outside.claim().without("clientID"), Code::Unauthenticated, "set clientID").await;
}
