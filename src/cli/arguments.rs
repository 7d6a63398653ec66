//! Arguments as Go's `flag` package reads them, rewritten for clap: one dash does as well as two, and a value
//! follows `=` or is the next argument, whatever it begins with.

use std::ffi::{OsStr, OsString};
use std::iter::Peekable;
use std::vec::IntoIter;

use clap::{Arg, Command};

/// What the first argument asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    /// The arguments for clap, the program's name among them.
    pub(super) kept: Vec<OsString>,
    /// What follows the server's flags. Go's `flag` stops at the first word, and the Go provider ignores the rest.
    pub(super) ignored: Vec<String>,
}

/// What a word does among the flags of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    /// It belongs to the command.
    Belong,
    /// It ends the flags.
    End,
}

impl Arguments {
    /// Rewrites the arguments of `program`. The first one decides: a flag, or nothing, is for the server; a word is
    /// a command.
    pub(super) fn read(program: &mut Command, arguments: impl IntoIterator<Item = OsString>) -> Self {
        program.build();
        let mut rest = arguments.into_iter().collect::<Vec<_>>().into_iter().peekable();
        let mut read = Self { kept: rest.next().into_iter().collect(), ignored: Vec::new() };
        let word = rest.next_if(|first| !is_flag(first));
        let chosen = word.as_deref().and_then(OsStr::to_str).and_then(|name| program.find_subcommand(name));
        let (command, words) = match (&word, chosen) {
            (None, _) => (&*program, Words::End),
            (Some(_), Some(command)) if command.get_name() == "serve" => (command, Words::End),
            (Some(_), Some(command)) => (command, Words::Belong),
            // clap says that there is no such command.
            (Some(_), None) => (&*program, Words::Belong),
        };
        read.kept.extend(word);
        read.flags(command, words, rest);
        read
    }

    fn flags(&mut self, command: &Command, words: Words, mut rest: Peekable<IntoIter<OsString>>) {
        while let Some(argument) = rest.next() {
            if argument == "--" || !is_flag(&argument) {
                if words == Words::End {
                    let all = (argument != "--").then_some(argument).into_iter().chain(rest);
                    self.ignored = all.map(|word| word.to_string_lossy().into_owned()).collect();
                    return;
                }
                let ends = argument == "--";
                self.kept.push(argument);
                if ends {
                    self.kept.extend(rest);
                    return;
                }
                continue;
            }
            let Some(flag) = argument.to_str().and_then(|text| rewrite(command, text)) else {
                self.kept.push(argument);
                continue;
            };
            let mut text = OsString::from(flag.text);
            if flag.lacks_value
                && let Some(value) = rest.next()
            {
                text.push("=");
                text.push(value);
            }
            self.kept.push(text);
        }
    }
}

/// A dash alone is a word: standard input.
fn is_flag(argument: &OsStr) -> bool {
    argument.as_encoded_bytes().starts_with(b"-") && argument != "-"
}

struct Flag {
    text: String,
    /// Whether its value is the next argument.
    lacks_value: bool,
}

/// A flag with two dashes; `None` if it is fine as it is. An unknown one gets two dashes as well, since
/// clap would read `-hx` as `-h` and print the help.
fn rewrite(command: &Command, argument: &str) -> Option<Flag> {
    let bare = argument.strip_prefix("--").or(argument.strip_prefix('-'))?;
    let (name, value) = bare.split_once('=').map_or((bare, None), |(name, value)| (name, Some(value)));
    if name.is_empty() || name.starts_with('-') {
        return None;
    }
    let long = command.get_arguments().find(|arg| is_named(arg, name));
    if long.is_none() && !argument.starts_with("--") && is_short(command, bare) {
        return None;
    }
    let lacks_value = value.is_none()
        && long.is_some_and(|arg| arg.get_action().takes_values() && !arg.is_require_equals_set());
    Some(Flag { text: format!("--{bare}"), lacks_value })
}

fn is_named(arg: &Arg, name: &str) -> bool {
    arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
}

/// Whether this is a flag of one letter, with its value if it takes one: `h`, `v5`, `fFILE`.
fn is_short(command: &Command, bare: &str) -> bool {
    let mut letters = bare.chars();
    let Some(letter) = letters.next() else { return false };
    let is_it = |arg: &&Arg| {
        arg.get_short() == Some(letter)
            || arg.get_all_short_aliases().is_some_and(|aliases| aliases.contains(&letter))
    };
    command
        .get_arguments()
        .find(is_it)
        .is_some_and(|arg| letters.as_str().is_empty() || arg.get_action().takes_values())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use proptest::prelude::*;

    use super::*;
    use crate::cli::Cli;

    fn read(arguments: &[&str]) -> (Vec<String>, Vec<String>) {
        let all = std::iter::once("program").chain(arguments.iter().copied()).map(OsString::from);
        let Arguments { kept, ignored } = Arguments::read(&mut Cli::command(), all);
        (kept.into_iter().skip(1).map(|word| word.into_string().unwrap()).collect(), ignored)
    }

    #[test]
    fn one_dash_is_two_and_a_value_may_be_the_next_argument() {
        for (arguments, kept) in [
            (&["-log-format-json"][..], &["--log-format-json"][..]),
            (&["-healthz-timeout=5s"], &["--healthz-timeout=5s"]),
            (&["-healthz-timeout", "5s"], &["--healthz-timeout=5s"]),
            (&["--token-proxy-url="], &["--token-proxy-url="]),
            (&["-sni-name", "-a-b"], &["--sni-name=-a-b"]),
            (&["-v", "11"], &["--v=11"]),
            (&["-v=11", "-v5"], &["--v=11", "-v5"]),
            (&["-h"], &["-h"]),
            (&["-hx"], &["--hx"]),
            (&["lint", "-hx", "-"], &["lint", "--hx", "-"]),
            (&["lint", "-format=json", "a.yaml"], &["lint", "--format=json", "a.yaml"]),
            (&["lint", "--", "-a.yaml"], &["lint", "--", "-a.yaml"]),
            (&["mount", "-target", "/run/x", "c.yaml"], &["mount", "--target=/run/x", "c.yaml"]),
            (&["mount", "--managed-identity", "c.yaml"], &["mount", "--managed-identity", "c.yaml"]),
            (&["nonsense", "-x"], &["nonsense", "--x"]),
        ] {
            assert_eq!(read(arguments).0, kept, "{arguments:?}");
        }
    }

    #[test]
    fn the_first_word_ends_the_servers_flags() {
        for (arguments, kept, ignored) in [
            (&["-v=1", "word", "-v=2"][..], &["--v=1"][..], &["word", "-v=2"][..]),
            (&["serve", "-v=1", "lint"], &["serve", "--v=1"], &["lint"]),
            (&["--log-format-json", "true", "-v=5"], &["--log-format-json"], &["true", "-v=5"]),
            (&["-v=1", "--", "-v=2"], &["--v=1"], &["-v=2"]),
            (&["-v=1", "-"], &["--v=1"], &["-"]),
        ] {
            assert_eq!(read(arguments), (owned(kept), owned(ignored)), "{arguments:?}");
        }
    }

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    proptest! {
        #[test]
        fn rewritten_arguments_are_left_alone_by_another_rewriting(
            arguments in prop::collection::vec("-{0,3}(v|h|hx|target|format|lint)?=?[a-z0-9]{0,3}", 0..5)
        ) {
            let words = arguments.iter().map(String::as_str).collect::<Vec<_>>();
            let (kept, _) = read(&words);
            let again = read(&kept.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(again, (kept, Vec::new()));
        }
    }
}
