//! Live volumes stay charged to their namespace, and one namespace leaves memory for the others.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::plan::{FileMode, RelativePath};
use crate::secret::SecretBytes;

const MIB: u64 = 1 << 20;

/// A directory in a tmpfs stands in for a mounted volume, and its removal for an unmount.
fn volume() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

fn files(bytes: u64) -> Vec<VolumeFile> {
    vec![VolumeFile {
        path: RelativePath::parse("file").unwrap(),
        mode: FileMode::parse_octal("0600").unwrap(),
        contents: SecretBytes::new(vec![0; usize::try_from(bytes).unwrap()]),
    }]
}

fn write(memory: &VolumeMemory, tenant: &str, volume: &TempDir, bytes: u64) -> Result<(), DeliverError> {
    let files = files(bytes);
    memory.charge(&Tenant::new(tenant), volume.path(), &files).map(|charge| charge.keep(&files))
}

#[test]
fn a_namespace_is_refused_above_its_share_and_others_are_not() {
    let memory = VolumeMemory::open(16 * MIB, None).unwrap();
    let volumes = (0..20).map(|_| volume()).collect::<Vec<_>>();
    let mounted = volumes.iter().filter(|volume| write(&memory, "flood", volume, MIB).is_ok()).count();
    assert!((6..8).contains(&mounted), "half of the memory, with a kilobyte or two for each file: {mounted}");
    let error = write(&memory, "flood", &volume(), MIB).unwrap_err();
    assert!(error.to_string().contains("namespace flood") && error.code() == crate::code::Code::Internal);
    let victim = volume();
    write(&memory, "victim", &victim, 3 * MIB).unwrap();
}

#[test]
fn an_unmounted_volume_makes_room() {
    let memory = VolumeMemory::open(8 * MIB, None).unwrap();
    let (first, second) = (volume(), volume());
    write(&memory, "team", &first, 3 * MIB).unwrap();
    write(&memory, "team", &second, 3 * MIB).unwrap_err();
    drop(first);
    write(&memory, "team", &second, 3 * MIB).unwrap();
    drop(second);
    assert_eq!(memory.bytes(), 0);
}

#[test]
fn a_refresh_changes_what_its_volume_is_charged_and_a_failed_one_does_not() {
    let memory = VolumeMemory::open(8 * MIB, None).unwrap();
    let one = volume();
    write(&memory, "team", &one, MIB).unwrap();
    let before = memory.bytes();
    write(&memory, "team", &one, 2 * MIB).unwrap();
    assert_eq!(memory.bytes(), before + MIB);
    write(&memory, "team", &one, MIB).unwrap();
    assert_eq!(memory.bytes(), before);
    for bytes in [1, 2 * MIB] {
        drop(memory.charge(&Tenant::new("team"), one.path(), &files(bytes)).unwrap());
        assert_eq!(memory.bytes(), before, "it was not written");
    }
    write(&memory, "team", &one, 7 * MIB).unwrap_err();
    assert_eq!(memory.bytes(), before);
    let other = volume();
    drop(memory.charge(&Tenant::new("team"), other.path(), &files(MIB)).unwrap());
    assert_eq!(memory.bytes(), before, "nothing was written into the other");
}

#[test]
fn live_volumes_stay_charged_after_a_restart_of_the_container() {
    let state = tempfile::tempdir().unwrap();
    let open = || VolumeMemory::open(8 * MIB, Some(state.path().to_owned())).unwrap();
    let (kept, gone) = (volume(), volume());
    let memory = open();
    write(&memory, "team", &kept, 2 * MIB).unwrap();
    write(&memory, "team", &gone, MIB).unwrap();
    let bytes = memory.bytes();
    drop((memory, gone));
    fs::write(state.path().join("0.json"), "{}").unwrap();
    fs::write(state.path().join("other"), "not ours").unwrap();

    let memory = open();
    assert!(memory.bytes() < bytes && memory.bytes() > 2 * MIB, "the live one only: {}", memory.bytes());
    write(&memory, "team", &volume(), 3 * MIB).unwrap_err();
    let names = fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.count(), 2, "its record, and a file of another program");
}

#[test]
fn more_than_the_limit_that_is_in_use_already_is_charged_and_admits_no_more() {
    let state = tempfile::tempdir().unwrap();
    let open = |limit| VolumeMemory::open(limit, Some(state.path().to_owned())).unwrap();
    let one = volume();
    let memory = open(16 * MIB);
    write(&memory, "team", &one, 6 * MIB).unwrap();
    drop(memory);
    let memory = open(4 * MIB);
    assert!(memory.bytes() > 6 * MIB);
    write(&memory, "other", &volume(), MIB).unwrap_err();
    write(&memory, "team", &one, MIB).unwrap();
    write(&memory, "other", &volume(), MIB / 2).unwrap();
}

#[test]
fn a_state_directory_that_is_missing_is_an_error() {
    VolumeMemory::open(MIB, Some(PathBuf::from("/proc/none"))).unwrap_err();
}
