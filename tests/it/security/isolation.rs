//! Objects fetched for one identity never reach another: all pairs are tried, and every request claims to be
//! the other in all fields that it controls.

use futures_util::future::join_all;
use keyvault_csi_provider::proto::ObjectVersion;
use keyvault_emulator::{Emulator, FederatedCredential, Identity, Secret, SecretPermission, Seed, Vault};
use tonic::Code;

use crate::harness::{Claim, VALUE, World, files};

const CLIENTS: [&str; 3] = [
    "11111111-1111-4111-8111-111111111111",
    "22222222-2222-4222-8222-222222222222",
    "33333333-3333-4333-8333-333333333333",
];

/// All pairs of service account and client id. Each client trusts one account and may read one vault; one client
/// trusts two accounts.
fn pairs() -> Vec<(&'static str, &'static str)> {
    let accounts = ["first", "second", "third"];
    accounts.iter().flat_map(|account| CLIENTS.map(|client| (*account, client))).collect()
}

fn seed() -> Seed {
    let mut seed = Seed::default();
    for (index, client) in CLIENTS.iter().enumerate() {
        let name = format!("app-{index}");
        let mut identity =
            Identity::new(&name, *client).federated("default", ["first", "second", "third"][index]);
        if index == 0 {
            identity.federated_credentials.push(FederatedCredential::new("default", "second"));
        }
        let vault = Vault::new(format!("vault-{index}"))
            .access(&name, &[SecretPermission::Get])
            .secret(Secret::new("database-password", format!("{VALUE} of {name}")));
        seed = seed.identity(identity).vault(vault);
    }
    seed
}

/// The mount of a pod whose claims are the same for all: the same pod, the same volume, mounted
/// before.
fn claim(world: &World, (account, client): (&str, &str), vault: usize) -> Claim {
    let token = world.emulator.token("default", account).pod("pod", "uid").build();
    let mut claim = Claim::new(&token)
        .without("csi.storage.k8s.io/serviceAccount.name")
        .set("clientID", client)
        .set("keyvaultName", &format!("vault-{vault}"))
        .set("rotationMaxAge", "24h")
        .objects("- {objectName: database-password, objectType: secret}");
    let version = ObjectVersion { id: "secret/database-password".to_owned(), version: "1".to_owned() };
    claim.current.push(version);
    claim
}

/// The expected outcome: the vault's value, or the code of the refusal.
fn expected((account, client): (&str, &str), vault: usize) -> Result<String, Code> {
    let index = CLIENTS.iter().position(|known| *known == client).unwrap();
    let trusted: &[&str] = [["first", "second"].as_slice(), &["second"], &["third"]][index];
    match (trusted.contains(&account), index == vault) {
        (false, _) => Err(Code::Unauthenticated),
        (true, false) => Err(Code::PermissionDenied),
        (true, true) => Ok(format!("{VALUE} of app-{index}")),
    }
}

async fn check(world: &World, pair: (&str, &str), vault: usize, after: &str) {
    let answer = world.mount(&claim(world, pair, vault)).await;
    let answer = answer.map(|response| String::from_utf8(files(&response)[0].1.to_vec()).unwrap());
    let context = format!("{pair:?} in vault-{vault} after {after}");
    assert_eq!(answer.map_err(|status| status.code()), expected(pair, vault), "{context}");
}

async fn every_pair(world: World) {
    for victim in pairs() {
        for vault in 0..3 {
            check(&world, victim, vault, "any earlier mounts").await;
            for other in pairs() {
                check(&world, other, vault, &format!("{victim:?}")).await;
            }
        }
    }
    // Concurrently, too, when they might share a flight.
    for _ in 0..3 {
        let all = pairs().into_iter().flat_map(|pair| [0, 1, 2].map(|vault| (pair, vault)));
        let all = all.collect::<Vec<_>>();
        join_all(all.iter().map(|(pair, vault)| check(&world, *pair, *vault, "concurrent mounts"))).await;
    }
}

#[tokio::test]
async fn nothing_passes_between_any_two_identities_with_the_clusters_keys() {
    every_pair(World::of_emulator_with_keys(Emulator::start(seed()).await.unwrap(), &[])).await;
}

#[tokio::test]
async fn nothing_passes_between_any_two_identities_without_keys() {
    every_pair(World::with(seed(), &[]).await).await;
}

#[tokio::test]
async fn two_service_accounts_of_one_client_share_no_entry() {
    let world = World::of_emulator_with_keys(Emulator::start(seed()).await.unwrap(), &[]);
    for (account, requests) in [("first", 1), ("second", 2), ("first", 2)] {
        check(&world, (account, CLIENTS[0]), 0, "another").await;
        assert_eq!(world.emulator.count(keyvault_emulator::RequestKind::Secret), requests, "{account}");
    }
}
