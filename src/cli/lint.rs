//! `lint`: what is wrong with manifests, before a cluster has them.

mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::lint::Linter;
use crate::manifest::{Fragments, ManifestSources};
use crate::plan::{Cloud, Defaults, Fault, TenantId, VaultSuffix};
use report::{Format, Report};

const AFTER_HELP: &str = "\
Exit codes:
  0  no findings, or only warnings
  1  there are errors, or warnings with --strict
  2  wrong usage, or a file that cannot be read; the other files are still linted

Examples:
  Lint every manifest of a repository:
    keyvault-csi-provider lint deploy/
  Lint the output of a chart:
    helm template my-release ./chart | keyvault-csi-provider lint -
  Lint the classes of a cluster, with findings as JSON:
    kubectl get secretproviderclass -A -o json | keyvault-csi-provider lint -f - -o json
  Annotate a pull request, in a workflow of GitHub Actions:
    keyvault-csi-provider lint --format=github --strict deploy/";

/// Flags of `lint`.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct LintArgs {
    /// Files, directories (with every .yaml, .yml and .json file below them), or - for standard input
    #[arg(required_unless_present = "filename", value_name = "FILE|DIR|-")]
    files: Vec<PathBuf>,
    /// File or directory, as with kubectl; may be repeated
    #[arg(short = 'f', long, value_name = "FILE|DIR|-")]
    filename: Vec<PathBuf>,
    /// Format of the findings
    #[arg(short = 'o', long, visible_alias = "output", value_enum, default_value = "text")]
    format: Format,
    /// Exit with 1 if there are warnings
    #[arg(long)]
    strict: bool,
    /// Lint classes with this spec.provider
    #[arg(long, value_name = "NAME", default_value = "azure")]
    provider_name: String,
    /// The server's --cloud-name
    #[arg(long, value_name = "CLOUD", default_value = "AzurePublicCloud", value_parser = |text: &str| parsed(Cloud::parse(text)))]
    cloud_name: Cloud,
    /// The server's --default-tenant-id
    #[arg(long, value_name = "TENANT", value_parser = |text: &str| parsed(TenantId::parse(text)))]
    default_tenant_id: Option<TenantId>,
    /// The server's --allowed-vault-suffix; may be repeated
    #[arg(long, value_name = "SUFFIX", value_parser = |text: &str| parsed(VaultSuffix::parse(text)))]
    allowed_vault_suffix: Vec<VaultSuffix>,
    /// The server's --rotation-max-age-limit
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    rotation_max_age_limit: humantime::Duration,
    /// The server's --stale-if-error
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    stale_if_error: humantime::Duration,
}

fn parsed<T>(parsed: Result<T, Fault>) -> Result<T, String> {
    parsed.map_err(|fault| format!("{}; {}", fault.problem, fault.help))
}

/// Lints, prints the findings and returns the exit code.
pub fn run(args: LintArgs) -> ExitCode {
    let linter = Linter {
        provider: args.provider_name,
        defaults: Defaults {
            cloud: args.cloud_name,
            tenant: args.default_tenant_id,
            allowed_vault_suffixes: args.allowed_vault_suffix,
            rotation_max_age_limit: args.rotation_max_age_limit.into(),
            stale_if_error: args.stale_if_error.into(),
            ..Defaults::default()
        },
    };
    let files = [args.files, args.filename].concat();
    let fragments = Fragments::of(&files);
    let mut report = Report::new(args.format);
    for source in ManifestSources::new(files) {
        match source {
            Ok(source) if fragments.contains(&source.name) => {
                report.file(&source.name, linter.fragment(&source));
            }
            Ok(source) => report.file(&source.name, linter.file(&source)),
            Err(error) => report.unreadable(&error),
        }
    }
    report.finish(&linter.provider, args.strict)
}
