//! `--file-writer=provider` writes secrets to a tmpfs only, and follows no link.

use std::os::unix::fs::symlink;

use tonic::Code;

use crate::file_writer::{tree, world};
use crate::volume::Volume;

#[tokio::test]
async fn only_a_tmpfs_is_written_to() {
    let world = world().await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let status = world.refused(&world.claim().target(folder.path())).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("not a tmpfs"), "{status:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let status = world.refused(&world.claim().target("/dev/shm/no-such-target".as_ref())).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

#[tokio::test]
async fn foreign_links_are_never_followed() {
    let (world, volume) = (world().await, Volume::shared());
    let outside = tempfile::tempdir().unwrap();
    let precious = outside.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    symlink(&precious, volume.path().join("agent")).unwrap();
    symlink(outside.path(), volume.path().join("app")).unwrap();
    symlink(outside.path(), volume.path().join("..data")).unwrap();
    world.mount(&tree(&world, &volume)).await.unwrap();
    assert_eq!(volume.read("agent"), "bond");
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);

    let link = volume.path().join("link-to-a-folder");
    symlink(outside.path(), &link).unwrap();
    let status = world.refused(&tree(&world, &volume).target(&link)).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}
