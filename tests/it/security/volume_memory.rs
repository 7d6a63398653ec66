//! `--file-writer=provider`: the files of mounted volumes are this process's memory, shared out by namespace.

use nix::sys::signal::Signal;
use tonic::Code;

use crate::harness::{Claim, Provider, World};
use crate::volume::Volume;

/// One small file takes 6 KiB: a page, and the kernel's overhead. A namespace alone may use half of this, four
/// volumes.
const LIMIT: &str = "--volume-memory-bytes=49152";
const SHARE: usize = 4;

fn claim(world: &World, namespace: &str, pod: usize, volume: &Volume) -> Claim {
    world.claim().pod(pod).set("csi.storage.k8s.io/pod.namespace", namespace).target(volume.path())
}

async fn used(provider: &Provider) -> u64 {
    let (_, text) = Provider::get(provider.metrics_port, "/metrics").await;
    let value = text.lines().find_map(|line| line.strip_prefix("keyvault_csi_volume_bytes "));
    value.unwrap().trim_end_matches(".0").parse().unwrap()
}

#[tokio::test]
async fn a_namespace_above_its_share_is_refused_even_after_a_restart_while_others_mount() {
    let state = tempfile::tempdir().unwrap();
    let flag = format!("--state-dir={}", state.path().display());
    let args = ["--file-writer=provider", LIMIT, flag.as_str()];
    let mut world = World::start(&args).await;
    let mut volumes = (0..SHARE).map(|_| Volume::mount()).collect::<Vec<_>>();
    for (pod, volume) in volumes.iter().enumerate() {
        world.mount(&claim(&world, "flood", pod, volume)).await.unwrap();
    }
    for attempt in ["before the restart", "after it"] {
        assert_eq!(used(&world.provider).await, 4 * 6144, "{attempt}");
        let one_more = Volume::mount();
        let status = world.refused(&claim(&world, "flood", SHARE, &one_more)).await;
        assert_eq!(status.code(), Code::Internal, "{attempt}");
        assert!(
            status.message().contains("volume memory of namespace flood exceeded"),
            "{attempt}: {status:?}"
        );
        assert!(one_more.names().is_empty());
        // Its mounted volumes are refreshed, and others mount.
        world.mount(&claim(&world, "flood", 0, &volumes[0])).await.unwrap();
        let other = Volume::mount();
        world.mount(&claim(&world, "victim", 100, &other)).await.unwrap();
        other.unmount().unwrap();

        let World { emulator, provider, folder } = world;
        provider.signal(Signal::SIGKILL);
        provider.ended().await;
        let provider = Provider::start(&emulator, folder.path(), &args);
        world = World { emulator, provider, folder };
    }
    volumes.pop().unwrap().unmount().unwrap();
    let next = Volume::mount();
    world.mount(&claim(&world, "flood", SHARE, &next)).await.unwrap();
}

#[tokio::test]
async fn a_missing_state_directory_is_named_and_stops_the_process() {
    let World { emulator, provider: _provider, folder } = World::start(&[]).await;
    let args = ["--file-writer=provider", "--state-dir=/proc/none", "--endpoint=unix:///tmp/unused.sock"];
    let (status, text) = Provider::fail(&emulator, folder.path(), &args);
    assert!(!status.success() && text.contains("cannot read --state-dir=/proc/none"), "{text}");
}
