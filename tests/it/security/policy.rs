//! `--policy-file`: the policy is checked before the provider sends any request.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use keyvault_csi_provider::proto::ObjectVersion;
use keyvault_emulator::{
    Emulator, Fault, Identity, ManagedIdentity, RequestKind, Secret, SecretPermission, Seed, Target, Vault,
};
use tempfile::TempDir;
use tonic::{Code, Status};

use crate::harness::{Claim, Provider, VALUE, World, files, seed};

const SYSTEM: &str = "66666666-6666-4666-8666-666666666666";

/// A rule that allows the mount of `World::claim`.
const ALLOWED: &str = "{namespaces: [default], vaults: [mykeyvault], objects: [secret/database-password]}";
const OTHERS: &str = "{namespaces: ['team-*'], vaults: ['*']}";

/// A volume of a `ConfigMap`: `policy.yaml` is a symbolic link through `..data` to a directory that does not change.
struct ConfigMap {
    folder: TempDir,
    generations: usize,
}

impl ConfigMap {
    fn new(rules: &[&str]) -> Self {
        let mut volume = Self { folder: tempfile::tempdir().unwrap(), generations: 0 };
        volume.put(&policy(rules));
        symlink("..data/policy.yaml", volume.path()).unwrap();
        volume
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("policy.yaml")
    }

    fn flag(&self) -> String {
        format!("--policy-file={}", self.path().display())
    }

    /// Replaces the policy like kubelet updates a `ConfigMap`'s volume.
    fn put(&mut self, yaml: &str) {
        let root = self.folder.path();
        let generation = format!("..{}", self.generations);
        self.generations += 1;
        std::fs::create_dir(root.join(&generation)).unwrap();
        std::fs::write(root.join(&generation).join("policy.yaml"), yaml).unwrap();
        symlink(&generation, root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    }
}

fn policy(rules: &[&str]) -> String {
    format!("rules: [{}]", rules.join(", "))
}

/// A world with a managed identity, a second vault, and the cluster's keys.
async fn world(policy: &ConfigMap, args: &[&str]) -> World {
    let mut seed = seed().identity(Identity::new("system", SYSTEM).managed(ManagedIdentity::System));
    let vault = seed.vaults.remove(0).access("system", &[SecretPermission::Get]);
    let replica = Vault::new("replica")
        .access("myapp", &[SecretPermission::Get])
        .secret(Secret::new("database-password", "value of the replica"));
    let emulator = Emulator::start(Seed::vault(seed.vault(vault), replica)).await.unwrap();
    let imds = format!("--imds-endpoint=http://{}/", emulator.imds_address());
    let flag = policy.flag();
    let args = [flag.as_str(), &imds].into_iter().chain(args.iter().copied()).collect::<Vec<_>>();
    World::of_emulator_with_keys(emulator, &args)
}

async fn reads(world: &World, claim: &Claim) {
    assert_eq!(files(&world.mount(claim).await.unwrap()), [("db-password", VALUE.as_bytes())]);
}

async fn denied(world: &World, claim: &Claim) -> Status {
    let status = world.refused(claim).await;
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    status
}

async fn metrics(world: &World) -> String {
    Provider::get(world.provider.metrics_port, "/metrics").await.1
}

async fn counted(world: &World, lines: &[&str]) {
    let text = metrics(world).await;
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_denied_mount_causes_no_request() {
    let policy = ConfigMap::new(&[OTHERS]);
    let emulator = Emulator::start(seed()).await.unwrap();
    let imds = format!("--imds-endpoint=http://{}/", emulator.imds_address());
    // No request to Entra, the vault, the API server or the node's metadata service.
    let world = World::in_cluster(emulator, &[&policy.flag(), &imds]);
    let mut principal = world.claim().without("clientID");
    principal.secrets = serde_json::json!({ "clientid": SYSTEM, "clientsecret": "hunter2" }).to_string();
    for claim in [
        world.claim(),
        world.claim().without("clientID"),
        world.claim().set("useVMManagedIdentity", "true"),
        principal,
    ] {
        let status = denied(&world, &claim).await;
        let file = policy.path().display().to_string();
        assert!(
            status.message().contains(&file) && status.message().contains("allow it with {"),
            "{status:?}"
        );
        assert!(!status.message().contains("hunter2"), "{status:?}");
    }
    assert!(world.emulator.requests().is_empty(), "{:?}", world.emulator.requests());
    assert_eq!(world.emulator.connections(), 0);
}

#[tokio::test]
async fn an_allowed_mount_succeeds_and_a_denial_names_only_the_denied_objects() {
    let policy = ConfigMap::new(&[OTHERS, ALLOWED]);
    let world = world(&policy, &[]).await;
    reads(&world, &world.claim()).await;
    let both =
        "- {objectName: Database-Password, objectType: secret}\n- {objectName: api-key, objectType: secret}";
    let status = denied(&world, &world.claim().objects(both)).await;
    assert!(
        status.message().contains("mount secret/api-key from vault mykeyvault using workload-identity"),
        "{status:?}"
    );
    assert!(
        !status.message().to_lowercase().contains("database-password"),
        "only the other object is denied: {status:?}"
    );
}

#[tokio::test]
async fn the_nodes_identity_needs_a_rule_that_names_it() {
    let mut policy = ConfigMap::new(&[ALLOWED]);
    let world = world(&policy, &[]).await;
    let claim = world.claim().set("useVMManagedIdentity", "true");
    let status = denied(&world, &claim).await;
    assert!(status.message().contains("identities: [managed-identity]}"), "{status:?}");
    assert!(status.message().ends_with("rules[0] matches except for its identities"), "{status:?}");
    assert!(world.emulator.requests().is_empty());
    policy.put(&self::policy(&[&ALLOWED.replace('}', ", identities: [managed-identity]}")]));
    reads(&world, &claim).await;
    denied(&world, &world.claim()).await;
}

#[tokio::test]
async fn every_vault_that_may_be_used_must_be_allowed() {
    let mut policy = ConfigMap::new(&[ALLOWED]);
    let world = world(&policy, &[]).await;
    let object = "- {objectName: database-password, objectType: secret, objectAlias: db-password, keyvaultName: mykeyvault}";
    let of_two =
        format!("{object}\n- {{objectName: database-password, objectType: secret, keyvaultName: replica}}");
    let claims = [
        world.claim().set("failoverKeyvaultName", "replica"),
        world.claim().set("keyvaultName", "replica"),
        world.claim().objects(&of_two),
    ];
    for claim in &claims {
        let status = denied(&world, claim).await;
        assert!(status.message().contains("secret/database-password from "), "{status:?}");
        assert!(status.message().contains("vaults: [replica]"), "{status:?}");
    }
    assert!(world.emulator.requests().is_empty());
    // The class's own vault is not used, so it need not be allowed.
    reads(&world, &world.claim().set("keyvaultName", "unused").objects(object)).await;
    policy.put(&self::policy(&[&ALLOWED.replace("[mykeyvault]", "[mykeyvault, replica]")]));
    for claim in &claims {
        world.mount(claim).await.unwrap();
    }
}

#[tokio::test]
async fn the_operators_failover_vault_must_be_allowed_too() {
    let mut policy = ConfigMap::new(&[ALLOWED]);
    let world = world(&policy, &["--failover-vault=mykeyvault=replica"]).await;
    let status = denied(&world, &world.claim()).await;
    assert!(status.message().contains("from failover vault replica using workload-identity"), "{status:?}");
    policy.put(&self::policy(&[&ALLOWED.replace("[mykeyvault]", "['my*', repl*]")]));
    world.emulator.inject(Target::Vault("myKeyVault".to_owned()), Fault::Refuse);
    let response = world.mount(&world.claim()).await.unwrap();
    assert_eq!(files(&response), [("db-password", b"value of the replica".as_slice())]);
}

#[tokio::test]
async fn a_token_of_another_service_account_is_denied() {
    let policy = ConfigMap::new(&["{namespaces: ['*'], vaults: ['*']}"]);
    let world = world(&policy, &[]).await;
    let claim = world.claim().set("csi.storage.k8s.io/pod.namespace", "team-b");
    let status = denied(&world, &claim).await;
    let words = "token belongs to \"system:serviceaccount:default:workload-identity-sa\", but the pod has namespace \"team-b\"";
    assert!(status.message().contains(words), "{status:?}");
    assert!(world.emulator.requests().is_empty());
    reads(&world, &world.claim()).await;
}

#[tokio::test]
async fn a_changed_policy_is_in_force_at_the_next_mount() {
    let mut policy = ConfigMap::new(&[ALLOWED]);
    let world = world(&policy, &[]).await;
    let mut mounted = world.claim();
    reads(&world, &mounted).await;
    policy.put(&self::policy(&[OTHERS]));
    denied(&world, &world.claim().pod(1)).await;
    let version = ObjectVersion { id: "secret/database-password".to_owned(), version: "1".to_owned() };
    mounted.current.push(version);
    denied(&world, &mounted).await;
    policy.put(&self::policy(&[ALLOWED]));
    for index in 2..10 {
        reads(&world, &world.claim().pod(index)).await;
    }
    let reads = r#"keyvault_csi_policy_loads_total{outcome="ok"} 3"#;
    counted(&world, &["keyvault_csi_policy_reload_failed 0", reads]).await;
    world.provider.log_with("policy reloaded", 2);
}

#[tokio::test]
async fn a_file_that_is_written_in_place_is_reloaded() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(policy.path(), self::policy(&[OTHERS])).unwrap();
    let flag = format!("--policy-file={}", policy.path().display());
    let world = World::start(&[&flag]).await;
    denied(&world, &world.claim()).await;
    std::fs::write(policy.path(), self::policy(&[ALLOWED])).unwrap();
    reads(&world, &world.claim()).await;
}

#[tokio::test]
async fn after_an_invalid_policy_the_previous_one_stays_in_force_and_the_error_is_logged_once() {
    let mut policy = ConfigMap::new(&[ALLOWED]);
    let world = world(&policy, &[]).await;
    policy.put("rules:\n- namespaces: [default]\n  vault: [mykeyvault]\n");
    for index in 0..5 {
        reads(&world, &world.claim().pod(index)).await;
        denied(&world, &world.claim().pod(index).set("keyvaultName", "replica")).await;
    }
    let failed = |times: usize| format!(r#"keyvault_csi_policy_loads_total{{outcome="failed"}} {times}"#);
    counted(&world, &["keyvault_csi_policy_reload_failed 1", &failed(1)]).await;
    let log = world.provider.log_with("the previous policy stays in force", 1);
    let location =
        format!("the policy {} is invalid: line 3, column 3: unknown field `vault`", policy.path().display());
    assert_eq!(log.matches(&location).count(), 1, "{log}");
    // A missing file is a different error.
    let data = policy.folder.path().join("..data");
    let kept = std::fs::read_link(&data).unwrap();
    std::fs::remove_file(&data).unwrap();
    for index in 0..3 {
        reads(&world, &world.claim().pod(index)).await;
    }
    counted(&world, &["keyvault_csi_policy_reload_failed 1", &failed(2)]).await;
    world.provider.log_with(&format!("cannot read the policy {}: No such file", policy.path().display()), 1);
    symlink(kept, &data).unwrap();
    reads(&world, &world.claim()).await;
    counted(&world, &["keyvault_csi_policy_reload_failed 1", &failed(3)]).await;
    policy.put(&self::policy(&[OTHERS]));
    denied(&world, &world.claim()).await;
    counted(&world, &["keyvault_csi_policy_reload_failed 0", &failed(3)]).await;
}

#[tokio::test]
async fn a_denial_evicts_nothing_from_the_cache_of_allowed_pods() {
    let mut policy = ConfigMap::new(&[ALLOWED]);
    let world = world(&policy, &[]).await;
    reads(&world, &world.claim().pod(0)).await;
    policy.put(&self::policy(&[OTHERS]));
    denied(&world, &world.claim().pod(1)).await;
    policy.put(&self::policy(&[ALLOWED]));
    world.emulator.inject(Target::AllVaults, Fault::Refuse);
    world.emulator.inject(Target::Entra, Fault::Refuse);
    reads(&world, &world.claim().pod(2)).await;
    counted(&world, &[r#"keyvault_csi_objects_served_total{source="stale"} 1"#]).await;
    assert_eq!(world.emulator.count(RequestKind::Token), 1, "the access token is cached, too");
}

#[tokio::test]
async fn without_a_valid_policy_the_provider_does_not_start() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let start = |path: &Path| {
        let (status, log) =
            Provider::fail(&emulator, folder.path(), &[&format!("--policy-file={}", path.display())]);
        assert_eq!(status.code(), Some(1), "{log}");
        log
    };
    let file = folder.path().join("policy.yaml");
    assert!(start(&file).contains(&format!("cannot read the policy {}: No such file", file.display())));
    assert!(start(folder.path()).contains("it is not a file"));
    std::fs::write(&file, "rules: []").unwrap();
    assert!(start(&file).contains("policy.yaml is invalid: line 1, column 8: the list is empty"));
    std::fs::write(&file, b"rules: [\xff]").unwrap();
    assert!(start(&file).contains("it is neither UTF-8 nor UTF-16 with a byte order mark; save it as UTF-8"));
    std::fs::write(&file, " ".repeat((1 << 20) + 1)).unwrap();
    assert!(start(&file).contains("larger than 1 MiB"));
}
