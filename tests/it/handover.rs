//! Processes that succeed each other on one socket, and a socket that is removed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use keyvault_csi_provider::proto::VersionRequest;
use keyvault_emulator::{Emulator, Fault, RequestKind, Target};
use nix::sys::signal::Signal;
use tokio::net::UnixStream;

use crate::driver::Driver;
use crate::harness::{Claim, Provider, World, seed};
use crate::watch::Watch;

/// kubelet's timeout for a volume.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Sends mounts on many connections, each after its previous answer, until stopped.
struct Load {
    over: Arc<AtomicBool>,
    mounted: Arc<AtomicUsize>,
    drivers: Vec<tokio::task::JoinHandle<usize>>,
}

impl Load {
    fn start(emulator: &Emulator, socket: &Path) -> Self {
        let (over, mounted) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let drivers = (0..8).map(|index| {
            let token = emulator.token("default", "workload-identity-sa").build();
            let claim = Claim::new(&token).pod(index);
            let request = claim.objects("- {objectName: api-key, objectType: secret}").request();
            let mut driver = Driver::new(socket);
            let (over, mounted) = (Arc::clone(&over), Arc::clone(&mounted));
            tokio::spawn(async move {
                let mut repeated = 0;
                while !over.load(Ordering::Relaxed) {
                    let answer = driver.mount(&request, TIMEOUT).await.expect("no mount fails");
                    assert_eq!(answer.response.files.len(), 1);
                    repeated += answer.repeated;
                    mounted.fetch_add(1, Ordering::Relaxed);
                }
                repeated
            })
        });
        Self { drivers: drivers.collect(), over, mounted }
    }

    /// Waits for this number of further mounts.
    async fn mounts(&self, more: usize) {
        let until = self.mounted.load(Ordering::Relaxed) + more;
        while self.mounted.load(Ordering::Relaxed) < until {
            assert!(!self.drivers.iter().any(tokio::task::JoinHandle::is_finished), "a mount has failed");
            tokio::task::yield_now().await;
        }
    }

    /// Stops, and returns how many times a driver had to retry.
    async fn stop(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        let repeated = join_all(self.drivers).await;
        repeated.into_iter().map(|driver| driver.expect("no mount fails")).sum()
    }
}

/// Three processes succeed each other under load without a failed mount. Returns how many times a driver had to
/// retry. The successor starts first, or only when the old process drains.
async fn hand_over_under_load(drain_first: bool) -> usize {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let start = || tokio::task::block_in_place(|| Provider::start(&emulator, folder.path(), &[]));
    let mut provider = start();
    let socket = provider.socket.clone();
    // Mounts are always running, and drains take a while.
    emulator.inject(Target::AllVaults, Fault::Latency(Duration::from_millis(50)));
    let load = Load::start(&emulator, &socket);
    for _ in 0..3 {
        load.mounts(20).await;
        let successor = if drain_first {
            provider.signal(Signal::SIGTERM);
            provider.log_with("draining", 1);
            start()
        } else {
            let successor = start();
            load.mounts(4).await;
            provider.signal(Signal::SIGTERM);
            successor
        };
        let (status, log) = provider.ended().await;
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(!log.contains("mount failed"), "{log}");
        provider = successor;
    }
    load.mounts(20).await;
    load.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mount_fails_while_processes_succeed_each_other_under_load() {
    assert_eq!(hand_over_under_load(false).await, 0, "no retry is needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mount_fails_if_the_successor_starts_while_the_old_process_drains() {
    hand_over_under_load(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_during_the_version_check_is_succeeded() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("run")).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(folder.path().join("run/azure.sock")).unwrap();
    let ending = std::thread::spawn(move || {
        // One connection checks for a listener, and one asks for its name.
        let connections = [listener.accept().unwrap(), listener.accept().unwrap()];
        drop(listener);
        drop(connections);
    });
    let provider = tokio::task::block_in_place(|| Provider::start(&emulator, folder.path(), &[]));
    ending.join().unwrap();
    let world = World { emulator, provider, folder };
    world.mount(&world.claim()).await.unwrap();
}

/// Removes the socket, and waits until it is restored.
async fn removed_and_back(socket: &Path) {
    let mut watch = Watch::new(socket.parent().unwrap());
    std::fs::remove_file(socket).unwrap();
    watch.name("azure.sock").await;
    watch.name("azure.sock").await;
}

#[tokio::test]
async fn a_removed_socket_is_restored_and_drains_like_the_first() {
    let world = World::start(&[]).await;
    let socket = &world.provider.socket;
    let mut client = world.provider.client();
    client.version(VersionRequest::default()).await.unwrap();
    for _ in 0..2 {
        removed_and_back(socket).await;
        assert_eq!(std::fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o600);
        world.mount(&world.claim()).await.unwrap();
    }
    client.version(VersionRequest::default()).await.expect("open connections stay usable");
    let names = std::fs::read_dir(socket.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["azure.sock"]);

    world.emulator.clear_requests();
    world.emulator.inject(Target::AllVaults, Fault::Latency(Duration::from_millis(500)));
    let (mut client, request) = (world.provider.client(), world.claim().request());
    let running = tokio::spawn(async move { client.mount(request).await });
    while world.emulator.count(RequestKind::Secret) == 0 {
        tokio::task::yield_now().await;
    }
    world.provider.signal(Signal::SIGTERM);
    let (status, log) = world.provider.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    running.await.unwrap().expect("a running mount finishes");
}

#[tokio::test]
async fn a_removed_directory_is_restored_with_the_socket() {
    let world = World::start(&[]).await;
    let run = world.provider.socket.parent().unwrap();
    let mut watch = Watch::new(run.parent().unwrap());
    std::fs::remove_dir_all(run).unwrap();
    watch.name("run").await;
    watch.name("run").await;
    world.provider.log_with("has been restored", 1);
    world.mount(&world.claim()).await.unwrap();
    removed_and_back(&world.provider.socket).await;
    world.mount(&world.claim()).await.unwrap();
}

#[tokio::test]
async fn a_socket_is_restored_after_another_file_took_its_place() {
    let world = World::start(&[]).await;
    let socket = &world.provider.socket;
    for (time, obstacle) in ["directory", "file", "link"].into_iter().enumerate() {
        std::fs::remove_file(socket).unwrap();
        match obstacle {
            "directory" => std::fs::create_dir(socket).unwrap(),
            "file" => std::fs::write(socket, "").unwrap(),
            _ => std::os::unix::fs::symlink("/nowhere", socket).unwrap(),
        }
        world.provider.log_with("is not a socket; remove it", time + 1);
        if obstacle == "directory" {
            std::fs::remove_dir(socket).unwrap();
        } else {
            std::fs::remove_file(socket).unwrap();
        }
        world.provider.log_with("has been restored", time + 1);
        world.mount(&world.claim()).await.unwrap();
    }
}

#[tokio::test]
async fn a_replaced_directory_gets_the_socket() {
    let world = World::start(&[]).await;
    let run = world.provider.socket.parent().unwrap();
    std::fs::rename(run, run.with_file_name("away")).unwrap();
    std::fs::create_dir(run).unwrap();
    world.provider.log_with("has been restored", 1);
    world.mount(&world.claim()).await.unwrap();
    removed_and_back(&world.provider.socket).await;
    world.mount(&world.claim()).await.unwrap();
}

#[tokio::test]
async fn a_socket_removed_before_a_drain_is_not_restored() {
    let world = World::start(&[]).await;
    // Longer than it takes to restore the socket.
    world.emulator.inject(Target::AllVaults, Fault::Latency(Duration::from_secs(4)));
    let (mut client, request) = (world.provider.client(), world.claim().request());
    let running = tokio::spawn(async move { client.mount(request).await });
    while world.emulator.in_flight_peak(RequestKind::Secret) == 0 {
        tokio::task::yield_now().await;
    }
    std::fs::remove_file(&world.provider.socket).unwrap();
    world.provider.signal(Signal::SIGTERM);
    let socket = world.provider.socket.clone();
    let (status, log) = world.provider.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    running.await.unwrap().unwrap();
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_succeeded_process_leaves_the_path_to_its_successor() {
    let world = World::start(&[]).await;
    let successor = Provider::start(&world.emulator, world.folder.path(), &[]);
    world.provider.log_with("another process has replaced the socket", 1);
    removed_and_back(&successor.socket).await;
    successor.log_with("has been restored", 1);
    assert!(!world.provider.log().contains("the socket was removed"), "{}", world.provider.log());
    world.provider.signal(Signal::SIGTERM);
    world.provider.ended().await;
    successor.mount(&Claim::new("").without("objects")).await.expect_err("but it answers");
    removed_and_back(&successor.socket).await;
}

#[tokio::test]
async fn a_socket_that_is_replaced_immediately_belongs_to_the_successor() {
    let world = World::start(&[]).await;
    std::fs::remove_file(&world.provider.socket).unwrap();
    let successor = Provider::start(&world.emulator, world.folder.path(), &[]);
    world.provider.log_with("another process has replaced the socket", 1);
    assert!(!world.provider.log().contains("the socket was removed"), "{}", world.provider.log());
    world.provider.signal(Signal::SIGTERM);
    let World { emulator: _emulator, provider, folder: _folder } = world;
    provider.ended().await;
    assert!(UnixStream::connect(&successor.socket).await.is_ok());
}
