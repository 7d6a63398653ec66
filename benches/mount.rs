//! A warm first mount of 1, 10 and 100 objects: through the socket, by the provider's own process, from an
//! emulated vault over TLS that answers at once. `cargo bench --bench mount`

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keyvault_csi_provider::proto::MountRequest;
use keyvault_csi_provider::proto::csi_driver_provider_client::CsiDriverProviderClient;
use keyvault_csi_provider::server::socket;
use keyvault_emulator::{Emulator, Identity, Options, Secret, SecretPermission, Seed, Vault};
use serde_json::json;
use tokio::runtime::Runtime;
use tonic::transport::Channel;

const TENANT: &str = "00000000-0000-4000-8000-000000000001";
const APP: &str = "11111111-1111-4111-8111-111111111111";
const SIZES: [usize; 3] = [1, 10, 100];

/// The provider's process.
struct Provider(Child);

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Provider {
    fn start(emulator: &Emulator, folder: &Path) -> Self {
        let (ca, jwks) = (folder.join("ca.pem"), folder.join("jwks.json"));
        std::fs::write(&ca, emulator.ca_pem()).unwrap();
        std::fs::write(&jwks, emulator.jwks()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_keyvault-csi-provider"))
            .env_clear()
            .env("HTTPS_PROXY", emulator.proxy_url())
            .env("SSL_CERT_FILE", ca)
            .arg(format!("--endpoint=unix://{}", path(folder).display()))
            .arg(format!("--service-account-jwks={}", jwks.display()))
            .arg(format!("--service-account-issuer={}", emulator.issuer()))
            .args(["--healthz-port=0", "--prometheus-port=0"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("azure.sock")
}

fn seed() -> Seed {
    let vault = Vault::new("bench").access("bench", &[SecretPermission::Get]);
    let names = (0..SIZES[2]).map(|index| Secret::new(format!("secret-{index}"), "v".repeat(1024)));
    let vault = names.fold(vault, Vault::secret);
    Seed::default().identity(Identity::new("bench", APP).federated("default", "bench")).vault(vault)
}

/// The request of another pod each time: a first mount is never answered from what was there before.
fn request(token: &str, pod: u64, objects: usize) -> MountRequest {
    let list = (0..objects).map(|index| format!("- {{objectName: secret-{index}, objectType: secret}}\n"));
    let attributes = json!({
        "csi.storage.k8s.io/pod.name": format!("pod-{pod}"),
        "csi.storage.k8s.io/pod.namespace": "default",
        "csi.storage.k8s.io/pod.uid": format!("uid-{pod}"),
        "csi.storage.k8s.io/serviceAccount.name": "bench",
        "csi.storage.k8s.io/serviceAccount.tokens": json!({
            "api://AzureADTokenExchange": { "token": token, "expirationTimestamp": "2099-01-01T00:00:00Z" }
        }).to_string(),
        "tenantID": TENANT,
        "clientID": APP,
        "keyvaultName": "bench",
        "objects": list.collect::<String>(),
    });
    MountRequest {
        attributes: attributes.to_string(),
        secrets: "null".to_owned(),
        target_path: format!("/var/lib/kubelet/pods/uid-{pod}/volumes/kubernetes.io~csi/secrets/mount"),
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
    let _provider = Provider::start(&emulator, folder.path());
    let channel = runtime.block_on(async {
        let path = path(folder.path());
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        socket::channel(&path)
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
