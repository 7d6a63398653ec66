//! What a mount serves while Key Vault or Entra is unavailable, and for optional objects that are
//! missing.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use keyvault_emulator::{
    Emulator, Fault, Options, RequestKind, Rule, Secret, SecretPermission, Seed, Target, Vault,
};
use tonic::Code;

use crate::harness::{APP, Claim, Provider, VALUE, World, files, objects, seed};

const REPLICA: &str = "value of the replica";

fn main_vault() -> Target {
    Target::Vault("myKeyVault".to_owned())
}

/// A world whose vault has a replica that `myapp` may read.
async fn world(args: &[&str]) -> World {
    let replica = Vault::new("replica")
        .access("myapp", &[SecretPermission::Get])
        .secret(Secret::new("database-password", REPLICA));
    World::of_emulator_with_keys(Emulator::start(Seed::vault(seed(), replica)).await.unwrap(), args)
}

async fn reads(world: &World, claim: &Claim, value: &str) {
    let response = world.mount(claim).await.unwrap();
    assert_eq!(files(&response), [("db-password", value.as_bytes())]);
}

async fn metric(world: &World, line: &str) {
    let (_, text) = Provider::get(world.provider.metrics_port, "/metrics").await;
    assert!(text.contains(line), "{line} is missing from\n{text}");
}

#[tokio::test]
async fn a_new_pod_gets_what_its_identity_fetched_before_the_vault_went_down() {
    for fault in [
        Fault::Status(503),
        Fault::Gateway(502),
        Fault::Refuse,
        Fault::Reset,
        Fault::Truncate,
        Fault::Garbage,
        Fault::Hang,
        Fault::Throttle { retry_after: Some(Duration::from_mins(1)) },
    ] {
        let fault_name = format!("{fault:?}");
        let world = world(&[]).await;
        let before = world.mount(&world.claim().pod(0)).await.unwrap();
        world.emulator.inject(main_vault(), fault);
        let start = Instant::now();
        let during = world.mount(&world.claim().pod(1)).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "{fault_name}: {:?}", start.elapsed());
        assert_eq!(files(&during), [("db-password", VALUE.as_bytes())], "{fault_name}");
        assert_eq!(during.object_version, before.object_version, "{fault_name}: the version of its value");
        let log = world.provider.log_with("stale or replica values served", 1);
        assert!(log.contains("stale=1") && !log.contains(VALUE), "{fault_name}: {log}");
        metric(&world, r#"keyvault_csi_objects_served_total{source="stale"} 1"#).await;
    }
}

#[tokio::test]
async fn later_pods_do_not_repeat_the_wait_of_the_first_ones() {
    let world = world(&[]).await;
    world.mount(&world.claim().pod(0)).await.unwrap();
    world.emulator.inject(main_vault(), Fault::Refuse);
    let storm = |first: usize| (first..first + 100).map(|index| world.claim().pod(index)).collect::<Vec<_>>();
    let claims = storm(1000);
    join_all(claims.iter().map(|claim| reads(&world, claim, VALUE))).await;
    world.emulator.clear_requests();
    let claims = storm(2000);
    join_all(claims.iter().map(|claim| reads(&world, claim, VALUE))).await;
    let connections = world.emulator.connections();
    assert!(connections <= 1, "the breaker is open, or one mount probes: {connections} connections");
}

#[tokio::test]
async fn with_the_clusters_keys_entra_is_not_needed_either() {
    // Tokens so short-lived that none is ever cached.
    let options = Options { access_token_lifetime: Duration::from_mins(1), ..Options::default() };
    let emulator = Emulator::start_with(seed(), options).await.unwrap();
    let world = World::of_emulator_with_keys(emulator, &[]);
    world.mount(&world.claim().pod(0)).await.unwrap();
    world.emulator.inject(Target::Entra, Fault::Refuse);
    reads(&world, &world.claim().pod(1), VALUE).await;
    reads(&world, &world.claim().pod(2), VALUE).await;
    let other = world.claim().pod(3).objects("- {objectName: api-key, objectType: secret}");
    let refusal = world.refused(&other.timeout(Duration::from_secs(8))).await;
    assert_eq!(refusal.code(), Code::Internal, "it was never fetched: {refusal:?}");
    assert!(refusal.message().contains("Entra at"), "{refusal:?}");
}

#[tokio::test]
async fn an_unproven_claim_gets_no_stale_value() {
    let options = Options { access_token_lifetime: Duration::from_mins(1), ..Options::default() };
    let emulator = Emulator::start_with(seed(), options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(&emulator, folder.path(), &[]);
    let world = World { emulator, provider, folder };
    world.mount(&world.claim().pod(0)).await.unwrap();
    world.emulator.inject(Target::Entra, Fault::Refuse);
    let new = world.claim().pod(1).token(&world.token().pod("new", "new").build());
    let refusal = world.refused(&new.timeout(Duration::from_secs(5))).await;
    assert_eq!(refusal.code(), Code::Internal, "{refusal:?}");
}

#[tokio::test]
async fn a_value_that_the_vault_no_longer_grants_is_never_served_stale() {
    let world = world(&[]).await;
    for (case, code) in [("denied", Code::PermissionDenied), ("deleted", Code::NotFound)] {
        world.mount(&world.claim().pod(0)).await.unwrap();
        if case == "denied" {
            world.emulator.set_access("myKeyVault", APP, &[]).unwrap();
        } else {
            world.emulator.delete_secret("myKeyVault", "database-password").unwrap();
        }
        assert_eq!(world.refused(&world.claim().pod(1)).await.code(), code, "{case}");
        world.emulator.set_access("myKeyVault", APP, &[SecretPermission::Get]).unwrap();
        world.emulator.inject(main_vault(), Fault::Garbage);
        let refusal = world.refused(&world.claim().pod(2).timeout(Duration::from_secs(5))).await;
        assert_eq!(refusal.code(), Code::Internal, "{case}: {refusal:?}");
        world.emulator.heal();
    }
}

#[tokio::test]
async fn operator_and_class_can_disable_stale_values() {
    for (args, class) in [(["--stale-if-error=0s"], None), (["--stale-if-error=24h"], Some("0"))] {
        let world = world(&args).await;
        let claim = |pod| {
            let claim = world.claim().pod(pod).timeout(Duration::from_secs(5));
            class.map_or(claim.clone(), |class| claim.set("staleIfError", class))
        };
        world.mount(&claim(0)).await.unwrap();
        world.emulator.inject(main_vault(), Fault::Refuse);
        let refusal = world.refused(&claim(1)).await;
        assert!(refusal.message().contains("Key Vault cannot be reached"), "{args:?}: {refusal:?}");
        let more = world.refused(&claim(2).set("staleIfError", "48h")).await;
        assert_eq!(more.code(), Code::InvalidArgument);
        assert!(more.message().contains("--stale-if-error"), "{more:?}");
    }
}

#[tokio::test]
async fn the_failover_vault_is_used_only_for_first_mounts_while_the_vault_is_unavailable() {
    for args in [&[][..], &["--failover-vault=mykeyvault=replica"]] {
        let world = world(args).await;
        let claim = |pod| match args {
            [] => world.claim().pod(pod).set("failoverKeyvaultName", "replica"),
            _ => world.claim().pod(pod),
        };
        reads(&world, &claim(0), VALUE).await;
        world.emulator.inject(main_vault(), Fault::Status(503));
        reads(&world, &claim(1), REPLICA).await;
        reads(&world, &claim(0), VALUE).await;
        metric(&world, r#"keyvault_csi_objects_served_total{source="replica"} 1"#).await;
        world.provider.log_with("replica=1", 1);
    }
}

#[tokio::test]
async fn a_refusal_by_the_vault_does_not_lead_to_its_replica() {
    let world = world(&["--failover-vault=mykeyvault=replica"]).await;
    let claim = |pod| world.claim().pod(pod);
    world.emulator.set_access("myKeyVault", APP, &[]).unwrap();
    assert_eq!(world.refused(&claim(0)).await.code(), Code::PermissionDenied);
    world.emulator.set_access("myKeyVault", APP, &[SecretPermission::Get]).unwrap();
    world.emulator.delete_secret("myKeyVault", "database-password").unwrap();
    assert_eq!(world.refused(&claim(1)).await.code(), Code::NotFound);
    let requests = world.emulator.requests();
    assert!(requests.iter().all(|request| !request.host.starts_with("replica")), "{requests:?}");
}

#[tokio::test]
async fn a_refusal_by_the_replica_is_reported_and_does_not_prevent_a_stale_value() {
    let world = world(&["--failover-vault=mykeyvault=replica"]).await;
    reads(&world, &world.claim().pod(0), VALUE).await;
    world.emulator.inject(main_vault(), Fault::Refuse);
    world.emulator.set_access("replica", APP, &[]).unwrap();
    reads(&world, &world.claim().pod(1), VALUE).await;
    reads(&world, &world.claim().pod(2), VALUE).await;
    let other = world.claim().pod(3).objects("- {objectName: api-key, objectType: secret}");
    let refusal = world.refused(&other).await;
    let words = ["Key Vault cannot be reached", "the failover vault failed too", "has no role"];
    assert!(words.iter().all(|words| refusal.message().contains(words)), "{refusal:?}");
}

#[tokio::test]
async fn a_node_that_never_had_the_value_gets_it_from_the_failover_vault_alone() {
    let world = world(&["--failover-vault=mykeyvault=replica"]).await;
    world.emulator.inject_rule(Rule::new(main_vault(), Fault::Hang)).unwrap();
    let claim = world.claim().pod(0).timeout(Duration::from_secs(12));
    reads(&world, &claim, REPLICA).await;
}

#[tokio::test]
async fn an_optional_object_may_be_missing_or_disabled_but_not_denied() {
    let world = world(&[]).await;
    let missing = "- {objectName: nowhere, objectType: secret, optional: true}\n";
    let both = format!("{missing}{}", objects(&["api-key"]));
    for pod in 0..2 {
        let response = world.mount(&world.claim().pod(pod).objects(&both)).await.unwrap();
        assert_eq!(files(&response), [("api-key", b"second value".as_slice())]);
        assert_eq!(response.object_version.len(), 1);
    }
    let log = world.provider.log_with("mounted", 2);
    assert_eq!(log.matches("optional objects are missing or disabled").count(), 1, "once per class: {log}");
    metric(&world, "keyvault_csi_objects_left_out_total 2").await;

    world.emulator.set_enabled("myKeyVault", "api-key", false).unwrap();
    let disabled = "- {objectName: api-key, objectType: secret, optional: true}\n";
    let response = world.mount(&world.claim().pod(2).objects(&format!("{missing}{disabled}"))).await.unwrap();
    assert_eq!((response.files.len(), response.object_version.len()), (0, 1), "no empty list of versions");

    world.emulator.set_access("myKeyVault", APP, &[]).unwrap();
    let refusal = world.refused(&world.claim().pod(3).objects(missing)).await;
    assert_eq!(refusal.code(), Code::PermissionDenied);
    world.emulator.inject(main_vault(), Fault::Refuse);
    let refusal = world.refused(&world.claim().pod(4).objects(missing).timeout(Duration::from_secs(5))).await;
    assert_eq!(refusal.code(), Code::Internal);
}

#[tokio::test]
async fn a_mount_with_enough_time_waits_for_the_next_probe_of_the_vault() {
    let world = world(&["--stale-if-error=0s"]).await;
    world.emulator.inject_rule(Rule::new(main_vault(), Fault::Status(503)).times(3)).unwrap();
    reads(&world, &world.claim().pod(0), VALUE).await;
    assert_eq!(world.emulator.count(RequestKind::Secret), 4);
}

#[tokio::test]
async fn many_objects_together_wait_no_longer_than_one() {
    let names = (0..40).map(|index| format!("secret-{index}")).collect::<Vec<_>>();
    let mut seed = seed();
    seed.vaults[0].secrets.extend(names.iter().map(|name| Secret::new(name, "value")));
    let emulator = Emulator::start(seed).await.unwrap();
    let world = World::of_emulator_with_keys(emulator, &["--failover-vault=mykeyvault=nowhere"]);
    let names = names.iter().map(String::as_str).collect::<Vec<_>>();
    let claim = |pod| world.claim().pod(pod).objects(&objects(&names));
    world.mount(&claim(0)).await.unwrap();
    // It answers some requests, which keeps its breaker closed, and never answers the others.
    world.emulator.inject_rule(Rule::new(Target::AllVaults, Fault::Hang).path("secret-3")).unwrap();
    let start = Instant::now();
    assert_eq!(world.mount(&claim(1)).await.unwrap().files.len(), 40);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_refusal_during_a_proof_applies_to_all_requests_of_the_identity() {
    let world = World::start(&[]).await;
    let proven = world.token().build();
    world.mount(&world.claim().pod(0).token(&proven)).await.unwrap();
    world.emulator.set_access("myKeyVault", APP, &[]).unwrap();
    let claim = world.claim().pod(1).token(&world.token().pod("other", "other").build());
    assert_eq!(world.refused(&claim).await.code(), Code::PermissionDenied);
    world.emulator.inject(main_vault(), Fault::Garbage);
    let again = world.claim().pod(2).token(&proven).timeout(Duration::from_secs(5));
    assert_eq!(world.refused(&again).await.code(), Code::Internal);
}
