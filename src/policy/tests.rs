//! Checks of policies against plans of whole requests.

mod schema;

use std::fmt::Write;

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::plan::{
    Attributes, Defaults, IDENTITY_BINDING_AUDIENCE, MountPlan, Request, TOKEN_EXCHANGE_AUDIENCE, VaultName,
};

/// A rule that allows the plan below, by workload identity.
const RULE: &str = "{namespaces: [team-a], vaults: [shared], objects: [secret/db-password]}";

fn token(subject: &str) -> String {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let claims = json!({ "iss": "https://issuer/", "sub": subject }).to_string();
    format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(&claims), part("signature"))
}

/// The plan of the pod `team-a/web`, with some parameters replaced; an empty value removes the parameter.
fn plan(changes: &[(&str, &str)], secrets: &str) -> MountPlan {
    let defaults = Defaults {
        failover_vaults: [(VaultName::parse("main").unwrap(), VaultName::parse("replica").unwrap())].into(),
        ..Defaults::default()
    };
    let entry = json!({ "token": token("system:serviceaccount:team-a:web") });
    let tokens = json!({ TOKEN_EXCHANGE_AUDIENCE: entry, IDENTITY_BINDING_AUDIENCE: entry }).to_string();
    let mut map = json!({
        "csi.storage.k8s.io/pod.name": "web-0",
        "csi.storage.k8s.io/pod.namespace": "team-a",
        "csi.storage.k8s.io/serviceAccount.name": "web",
        "csi.storage.k8s.io/serviceAccount.tokens": tokens,
        "clientID": "11111111-1111-4111-8111-111111111111",
        "tenantID": "00000000-0000-4000-8000-000000000001",
        "keyvaultName": "shared",
        "objects": "- {objectName: db-password, objectType: secret}",
    });
    for (key, value) in changes {
        map[*key] = json!(value);
    }
    let attributes = Attributes::parse("attributes", &map.to_string()).unwrap();
    let request = Request {
        attributes: &attributes,
        secrets: &Attributes::parse("secrets", secrets).unwrap(),
        target_path: "/target",
        permission: "420",
        environment: None,
    };
    MountPlan::parse(request, &defaults).unwrap()
}

fn policy(rules: &[&str]) -> Policy {
    Policy::parse(&format!("rules: [{}]", rules.join(", "))).unwrap()
}

fn allows(rule: &str, changes: &[(&str, &str)]) -> bool {
    policy(&[rule]).check(&plan(changes, "null")).is_ok()
}

/// The message of a mount that must be denied.
fn denial(rules: &[&str], changes: &[(&str, &str)]) -> String {
    policy(rules).check(&plan(changes, "null")).unwrap_err().to_string()
}

#[test]
fn a_rule_allows_only_mounts_that_match_all_its_fields() {
    assert!(allows(RULE, &[]));
    for rule in [
        "{namespaces: [team-b], vaults: [shared], objects: [secret/db-password]}",
        "{namespaces: [team-a], vaults: [other], objects: [secret/db-password]}",
        "{namespaces: [team-a], vaults: [shared], objects: [key/db-password]}",
        "{namespaces: [team-a], vaults: [shared], objects: [api-key]}",
        "{namespaces: [team-a], serviceAccounts: [worker], vaults: [shared]}",
        "{namespaces: [team-a], vaults: [shared], identities: [service-principal]}",
    ] {
        assert!(!allows(rule, &[]), "{rule}");
    }
    for rule in [
        "{namespaces: [team-b, 'team-?'], serviceAccounts: [worker, web], vaults: [other, SHARED]}",
        "{namespaces: ['*'], vaults: ['*'], objects: ['DB-*'], identities: [workload-identity]}",
        "{namespaces: ['*'], vaults: [shared.vault.azure.net]}",
    ] {
        assert!(allows(rule, &[]), "{rule}");
    }
}

#[test]
fn different_rules_may_allow_the_objects_and_every_object_needs_one() {
    let objects = "- {objectName: a, objectType: secret}\n- {objectName: b, objectType: key, optional: true}\n- {objectName: c, objectType: cert, keyvaultName: other}";
    let changes = [("objects", objects)];
    let rules = [
        "{namespaces: [team-a], vaults: [shared], objects: [a]}",
        "{namespaces: [team-a], vaults: [shared], objects: [key/b]}",
        "{namespaces: [team-a], vaults: [other]}",
    ];
    assert_eq!(policy(&rules).check(&plan(&changes, "null")), Ok(()));
    let message = denial(&rules[..1], &changes);
    let words = "to mount cert/c from vault other, and key/b from vault shared using workload-identity";
    assert!(message.contains(words), "{message}");
    assert!(!message.contains("secret/a"), "{message}");
}

#[test]
fn a_denial_shows_the_rule_that_would_allow_the_mount() {
    let message = denial(&["{namespaces: [kube-system], vaults: ['*']}"], &[]);
    assert_eq!(
        message,
        "no rule allows namespace \"team-a\" (service account \"web\") to mount secret/db-password from vault \
         shared using workload-identity; allow it with {namespaces: [team-a], vaults: [shared], \
         objects: [secret/db-password], identities: [workload-identity]}; rules[0] matches except for \
         its namespaces"
    );
    let named = "{name: of the nodes, namespaces: ['*'], vaults: ['*'], identities: [managed-identity]}";
    let message = denial(&[named], &[]);
    assert!(message.ends_with("; rule \"of the nodes\" matches except for its identities"), "{message}");
    let message = denial(&["{namespaces: [team-b], vaults: [other]}"], &[]);
    assert!(!message.contains("except for"), "with two wrong fields, there is no near miss: {message}");
}

#[test]
fn a_failover_vault_must_be_allowed_like_the_vault_itself() {
    let of_main = "{namespaces: [team-a], vaults: [main]}";
    for changes in [
        vec![("keyvaultName", "main")],
        vec![("keyvaultName", "main"), ("failoverKeyvaultName", "backup")],
        vec![("objects", "- {objectName: a, objectType: secret, keyvaultName: main}")],
    ] {
        let message = denial(&[of_main], &changes);
        assert!(message.contains(" from failover vault "), "{changes:?}: {message}");
        assert!(allows("{namespaces: [team-a], vaults: [main, replica, backup]}", &changes), "{changes:?}");
    }
    let message = denial(&["{namespaces: [team-b], vaults: [main]}"], &[("keyvaultName", "main")]);
    assert!(
        message.contains("{namespaces: [team-a], vaults: [main, replica], objects: [secret/"),
        "{message}"
    );
}

#[test]
fn a_rule_must_name_the_nodes_identity() {
    let managed = [("useVMManagedIdentity", "true"), ("clientID", "")];
    assert!(!allows("{namespaces: ['*'], vaults: ['*']}", &managed));
    assert!(allows("{namespaces: ['*'], vaults: ['*'], identities: [managed-identity]}", &managed));
}

#[test]
fn a_rule_for_one_identity_mode_does_not_allow_another() {
    let principal = r#"{"clientid":"11111111-1111-4111-8111-111111111111","clientsecret":"hunter2"}"#;
    let modes = [
        ("workload-identity", ("keyvaultName", "shared"), "null"),
        ("workload-identity", ("clientID", ""), "null"),
        ("identity-binding", ("useAzureTokenProxy", "true"), "null"),
        ("service-principal", ("clientID", ""), principal),
        ("managed-identity", ("useVMManagedIdentity", "true"), "null"),
    ];
    for (mode, change, secrets) in modes {
        let changes = &[change];
        for (other, ..) in modes {
            let policy = policy(&[&format!("{{namespaces: ['*'], vaults: ['*'], identities: [{other}]}}")]);
            let message = policy.check(&plan(changes, secrets));
            assert_eq!(message.is_ok(), mode == other, "{mode} by {other}");
            assert!(!format!("{message:?}").contains("hunter2"));
        }
        let own = policy(&["{namespaces: ['*'], vaults: ['*']}"]).check(&plan(changes, secrets));
        assert_eq!(own.is_ok(), mode != "managed-identity", "{mode}");
    }
}

#[test]
fn a_token_of_another_service_account_is_denied() {
    let everything = "{namespaces: ['*'], vaults: ['*']}";
    for (key, value) in [
        ("csi.storage.k8s.io/pod.namespace", "team-b"),
        ("csi.storage.k8s.io/serviceAccount.name", "worker"),
        ("csi.storage.k8s.io/serviceAccount.name", ""),
    ] {
        for audience in ["false", "true"] {
            let message = denial(&[everything], &[(key, value), ("useAzureTokenProxy", audience)]);
            assert!(message.contains("token belongs to \"system:serviceaccount:team-a:web\""), "{message}");
        }
        // A mode without a token does not check the token.
        let managed = everything.replace('}', ", identities: [managed-identity]}");
        assert!(allows(&managed, &[(key, value), ("useVMManagedIdentity", "true")]), "{key}");
    }
}

#[test]
fn a_mistake_is_reported_with_its_position_and_its_fix() {
    for (yaml, location, words) in [
        ("rules:\n- namespaces: [a]\n  vault: [b]\n", "line 3, column 3: ", "unknown field `vault`"),
        ("rules:\n- namespaces: [a]\n", "line 2, column 3: ", "missing field `vaults`"),
        ("rules:\n- namespaces: [*]\n  vaults: [b]\n", "line 2, column 16: ", "put the value in quotes"),
        ("rules:\n- namespaces: [*-a]\n  vaults: [b]\n", "line 2, column 16: ", "put the value in quotes"),
        ("rules:\n- namespaces: [a]\n  vaults: []\n", "line 3, column 11: ", "the list is empty"),
        ("rules: []\n", "line 1, column 8: ", "the list is empty"),
        (
            "rules:\n- {namespaces: [a], vaults: [b], identities: [mi]}",
            "line 2, ",
            "expected one of workload-",
        ),
        ("rules:\n- namespaces: [a]\n  vaults: [b]\n  serviceAccounts:\n", "line 4, ", ""),
        ("rules:\n- namespaces: [a]\n  vaults: [b]\n  namespaces: [c]\n", "line 4, ", "duplicate"),
        ("rules:\n- namespaces:\n  - a\n  - B\n  vaults: [b]\n", "line 4, column 5: ", "\"B\" matches no"),
        ("rules:\n- namespaces: [7]\n  vaults: [b]\n", "line 2, ", "requires quoting"),
        ("", "line 1, column 1: ", "end of file"),
        ("---\nrules: &a [*a]\n", "line 2, ", ""),
    ] {
        let message = Policy::parse(yaml).unwrap_err().to_string();
        assert!(message.starts_with(location) && message.contains(words), "{yaml}: {message}");
    }
}

#[test]
fn aliases_are_accepted_and_yaml_bombs_are_refused() {
    let good = "rules:\n- {namespaces: &teams [a, b], vaults: [v]}\n- {namespaces: *teams, vaults: [w]}\n";
    assert!(Policy::parse(good).is_ok());
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let above = format!("*a{}, ", level - 1).repeat(10);
        writeln!(bomb, "a{level}: &a{level} [{}]", above.trim_end_matches(", ")).unwrap();
    }
    assert!(Policy::parse(&bomb).is_err());
    assert!(Policy::parse(&"[".repeat(100_000)).is_err());
}

#[test]
fn every_policy_in_the_documentation_is_valid() {
    let page = include_str!("../../docs/policy.md");
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let policies = blocks.map(|yaml| Policy::parse(yaml).unwrap()).collect::<Vec<_>>();
    assert_eq!(policies.len(), 4);
    let shared = [(
        "objects",
        "- {objectName: Team-A-db, objectType: secret}\n- {objectName: smtp-password, objectType: secret}",
    )];
    assert_eq!(policies[0].check(&plan(&shared, "null")), Ok(()));
    let others =
        policies[0].check(&plan(&[("objects", "- {objectName: team-b-db, objectType: secret}")], "null"));
    assert!(others.unwrap_err().to_string().contains("mount secret/team-b-db from vault shared"));
}

/// A policy of the rules in a denial's message.
fn rules_of(message: &str) -> String {
    let rules = message.split_once("allow it with ").unwrap().1;
    format!("rules: [{}]", &rules[..rules.rfind("]}").unwrap() + 2])
}

proptest! {
    #[test]
    fn the_rule_in_a_denial_allows_the_mount(
        namespace in "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?|true|null|no|0x1f|1e3",
        vaults in proptest::collection::vec("[a-z0-9-]{3,8}|true|null|007", 1..4),
        names in proptest::collection::vec("[A-Za-z0-9-]{1,8}", 1..5),
    ) {
        let objects = names.iter().zip(vaults.iter().cycle()).enumerate().map(|(index, (name, vault))| {
            format!("- {{objectName: '{name}', objectType: secret, keyvaultName: '{vault}', objectAlias: f{index}}}\n")
        });
        let tokens = token(&format!("system:serviceaccount:{namespace}:web"));
        let tokens = json!({ TOKEN_EXCHANGE_AUDIENCE: { "token": tokens } }).to_string();
        let plan = plan(&[
            ("csi.storage.k8s.io/pod.namespace", &namespace),
            ("csi.storage.k8s.io/serviceAccount.tokens", &tokens),
            ("failoverKeyvaultName", "backup"),
            ("objects", &objects.collect::<String>()),
        ], "null");
        let message = policy(&["{namespaces: [other], vaults: [none]}"]).check(&plan).unwrap_err().to_string();
        let rules = rules_of(&message);
        let policy = Policy::parse(&rules).unwrap();
        prop_assert_eq!(policy.check(&plan), Ok(()), "{}", rules);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,200}|[-\\[\\]{}:,&*|> a\n\"'#!%@~\t\u{0}]{0,200}") {
        if let Err(error) = Policy::parse(&text) {
            prop_assert!(!error.problem.is_empty());
        }
    }
}
