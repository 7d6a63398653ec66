//! `lint`, as users and pipelines run it.

mod field;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::PROGRAM;
use crate::manifests::case::{Case, Expectation};

/// Runs `lint` in a directory, with text on standard input and environment variables.
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
fn every_manifest_has_the_expected_findings() {
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
fn lint_and_the_server_report_the_same_errors() {
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
fn exit_codes_distinguish_errors_warnings_and_unreadable_files() {
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
fn files_and_formats_may_be_named_by_the_flags_of_kubectl() {
    let plain = lint(&["--format=json", "strings.yaml", "unwise.yaml"]);
    for arguments in [
        &["-f", "strings.yaml", "-f", "unwise.yaml", "-o", "json"][..],
        &["--filename=strings.yaml", "--filename", "unwise.yaml", "--output=json"],
        &["strings.yaml", "-f", "unwise.yaml", "-o=json"],
        &["-filename", "strings.yaml", "-filename=unwise.yaml", "-output", "json"],
    ] {
        let output = lint(arguments);
        assert_eq!((stdout(&output), output.status.code()), (stdout(&plain), Some(1)), "{arguments:?}");
    }
    let class = std::fs::read_to_string(manifests().join("strings.yaml")).unwrap();
    let output = lint_with(&manifests(), &["-f", "-"], &class, &[]);
    assert!(stdout(&output).starts_with("<stdin>:8:5: error: clientID: "), "{}", stdout(&output));
    let unknown = lint(&["-o", "yaml", "strings.yaml"]);
    assert_eq!(unknown.status.code(), Some(2));
    let said = stderr(&unknown);
    assert!(said.contains("'--format <FORMAT>'") && said.contains("text, json, github"), "{said}");
}

#[test]
fn the_provider_name_selects_the_classes() {
    let class = "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nspec: {provider: azure-canary}\n";
    let found = |arguments: &[&str]| stdout(&lint_with(&manifests(), arguments, class, &[])).lines().count();
    assert_eq!((found(&["-"]), found(&["--provider-name=azure-canary", "-"])), (0, 2));
}

#[test]
fn the_settings_of_the_operator_are_respected() {
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
fn colour_is_only_for_terminals_and_on_request() {
    let coloured =
        |set: &[(&str, &str)]| lint_with(&manifests(), &["strings.yaml"], "", set).stdout.contains(&b'\x1b');
    assert!(!coloured(&[]));
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

#[test]
fn the_github_format_has_one_annotation_on_each_line() {
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
fn the_json_format_is_one_object_even_without_findings() {
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
fn a_closed_pipe_does_not_change_the_exit_code() {
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
fn control_characters_of_a_file_are_not_printed() {
    let class = "apiVersion: \"secrets-store.csi.x-k8s.io/v\\e[2J\"\nkind: SecretProviderClass\nspec: {provider: azure, \"para\\e[2J\": 1}\n";
    let output = lint_with(&manifests(), &["-"], class, &[]);
    assert!(stdout(&output).lines().count() > 2 && !output.stdout.contains(&b'\x1b'), "{}", stdout(&output));
}
