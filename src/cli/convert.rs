//! `convert`: manifests of the External Secrets Operator into those of the driver.

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::external_secrets::{self, Conversion, Weight};
use crate::manifest::ManifestSources;

const AFTER_HELP: &str = "\
Exit codes:
  0  everything was read and converted, perhaps with notes of what is not carried over
  1  a document is broken and stays as it is, or with --strict something is not carried over
  2  wrong usage, or a file that cannot be read; the others are converted all the same

Examples:
  See what a conversion changes:
    keyvault-csi-provider convert deploy/ | kubectl diff -f -
  What a chart renders, and only if nothing is lost:
    helm template my-release ./chart | keyvault-csi-provider convert --strict - > converted.yaml
  What a cluster has:
    kubectl get secretstore,externalsecret,serviceaccount,deployment -n shop -o yaml |
      keyvault-csi-provider convert -";

/// Flags of the conversion.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct ConvertArgs {
    /// Files or folders of manifests that belong together: stores, service accounts, `ExternalSecret`s, and what
    /// uses their Secrets; - is standard input
    #[arg(required_unless_present = "filename", value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// The same, as a flag, which kubectl has; may be repeated
    #[arg(short = 'f', long, value_name = "FILE|DIR|-")]
    pub filename: Vec<PathBuf>,
    /// The format of the manifests: yaml is the only one
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "yaml", value_parser = output)]
    pub output: Output,
    /// Fail, and write nothing, if something is not carried over
    #[arg(long)]
    pub strict: bool,
}

/// The format of the converted manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// YAML documents, on standard output.
    Yaml,
}

/// A format as kubectl names it. A file's name is a likely guess as well.
fn output(text: &str) -> Result<Output, String> {
    match text {
        "yaml" => Ok(Output::Yaml),
        "json" => Err("the converted manifests are YAML; for JSON, leave --output out and append: \
             | kubectl create --dry-run=client -o json -f -"
            .to_owned()),
        _ => Err(
            "the only format is yaml, on standard output; for a file, leave --output out and append: > FILE"
                .to_owned(),
        ),
    }
}

/// Converts to standard output; what is to be known goes to standard error.
pub fn run(args: ConvertArgs) -> ExitCode {
    let (mut sources, mut unread) = (Vec::new(), 0);
    let Output::Yaml = args.output;
    for source in ManifestSources::new([args.files, args.filename].concat()) {
        match source {
            Ok(source) => sources.push(source),
            Err(error) => {
                unread += 1;
                say(&format!("error: {error}"));
            }
        }
    }
    let Conversion { text, notes, errors } = external_secrets::convert(&sources);
    for error in &errors {
        say(&format!("error: {error}"));
    }
    for note in &notes {
        say(&note.to_string());
    }
    let lost = notes.iter().filter(|note| note.weight == Weight::NotCarriedOver).count();
    let code = match (unread, errors.len(), args.strict && lost > 0) {
        (0, 0, false) => ExitCode::SUCCESS,
        (0, ..) => ExitCode::FAILURE,
        _ => ExitCode::from(2),
    };
    if args.strict && code != ExitCode::SUCCESS {
        let unread = unread + errors.len();
        say(&format!("error: nothing is written: {lost} not carried over, {unread} not read"));
        return code;
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads only the first lines has seen what he wanted.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            say(&format!("error: standard output: {error}"));
            ExitCode::FAILURE
        }
        _ => code,
    }
}

/// A line on standard error, if anybody is there.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
