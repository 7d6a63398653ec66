//! Twenty victims and their attackers, each in a namespace of its own.

use std::future::Future;
use std::ops::Deref;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select};
use keyvault_csi_provider::proto::MountResponse;
use keyvault_emulator::{
    Emulator, Identity, ManagedIdentity, RequestKind, Secret, SecretPermission, Seed, Vault,
};
use tonic::Status;

use super::PATIENCE;
use crate::harness::{Claim, Provider, World, files, objects};

/// The vault that all victims and attackers may read.
pub const SHARED: &str = "shared";
/// The attackers' own vault.
pub const ATTACKED: &str = "attackers";
/// The value that each victim reads at first, and the one after a rotation.
pub const VALUE: &str = "value before";
pub const ROTATED: &str = "value after";
/// A tenant whose endpoint fails.
pub const BAD_TENANT: &str = "00000000-0000-4000-8000-00000000bad0";
/// Objects of 20 kB in the attackers' vault and in the victims'.
pub const LARGE_OBJECTS: usize = 12;

/// Vaults named `silent-0` and so on.
pub const SILENT_VAULTS: usize = 40;

const VICTIMS: usize = 20;
const MOST_ATTACKERS: usize = 10;

pub struct FairWorld(World);

impl Deref for FairWorld {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

/// A number of volumes, spread over a number of namespaces.
#[derive(Clone, Copy)]
pub struct Attack {
    pub namespaces: usize,
    pub volumes: usize,
}

fn client_id(kind: u8, index: usize) -> String {
    format!("{kind}0000000-0000-4000-8000-{index:012}")
}

/// The id of a client that does not exist.
pub fn made_up_client(index: usize) -> String {
    client_id(9, index)
}

fn seed() -> Seed {
    let mut shared =
        Vault::new(SHARED).secret(Secret::new("value", VALUE)).secret(Secret::new("broken", "x"));
    let mut attacked = Vault::new(ATTACKED).secret(Secret::new("one", "1")).secret(Secret::new("slow", "s"));
    for index in 0..LARGE_OBJECTS {
        let large = || Secret::new(format!("large-{index}"), "x".repeat(20_000));
        shared = shared.secret(large());
        attacked = attacked.secret(large());
    }
    let node = Identity::new("node", client_id(3, 0)).managed(ManagedIdentity::System);
    let mut seed = Seed::default().identity(node);
    for index in 0..VICTIMS {
        let name = format!("victim-{index}");
        shared = shared.access(name.clone(), &[SecretPermission::Get]);
        seed = seed.identity(Identity::new(name.clone(), client_id(1, index)).federated(&name, "sa"));
    }
    for index in 0..MOST_ATTACKERS {
        let name = format!("attacker-{index}");
        shared = shared.access(name.clone(), &[SecretPermission::Get]);
        attacked = attacked.access(name.clone(), &[SecretPermission::Get]);
        seed = seed.identity(Identity::new(name.clone(), client_id(2, index)).federated(&name, "sa"));
    }
    let silent = (0..SILENT_VAULTS).map(|index| Vault::new(format!("silent-{index}")));
    silent.fold(seed.vault(shared).vault(attacked), Seed::vault)
}

/// A pod number that no test has used before.
fn next_pod() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl FairWorld {
    pub async fn start(args: &[&str]) -> Self {
        let emulator = Emulator::start(seed()).await.unwrap();
        let imds = format!("--imds-endpoint=http://{}/", emulator.imds_address());
        let args = args.iter().copied().chain([imds.as_str()]).collect::<Vec<_>>();
        Self(World::of_emulator_with_keys(emulator, &args))
    }

    pub async fn start_without_keys() -> Self {
        let emulator = Emulator::start(seed()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let provider = Provider::start(&emulator, folder.path(), &[]);
        Self(World { emulator, provider, folder })
    }

    /// A pod of `namespace` that has never mounted.
    fn pod(&self, namespace: &str, client: &str, pod: usize) -> Claim {
        let token = self.emulator.token(namespace, "sa").pod(pod.to_string(), pod.to_string()).build();
        Claim::new(&token)
            .pod(pod)
            .set("csi.storage.k8s.io/pod.namespace", namespace)
            .set("csi.storage.k8s.io/serviceAccount.name", "sa")
            .set("clientID", client)
    }

    fn victim(&self, index: usize) -> Claim {
        self.pod(&format!("victim-{index}"), &client_id(1, index), next_pod())
            .set("keyvaultName", SHARED)
            .set("objects", &objects(&["value"]))
    }

    /// A victim whose volume is large.
    pub fn large_victim(&self, index: usize) -> Claim {
        let names = (0..LARGE_OBJECTS).map(|index| format!("large-{index}")).collect::<Vec<_>>();
        let names = names.iter().map(String::as_str).collect::<Vec<_>>();
        self.victim(index).set("objects", &objects(&names))
    }

    /// Each victim mounts for the first time, and succeeds on the first attempt.
    pub async fn victims_mount(&self, attack: &str) {
        self.victims_mount_within(attack, PATIENCE).await;
    }

    pub async fn victims_mount_within(&self, attack: &str, patience: Duration) {
        for mounted in self.mount_victims(attack, patience).await {
            assert_eq!(mounted.files.len(), 1, "{attack}");
        }
    }

    /// As [`Self::victims_mount`], and each reads `value`.
    pub async fn victims_read(&self, attack: &str, value: &str) {
        for mounted in self.mount_victims(attack, PATIENCE).await {
            assert_eq!(files(&mounted), [("value", value.as_bytes())], "{attack}");
        }
    }

    /// Mounts all victims concurrently, and prints the times that this took.
    #[allow(clippy::print_stdout, reason = "`cargo test -- --nocapture` shows it")]
    async fn mount_victims(&self, attack: &str, patience: Duration) -> Vec<MountResponse> {
        let claims = (0..VICTIMS).map(|index| self.victim(index).timeout(patience)).collect::<Vec<_>>();
        let start = Instant::now();
        let mounts = claims.iter().map(async |claim| (self.mount(claim).await, start.elapsed()));
        let mut times = Vec::with_capacity(VICTIMS);
        let mut responses = Vec::with_capacity(VICTIMS);
        for (mounted, time) in join_all(mounts).await {
            responses.push(mounted.unwrap_or_else(|status| panic!("{attack}: {status:?}")));
            times.push(time.as_millis());
        }
        times.sort_unstable();
        println!("{attack}: median {} ms, worst {} ms", times[VICTIMS / 2], times[VICTIMS - 1]);
        responses
    }

    /// The victims mount after the attack has started and before it ends.
    pub async fn victims_mount_while(&self, name: &str, kind: RequestKind, attack: impl Future) {
        let victims = async {
            // Wait until the attack uses its share.
            while self.emulator.in_flight_peak(kind) < 8 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            self.victims_mount(name).await;
        };
        match select(pin!(victims), pin!(attack)).await {
            Either::Left(_) => {}
            Either::Right((_, victims)) => victims.await,
        }
    }

    pub async fn mount_all(&self, claims: &[Claim]) -> Vec<Result<MountResponse, Status>> {
        join_all(claims.iter().map(|claim| self.mount(claim))).await
    }

    pub async fn all_mount(&self, claims: &[Claim]) {
        for mounted in self.mount_all(claims).await {
            mounted.unwrap();
        }
    }

    pub async fn all_fail(&self, claims: &[Claim]) {
        for mounted in self.mount_all(claims).await {
            mounted.expect_err("it must fail");
        }
    }
}

impl Attack {
    /// One claim for each volume, in turn by namespace, each modified by `change`.
    pub fn claims(self, world: &FairWorld, change: impl Fn(Claim) -> Claim) -> Vec<Claim> {
        let volumes = (0..self.volumes).map(|volume| {
            let index = volume % self.namespaces;
            let pod = world.pod(&format!("attacker-{index}"), &client_id(2, index), next_pod());
            change(pod.set("keyvaultName", ATTACKED).set("objects", &objects(&["one"])))
        });
        volumes.collect()
    }
}
