//! `convert`: manifests of the External Secrets Operator into those of the driver.

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::external_secrets::{self, Conversion, Weight};
use crate::manifest::{Source, Sources};

/// Flags of the conversion.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Exit code: 0 when everything was read, and with --strict was carried over, too; 1 when a file or document could not \
be read, or with --strict something was not carried over; 2 for wrong usage.")]
pub struct ConvertArgs {
    /// Files or folders of manifests that belong together: stores, service accounts, `ExternalSecret`s, and what
    /// uses their Secrets; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Fail, and write nothing, if something is not carried over
    #[arg(long)]
    pub strict: bool,
}

/// Converts to standard output; what is to be known goes to standard error.
pub fn run(args: &ConvertArgs) -> ExitCode {
    let (sources, unread): (Vec<_>, Vec<_>) = Sources::new(args.files.clone()).partition(Result::is_ok);
    let sources = sources.into_iter().filter_map(Result::ok).collect::<Vec<Source>>();
    let Conversion { text, notes, errors } = external_secrets::convert(&sources);
    let unread = unread.into_iter().filter_map(Result::err).map(|error| error.to_string());
    let errors = unread.chain(errors.iter().map(ToString::to_string)).collect::<Vec<_>>();
    errors.iter().for_each(|error| say(&format!("error: {error}")));
    notes.iter().for_each(|note| say(&note.to_string()));
    let lost = notes.iter().filter(|note| note.weight == Weight::NotCarriedOver).count();
    if args.strict && (lost > 0 || !errors.is_empty()) {
        say(&format!("error: nothing is written: {lost} not carried over, {} not read", errors.len()));
        return ExitCode::FAILURE;
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads only the first lines has seen what he wanted.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            say(&format!("error: standard output: {error}"));
            ExitCode::FAILURE
        }
        _ if errors.is_empty() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// A line on standard error, if anybody is there.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
