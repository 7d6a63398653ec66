//! Histories of secrets.

use std::collections::HashSet;

use keyvault_emulator::{ChangeError, SecretVersion};
use time::OffsetDateTime;

use crate::azure::{Azure, OLD_VERSION};

fn at(seconds: i64, value: &str) -> SecretVersion {
    let created = Some(OffsetDateTime::from_unix_timestamp(seconds).unwrap());
    SecretVersion { created, ..SecretVersion::new(value) }
}

#[tokio::test]
async fn of_versions_made_at_the_same_time_the_last_to_come_is_the_newest() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    for value in ["first", "second", "third"] {
        azure.emulator.add_version("mykeyvault", "ties", at(1_700_000_000, value)).unwrap();
    }
    azure.emulator.add_version("mykeyvault", "ties", at(1_600_000_000, "older")).unwrap();
    let (_, newest) = azure.ask(&token, "/secrets/ties").await;
    assert_eq!(newest["value"], "third");
    let (versions, _) = azure.all(&token, "/secrets/ties/versions").await;
    let created: Vec<_> = versions.iter().map(|one| one["attributes"]["created"].as_i64().unwrap()).collect();
    assert_eq!(created.iter().filter(|&&time| time == 1_700_000_000).count(), 3);
}

#[tokio::test]
async fn many_versions_are_listed_in_pages_of_25_disabled_ones_too() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    let made: HashSet<String> = (0..60)
        .map(|number| {
            let version = SecretVersion { enabled: number % 2 == 0, ..SecretVersion::new("x") };
            azure.emulator.add_version("mykeyvault", "busy", version).unwrap()
        })
        .collect();
    let (versions, sizes) = azure.all(&token, "/secrets/busy/versions").await;
    assert_eq!(sizes, [25, 25, 10]);
    let listed: HashSet<String> = versions
        .iter()
        .map(|one| one["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(listed, made);
    let disabled = versions.iter().filter(|version| version["attributes"]["enabled"] == false).count();
    assert_eq!(disabled, 30);
    // The newest is disabled, and no older one takes its place.
    assert_eq!(azure.ask(&token, "/secrets/busy").await.0, 403);
}

#[tokio::test]
async fn a_version_keeps_the_id_it_is_given_and_no_other_gets_it() {
    let azure = Azure::start().await;
    let token = azure.access_token().await;
    let add = |name: &str, id: &str| {
        let version = SecretVersion { version: Some(id.to_owned()), ..SecretVersion::new("given") };
        azure.emulator.add_version("mykeyvault", name, version)
    };
    assert_eq!(add("fresh", OLD_VERSION).as_deref(), Ok(OLD_VERSION));
    assert_eq!(azure.ask(&token, &format!("/secrets/fresh/{OLD_VERSION}")).await.1["value"], "given");
    for id in [OLD_VERSION, "short"] {
        assert_eq!(add("fresh", id), Err(ChangeError::BadVersion(id.to_owned())));
    }
    assert!(add("under_score", OLD_VERSION).is_err());
    assert!(azure.emulator.add_version("elsewhere", "a", SecretVersion::new("x")).is_err());
}
