//! Volumes that cannot be written because they are read-only, full, unmounted or locked. The error names the reason, and
//! the old files stay.

use std::cell::Cell;
use std::fs::File;
use std::time::Duration;

use keyvault_csi_provider::deliver::{DeliverError, VolumeFile, write};
use keyvault_csi_provider::plan::{FileMode, RelativePath};
use keyvault_csi_provider::secret::SecretBytes;
use keyvault_emulator::{Fault, RequestKind, Target};
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::sys::statvfs::statvfs;
use tonic::Code;

use crate::harness::{Claim, Provider, World, objects};
use crate::volume::{Volume, is_root};

async fn world() -> World {
    World::start(&["--file-writer=provider", "--rotation-max-age=0s"]).await
}

/// A mount of a file in a folder and a file at the top.
fn claim(world: &World, volume: &Volume) -> Claim {
    let yaml = "- {objectName: database-password, objectType: secret, objectAlias: app/db-password}\n\
                - {objectName: api-key, objectType: secret}\n";
    world.claim().objects(yaml).target(volume.path())
}

/// Changes the value in the vault. The next mount must fail with `reason` and keep the old files.
async fn assert_old_files_stay(world: &World, volume: &Volume, value: &str, reason: &str) {
    let before = (volume.generation(), volume.read("app/db-password"), every_name(volume));
    world.emulator.set_secret("myKeyVault", "database-password", value).unwrap();
    let status = world.refused(&claim(world, volume).timeout(Duration::from_secs(2))).await;
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    assert!(status.message().contains(reason), "{reason} is not in {status:?}");
    assert!(status.message().contains("untouched"), "{status:?}");
    assert_eq!((volume.generation(), volume.read("app/db-password"), every_name(volume)), before);
}

/// All names in the volume, including hidden ones.
fn every_name(volume: &Volume) -> Vec<std::ffi::OsString> {
    let mut names =
        std::fs::read_dir(volume.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    names.sort();
    names
}

#[tokio::test]
async fn a_read_only_volume_keeps_its_files() {
    if !is_root() {
        return;
    }
    let (world, volume) = (world().await, Volume::mount());
    world.mount(&claim(&world, &volume)).await.unwrap();
    volume.remount(MsFlags::MS_RDONLY, None);
    world.mount(&claim(&world, &volume)).await.expect("no file changes, so nothing is written");
    assert_old_files_stay(&world, &volume, "rotated", "Read-only file system").await;
    volume.remount(MsFlags::empty(), None);
    world.mount(&claim(&world, &volume)).await.unwrap();
    assert_eq!(volume.read("app/db-password"), "rotated");
}

#[tokio::test]
async fn a_volume_that_is_full_at_any_step_keeps_its_files() {
    if !is_root() {
        return;
    }
    let (world, volume) = (world().await, Volume::mount());
    world.mount(&claim(&world, &volume)).await.unwrap();
    // Every folder, file and link takes an inode. Each iteration allows one more, so that each of them is once the one
    // that fails.
    let stat = statvfs(volume.path()).unwrap();
    let taken = stat.files() - stat.files_free();
    let needed = ["the folder", "app", "app/db-password", "api-key", "..data"].len() as u64;
    for more in 0..needed {
        volume.remount(MsFlags::empty(), Some(&format!("nr_inodes={}", taken + more)));
        assert_old_files_stay(&world, &volume, &format!("rotated with {more} more"), "No space left").await;
    }
    volume.remount(MsFlags::empty(), Some(&format!("nr_inodes={}", taken + needed)));
    world.mount(&claim(&world, &volume)).await.unwrap();
    assert_eq!(volume.read("app/db-password"), format!("rotated with {} more", needed - 1));
}

#[tokio::test]
async fn nothing_is_written_below_a_volume_that_was_unmounted_during_the_mount() {
    if !is_root() {
        return;
    }
    let (world, volume) = (world().await, Volume::mount());
    world.mount(&claim(&world, &volume)).await.unwrap();
    world.emulator.set_secret("myKeyVault", "database-password", "rotated").unwrap();
    world.emulator.clear_requests();
    world.emulator.inject(Target::AllVaults, Fault::Latency(Duration::from_millis(300)));
    let claim = claim(&world, &volume);
    let unmounted = async {
        while world.emulator.in_flight_peak(RequestKind::Secret) == 0 {
            tokio::task::yield_now().await;
        }
        nix::mount::umount(volume.path()).unwrap();
    };
    let (status, ()) = tokio::join!(world.refused(&claim), unmounted);
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("not a tmpfs"), "{status:?}");
    assert_eq!(std::fs::read_dir(volume.path()).unwrap().count(), 0);
}

#[test]
fn a_volume_that_is_unmounted_during_the_write_is_an_error() {
    if !is_root() {
        return;
    }
    let volume = Volume::mount();
    let file = VolumeFile {
        path: RelativePath::parse("db-password").unwrap(),
        mode: FileMode::parse_octal("0600").unwrap(),
        contents: SecretBytes::new(b"value".to_vec()),
    };
    let mounted = Cell::new(true);
    let written = write(volume.path(), &[file], &|| {
        // Only a lazy unmount succeeds while the volume is in use.
        if mounted.replace(false) {
            umount2(volume.path(), MntFlags::MNT_DETACH).unwrap();
        }
        false
    });
    assert!(matches!(written, Err(DeliverError::Unmounted(_))), "{written:?}");
    assert_eq!(std::fs::read_dir(volume.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_volume_that_another_process_has_locked_keeps_its_files() {
    let (world, volume) = (world().await, Volume::shared());
    world.mount(&claim(&world, &volume)).await.unwrap();
    let other = File::open(volume.path()).unwrap();
    other.lock().unwrap();
    assert_old_files_stay(&world, &volume, "rotated", "another mount is still writing").await;
    drop(other);
    world.mount(&claim(&world, &volume)).await.unwrap();
    assert_eq!(volume.read("app/db-password"), "rotated");
}

#[tokio::test]
async fn concurrent_mounts_of_one_volume_by_two_processes_leave_one_complete_generation() {
    let (world, volume) = (world().await, Volume::shared());
    // A second provider with its own socket.
    let endpoint = format!("--endpoint=unix://{}", world.folder.path().join("other.sock").display());
    let args = ["--file-writer=provider", "--rotation-max-age=0s", &endpoint];
    let mut other = Provider::start(&world.emulator, world.folder.path(), &args);
    other.socket = world.folder.path().join("other.sock");
    let (one, two) =
        (claim(&world, &volume), world.claim().objects(&objects(&["007"])).target(volume.path()));
    for round in 0..20 {
        let mounts = [&world.provider, &other].repeat(4);
        let mounts = mounts.into_iter().zip([&one, &two, &two, &one].repeat(2));
        let mounts = mounts.map(|(provider, claim)| provider.mount(claim));
        let mounted = futures_util::future::join_all(mounts).await;
        assert!(mounted.iter().all(Result::is_ok), "{round}: {mounted:?}");
        match volume.names().iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["007"] => assert_eq!(volume.read("007"), "bond"),
            ["api-key", "app"] => assert_eq!(volume.read("api-key"), "second value"),
            ref names => panic!("{round}: {names:?}"),
        }
        let hidden = every_name(&volume).into_iter().filter(|name| name.to_string_lossy().starts_with(".."));
        assert_eq!(hidden.count(), 2, "the generation and the link to it");
    }
}
