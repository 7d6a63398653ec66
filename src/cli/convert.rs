//! `convert`: converts manifests of the External Secrets Operator.

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::external_secrets::{self, Conversion, NoteKind};
use crate::manifest::ManifestSources;

const AFTER_HELP: &str = "\
Exit codes:
  0  every file was read and converted; notes name what is not carried over
  1  a document is broken and left unchanged, or with --strict something is not carried over
  2  wrong usage, or a file cannot be read; the other files are still converted

Examples:
  Show what a conversion changes:
    keyvault-csi-provider convert deploy/ | kubectl diff -f -
  Convert the output of a chart, but only if nothing is lost:
    helm template my-release ./chart | keyvault-csi-provider convert --strict - > converted.yaml
  Convert the objects of a cluster:
    kubectl get secretstore,externalsecret,serviceaccount,deployment -n shop -o yaml |
      keyvault-csi-provider convert -";

const FILES_HELP: &str = "Files or directories of manifests that belong together: stores, service accounts, \
    ExternalSecrets, and the workloads that use their Secrets; - reads standard input";

/// Flags of `convert`.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct ConvertArgs {
    /// The manifests.
    #[arg(required_unless_present = "filename", value_name = "FILE|DIR|-", help = FILES_HELP)]
    pub files: Vec<PathBuf>,
    /// The same, as a flag, which kubectl has; may be repeated
    #[arg(short = 'f', long, value_name = "FILE|DIR|-")]
    pub filename: Vec<PathBuf>,
    /// The format of the manifests: yaml is the only one
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "yaml", value_parser = output)]
    pub output: Output,
    /// Fail and write no output if something is not carried over
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

/// Writes the converted manifests to standard output, and notes and errors to standard error.
pub fn run(args: ConvertArgs) -> ExitCode {
    let (mut sources, mut unread) = (Vec::new(), 0);
    let Output::Yaml = args.output;
    for source in ManifestSources::new([args.files, args.filename].concat()) {
        match source {
            Ok(source) => sources.push(source),
            Err(error) => {
                unread += 1;
                write_error(&format!("error: {error}"));
            }
        }
    }
    let Conversion { text, notes, errors } = external_secrets::convert(&sources);
    for error in &errors {
        write_error(&format!("error: {error}"));
    }
    for note in &notes {
        write_error(&note.to_string());
    }
    let lost = notes.iter().filter(|note| note.kind == NoteKind::NotCarriedOver).count();
    let code = match (unread, errors.len(), args.strict && lost > 0) {
        (0, 0, false) => ExitCode::SUCCESS,
        (0, ..) => ExitCode::FAILURE,
        _ => ExitCode::from(2),
    };
    if args.strict && code != ExitCode::SUCCESS {
        let unread = unread + errors.len();
        write_error(&format!("error: no output is written: {lost} not carried over, {unread} not read"));
        return code;
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        // A closed pipe is not an error: the reader needs no more lines.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            write_error(&format!("error: standard output: {error}"));
            ExitCode::FAILURE
        }
        _ => code,
    }
}

/// Writes a line to standard error. A failure is ignored: there is no other output for it.
fn write_error(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
