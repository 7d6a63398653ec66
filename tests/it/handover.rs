//! One process after another on the same socket, and a socket that somebody removes.

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

/// What kubelet gives a volume.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Mounts from many connections, each as soon as its last is answered, until told otherwise.
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

    /// Waits for so many mounts more.
    async fn mounts(&self, more: usize) {
        let until = self.mounted.load(Ordering::Relaxed) + more;
        while self.mounted.load(Ordering::Relaxed) < until {
            assert!(!self.drivers.iter().any(tokio::task::JoinHandle::is_finished), "a mount has failed");
            tokio::task::yield_now().await;
        }
    }

    /// Stops, and returns how many times a driver had to ask again.
    async fn stop(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        let repeated = join_all(self.drivers).await;
        repeated.into_iter().map(|driver| driver.expect("no mount fails")).sum()
    }
}

/// Three processes succeed each other under load, and no mount fails. Returns how often a driver had to ask
/// again. The successor comes first, or only when the old process drains.
async fn hand_over_under_load(drain_first: bool) -> usize {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let start = || tokio::task::block_in_place(|| Provider::start(&emulator, folder.path(), &[]));
    let mut provider = start();
    let socket = provider.socket.clone();
    // Mounts are always under way, and drains take a while.
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
    assert_eq!(hand_over_under_load(false).await, 0, "nobody even has to ask again");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mount_fails_if_the_successor_comes_while_the_old_process_drains() {
    hand_over_under_load(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_while_it_is_asked_who_it_is_has_a_successor() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("run")).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(folder.path().join("run/azure.sock")).unwrap();
    let ending = std::thread::spawn(move || {
        // One to see whether somebody is there, and one with the question.
        let asked = [listener.accept().unwrap(), listener.accept().unwrap()];
        drop(listener);
        drop(asked);
    });
    let provider = tokio::task::block_in_place(|| Provider::start(&emulator, folder.path(), &[]));
    ending.join().unwrap();
    let world = World { emulator, provider, folder };
    world.mount(&world.claim()).await.unwrap();
}

/// Removes the socket, and waits until it is there again.
async fn removed_and_back(socket: &Path) {
    let mut watch = Watch::new(socket.parent().unwrap());
    std::fs::remove_file(socket).unwrap();
    watch.name("azure.sock").await;
    watch.name("azure.sock").await;
}

#[tokio::test]
async fn a_socket_that_somebody_removes_is_back_and_drains_like_the_first() {
    let world = World::start(&[]).await;
    let socket = &world.provider.socket;
    let mut kept = world.provider.client();
    kept.version(VersionRequest::default()).await.unwrap();
    for _ in 0..2 {
        removed_and_back(socket).await;
        assert_eq!(std::fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o600);
        world.mount(&world.claim()).await.unwrap();
    }
    kept.version(VersionRequest::default()).await.expect("connections are kept");
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
    running.await.unwrap().expect("a mount that was running is finished");
}

#[tokio::test]
async fn a_folder_that_somebody_removes_is_back_with_the_socket() {
    let world = World::start(&[]).await;
    let run = world.provider.socket.parent().unwrap();
    let mut watch = Watch::new(run.parent().unwrap());
    std::fs::remove_dir_all(run).unwrap();
    watch.name("run").await;
    watch.name("run").await;
    world.provider.log_with("it is back", 1);
    world.mount(&world.claim()).await.unwrap();
    removed_and_back(&world.provider.socket).await;
    world.mount(&world.claim()).await.unwrap();
}

#[tokio::test]
async fn a_socket_is_back_after_something_else_was_in_its_place_for_a_moment() {
    let world = World::start(&[]).await;
    let socket = &world.provider.socket;
    for (time, obstacle) in ["folder", "file", "link"].into_iter().enumerate() {
        std::fs::remove_file(socket).unwrap();
        match obstacle {
            "folder" => std::fs::create_dir(socket).unwrap(),
            "file" => std::fs::write(socket, "").unwrap(),
            _ => std::os::unix::fs::symlink("/nowhere", socket).unwrap(),
        }
        world.provider.log_with("is no socket; remove it", time + 1);
        if obstacle == "folder" {
            std::fs::remove_dir(socket).unwrap();
        } else {
            std::fs::remove_file(socket).unwrap();
        }
        world.provider.log_with("it is back", time + 1);
        world.mount(&world.claim()).await.unwrap();
    }
}

#[tokio::test]
async fn a_folder_that_is_replaced_by_another_gets_the_socket() {
    let world = World::start(&[]).await;
    let run = world.provider.socket.parent().unwrap();
    std::fs::rename(run, run.with_file_name("away")).unwrap();
    std::fs::create_dir(run).unwrap();
    world.provider.log_with("it is back", 1);
    world.mount(&world.claim()).await.unwrap();
    removed_and_back(&world.provider.socket).await;
    world.mount(&world.claim()).await.unwrap();
}

#[tokio::test]
async fn a_socket_that_is_removed_before_a_drain_stays_away() {
    let world = World::start(&[]).await;
    // Longer than it takes until the socket would be back.
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
async fn a_process_that_was_succeeded_leaves_the_name_to_its_successor() {
    let world = World::start(&[]).await;
    let successor = Provider::start(&world.emulator, world.folder.path(), &[]);
    world.provider.log_with("another process has put a socket in place", 1);
    removed_and_back(&successor.socket).await;
    successor.log_with("it is back", 1);
    assert!(!world.provider.log().contains("the socket was removed"), "{}", world.provider.log());
    world.provider.signal(Signal::SIGTERM);
    world.provider.ended().await;
    successor.mount(&Claim::new("").without("objects")).await.expect_err("but it answers");
    removed_and_back(&successor.socket).await;
}

#[tokio::test]
async fn a_socket_that_is_removed_and_replaced_at_once_is_the_successors() {
    let world = World::start(&[]).await;
    std::fs::remove_file(&world.provider.socket).unwrap();
    let successor = Provider::start(&world.emulator, world.folder.path(), &[]);
    world.provider.log_with("another process has put a socket in place", 1);
    assert!(!world.provider.log().contains("the socket was removed"), "{}", world.provider.log());
    world.provider.signal(Signal::SIGTERM);
    let World { emulator: _emulator, provider, folder: _folder } = world;
    provider.ended().await;
    assert!(UnixStream::connect(&successor.socket).await.is_ok());
}
