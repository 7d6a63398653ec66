//! The server's flags, as programs in Go take them.

use std::process::{Command, Output};

use keyvault_emulator::Emulator;

use crate::harness::{PROGRAM, Provider, seed};

/// What the program prints and how it ends, with these arguments and nothing else.
fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).env_clear().output().unwrap()
}

#[tokio::test]
async fn every_form_of_flags_that_starts_the_go_provider_starts_this_one() {
    let emulator = Emulator::start(seed()).await.unwrap();
    for arguments in [
        &["-log-format-json"][..],
        &["-healthz-timeout=5s"],
        &["-healthz-timeout", "1.5s"],
        &["--logtostderr=true"],
        &["--vmodule=auth=5"],
        &["-v=11"],
        &["-v", "-1"],
        &["--token-proxy-url="],
        &["-sni-name="],
        &["--version=false"],
        &["-pprof-port=0x17ac"],
        &["-alsologtostderr", "-skip_headers", "--skip_log_headers=T", "-add_dir_header=1", "-one_output"],
        &["-stderrthreshold=2", "-log_dir=/tmp", "-log_file", "x", "-log_file_max_size=1800"],
        &["-log_backtrace_at=main.go:10"],
        &["-metrics-backend", "PROMETHEUS", "-cloud-name", "azurepubliccloud", "-custom-user-agent="],
    ] {
        for command in [&[][..], &["serve"]] {
            let folder = tempfile::tempdir().unwrap();
            // It returns when the provider serves, and fails if it ends.
            let _serving = Provider::start(&emulator, folder.path(), &[command, arguments].concat());
        }
    }
}

#[tokio::test]
async fn one_dash_has_the_same_meaning_as_two() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(&emulator, folder.path(), &["-log-format-json"]);
    assert!(provider.log().starts_with('{'), "{}", provider.log());
}

#[tokio::test]
async fn flags_of_go_without_an_effect_are_warned_of_and_defaults_are_not() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let provider =
        Provider::start(&emulator, folder.path(), &["--vmodule=auth=5", "-log_dir", "/tmp", "-logtostderr"]);
    let log = provider.log();
    for flag in ["--vmodule has no effect", "--log_dir has no effect"] {
        assert!(log.contains(flag), "{flag:?} is not in {log}");
    }
    assert_eq!(log.matches("has no effect").count(), 2, "{log}");
}

#[tokio::test]
async fn words_after_the_servers_flags_are_ignored_with_a_warning() {
    let emulator = Emulator::start(seed()).await.unwrap();
    for word in ["lint", "word", "--"] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("run/azure.sock");
        let (endpoint, port) = (format!("-endpoint=unix://{}", socket.display()), "--healthz-port=0");
        // What the test adds itself to the end must not be needed.
        let arguments = [endpoint.as_str(), port, "--prometheus-port=0", word, "--no-such-flag"];
        let log = Provider::start(&emulator, folder.path(), &arguments).log();
        assert!(log.contains("ends the flags") && log.contains("--no-such-flag"), "{word}: {log}");
    }
}

#[test]
fn nothing_unknown_prints_the_help_and_exits_with_0() {
    for arguments in [
        &["-hx"][..],
        &["-healthz-timeouts=5s"],
        &["-help=maybe"],
        &["---help"],
        &["-=x"],
        &["serve", "-hello"],
        &["lint", "-hello"],
        &["mount", "-healthz-port=1"],
        &["convert", "-hello"],
        &["--healthz-timeout"],
        &["--log-format-json=maybe"],
        &["--logtostderr=maybe"],
        &["-v=many"],
        &["--version=maybe"],
        &["word"],
        &["word", "--help"],
    ] {
        let output = run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && output.stdout.is_empty(), "{arguments:?}: {stderr}");
    }
}

#[test]
fn the_version_and_the_help_are_printed_in_each_spelling() {
    let version = format!("keyvault-csi-provider {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [&["version"][..], &["--version"], &["-version"], &["-version=true"], &["-V"]] {
        let output = run(arguments);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), version.as_bytes()));
    }
    for arguments in [&["help"][..], &["--help"], &["-help"], &["-h"], &["lint", "-help"], &["help", "lint"]]
    {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("Usage: "), "{arguments:?}");
    }
}

#[test]
fn the_help_of_each_command_has_an_example() {
    let overview = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let commands = overview.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let names = names.collect::<Vec<_>>();
    assert!(names.contains(&"mount") && names.len() > 5, "{names:?}");
    for name in names {
        for flag in ["--help", "-h"] {
            let help = String::from_utf8(run(&[name, flag]).stdout).unwrap();
            let example = help.split("\nExample").nth(1);
            let example = example.is_some_and(|text| text.contains(&format!("keyvault-csi-provider {name}")));
            assert!(example, "{name} {flag}: {help}");
        }
    }
}
