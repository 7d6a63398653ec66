//! What is wrong before anything is asked: all of it at once, and what needs neither a token nor a directory.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use keyvault_emulator::RequestKind;
use serde_json::{Value, json};

use super::site::{BARE, Ended, OBJECTS, Parameters, Site, WORKLOAD, ended, manifest};
use crate::harness::{APP, PROGRAM, TENANT, VALUE};

/// Runs `mount` with these arguments alone.
async fn mount(site: &Site, args: &[&str], environment: Parameters<'_>) -> Ended {
    let mut command = Command::new(PROGRAM);
    command.env_clear().envs(environment.iter().copied()).current_dir(site.folder.path());
    command.arg("mount").args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ended(command.spawn().unwrap()).await
}

/// Every line is a message of its kind, or the help of the one before.
fn assert_messages(errors: &str) {
    let kinds = ["error: ", "warning: ", "note: ", "  help: "];
    let strange = errors.lines().find(|line| !kinds.iter().any(|kind| line.starts_with(kind)));
    assert_eq!(strange, None, "{errors}");
}

#[tokio::test]
async fn the_class_and_the_command_line_say_all_their_mistakes_at_once() {
    let site = Site::start().await;
    let objects = "- {objectName: a, objectType: secrets}\n- {objectName: b, objectType: secret, filePermission: 0999}\n";
    let parameters = [
        ("clientID", APP),
        ("tenantId", "not a tenant"),
        ("rotationMaxAge", "soon"),
        ("keyvaultname", "myKeyVault"),
        ("objects", objects),
    ];
    site.class(&parameters);
    let ended = mount(
        &site,
        &["class.yaml", "--cloud-name=AzureMoonCloud", "--failover-vault=one", "--imds-endpoint=nowhere"],
        &[("AZURE_AUTHORITY_HOST", "https://login.evil.test/")],
    )
    .await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_messages(&ended.errors);
    for words in [
        "warning: class.yaml:2:",
        "parameters: \"keyvaultname\" is unknown\n  help: did you mean `keyvaultName`?",
        ": tenantID: ",
        ": objects[0].objectType: ",
        ": objects[1].filePermission: \"0999\" is not an octal file mode\n  help: use a value from",
        ": keyvaultName: it is missing",
        ": rotationMaxAge: ",
        "error: --token-file (or AZURE_FEDERATED_TOKEN_FILE): no credentials found",
        "kubectl create token SERVICE_ACCOUNT --audience api://AzureADTokenExchange",
        "error: --target: it is missing",
        "error: --cloud-name: ",
        "error: --failover-vault=\"one\" is not VAULT=REPLICA\n  help: ",
        "error: --imds-endpoint=\"nowhere\" is not a URL\n  help: ",
    ] {
        assert!(ended.errors.contains(words), "{words:?} is not in {}", ended.errors);
    }
    // Every error has its help.
    let lines = ended.errors.lines().collect::<Vec<_>>();
    let alone =
        lines.windows(2).find(|pair| !pair[0].starts_with("  help") && !pair[1].starts_with("  help"));
    assert_eq!(alone, None, "{}", ended.errors);
    assert!(site.emulator.requests().is_empty());
}

#[tokio::test]
async fn a_parameter_of_a_wrong_type_is_named_with_its_line_beside_the_other_mistakes() {
    let site = Site::start().await;
    let yaml = "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata: {name: one}\nspec:\n  \
                provider: azure\n  parameters:\n    useVMManagedIdentity: true\n    keyvaultName: 0x10\n    \
                tenantID:\n    rotationMaxAge: '1x'\n    objects: [a]\n";
    site.file("class.yaml", yaml);
    let said = site.refused(&["--token-file=token"], &[("AZURE_TENANT_ID", "x y")]).await;
    for words in [
        "error: class.yaml:7:27: useVMManagedIdentity: it is a boolean, but the API server accepts only strings\n  help: put it in quotes",
        "error: class.yaml:8:19: keyvaultName: it is a number",
        "tenantID: it is null",
        "class.yaml:10:21: rotationMaxAge: ",
        "objects: it is a list",
        "warning: --token-file has no effect",
        "error: AZURE_TENANT_ID: ",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
}

#[tokio::test]
async fn flags_and_variables_that_give_what_the_class_leaves_out_are_named_in_its_place() {
    let site = Site::start().await;
    site.class(BARE);
    for (args, environment, location) in [
        (
            &["--token-file=token"][..],
            &[("AZURE_CLIENT_ID", "x y"), ("AZURE_TENANT_ID", TENANT)][..],
            "AZURE_CLIENT_ID: ",
        ),
        (
            &["--token-file=token"],
            &[("AZURE_CLIENT_ID", APP), ("AZURE_TENANT_ID", "x y")],
            "AZURE_TENANT_ID: ",
        ),
        (
            &["--token-file=token", "--default-tenant-id=x y"],
            &[("AZURE_CLIENT_ID", APP)],
            "--default-tenant-id: ",
        ),
        (&["--managed-identity=x y"], &[], "--managed-identity: "),
    ] {
        let ended = site.run(args, environment).await;
        assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
        assert!(ended.errors.starts_with(&format!("error: {location}")), "{location} {}", ended.errors);
        assert!(!ended.errors.contains("tenantID: it is missing"), "{}", ended.errors);
        let shows = location == "AZURE_CLIENT_ID: " && ended.errors.contains("x y");
        assert!(!shows, "it may be the secret: {}", ended.errors);
    }
}

#[tokio::test]
async fn a_dry_run_needs_neither_a_token_nor_a_directory_nor_a_network() {
    let site = Site::start().await;
    let bound = [WORKLOAD, &[("useAzureTokenProxy", "true")]].concat();
    for (parameters, args, words) in [
        (WORKLOAD, &[][..], format!("workload identity {APP} of tenant {TENANT}, through Entra")),
        (BARE, &[], "annotations of the pod's service account".to_owned()),
        (
            BARE,
            &["-n", "shop", "--service-account=cart"],
            "annotations of service account shop/cart".to_owned(),
        ),
        (&bound, &[], "through the token proxy of AKS".to_owned()),
    ] {
        site.class(parameters);
        let ended = mount(&site, &[&["class.yaml", "--dry-run"], args].concat(), &[]).await.succeeded();
        for words in [words.as_str(), "directory  none is given (--target)", "-> db-password, mode 0644"] {
            assert!(ended.output.contains(words), "{words:?} is not in {}", ended.output);
        }
        assert_eq!(ended.errors, "");
    }
    // What is wrong is found all the same.
    site.class(&WORKLOAD[..3]);
    let ended = mount(&site, &["class.yaml", "--dry-run"], &[]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.errors.starts_with("error: class.yaml:2:") && ended.errors.contains(": objects: "),
        "{ended:?}"
    );
    site.class(WORKLOAD);
    let ended = mount(&site, &["class.yaml", "--dry-run", "--token-file=nowhere"], &[]).await;
    assert!(ended.errors.contains("--token-file=nowhere: it cannot be read"), "{ended:?}");
    assert!(site.emulator.requests().is_empty());
}

#[tokio::test]
async fn a_misspelt_parameter_is_named_also_by_a_dry_run_and_whatever_fails() {
    let site = Site::start().await;
    let misspelt =
        [("tenantID", TENANT), ("clientId", APP), ("keyvaultName", "myKeyVault"), ("objects", OBJECTS)];
    site.class(&misspelt);
    let hint = "\"clientId\" is unknown\n  help: did you mean `clientID`?";
    let dry = mount(&site, &["class.yaml", "--dry-run"], &[]).await.succeeded();
    assert!(dry.errors.starts_with("warning: class.yaml:2:") && dry.errors.contains(hint), "{dry:?}");
    assert!(!dry.output.contains("clientId"), "{dry:?}");
    let said = site.refused(&["--token-file=token"], &[]).await;
    assert!(said.contains(hint) && said.contains("clientID: it is missing"), "{said}");

    let machine = [
        ("useVMManagedIdentity", "true"),
        ("userAssignedIdentityId", "99999999-0000-4000-8000-000000000000"),
        ("keyvaultName", "myKeyVault"),
        ("objects", "- {objectName: nowhere, objectType: secret}"),
    ];
    site.class(&machine);
    let said = site.refused(&[], &[]).await;
    let hint = "\"userAssignedIdentityId\" is unknown\n  help: did you mean `userAssignedIdentityID`?";
    assert_eq!(said.matches(hint).count(), 1, "{said}");
    assert!(said.contains("secret or version not found"), "{said}");
    assert_messages(&said);
}

#[tokio::test]
async fn messages_for_people_have_neither_time_nor_level_and_for_programs_they_are_json() {
    let site = Site::start().await;
    let ended = site.run(&["--token-file=token"], &[]).await.succeeded();
    assert!(ended.errors.starts_with("note: mounted: objects 1, target /"), "{ended:?}");
    assert_messages(&ended.errors);
    let ended = site.run(&["--token-file=token", "-v=5"], &[]).await.succeeded();
    assert!(ended.errors.contains("note: access token granted"), "{ended:?}");
    assert_messages(&ended.errors);

    site.class(&WORKLOAD[..3]);
    let ended = site.run(&["--token-file=token", "--log-format-json"], &[]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let line = serde_json::from_str::<Value>(ended.errors.lines().last().unwrap()).unwrap();
    assert_eq!(line["level"], "ERROR", "{line}");
    assert!(line["message"].as_str().unwrap().contains("objects") && line["help"] != "", "{line}");
}

#[tokio::test]
async fn the_manifest_may_be_named_by_the_flag_of_kubectl() {
    let site = Site::start().await;
    site.file("other.yaml", manifest(WORKLOAD));
    let target = site.target();
    let run = async |args: &[&str]| {
        // The helper puts the file before the directory.
        let mut command = replaced(&site.command_of(PROGRAM.as_ref(), "-f", &target), args);
        ended(command.spawn().unwrap()).await
    };
    for flag in [&["-f", "other.yaml"][..], &["--filename=other.yaml"], &["-filename", "other.yaml"]] {
        run(flag).await.succeeded();
        assert_eq!(site.read("db-password"), VALUE);
        std::fs::remove_dir_all(&target).unwrap();
    }
    let both = mount(&site, &["class.yaml", "-f", "other.yaml", "--dry-run"], &[]).await;
    assert_eq!(both.code, Some(2), "{both:?}");
}

#[tokio::test]
async fn json_shows_what_is_mounted_and_never_a_value() {
    let site = Site::start().await;
    let dry = mount(&site, &["-f", "class.yaml", "--dry-run", "-o", "json"], &[]).await.succeeded();
    let planned = serde_json::from_str::<Value>(&dry.output).unwrap();
    assert_eq!(
        planned,
        json!({
            "outcome": "planned",
            "class": { "name": "my-class", "namespace": "default", "location": "class.yaml:2:1" },
            "identity": { "kind": "workload_identity", "client": APP, "tenant": TENANT },
            "authority": "https://login.microsoftonline.com/",
            "resource": "https://vault.azure.net",
            "directory": null,
            "objects": [{
                "location": "objects[0]", "kind": "secret", "name": "database-password",
                "vault": "mykeyvault.vault.azure.net", "version": null, "history": null, "optional": false,
                "files": [{ "path": "db-password", "mode": "0644", "jmes_path": null }],
            }],
            "templates": [],
            "versions": null,
            "warnings": [],
        })
    );
    let ended = site.run(&["--token-file=token", "--output=json"], &[]).await.succeeded();
    let mounted = serde_json::from_str::<Value>(&ended.output).unwrap();
    assert_eq!((&mounted["outcome"], &mounted["objects"]), (&json!("mounted"), &planned["objects"]));
    assert_eq!(mounted["versions"][0]["id"], "secret/database-password");
    assert_eq!(PathBuf::from(mounted["directory"].as_str().unwrap()), site.target().canonicalize().unwrap());
    assert!(!ended.output.contains(VALUE) && !ended.output.contains(&site.token()), "{ended:?}");
    assert_eq!(site.emulator.count(RequestKind::Secret), 1);

    let text = site.run(&["--token-file=token", "-o=text"], &[]).await.succeeded();
    assert!(
        text.output.starts_with("class      my-class") && !text.output.contains("Nothing was"),
        "{text:?}"
    );
    let wrong = site.run(&["--token-file=token", "-o", "yaml"], &[]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.errors.contains("'--output <FORMAT>'") && wrong.errors.contains("text, json"), "{wrong:?}");
}

/// The same command with these arguments in the place of the first file.
fn replaced(command: &Command, args: &[&str]) -> Command {
    let mut other = Command::new(command.get_program());
    other.env_clear().current_dir(command.get_current_dir().unwrap()).arg("mount").args(args);
    other.args(command.get_args().skip(2)).arg("--token-file=token");
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    other.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    other
}
