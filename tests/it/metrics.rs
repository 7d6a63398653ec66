//! The metrics of a scripted day: mounts, rotation, throttling, an outage, refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyvault_emulator::{Emulator, Fault, Rule, Secret, SecretPermission, Seed, Target, Vault};

use crate::harness::{Claim, OTHER_APP, Provider, World, seed};

const MAIN: &str = "mykeyvault.vault.azure.net";
const OTHER: &str = "othervault.vault.azure.net";

async fn scrape(world: &World) -> String {
    let (status, text) = Provider::get(world.provider.metrics_port, "/metrics").await;
    assert_eq!(status, 200);
    text
}

/// The sample of this name and these labels.
fn sample(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is missing from\n{text}")).parse().unwrap()
}

/// All samples of a counter, ordered by their labels.
fn samples<'a>(text: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let mut samples = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "))
        .collect::<Vec<_>>();
    samples.sort_unstable();
    samples
}

async fn mounts(world: &World, claims: &[Claim]) {
    for claim in claims {
        world.mount(claim).await.unwrap();
    }
}

fn other_vault(world: &World, pod: usize) -> Claim {
    let object = "- {objectName: one, objectType: secret}";
    world.claim().pod(pod).set("keyvaultName", "otherVault").objects(object)
}

/// The metrics of docs/metrics.md by their names in the scrape's `# TYPE` lines, with type and labels.
fn reference() -> BTreeMap<&'static str, (&'static str, BTreeSet<&'static str>)> {
    let rows =
        include_str!("../../docs/metrics.md").lines().skip_while(|line| !line.starts_with("| metric |"));
    let cells = rows.skip(2).map_while(|row| row.strip_prefix("| `")?.split_once("` | "));
    let metric = |(name, rest): (&'static str, &'static str)| {
        let (kind, rest) = rest.split_once(" |").unwrap();
        let labels = rest.split_once('|').unwrap().0.split('`').skip(1).step_by(2).collect();
        (name.trim_end_matches("_total").trim_end_matches("_info"), (kind, labels))
    };
    cells.map(metric).collect()
}

/// The metrics of a scrape, with their types and the labels of their samples, without `le` of buckets.
fn scraped(text: &str) -> BTreeMap<&str, (&str, BTreeSet<&str>)> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let labels = |name: &str| {
        let samples =
            text.lines().filter_map(|line| line.strip_prefix(name)?.split_once('}')?.0.split_once('{'));
        let labels =
            samples.flat_map(|(_, labels)| labels.split("\",").filter_map(|pair| pair.split('=').next()));
        labels.filter(|label| *label != "le").collect()
    };
    types.map(|(name, kind)| (name, (kind, labels(name)))).collect()
}

#[tokio::test]
async fn the_reference_has_every_metric_with_its_type_and_labels() {
    let world = scripted_day().await;
    let text = scrape(&world).await;
    let (scraped, reference) = (scraped(&text), reference());
    assert!(scraped.contains_key("keyvault_csi_build"), "{text}");
    for (name, found) in scraped {
        assert_eq!(reference.get(name), Some(&found), "{name} in docs/metrics.md");
    }
}

async fn scripted_day() -> World {
    let vault = Vault::new("otherVault").access("myapp", &[SecretPermission::Get]);
    let seed = Seed::vault(seed(), vault.secret(Secret::new("one", "1")));
    let world = World::of_emulator_with_keys(Emulator::start(seed).await.unwrap(), &[]);

    // Two pods with two objects each mount and are refreshed.
    let both =
        "- {objectName: database-password, objectType: secret}\n- {objectName: api-key, objectType: secret}";
    let pods = [world.claim().pod(0).objects(both), world.claim().pod(1).objects(both)];
    mounts(&world, &pods).await;
    mounts(&world, &pods).await;

    // Refusals: a missing object, a class without objects, an account that may not read, and one unknown to
    // Entra. An optional object is missing.
    world.refused(&world.claim().pod(2).objects("- {objectName: nowhere, objectType: secret}")).await;
    world.refused(&world.claim().pod(3).without("objects")).await;
    let denied = world.emulator.token("default", "other-sa").build();
    world.refused(&world.claim().pod(4).set("clientID", OTHER_APP).token(&denied)).await;
    let unknown = world.emulator.token("default", "unknown-sa").build();
    world.refused(&world.claim().pod(5).token(&unknown)).await;
    let optional = "- {objectName: nowhere, objectType: secret, optional: true}\n- {objectName: api-key, objectType: secret}";
    world.mount(&world.claim().pod(6).objects(optional)).await.unwrap();

    // One vault goes down. Its breaker opens, and two pods get stale values.
    world.mount(&other_vault(&world, 7)).await.unwrap();
    world.emulator.inject(Target::Vault("otherVault".to_owned()), Fault::Refuse);
    mounts(&world, &[other_vault(&world, 8), other_vault(&world, 9)]).await;

    // The other vault throttles once.
    let throttle = Fault::Throttle { retry_after: Some(Duration::from_mins(1)) };
    let throttled = Rule::new(Target::Vault("myKeyVault".to_owned()), throttle).times(1);
    world.emulator.inject_rule(throttled).unwrap();
    world.mount(&world.claim().pod(10)).await.unwrap();
    world
}

#[tokio::test]
async fn every_number_of_a_scripted_day_is_right() {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64().floor();
    let world = scripted_day().await;
    let text = scrape(&world).await;
    let codes = [
        (r#"code="InvalidArgument""#, "1"),
        (r#"code="NotFound""#, "1"),
        (r#"code="OK""#, "9"),
        (r#"code="PermissionDenied""#, "1"),
        (r#"code="Unauthenticated""#, "1"),
    ];
    assert_eq!(samples(&text, "keyvault_csi_mounts_total"), codes);
    let fetches = [
        (r#"object_type="secret",outcome="circuit_open""#, "1"),
        (r#"object_type="secret",outcome="denied""#, "1"),
        (r#"object_type="secret",outcome="not_found""#, "2"),
        (r#"object_type="secret",outcome="ok""#, "6"),
        (r#"object_type="secret",outcome="throttled""#, "1"),
    ];
    assert_eq!(samples(&text, "keyvault_csi_object_fetches_total"), fetches);
    let served = [(r#"source="cached""#, "4"), (r#"source="stale""#, "3"), (r#"source="vault""#, "6")];
    assert_eq!(samples(&text, "keyvault_csi_objects_served_total"), served);
    let exchanges = [
        (r#"mode="workload-identity",outcome="ok""#, "2"),
        (r#"mode="workload-identity",outcome="refused""#, "1"),
    ];
    assert_eq!(samples(&text, "keyvault_csi_token_exchanges_total"), exchanges);
    assert_eq!(samples(&text, "keyvault_csi_objects_left_out_total"), []);
    assert_eq!(samples(&text, "keyvault_csi_vault_breaker_open").len(), 2);
    let entra = r#"keyvault_csi_token_breaker_open{authority="https://login.microsoftonline.com/",mode="workload-identity"}"#;
    for (series, value) in [
        ("keyvault_csi_objects_left_out_total".to_owned(), 1.0),
        (format!("keyvault_csi_vault_breaker_open{{vault=\"{MAIN}\"}}"), 0.0),
        (format!("keyvault_csi_vault_breaker_open{{vault=\"{OTHER}\"}}"), 1.0),
        (format!("keyvault_csi_vault_throttled_seconds_total{{vault=\"{MAIN}\"}}"), 60.0),
        (format!("keyvault_csi_vault_throttled_seconds_total{{vault=\"{OTHER}\"}}"), 0.0),
        (entra.to_owned(), 0.0),
        (format!("keyvault_csi_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
    ] {
        assert!((sample(&text, &series) - value).abs() < 0.1, "{series}\n{text}");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    for vault in [MAIN, OTHER] {
        let series = format!("keyvault_csi_vault_last_success_timestamp_seconds{{vault=\"{vault}\"}}");
        let at = sample(&text, &series);
        assert!((started..=now).contains(&at), "{started} {at} {now}");
    }
    let age = sample(&text, "keyvault_csi_oldest_served_age_seconds");
    assert!(age > 0.0 && age <= now - started, "{age}");
    assert!(sample(&text, "keyvault_csi_cache_bytes") > 0.0);
    assert!(text.ends_with("# EOF\n"));
    for secret in ["nowhere", "database-password", "myapp-", "unknown-sa"] {
        assert!(!text.contains(secret), "no label contains an object or a pod: {secret}");
    }
}
