//! What the log says of mounts.

use serde_json::Value;

use crate::harness::{World, objects};

/// The values of this field in the log's lines with this message.
fn fields(log: &str, message: &str, field: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == message).map(|line| line[field].clone()).collect()
}

/// A first mount, two refreshes without news, a change, and a refusal.
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
async fn what_is_new_is_told_in_a_line_and_what_is_not_only_when_asked() {
    for (verbosity, unchanged) in [("-v=0", 0), ("-v=1", 0), ("-v=2", 2)] {
        let world = World::start(&["--log-format-json", verbosity]).await;
        let log = day(&world).await;
        assert_eq!(fields(&log, "mounted", "sources"), ["vault:1"], "{log}");
        assert_eq!(fields(&log, "changed", "objects"), [1], "{log}");
        assert_eq!(fields(&log, "unchanged", "objects").len(), unchanged, "{verbosity}: {log}");
    }
}

#[tokio::test]
async fn a_line_says_whose_mount_it_is_and_how_long_it_took() {
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
async fn files_that_move_are_a_change_though_their_versions_are_the_same() {
    let world = World::with_keys(&["--log-format-json"]).await;
    world.mount(&world.claim()).await.unwrap();
    let moved = "- {objectName: database-password, objectType: secret, objectAlias: elsewhere}";
    world.mount(&world.claim().objects(moved)).await.unwrap();
    let log = world.provider.log_with("changed", 1);
    assert_eq!(fields(&log, "changed", "sources"), ["cached:1"], "{log}");
}
