//! A warm first mount of 1, 10 and 100 objects: through the socket, with the provider as a process, from an
//! emulated vault over TLS without latency. `cargo bench --bench mount`

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keyvault_csi_provider::proto::MountRequest;
use keyvault_csi_provider::proto::csi_driver_provider_client::CsiDriverProviderClient;
use keyvault_csi_provider::server::socket;
use keyvault_emulator::{Emulator, Identity, Options, Secret, SecretPermission, Seed, Vault};
use provider_launcher::{Launch, Pod};
use serde_json::json;
use tokio::runtime::Runtime;
use tonic::transport::Channel;

const TENANT: &str = "00000000-0000-4000-8000-000000000001";
const APP: &str = "11111111-1111-4111-8111-111111111111";
const SIZES: [usize; 3] = [1, 10, 100];

fn seed() -> Seed {
    let vault = Vault::new("bench").access("bench", &[SecretPermission::Get]);
    let names = (0..SIZES[2]).map(|index| Secret::new(format!("secret-{index}"), "v".repeat(1024)));
    let vault = names.fold(vault, Vault::secret);
    Seed::default().identity(Identity::new("bench", APP).federated("default", "bench")).vault(vault)
}

/// The request of a new pod each time: a first mount is never answered from the cache.
fn request(token: &str, pod: u64, objects: usize) -> MountRequest {
    let list = (0..objects).map(|index| format!("- {{objectName: secret-{index}, objectType: secret}}\n"));
    let tokens = json!({
        "api://AzureADTokenExchange": { "token": token, "expirationTimestamp": "2099-01-01T00:00:00Z" }
    });
    let parameters = [
        ("tenantID", TENANT.to_owned()),
        ("clientID", APP.to_owned()),
        ("keyvaultName", "bench".to_owned()),
        ("objects", list.collect::<String>()),
    ];
    let parameters: BTreeMap<_, _> = parameters.map(|(key, value)| (key.to_owned(), value)).into();
    let pod = Pod {
        name: format!("pod-{pod}"),
        uid: format!("uid-{pod}"),
        namespace: "default".to_owned(),
        service_account: "bench".to_owned(),
        class: "bench".to_owned(),
    };
    MountRequest {
        attributes: serde_json::to_string(&pod.attributes(&tokens.to_string(), &parameters)).unwrap(),
        secrets: "null".to_owned(),
        target_path: format!("/var/lib/kubelet/pods/{}/volumes/kubernetes.io~csi/secrets/mount", pod.uid),
        permission: "420".to_owned(),
        current_object_version: Vec::new(),
    }
}

async fn mount(channel: &Channel, request: MountRequest) -> usize {
    let answer = CsiDriverProviderClient::new(channel.clone()).mount(request).await;
    answer.expect("the mount succeeds").into_inner().files.len()
}

fn mounts(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let options = Options { keep_requests: false, ..Options::default() };
    let emulator = runtime.block_on(Emulator::start_with(seed(), options)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("azure.sock");
    let launch = Launch::new(Command::new(env!("CARGO_BIN_EXE_keyvault-csi-provider")))
        .azure(provider_launcher::environment(&emulator, folder.path()).unwrap())
        .args(provider_launcher::key_flags(&emulator, folder.path()).unwrap())
        .without_ports()
        .socket(&socket);
    let mut provider = launch.start().unwrap();
    let channel = runtime.block_on(async {
        provider.listens(&socket).await.unwrap();
        socket::channel(&socket)
    });
    let token = emulator.token("default", "bench").build();
    let mut pod = 0;
    let mut group = criterion.benchmark_group("warm first mount");
    for objects in SIZES {
        group.throughput(Throughput::Elements(objects as u64));
        group.bench_function(format!("{objects} objects"), |bencher| {
            bencher.iter_custom(|times| {
                let start = Instant::now();
                for _ in 0..times {
                    pod += 1;
                    black_box(runtime.block_on(mount(&channel, request(&token, pod, objects))));
                }
                start.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, mounts);
criterion_main!(benches);
