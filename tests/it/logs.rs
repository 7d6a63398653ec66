//! Log lines of mounts.

use serde_json::Value;

use crate::harness::{World, objects};

/// The values of this field in the log lines with this message.
fn fields(log: &str, message: &str, field: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == message).map(|line| line[field].clone()).collect()
}

/// A first mount, two unchanged refreshes, a change, and a refusal.
async fn day(world: &World) -> String {
    let claim = world.claim().pod(1).set("rotationMaxAge", "0");
    for _ in 0..3 {
        world.mount(&claim).await.unwrap();
    }
    world.emulator.set_secret("myKeyVault", "database-password", "another").unwrap();
    world.mount(&claim).await.unwrap();
    world.refused(&claim.objects(&objects(&["nowhere"]))).await;
    world.provider.log_with("mount failed", 1)
}

#[tokio::test]
async fn changes_are_logged_and_unchanged_refreshes_only_at_verbosity_2() {
    for (verbosity, unchanged) in [("-v=0", 0), ("-v=1", 0), ("-v=2", 2)] {
        let world = World::start(&["--log-format-json", verbosity]).await;
        let log = day(&world).await;
        assert_eq!(fields(&log, "mounted", "sources"), ["vault:1"], "{log}");
        assert_eq!(fields(&log, "changed", "objects"), [1], "{log}");
        assert_eq!(fields(&log, "unchanged", "objects").len(), unchanged, "{verbosity}: {log}");
    }
}

#[tokio::test]
async fn a_line_names_the_pod_and_the_duration_of_the_mount() {
    let world = World::start(&["--log-format-json"]).await;
    let log = day(&world).await;
    let spans = fields(&log, "mounted", "span");
    let [span] = spans.as_slice() else { panic!("{log}") };
    for (field, value) in [
        ("pod", "myapp-1"),
        ("namespace", "default"),
        ("service_account", "workload-identity-sa"),
        ("class", "my-class"),
        ("vault", "myKeyVault"),
    ] {
        assert_eq!(span[field], value, "{field}");
    }
    assert!(fields(&log, "mounted", "milliseconds")[0].is_u64(), "{log}");
    assert!(!log.contains("another"), "{log}");
}

#[tokio::test]
async fn moved_files_are_a_change_even_with_the_same_versions() {
    let world = World::with_keys(&["--log-format-json"]).await;
    world.mount(&world.claim()).await.unwrap();
    let moved = "- {objectName: database-password, objectType: secret, objectAlias: elsewhere}";
    world.mount(&world.claim().objects(moved)).await.unwrap();
    let log = world.provider.log_with("changed", 1);
    assert_eq!(fields(&log, "changed", "sources"), ["cached:1"], "{log}");
}
