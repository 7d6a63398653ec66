//! `--policy-file`: who may mount what, before anything leaves the node.

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

/// What `World::claim` asks for.
const ALLOWED: &str = "{namespaces: [default], vaults: [mykeyvault], objects: [secret/database-password]}";
const OTHERS: &str = "{namespaces: ['team-*'], vaults: ['*']}";

/// A volume of a `ConfigMap`: `policy.yaml` leads through `..data` into a folder that is never written again.
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

    /// As kubelet puts it there.
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

/// A world with a node's identity, a second vault, and the cluster's keys at hand.
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
async fn a_denied_pod_makes_nobody_ask_anything() {
    let policy = ConfigMap::new(&[OTHERS]);
    let emulator = Emulator::start(seed()).await.unwrap();
    let imds = format!("--imds-endpoint=http://{}/", emulator.imds_address());
    // Neither Entra, nor the vault, nor the API server for keys and annotations, nor the node.
    let world = World::in_cluster(emulator, &[&policy.flag(), &imds]);
    let mut principal = world.claim().without("clientID");
    principal.secrets = serde_json::json!({ "clientid": SYSTEM, "clientsecret": "hunter2" }).to_string();
    for claim in [
        world.claim(),
        world.claim().without("clientID"),
        world.claim().set("useVMManagedIdentity", "true"),
        principal,
    ] {
        let said = denied(&world, &claim).await;
        let file = policy.path().display().to_string();
        assert!(said.message().contains(&file) && said.message().contains("allow it with {"), "{said:?}");
        assert!(!said.message().contains("hunter2"), "{said:?}");
    }
    assert!(world.emulator.requests().is_empty(), "{:?}", world.emulator.requests());
    assert_eq!(world.emulator.connections(), 0);
}

#[tokio::test]
async fn an_allowed_pod_mounts_what_it_mounts_without_a_policy() {
    let policy = ConfigMap::new(&[OTHERS, ALLOWED]);
    let world = world(&policy, &[]).await;
    reads(&world, &world.claim()).await;
    let both =
        "- {objectName: Database-Password, objectType: secret}\n- {objectName: api-key, objectType: secret}";
    let said = denied(&world, &world.claim().objects(both)).await;
    assert!(said.message().contains("mount secret/api-key of mykeyvault, by workload-identity"), "{said:?}");
    assert!(!said.message().to_lowercase().contains("database-password"), "only that is denied: {said:?}");
}

#[tokio::test]
async fn the_nodes_identity_is_nobodys_but_whom_a_rule_gives_it_to() {
    let mut policy = ConfigMap::new(&[ALLOWED]);
    let world = world(&policy, &[]).await;
    let claim = world.claim().set("useVMManagedIdentity", "true");
    let said = denied(&world, &claim).await;
    assert!(said.message().contains("identities: [managed-identity]}"), "{said:?}");
    assert!(said.message().ends_with("rules[0] allows it but for its identities"), "{said:?}");
    assert!(world.emulator.requests().is_empty());
    policy.put(&self::policy(&[&ALLOWED.replace('}', ", identities: [managed-identity]}")]));
    reads(&world, &claim).await;
    denied(&world, &world.claim()).await;
}

#[tokio::test]
async fn every_vault_that_might_be_asked_must_be_allowed() {
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
        let said = denied(&world, claim).await;
        assert!(said.message().contains("secret/database-password of replica"), "{said:?}");
        assert!(said.message().contains("vaults: [replica]"), "{said:?}");
    }
    assert!(world.emulator.requests().is_empty());
    // The class's own vault is not asked, so it need not be allowed.
    reads(&world, &world.claim().set("keyvaultName", "nobodys").objects(object)).await;
    policy.put(&self::policy(&[&ALLOWED.replace("[mykeyvault]", "[mykeyvault, replica]")]));
    for claim in &claims {
        world.mount(claim).await.unwrap();
    }
}

#[tokio::test]
async fn the_operators_failover_vault_must_be_allowed_too() {
    let mut policy = ConfigMap::new(&[ALLOWED]);
    let world = world(&policy, &["--failover-vault=mykeyvault=replica"]).await;
    let said = denied(&world, &world.claim()).await;
    assert!(said.message().contains("of replica, the failover vault, by workload-identity"), "{said:?}");
    policy.put(&self::policy(&[&ALLOWED.replace("[mykeyvault]", "['my*', repl*]")]));
    world.emulator.inject(Target::Vault("myKeyVault".to_owned()), Fault::Refuse);
    let response = world.mount(&world.claim()).await.unwrap();
    assert_eq!(files(&response), [("db-password", b"value of the replica".as_slice())]);
}

#[tokio::test]
async fn a_token_of_another_service_account_opens_nothing() {
    let policy = ConfigMap::new(&["{namespaces: ['*'], vaults: ['*']}"]);
    let world = world(&policy, &[]).await;
    let claim = world.claim().set("csi.storage.k8s.io/pod.namespace", "team-b");
    let said = denied(&world, &claim).await;
    let words = "that of \"system:serviceaccount:default:workload-identity-sa\", and the pod is in namespace \"team-b\"";
    assert!(said.message().contains(words), "{said:?}");
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
    world.provider.log_with("the policy has changed, and is in force", 2);
}

#[tokio::test]
async fn a_file_that_is_written_in_place_is_read_again() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(policy.path(), self::policy(&[OTHERS])).unwrap();
    let flag = format!("--policy-file={}", policy.path().display());
    let world = World::start(&[&flag]).await;
    denied(&world, &world.claim()).await;
    std::fs::write(policy.path(), self::policy(&[ALLOWED])).unwrap();
    reads(&world, &world.claim()).await;
}

#[tokio::test]
async fn a_broken_policy_leaves_the_one_before_in_force_and_is_told_once() {
    let mut policy = ConfigMap::new(&[ALLOWED]);
    let world = world(&policy, &[]).await;
    policy.put("rules:\n- namespaces: [default]\n  vault: [mykeyvault]\n");
    for index in 0..5 {
        reads(&world, &world.claim().pod(index)).await;
        denied(&world, &world.claim().pod(index).set("keyvaultName", "replica")).await;
    }
    let failed = |times: usize| format!(r#"keyvault_csi_policy_loads_total{{outcome="failed"}} {times}"#);
    counted(&world, &["keyvault_csi_policy_reload_failed 1", &failed(1)]).await;
    let log = world.provider.log_with("the policy of before stays in force", 1);
    let location = format!("the policy {}, line 3, column 3: unknown field `vault`", policy.path().display());
    assert_eq!(log.matches(&location).count(), 1, "{log}");
    // A volume that is gone is as bad, and another mistake.
    let data = policy.folder.path().join("..data");
    let kept = std::fs::read_link(&data).unwrap();
    std::fs::remove_file(&data).unwrap();
    for index in 0..3 {
        reads(&world, &world.claim().pod(index)).await;
    }
    counted(&world, &["keyvault_csi_policy_reload_failed 1", &failed(2)]).await;
    world.provider.log_with("cannot be read: No such file or directory", 1);
    symlink(kept, &data).unwrap();
    reads(&world, &world.claim()).await;
    counted(&world, &["keyvault_csi_policy_reload_failed 1", &failed(3)]).await;
    policy.put(&self::policy(&[OTHERS]));
    denied(&world, &world.claim()).await;
    counted(&world, &["keyvault_csi_policy_reload_failed 0", &failed(3)]).await;
}

#[tokio::test]
async fn a_denial_takes_nothing_from_whoever_may_mount() {
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
    assert_eq!(world.emulator.count(RequestKind::Token), 1, "the access token is kept, too");
}

#[tokio::test]
async fn without_a_good_policy_the_provider_does_not_start() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let start = |path: &Path| {
        let (status, log) =
            Provider::fail(&emulator, folder.path(), &[&format!("--policy-file={}", path.display())]);
        assert_eq!(status.code(), Some(1), "{log}");
        log
    };
    let file = folder.path().join("policy.yaml");
    assert!(start(&file).contains(&format!("the policy {} cannot be read: No such file", file.display())));
    assert!(start(folder.path()).contains("it is not a file"));
    std::fs::write(&file, "rules: []").unwrap();
    assert!(start(&file).contains("policy.yaml, line 1, column 8: the list is empty"));
    std::fs::write(&file, b"rules: [\xff]").unwrap();
    assert!(start(&file).contains("it is not UTF-8, nor UTF-16 with a byte order mark; save it as UTF-8"));
    std::fs::write(&file, " ".repeat((1 << 20) + 1)).unwrap();
    assert!(start(&file).contains("larger than 1 MiB"));
}
