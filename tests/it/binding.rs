//! Identity binding: the token proxy of AKS instead of Entra.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use keyvault_emulator::{Emulator, FederatedCredential, Options, RequestKind};
use tonic::Code;

use crate::harness::{Claim, Provider, VALUE, World, files, seed};

const GIVEN_NAME: &str = "a0123456789.ests.aks";

/// A world whose provider has these flags in addition to the proxy at `proxy`.
async fn world(options: Options, proxy: impl FnOnce(&Emulator) -> String, args: &[&str]) -> World {
    let mut seed = seed();
    let binding = FederatedCredential::identity_binding("default", "workload-identity-sa");
    seed.identities[0].federated_credentials.push(binding);
    let emulator = Emulator::start_with(seed, options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(ca_file(folder.path()), emulator.ca_pem()).unwrap();
    let own = [
        format!("--token-proxy-url={}", proxy(&emulator)),
        format!("--service-account-dir={}", folder.path().display()),
    ];
    let args = own.iter().map(String::as_str).chain(args.iter().copied()).collect::<Vec<_>>();
    let provider = Provider::start(&emulator, folder.path(), &args);
    World { emulator, provider, folder }
}

fn ca_file(folder: &Path) -> std::path::PathBuf {
    folder.join("ca.crt")
}

fn at_emulator(emulator: &Emulator) -> String {
    format!("https://127.0.0.1:{}/some/prefix", emulator.address().port())
}

fn claim(world: &World, pod: &str) -> Claim {
    let token = world.token().audience("api://AKSIdentityBinding").pod(pod, pod).build();
    let tokens = serde_json::json!({ "api://AKSIdentityBinding": { "token": token } }).to_string();
    world.claim().set("useAzureTokenProxy", "true").set("csi.storage.k8s.io/serviceAccount.tokens", &tokens)
}

async fn reads(world: &World, pod: &str) {
    assert_eq!(files(&world.mount(&claim(world, pod)).await.unwrap()), [("db-password", VALUE.as_bytes())]);
}

/// The server names of the token requests to the proxy.
fn server_names(world: &World) -> Vec<String> {
    let requests = world.emulator.requests();
    let exchanges = requests.iter().filter(|request| request.kind == RequestKind::Token);
    exchanges
        .map(|exchange| {
            assert!(exchange.path_and_query.starts_with("/some/prefix/"), "{exchange:?}");
            exchange.server_name.clone().unwrap()
        })
        .collect()
}

#[tokio::test]
async fn the_token_proxy_is_called_with_the_given_server_name() {
    let world = world(Options::default(), at_emulator, &[&format!("--sni-name={GIVEN_NAME}")]).await;
    reads(&world, "pod-0").await;
    assert_eq!(server_names(&world), [GIVEN_NAME]);

    let missing = world.claim().set("useAzureTokenProxy", "true");
    let refusal = world.refused(&missing).await;
    assert_eq!(refusal.code(), Code::InvalidArgument);
    let help = "tokenRequests: [{audience: api://AKSIdentityBinding}]";
    assert!(refusal.message().contains(help), "{}", refusal.message());
}

#[tokio::test]
async fn without_one_the_server_name_is_computed_from_the_api_servers_certificate() {
    let api_server_name = Some("hcp-kubernetes.0123456789abcdef.svc.cluster.local".to_owned());
    let world = world(Options { api_server_name, ..Options::default() }, at_emulator, &[]).await;
    reads(&world, "pod-0").await;
    // Computed with Python's hashlib and base64 from the id in that name.
    assert_eq!(server_names(&world), ["arpmu42rfss2aagac5mnjjq7ginogh09jprkj0g82ua1k7u95bc3g.ests.aks"]);
}

#[tokio::test]
async fn a_certificate_without_the_clusters_name_requires_the_flag() {
    let world = world(Options::default(), at_emulator, &[]).await;
    let refusal = world.refused(&claim(&world, "pod-0")).await;
    assert_eq!(refusal.code(), Code::Internal);
    assert!(refusal.message().contains("set --sni-name"), "{}", refusal.message());
}

#[tokio::test]
async fn the_clusters_ca_is_read_again_when_it_changes() {
    let world = world(Options::default(), at_emulator, &[&format!("--sni-name={GIVEN_NAME}")]).await;
    let right = world.emulator.ca_pem().to_owned();
    let other = Emulator::start(seed()).await.unwrap();
    std::fs::write(ca_file(world.folder.path()), other.ca_pem()).unwrap();
    let refusal = world.refused(&claim(&world, "pod-0")).await;
    assert!(refusal.message().contains("the token proxy at 127.0.0.1"), "{}", refusal.message());
    std::fs::write(ca_file(world.folder.path()), right).unwrap();
    reads(&world, "pod-1").await;

    std::fs::remove_file(ca_file(world.folder.path())).unwrap();
    let refusal = world.refused(&claim(&world, "pod-2")).await;
    assert_eq!(refusal.code(), Code::Internal);
    assert!(refusal.message().contains("ca.crt"), "{}", refusal.message());
}

#[tokio::test]
async fn not_every_mount_calls_a_token_proxy_that_is_down() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let world = world(Options::default(), |_| url, &[]).await;
    let claims = (0..20).map(|pod| claim(&world, &format!("pod-{pod}"))).collect::<Vec<_>>();
    for mount in join_all(claims.iter().map(|claim| world.mount(claim))).await {
        assert_eq!(mount.unwrap_err().code(), Code::Internal);
    }
    let connections = connections.load(Ordering::Relaxed);
    assert!(connections < claims.len(), "{connections} connections for {} mounts", claims.len());
}
