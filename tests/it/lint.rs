//! `lint`, as people and pipelines run it.

mod field;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::PROGRAM;
use crate::manifests::case::{Case, Expectation};

/// Lints in a folder, with something on standard input.
fn lint_with(folder: &Path, arguments: &[&str], input: &str, set: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROGRAM);
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command.arg("lint").args(arguments).current_dir(folder).envs(set.iter().copied());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn lint(arguments: &[&str]) -> Output {
    lint_with(&manifests(), arguments, "", &[])
}

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lint")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn every_manifest_has_the_findings_that_are_written_beside_it() {
    let mut wrong = Vec::new();
    let mut manifests_linted = 0;
    for entry in std::fs::read_dir(manifests()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some((stem, "yaml" | "json")) = name.rsplit_once('.') else { continue };
        let expected = std::fs::read_to_string(manifests().join(format!("{stem}.txt"))).unwrap();
        let output = lint(&[&name]);
        if stdout(&output) != expected {
            wrong.push(format!("{name} has these findings:\n{}", stdout(&output)));
        }
        let errors = expected.lines().any(|line| line.contains(": error: "));
        assert_eq!(output.status.code(), Some(i32::from(errors)), "{name}: {}", stderr(&output));
        manifests_linted += 1;
    }
    assert!(wrong.is_empty() && manifests_linted > 5, "{}", wrong.join("\n"));
}

#[test]
fn what_the_server_mounts_has_no_errors_and_what_it_refuses_has_those() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/manifests");
    let output = lint_with(&folder, &["--format=json", "."], "", &[]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut errors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for finding in report["findings"].as_array().unwrap().iter().filter(|f| f["severity"] == "error") {
        let text = |key: &str| finding[key].as_str().unwrap();
        let message = format!("{}: {}; {}", text("location"), text("problem"), text("help"));
        errors.entry(text("file").to_owned()).or_default().push(message);
    }
    let cases = Case::all();
    assert_eq!(report["summary"]["classes"], cases.len());
    for case in cases {
        let found = errors.remove(&format!("./{}/class.yaml", case.name)).unwrap_or_default().join("\n");
        match &case.expected.outcome {
            Expectation::Mounted(_) => assert_eq!(found, "", "{}", case.name),
            Expectation::Refused(words) => {
                assert!(words.iter().all(|words| found.contains(words.as_str())), "{}: {found}", case.name);
            }
        }
    }
}

#[test]
fn exit_codes_tell_errors_warnings_and_unreadable_files_apart() {
    for (arguments, code) in [
        (&["good.yaml"][..], 0),
        (&["--strict", "good.yaml"], 0),
        (&["unwise.yaml"], 0),
        (&["--strict", "unwise.yaml"], 1),
        (&["fields.yaml"], 1),
        (&["missing.yaml", "fields.yaml"], 2),
        (&["--no-such-flag", "good.yaml"], 2),
        (&["--cloud-name=AzureMoonCloud", "good.yaml"], 2),
        (&[], 2),
    ] {
        let output = lint(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn an_unreadable_file_stops_no_other() {
    let output = lint(&["missing.yaml", "strings.yaml"]);
    assert!(stderr(&output).starts_with("missing.yaml: cannot open the file: "), "{}", stderr(&output));
    assert!(stdout(&output).contains("strings.yaml:8:5: error: "), "{}", stdout(&output));
    assert!(stderr(&output).ends_with("1 file, 1 SecretProviderClass: 7 errors, 0 warnings\n"));
}

#[test]
fn standard_input_is_read_and_named() {
    let class = std::fs::read_to_string(manifests().join("strings.yaml")).unwrap();
    let output = lint_with(&manifests(), &["-"], &class, &[]);
    assert!(stdout(&output).starts_with("<stdin>:8:5: error: clientID: "), "{}", stdout(&output));
    let nothing = lint_with(&manifests(), &["-"], "", &[]);
    assert_eq!(nothing.status.code(), Some(0));
    assert!(
        stderr(&nothing).contains("no SecretProviderClass of the provider azure"),
        "{}",
        stderr(&nothing)
    );
}

#[test]
fn another_name_of_the_provider_selects_its_classes() {
    let class = "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nspec: {provider: azure-canary}\n";
    let found = |arguments: &[&str]| stdout(&lint_with(&manifests(), arguments, class, &[])).lines().count();
    assert_eq!((found(&["-"]), found(&["--provider-name=azure-canary", "-"])), (0, 2));
}

#[test]
fn what_the_operator_sets_is_reckoned_with() {
    let parameters = [
        "clientID: 11111111-1111-4111-8111-111111111111",
        "vaultURL: https://a.vault.example/",
        "rotationMaxAge: 48h",
        "staleIfError: 48h",
        "objects: '[{objectName: a, objectType: secret}]'",
    ];
    let class = format!(
        "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nspec:\n  provider: azure\n  parameters:\n    {}\n",
        parameters.join("\n    ")
    );
    let output = lint_with(&manifests(), &["-"], &class, &[]);
    assert_eq!(stdout(&output).matches(": error: ").count(), 4, "{}", stdout(&output));
    let flags = [
        "--default-tenant-id=contoso.com",
        "--allowed-vault-suffix=vault.example",
        "--rotation-max-age-limit=48h",
        "--stale-if-error=48h",
        "-",
    ];
    assert_eq!(stdout(&lint_with(&manifests(), &flags, &class, &[])), "");
}

#[test]
fn colour_is_for_terminals_and_whoever_asks() {
    let coloured =
        |set: &[(&str, &str)]| lint_with(&manifests(), &["strings.yaml"], "", set).stdout.contains(&b'\x1b');
    assert!(!coloured(&[]));
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

#[test]
fn annotations_are_lines_of_github_actions() {
    let output = lint(&["--format=github", "strings.yaml", "broken.yaml"]);
    let lines = stdout(&output).lines().collect::<Vec<_>>();
    assert_eq!(
        lines[1],
        "::error file=strings.yaml,line=9,col=15,title=strings::tenantID: it is a number, but the API server accepts only strings; put it in quotes"
    );
    assert!(
        lines.iter().any(|line| line.starts_with("::error file=broken.yaml,line=4,col=5::invalid YAML: "))
    );
    assert!(lines.iter().all(|line| line.starts_with("::error ")), "{lines:?}");
}

#[test]
fn json_is_one_object_also_of_nothing() {
    let report = |file: &str| {
        let output = lint(&["--format=json", file]);
        assert_eq!(stderr(&output), "");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let summary = |classes, errors, warnings| {
        serde_json::json!({
            "files": 1, "unreadable": 0, "classes": classes, "errors": errors, "warnings": warnings,
        })
    };
    assert_eq!(report("good.yaml"), serde_json::json!({"findings": [], "summary": summary(3, 0, 0)}));
    let unwise = report("unwise.yaml");
    assert_eq!(unwise["summary"], summary(1, 0, 10));
    assert_eq!(
        unwise["findings"][1],
        serde_json::json!({
            "file": "unwise.yaml", "line": 7, "column": 3, "severity": "warning", "class": "unwise",
            "location": "spec", "problem": "\"parameter\" is unknown", "help": "did you mean `parameters`?",
        })
    );
}

#[test]
fn whoever_reads_no_more_changes_no_verdict() {
    for (file, code) in [("fields.yaml", 1), ("unwise.yaml", 0)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(PROGRAM);
        command.args(["lint", file]).current_dir(manifests()).stdout(writer).stderr(Stdio::piped());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).starts_with("1 file, "), "{}", stderr(&output));
    }
}

#[test]
fn nothing_in_a_file_moves_the_cursor() {
    let class = "apiVersion: \"secrets-store.csi.x-k8s.io/v\\e[2J\"\nkind: SecretProviderClass\nspec: {provider: azure, \"para\\e[2J\": 1}\n";
    let output = lint_with(&manifests(), &["-"], class, &[]);
    assert!(stdout(&output).lines().count() > 2 && !output.stdout.contains(&b'\x1b'), "{}", stdout(&output));
}
