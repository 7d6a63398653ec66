//! The audit log: which pod got which object from which source, and which did not.

use std::fs;
use std::path::{Path, PathBuf};

use keyvault_emulator::{Fault, Target};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{APP, Provider, VALUE, World, objects};

struct AuditedWorld {
    world: World,
    log: PathBuf,
    _folder: TempDir,
}

impl AuditedWorld {
    async fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("audit.log");
        let flag = format!("--audit-log={}", log.display());
        let world = World::with_keys(&[&[flag.as_str()], args].concat()).await;
        Self { world, log, _folder: folder }
    }

    /// The fields of each line, once the log has `count` lines.
    async fn lines(&self, count: usize) -> Vec<Value> {
        lines(&self.log, count).await
    }
}

async fn lines(log: &Path, count: usize) -> Vec<Value> {
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        if text.lines().count() >= count && text.ends_with('\n') {
            assert!(!text.contains(VALUE), "a secret is in the audit log");
            return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

fn picked(line: &Value, fields: &[&str]) -> Vec<Value> {
    fields.iter().map(|field| line[field].clone()).collect()
}

#[tokio::test]
async fn a_line_has_every_field_and_no_value() {
    let audited = AuditedWorld::start(&[]).await;
    audited.world.mount(&audited.world.claim().pod(1)).await.unwrap();
    let mut lines = audited.lines(1).await;
    let line = lines[0].as_object_mut().unwrap();
    let time = line.remove("time").unwrap();
    assert!(time.as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')), "{time}");
    let version = line.remove("version").unwrap();
    assert_eq!(version.as_str().map(str::len), Some(32), "{version}");
    let uid = line.remove("pod_uid").unwrap();
    assert!(uid.as_str().is_some_and(|uid| !uid.is_empty()), "{uid}");
    assert_eq!(
        lines[0],
        json!({
            "outcome": "delivered", "mount": "first", "source": "vault",
            "namespace": "default", "pod": "myapp-1", "service_account": "workload-identity-sa",
            "class": "my-class", "identity": "workload-identity", "client_id": APP,
            "vault": "mykeyvault.vault.azure.net", "object_type": "secret", "object": "database-password",
        })
    );
}

#[tokio::test]
async fn every_object_of_a_failed_mount_has_a_line_with_the_reason() {
    let audited = AuditedWorld::start(&[]).await;
    let world = &audited.world;
    let fields = ["object", "outcome", "stage", "code", "source"];
    let optional = "- {objectName: none, objectType: secret, optional: true}";
    let listed = format!("{}\n{optional}", objects(&["database-password", "nowhere"]));
    world.refused(&world.claim().pod(1).objects(&listed)).await;
    let seen = audited.lines(3).await;
    let seen = seen.iter().map(|line| picked(line, &fields)).collect::<Vec<_>>();
    let null = Value::Null;
    assert_eq!(
        seen,
        [
            [
                json!("database-password"),
                json!("not_delivered"),
                json!("vault"),
                json!("NOT_FOUND"),
                json!("vault")
            ],
            [json!("nowhere"), json!("refused"), json!("vault"), json!("NOT_FOUND"), null.clone()],
            [json!("none"), json!("left_out"), null.clone(), null.clone(), null.clone()],
        ]
    );
    // Entra refuses the identity: no object has an outcome of its own.
    let unknown = world.claim().pod(2).set("clientID", "33333333-3333-4333-8333-333333333333");
    world.refused(&unknown).await;
    let line = audited.lines(4).await.pop().unwrap();
    assert_eq!(picked(&line, &fields[1..4]), ["refused", "identity", "UNAUTHENTICATED"]);
}

#[tokio::test]
async fn what_the_policy_denies_is_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    fs::write(&policy, "rules:\n- {namespaces: [other], vaults: [\"*\"], objects: [\"*\"]}\n").unwrap();
    let audited = AuditedWorld::start(&[&format!("--policy-file={}", policy.display())]).await;
    audited.world.refused(&audited.world.claim()).await;
    let line = audited.lines(1).await.pop().unwrap();
    assert_eq!(picked(&line, &["outcome", "stage", "code"]), ["refused", "policy", "PERMISSION_DENIED"]);
}

#[tokio::test]
async fn a_refresh_has_a_line_only_when_source_version_or_outcome_changes() {
    let audited = AuditedWorld::start(&["--rotation-max-age=0s"]).await;
    let world = &audited.world;
    let claim = world.claim().pod(1);
    for _ in 0..4 {
        world.mount(&claim).await.unwrap();
    }
    world.emulator.set_secret("myKeyVault", "database-password", "another").unwrap();
    for _ in 0..2 {
        world.mount(&claim).await.unwrap();
    }
    world.emulator.inject(Target::AllVaults, Fault::Refuse);
    for _ in 0..2 {
        world.mount(&claim).await.unwrap();
    }
    // The first mount of another pod is always recorded.
    world.mount(&world.claim().pod(2)).await.unwrap();
    world.emulator.heal();
    let lines = audited.lines(4).await;
    let seen = lines.iter().map(|line| picked(line, &["pod", "mount", "source"])).collect::<Vec<_>>();
    assert_eq!(
        seen,
        [
            ["myapp-1", "first", "vault"],
            ["myapp-1", "refresh", "vault"],
            ["myapp-1", "refresh", "stale"],
            ["myapp-2", "first", "stale"],
        ]
    );
    assert_ne!(lines[0]["version"], lines[1]["version"]);
    assert_eq!(lines[1]["version"], lines[2]["version"]);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_delays_no_mount_and_is_counted() {
    let audited = AuditedWorld::start(&[]).await;
    let world = &audited.world;
    world.mount(&world.claim().pod(1)).await.unwrap();
    audited.lines(1).await;
    fs::remove_file(&audited.log).unwrap();
    std::os::unix::fs::symlink("/dev/full", &audited.log).unwrap();
    world.provider.signal(Signal::SIGHUP);
    // The signal and the mounts reach the log in any order.
    let mut pod = 2;
    loop {
        world.mount(&world.claim().pod(pod)).await.unwrap();
        let (_, text) = Provider::get(world.provider.metrics_port, "/metrics").await;
        if !text.contains("keyvault_csi_audit_lines_lost_total{reason=\"write_failed\"} 0\n") {
            break;
        }
        pod += 1;
    }
    world.provider.log_with("audit lines are lost", 1);
}

#[tokio::test]
async fn a_rotated_log_is_opened_again_on_sighup_and_whole_at_the_end() {
    let audited = AuditedWorld::start(&[]).await;
    let AuditedWorld { world, log, _folder } = audited;
    world.mount(&world.claim().pod(1)).await.unwrap();
    lines(&log, 1).await;
    let rotated = log.with_extension("1");
    fs::rename(&log, &rotated).unwrap();
    world.provider.signal(Signal::SIGHUP);
    let mut pod = 2;
    while !log.exists() {
        world.mount(&world.claim().pod(pod)).await.unwrap();
        pod += 1;
    }
    for pod in pod..pod + 20 {
        world.mount(&world.claim().pod(pod)).await.unwrap();
    }
    world.provider.signal(Signal::SIGTERM);
    let (status, text) = world.provider.ended().await;
    assert!(status.success(), "{text}");
    let count = |path: &Path| fs::read_to_string(path).unwrap().lines().count();
    assert_eq!(count(&log) + count(&rotated), pod - 1 + 20);
}

#[tokio::test]
async fn an_audit_log_that_cannot_be_opened_is_named_and_stops_the_process() {
    let emulator = keyvault_emulator::Emulator::start(crate::harness::seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (flag, words) in [
        ("--audit-log=/proc/none/audit.log", "cannot open the audit log /proc/none/audit.log"),
        ("--audit-log=audit.log", "neither an absolute path nor stdout"),
    ] {
        let (status, text) = Provider::fail(&emulator, folder.path(), &[flag]);
        assert!(!status.success() && text.contains(words), "{text}");
    }
}
