//! Completion scripts and manual pages.

use std::process::{Command, Output, Stdio};

use crate::harness::PROGRAM;

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

#[test]
fn every_shell_has_a_completion_script_with_commands_and_flags() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completion", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        for words in ["lint", "strict", "healthz-port"] {
            assert!(output.status.success() && script.contains(words), "{shell}: {words}");
        }
    }
    assert_eq!(run(&["completion", "no-such-shell"]).status.code(), Some(2));
}

#[test]
fn the_program_and_every_command_have_a_manual_page() {
    for (arguments, words) in [
        (&["man"][..], [".TH keyvault-csi-provider 1", "healthz\\-port"]),
        (&["man", "serve"], [".TH keyvault-csi-provider-serve 1", "healthz\\-port"]),
        (&["man", "lint"], [".TH keyvault-csi-provider-lint 1", "Exit codes"]),
    ] {
        let output = run(arguments);
        let page = String::from_utf8(output.stdout).unwrap();
        assert!(words.iter().all(|words| page.contains(words)), "{arguments:?}: {page}");
    }
    let none = run(&["man", "no-such-command"]);
    assert!(!none.status.success() && String::from_utf8(none.stderr).unwrap().contains("no-such-command"));
}

#[test]
fn a_closed_output_pipe_is_not_an_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(PROGRAM).arg("man").stdout(writer).stderr(Stdio::null()).status().unwrap();
    assert!(status.success());
}
