//! No namespace can slow, fail, age or evict what another namespace mounts: each attack that ordinary pods had, by
//! one namespace and by ten, while twenty victims in their own namespaces mount for the first time.

mod world;

use std::time::Duration;

use futures_util::future::{join_all, select};
use keyvault_emulator::{Fault, RequestKind, Rule, Target};

use world::{Attack, BAD_TENANT, FairWorld, ROTATED, SHARED, made_up_client};

use crate::harness::objects;

/// Number of attacking namespaces.
const ATTACKERS: [usize; 2] = [1, 10];
/// Time limit of a victim's mount; the attacks last longer.
const PATIENCE: Duration = Duration::from_secs(12);

#[tokio::test]
async fn a_tenant_whose_endpoint_fails_opens_no_breaker_for_the_others() {
    for attackers in ATTACKERS {
        for fault in [Fault::Gateway(403), Fault::Gateway(502), Fault::Status(500)] {
            let world = FairWorld::start(&[]).await;
            let rule = Rule::new(Target::Entra, fault.clone()).path(BAD_TENANT);
            world.emulator.inject_rule(rule).unwrap();
            let attack = Attack { namespaces: attackers, volumes: 20 };
            let claims = attack
                .claims(&world, |claim| claim.set("tenantID", BAD_TENANT).timeout(Duration::from_secs(4)));
            world.all_fail(&claims).await;
            // A breaker would stay open for at least four seconds.
            let name = format!("a tenant answered with {fault:?}, by {attackers}");
            world.victims_mount_within(&name, Duration::from_millis(4500)).await;
        }
    }
}

#[tokio::test]
async fn an_authority_that_hangs_for_one_kind_of_identity_or_tenant_delays_only_itself() {
    for attackers in ATTACKERS {
        let world = FairWorld::start(&[]).await;
        world.emulator.inject(Target::Imds, Fault::Hang);
        world.emulator.inject_rule(Rule::new(Target::Entra, Fault::Hang).path(BAD_TENANT)).unwrap();
        let attack = Attack { namespaces: attackers, volumes: 150 };
        // One exchange for each volume: all client ids differ.
        let hanging =
            attack.claims(&world, |claim| claim.set("tenantID", BAD_TENANT)).into_iter().enumerate();
        let hanging = hanging.map(|(index, claim)| claim.set("clientID", &made_up_client(index)));
        let hanging = hanging.collect::<Vec<_>>();
        let node =
            attack.claims(&world, |claim| claim.without("clientID").set("useVMManagedIdentity", "true"));
        let attack = async { tokio::join!(world.mount_all(&hanging), world.mount_all(&node)) };
        world
            .victims_mount_while(
                &format!("authorities that hang, by {attackers}"),
                RequestKind::Token,
                attack,
            )
            .await;
    }
}

#[tokio::test]
async fn an_object_that_always_fails_ages_nothing_else_of_its_vault() {
    for attackers in ATTACKERS {
        for fault in [Fault::Status(500), Fault::Gateway(403), Fault::Gateway(502), Fault::Garbage] {
            let world = FairWorld::start(&[]).await;
            world.victims_mount("before the rotation").await;
            world.emulator.set_secret(SHARED, "value", ROTATED).unwrap();
            let rule = Rule::new(Target::Vault(SHARED.to_owned()), fault.clone()).object("broken");
            world.emulator.inject_rule(rule).unwrap();
            let attack = Attack { namespaces: attackers, volumes: 10 };
            let claims = attack.claims(&world, |claim| {
                claim
                    .set("keyvaultName", SHARED)
                    .set("objects", &objects(&["broken"]))
                    .timeout(Duration::from_secs(4))
            });
            world.all_fail(&claims).await;
            // Victims with an older cached value get the new one, too.
            world.victims_read(&format!("an object answered with {fault:?}, by {attackers}"), ROTATED).await;
        }
    }
}

#[tokio::test]
async fn a_flood_of_values_leaves_each_victim_what_it_needs_in_an_outage() {
    for attackers in ATTACKERS {
        let world = FairWorld::start(&["--cache-max-bytes=400000"]).await;
        world.victims_mount("before the flood").await;
        let names = (0..world::LARGE_OBJECTS).map(|index| format!("large-{index}")).collect::<Vec<_>>();
        let names = names.iter().map(String::as_str).collect::<Vec<_>>();
        let attack = Attack { namespaces: attackers, volumes: 10 };
        let claims = attack.claims(&world, |claim| claim.set("objects", &objects(&names)));
        world.all_mount(&claims).await;
        world.emulator.inject(Target::Vault(SHARED.to_owned()), Fault::Refuse);
        world.victims_read(&format!("a flood of values and an outage, by {attackers}"), world::VALUE).await;
    }
}

#[tokio::test]
async fn vaults_that_never_answer_delay_little_else() {
    for attackers in ATTACKERS {
        // Without the cluster's keys, every first token is unproven.
        let world = FairWorld::start_without_keys().await;
        let vaults = (0..world::SILENT_VAULTS).map(|index| format!("silent-{index}")).collect::<Vec<_>>();
        for vault in &vaults {
            world.emulator.inject(Target::Vault(vault.clone()), Fault::Hang);
        }
        let attack = Attack { namespaces: attackers, volumes: 10 };
        let names = (0..16).map(|index| format!("object-{index}")).collect::<Vec<_>>();
        let names = names.iter().map(String::as_str).collect::<Vec<_>>();
        let claims = vaults.iter().flat_map(|vault| {
            let objects = objects(&names);
            attack.claims(&world, |claim| claim.set("keyvaultName", vault).set("objects", &objects))
        });
        let claims = claims.collect::<Vec<_>>();
        let attack = world.mount_all(&claims);
        world
            .victims_mount_while(&format!("silent vaults, by {attackers}"), RequestKind::Secret, attack)
            .await;
    }
}

#[tokio::test]
async fn large_volumes_with_slow_objects_do_not_keep_large_volumes_of_others_waiting() {
    let world = FairWorld::start(&[]).await;
    let slow = Fault::Latency(Duration::from_secs(30));
    let rule = Rule::new(Target::Vault(world::ATTACKED.to_owned()), slow).object("slow");
    world.emulator.inject_rule(rule).unwrap();
    let mut names = (0..world::LARGE_OBJECTS).map(|index| format!("large-{index}")).collect::<Vec<_>>();
    names.push("slow".to_owned());
    let names = names.iter().map(String::as_str).collect::<Vec<_>>();
    let attack = Attack { namespaces: 1, volumes: 60 };
    let claims = attack.claims(&world, |claim| claim.set("objects", &objects(&names)));
    let victims = async {
        // The attackers hold all that they may.
        while world.emulator.in_flight_peak(RequestKind::Secret) < 8 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let all = (0..20).map(|index| world.large_victim(index).timeout(PATIENCE));
        let all = all.collect::<Vec<_>>();
        join_all(all.iter().map(|claim| world.mount(claim))).await
    };
    let attack = world.mount_all(&claims);
    match select(std::pin::pin!(victims), std::pin::pin!(attack)).await {
        futures_util::future::Either::Left((mounted, _)) => {
            let failed = mounted.iter().filter_map(|mounted| mounted.as_ref().err());
            assert_eq!(failed.collect::<Vec<_>>().len(), 0, "{mounted:?}");
        }
        futures_util::future::Either::Right(_) => panic!("the attack ended before the victims had mounted"),
    }
}

#[tokio::test]
async fn a_thousand_missing_optional_objects_are_one_short_line_of_the_log() {
    let world = FairWorld::start(&[]).await;
    let list =
        (0..900).map(|index| format!("- {{objectName: none-{index}, objectType: secret, optional: true}}\n"));
    let list = list.collect::<String>();
    let attack = Attack { namespaces: 1, volumes: 3 };
    world.all_mount(&attack.claims(&world, |claim| claim.set("objects", &list))).await;
    let log = world.provider.log();
    let lines = log.lines().filter(|line| line.contains("optional objects are missing")).count();
    assert_eq!(lines, 1, "{log}");
    assert!(log.len() < 6000, "{} bytes", log.len());
}
