//! `completion` and `man`: shell completion scripts and manual pages, generated from the help of the program.

use std::io::{self, Write};

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;

const COMPLETION_EXAMPLES: &str = "\
Examples:
  In this shell only:
    source <(keyvault-csi-provider completion bash)
  In each new shell:
    keyvault-csi-provider completion zsh > \"${fpath[1]}/_keyvault-csi-provider\"";

const MAN_EXAMPLES: &str = "\
Examples:
  Read about a command:
    keyvault-csi-provider man lint | man -l -
  Install the page of the program:
    keyvault-csi-provider man > /usr/local/share/man/man1/keyvault-csi-provider.1";

/// Flags of `completion`.
#[derive(Args, Clone, Debug)]
#[command(after_help = COMPLETION_EXAMPLES)]
pub struct CompletionArgs {
    /// Shell to generate the script for
    shell: Shell,
}

/// Flags of `man`.
#[derive(Args, Clone, Debug)]
#[command(after_help = MAN_EXAMPLES)]
pub struct ManArgs {
    /// Command to document [default: the whole program]
    command: Option<String>,
}

/// Prints a completion script.
///
/// # Errors
/// If standard output cannot be written.
pub fn completion(args: &CompletionArgs, mut program: Command) -> anyhow::Result<()> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, name, &mut script);
    print(&script)
}

/// Prints a manual page.
///
/// # Errors
/// If there is no such command, or standard output cannot be written.
pub fn man(args: &ManArgs, mut program: Command) -> anyhow::Result<()> {
    program.build();
    let command = match &args.command {
        None => program,
        Some(name) => program
            .find_subcommand(name)
            .with_context(|| format!("unknown command {name:?}; --help lists the commands"))?
            .clone(),
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(&page)
}

/// Prints a text. A closed pipe is not an error.
fn print(text: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("cannot write to standard output"),
    }
}
