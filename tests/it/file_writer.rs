//! `--file-writer=provider`: the provider writes the files atomically into a tmpfs.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use keyvault_emulator::{Fault, Secret, Target};
use tonic::Code;

use crate::harness::{Claim, Provider, VALUE, World, objects, seed};
use crate::volume::{Volume, is_root};

pub async fn world() -> World {
    World::start(&["--file-writer=provider"]).await
}

/// A mount of two files in a folder and one file at the top.
pub fn tree(world: &World, volume: &Volume) -> Claim {
    let yaml = "- {objectName: database-password, objectType: secret, objectAlias: app/db-password, filePermission: 0640}\n\
                - {objectName: api-key, objectType: secret, objectAlias: app/keys/api, filePermission: 0400}\n\
                - {objectName: 007, objectType: secret, objectAlias: agent}\n";
    world.claim().objects(yaml).target(volume.path())
}

fn mode(volume: &Volume, name: &str) -> u32 {
    std::fs::metadata(volume.path().join(name)).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn files_have_kubelets_layout_and_exact_modes() {
    let (world, volume) = (world().await, Volume::shared());
    let response = world.mount(&tree(&world, &volume)).await.unwrap();
    assert_eq!(response.files.len(), 0);
    assert_eq!(response.object_version.len(), 3);
    assert_eq!(volume.names(), ["agent", "app"]);
    assert_eq!(volume.read("app/db-password"), VALUE);
    assert_eq!(volume.read("app/keys/api"), "second value");
    assert_eq!(std::fs::read_link(volume.path().join("app")).unwrap().to_str(), Some("..data/app"));
    for (name, expected) in [
        ("app/db-password", 0o640),
        ("app/keys/api", 0o400),
        ("agent", 0o644),
        ("app/keys", 0o755),
        ("..data/", 0o755),
    ] {
        assert_eq!(mode(&volume, name), expected, "{name}");
    }
    let generation = volume.generation();
    assert!(generation.to_str().unwrap().starts_with("..2"), "{generation:?}");
}

#[tokio::test]
async fn modes_do_not_depend_on_the_umask() {
    let emulator = keyvault_emulator::Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    // All tests share the umask of this process, so a shell sets it for the child process.
    let provider = Provider::start_with_umask(&emulator, folder.path(), &["--file-writer=provider"], "0077");
    let world = World { emulator, provider, folder };
    let volume = Volume::shared();
    world
        .mount(
            &tree(&world, &volume).objects(
                "- {objectName: api-key, objectType: secret, objectAlias: a/b, filePermission: 0777}",
            ),
        )
        .await
        .unwrap();
    assert_eq!((mode(&volume, "a/b"), mode(&volume, "a")), (0o777, 0o755));
}

#[tokio::test]
async fn an_unchanged_volume_is_not_touched_and_a_changed_one_is_swapped() {
    let world = World::start(&["--file-writer=provider", "--rotation-max-age=0s"]).await;
    let volume = Volume::shared();
    let claim = tree(&world, &volume);
    world.mount(&claim).await.unwrap();
    let first = volume.generation();
    let modified = std::fs::metadata(volume.path()).unwrap().modified().unwrap();
    world.mount(&claim).await.unwrap();
    assert_eq!(volume.generation(), first);
    assert_eq!(std::fs::metadata(volume.path()).unwrap().modified().unwrap(), modified);

    world.emulator.set_secret("myKeyVault", "database-password", "rotated").unwrap();
    world.mount(&claim).await.unwrap();
    assert_ne!(volume.generation(), first);
    assert_eq!(volume.read("app/db-password"), "rotated");
    assert!(!volume.path().join(&first).exists(), "the old generation is gone");

    let fewer = claim.objects(&objects(&["api-key"]));
    world.mount(&fewer).await.unwrap();
    assert_eq!(volume.names(), ["api-key"]);
}

#[tokio::test]
async fn leftovers_of_an_interrupted_mount_are_removed_and_other_files_stay() {
    let (world, volume) = (world().await, Volume::shared());
    let at = |name: &str| volume.path().join(name);
    std::fs::create_dir(at("..2020_01_01_00_00_00.1")).unwrap();
    std::fs::write(at("..2020_01_01_00_00_00.1").join("half"), "half").unwrap();
    symlink("..2020_01_01_00_00_00.1", at("..data_tmp")).unwrap();
    std::fs::write(at("theirs"), "theirs").unwrap();
    world.mount(&tree(&world, &volume)).await.unwrap();
    assert!(!at("..2020_01_01_00_00_00.1").exists());
    assert!(std::fs::symlink_metadata(at("..data_tmp")).is_err());
    assert_eq!(volume.names(), ["agent", "app", "theirs"]);
}

#[tokio::test]
async fn leftovers_are_removed_even_if_the_files_are_unchanged() {
    let world = World::start(&["--file-writer=provider", "--rotation-max-age=0s"]).await;
    let volume = Volume::shared();
    let at = |name: &str| volume.path().join(name);
    world.mount(&tree(&world, &volume)).await.unwrap();
    let generation = volume.generation();
    std::fs::create_dir(at("..2020_01_01_00_00_00.1")).unwrap();
    std::fs::write(at("..2020_01_01_00_00_00.1").join("half"), "half").unwrap();
    symlink("..2020_01_01_00_00_00.1", at("..data_tmp")).unwrap();
    world.mount(&tree(&world, &volume)).await.unwrap();
    assert_eq!(volume.generation(), generation, "nothing changed");
    assert!(!at("..2020_01_01_00_00_00.1").exists());
    assert!(std::fs::symlink_metadata(at("..data_tmp")).is_err());
}

#[tokio::test]
async fn a_foreign_directory_is_named_and_the_old_files_stay() {
    let (world, volume) = (world().await, Volume::shared());
    world.mount(&world.claim().target(volume.path())).await.unwrap();
    std::fs::create_dir(volume.path().join("agent")).unwrap();
    let status = world.refused(&tree(&world, &volume)).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("agent in") && status.message().contains("a directory"), "{status:?}");
    assert_eq!(volume.read("db-password"), VALUE);
}

#[tokio::test]
async fn nothing_is_written_when_an_object_fails() {
    let (world, volume) = (world().await, Volume::shared());
    let claim = world.claim().objects(&objects(&["api-key", "nowhere"])).target(volume.path());
    assert_eq!(world.refused(&claim).await.code(), Code::NotFound);
    assert_eq!(std::fs::read_dir(volume.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_target_can_be_unmounted_right_after_every_answer() {
    if !is_root() {
        return;
    }
    let mut seed = seed();
    for name in ["large-one", "large-two"] {
        seed.vaults[0].secrets.push(Secret::new(name, "x".repeat(100_000)));
    }
    let world = World::with(seed, &["--file-writer=provider"]).await;
    for _ in 0..20 {
        let volume = Volume::mount();
        world.mount(&tree(&world, &volume)).await.unwrap();
        volume.unmount().expect("after a success");
    }
    let volume = Volume::mount();
    let status = world.refused(&tree(&world, &volume).objects(&objects(&["nowhere"]))).await;
    assert_eq!(status.code(), Code::NotFound);
    volume.unmount().expect("after an error of the vault");

    let volume = Volume::mount();
    world.mount(&tree(&world, &volume)).await.unwrap();
    let status = world.refused(&tree(&world, &volume).objects(&objects(&["large-one", "large-two"]))).await;
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    assert!(status.message().contains("untouched"), "{status:?}");
    assert_eq!(volume.read("agent"), "bond", "a full tmpfs keeps the old files");
    assert_eq!(volume.names(), ["agent", "app"]);
    volume.unmount().expect("after a failed write");

    world.emulator.inject(Target::AllVaults, Fault::Hang);
    let volume = Volume::mount();
    let status = world.refused(&tree(&world, &volume).timeout(Duration::from_secs(3))).await;
    assert_eq!(status.code(), Code::Internal);
    volume.unmount().expect("after a timeout");

    let volume = Volume::mount();
    let claim = tree(&world, &volume);
    tokio::select! {
        biased;
        answer = world.mount(&claim) => panic!("{answer:?}"),
        () = async {
            while world.emulator.in_flight_peak(keyvault_emulator::RequestKind::Secret) == 0 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    volume.unmount().expect("after a cancelled call");
}

#[tokio::test]
async fn concurrent_mounts_of_one_target_leave_one_complete_generation() {
    let (world, volume) = (world().await, Volume::shared());
    let claim = tree(&world, &volume);
    let other = world.claim().objects(&objects(&["api-key"])).target(volume.path());
    let claims = [&claim, &other].repeat(10);
    let mounts = futures_util::future::join_all(claims.into_iter().map(|claim| world.mount(claim))).await;
    assert!(mounts.iter().all(Result::is_ok), "{mounts:?}");
    let names = volume.names();
    assert!(names == ["agent", "app"] || names == ["api-key"], "{names:?}");
    let generations = std::fs::read_dir(volume.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir());
    assert_eq!(generations.count(), 1);
}
