//! Plans of whole requests.

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::yaml::Position;

fn token() -> String {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    format!(
        "{}.{}.{}",
        part(r#"{"alg":"RS256"}"#),
        part(r#"{"iss":"https://i/","sub":"system:serviceaccount:a:b"}"#),
        part("s")
    )
}

/// Valid attributes, with some of them replaced.
fn attributes(changes: &[(&str, &str)]) -> Attributes {
    let tokens = json!({ TOKEN_EXCHANGE_AUDIENCE: { "token": token() } }).to_string();
    let mut map = json!({
        "csi.storage.k8s.io/pod.name": "pod",
        "csi.storage.k8s.io/pod.namespace": "namespace",
        "csi.storage.k8s.io/serviceAccount.tokens": tokens,
        "clientID": "11111111-1111-4111-8111-111111111111",
        "tenantID": "00000000-0000-4000-8000-000000000001",
        "keyvaultName": "vault",
        "objects": "- {objectName: a, objectType: secret}",
    });
    for (key, value) in changes {
        map[*key] = json!(value);
    }
    Attributes::parse("attributes", &map.to_string()).unwrap()
}

/// A request with these attributes; everything else is valid.
fn request<'a>(attributes: &'a Attributes, secrets: &'a Attributes) -> Request<'a> {
    Request { attributes, secrets, target_path: "/target/", permission: "420", environment: None }
}

fn plan(changes: &[(&str, &str)]) -> Result<MountPlan, PlanError> {
    MountPlan::parse(request(&attributes(changes), &Attributes::default()), &Defaults::default())
}

#[test]
fn a_class_of_the_go_provider_keeps_its_meaning() {
    let objects = "array:\n  - |\n    objectName: one\n    objectType: secret\n    objectAlias: folder/file\n    objectVersion: \"\"\n    filePermission: 0755\n    objectEncoding: hex\n    objectFormat: PFX\n";
    let plan = plan(&[
        ("objects", objects),
        ("usePodIdentity", "false"),
        ("cloudName", ""),
        ("keyvaultName", " Vault "),
    ])
    .unwrap();
    let object = &plan.objects[0];
    assert_eq!(object.vault.as_str(), "https://vault.vault.azure.net/");
    assert_eq!((object.name.as_str(), object.path.as_str()), ("one", "folder/file"));
    assert_eq!((object.mode.bits(), &object.version), (0o755, &ObjectVersion::Latest));
    assert_eq!((object.encoding, object.format), (ObjectEncoding::Hex, ObjectFormat::Pfx));
    assert_eq!(plan.target, PathBuf::from("/target"));
    assert_eq!(plan.warnings, []);
}

/// The locations, lines and columns of the findings about these objects.
fn locations(objects: &str) -> Vec<(String, Option<(usize, usize)>)> {
    let attributes = attributes(&[("objects", objects)]);
    let (_, findings) = Draft::examine(request(&attributes, &Attributes::default()), &Defaults::default());
    let position = |position: Option<Position>| position.map(|position| (position.line, position.column));
    findings.into_iter().map(|finding| (finding.location, position(finding.position))).collect()
}

#[test]
fn a_finding_has_its_position_also_in_an_object_that_is_text() {
    let objects = "array:\n  - |\n    objectName: a\n    objectType: secrets\n    objectAlais: b\n  - objectType: secret\n    objectName: [c]\n  - 'objectName: d: e'\n  - |\n    objectName: d: e\n";
    assert_eq!(
        locations(objects),
        [
            ("objects[0].objectType".to_owned(), Some((4, 17))),
            ("objects[1]".to_owned(), Some((6, 5))),
            ("objects[2]".to_owned(), Some((8, 19))),
            ("objects[3]".to_owned(), Some((10, 18))),
            ("objects[0]".to_owned(), Some((5, 5))),
        ]
    );
    let message = plan(&[("objects", objects)]).unwrap_err().to_string();
    assert!(message.contains("objects[3]: line 10, column 18: invalid YAML"), "{message}");
    assert!(message.contains("objects[0].objectType: \"secrets\""), "{message}");
}

#[test]
fn examine_returns_all_findings() {
    let objects = "- {objectName: a/b, objectType: secret, hue: red}\n".repeat(30);
    assert_eq!(locations(&objects).len(), 60);
}

#[test]
fn a_history_conflicts_with_a_file_at_its_folder_and_with_paths_below_its_files() {
    let history = |alias: &str| {
        format!("- {{objectName: h, objectType: secret, objectVersionHistory: 3, objectAlias: '{alias}'}}\n")
    };
    let file = |alias: &str| format!("- {{objectName: f, objectType: secret, objectAlias: '{alias}'}}\n");
    for (folder, alias) in [("h", "h"), ("h", "h/2/x"), ("h/i", "h"), (".", "0/x"), ("./h/", "h/0/x")] {
        for objects in [history(folder) + &file(alias), file(alias) + &history(folder)] {
            let refused = plan(&[("objects", &objects)]).unwrap_err().to_string();
            assert!(refused.contains("change one objectAlias"), "{objects}{refused}");
        }
    }
    // The last one is written, or there is no conflict.
    for (folder, alias) in
        [("h", "h/2"), ("h", "h/3/x"), ("h", "h/02/x"), ("h", "hh"), (".", "3/x"), (".", "x")]
    {
        let objects = history(folder) + &file(alias);
        assert!(plan(&[("objects", &objects)]).is_ok(), "{objects}");
    }
    assert!(plan(&[("objects", &(history("h") + &history("h/1")))]).is_err());
}

#[test]
fn parameters_without_effect_cause_warnings() {
    let plan =
        plan(&[("cloudEnvFileName", "/x"), ("userAssignedIdentityID", "x"), ("keyvaultname", "x")]).unwrap();
    let warned = plan.warnings.iter().map(|warning| warning.location.as_str()).collect::<Vec<_>>();
    assert_eq!(warned, ["parameters", "cloudEnvFileName", "userAssignedIdentityID"]);
}

#[test]
fn the_older_spelling_of_the_tenant_is_accepted() {
    let plan = plan(&[("tenantID", ""), ("tenantId", "contoso.com")]).unwrap();
    let PlannedIdentity::Known(Identity::Workload(workload)) = &plan.identity else {
        panic!("a workload identity")
    };
    assert_eq!((workload.tenant.as_str(), plan.warnings.len()), ("contoso.com", 0));
}

#[test]
fn a_class_sets_its_rotation_up_to_the_operators_limit() {
    let age = |text: &str| plan(&[("rotationMaxAge", text)]).map(|plan| plan.rotation_max_age.as_secs());
    for (text, seconds) in [("", 60), ("0", 0), ("0s", 0), ("90s", 90), ("1h30m", 5400), ("24h", 86_400)] {
        assert_eq!(age(text).unwrap(), seconds, "{text}");
    }
    for (text, words) in [
        ("25h", "\"25h\" exceeds the operator's limit of 1day"),
        ("60", "\"60\" is not a duration"),
        ("-1s", "is not a duration"),
        ("soon", "such as 90s, 10m"),
    ] {
        let error = age(text).unwrap_err().to_string();
        assert!(error.starts_with("rotationMaxAge: ") && error.contains(words), "{error}");
    }
}

proptest! {
    #[test]
    fn any_parameter_is_planned_or_refused(key in prop::sample::select(known_names::PARAMETERS), value in "\\PC{0,80}") {
        if let Ok(plan) = plan(&[(key, &value)]) {
            for object in &plan.objects {
                prop_assert!(object.vault.host().ends_with(".vault.azure.net"));
            }
        }
    }

    #[test]
    fn any_field_is_planned_or_refused(field in "[a-zA-Z]{1,25}", value in "\\PC{0,40}") {
        let object = json!([{ "objectName": "a", "objectType": "secret", field: value }]).to_string();
        if let Ok(plan) = plan(&[("objects", &object)]) {
            prop_assert!(!plan.objects[0].path.as_str().split('/').any(|element| element == ".."));
        }
    }

    /// Compares the result with a simple check of all pairs.
    #[test]
    fn a_file_that_is_also_a_folder_is_always_found(paths in prop::collection::vec("[ab.-]{1,2}(/[ab.-]{1,2}){0,2}", 1..8)) {
        let good = paths.iter().filter_map(|path| RelativePath::parse(path).ok()).collect::<Vec<_>>();
        prop_assume!(good.len() == paths.len());
        let objects = paths.iter().map(|path| json!({ "objectName": "a", "objectType": "secret", "objectAlias": path }));
        let objects = json!(objects.collect::<Vec<_>>()).to_string();
        let conflict = good.iter().any(|one| good.iter().any(|other| one.is_folder_of(other)));
        let mut distinct = good.clone();
        distinct.sort();
        distinct.dedup();
        match plan(&[("objects", &objects)]) {
            Ok(plan) => {
                prop_assert!(!conflict);
                prop_assert_eq!(plan.warnings.len(), good.len() - distinct.len());
            }
            Err(error) => prop_assert!(conflict, "{}", error),
        }
    }
}
