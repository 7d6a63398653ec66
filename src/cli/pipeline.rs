//! Flags of all commands that mount: access to Azure, and the form of certificate files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use clap::builder::ArgAction;
use url::Url;

use crate::deliver::FileWriter;
use crate::identity::{ClusterApi, IMDS, KeySource, TokenProxy};
use crate::plan::{Cloud, Defaults, Fault, TenantId, VaultName, VaultSuffix};
use crate::render;
use crate::settings::Pipeline;

/// The Go provider's variable for the environment file of a private cloud.
const ENVIRONMENT_FILE: &str = "AZURE_ENVIRONMENT_FILEPATH";

/// Help headings of the flags.
pub(super) const SOCKET: &str = "Socket";
pub(super) const IDENTITIES: &str = "Identities";
pub(super) const CACHE: &str = "Cache and outages";
pub(super) const FILES: &str = "Files";
pub(super) const POLICY: &str = "Policy and audit";
pub(super) const HEALTH: &str = "Health and metrics";
pub(super) const LOGS: &str = "Logs";

/// Flags of the pipeline.
#[derive(Args, Clone, Debug)]
pub struct PipelineArgs {
    /// Cloud for classes without cloudName [default: the public cloud]
    #[arg(long, help_heading = IDENTITIES)]
    pub cloud_name: Option<String>,
    /// Tenant for classes and service accounts that name none
    #[arg(long, help_heading = IDENTITIES)]
    pub default_tenant_id: Option<String>,
    /// Additional DNS suffix allowed in vaultURL; may be repeated
    #[arg(long, help_heading = POLICY)]
    pub allowed_vault_suffix: Vec<String>,
    /// Replica to use for first mounts while VAULT is unavailable; may be repeated
    #[arg(long, help_heading = CACHE, value_name = "VAULT=REPLICA")]
    pub failover_vault: Vec<String>,
    /// Directory with the provider's own token and the cluster's CA
    #[arg(long, help_heading = IDENTITIES, default_value = "/var/run/secrets/kubernetes.io/serviceaccount")]
    pub service_account_dir: PathBuf,
    /// URL of the AKS token proxy for identity binding; empty for the default
    #[arg(long, help_heading = IDENTITIES, default_value = TokenProxy::URL)]
    pub token_proxy_url: String,
    /// Server name of the token proxy [default: computed from the API server's certificate]
    #[arg(long, help_heading = IDENTITIES)]
    pub sni_name: Option<String>,
    /// URL of the metadata service for managed identities
    #[arg(long, help_heading = IDENTITIES, default_value = IMDS)]
    pub imds_endpoint: String,
    /// Prefix for the user agent of requests to Key Vault
    #[arg(long, help_heading = IDENTITIES)]
    pub custom_user_agent: Option<String>,
    /// Sort certificate chains: leaf, intermediates, root
    #[arg(long, help_heading = FILES, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_value = "true", default_missing_value = "true")]
    pub construct_pem_chain: bool,
    /// Also write certificate and key as separate .crt and .key files
    #[arg(long, help_heading = FILES, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_value = "false", default_missing_value = "true")]
    pub write_cert_and_key_in_separate_files: bool,
    /// Write log lines as JSON
    #[arg(long, help_heading = LOGS, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_value = "false", default_missing_value = "true")]
    pub log_format_json: bool,
    /// Log verbosity: 0 for operators, 2 for the steps of each mount, 8 for everything
    #[arg(help_heading = LOGS, short = 'v', long = "v", value_name = "LEVEL", default_value_t = 0, allow_negative_numbers = true)]
    pub verbosity: i32,
}

/// Parses a boolean like the Go provider's flags (`strconv.ParseBool`).
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// Parses a port like the Go provider's flags: an integer literal of Go.
pub(super) fn parse_port(text: &str) -> Result<u16, String> {
    let known = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8), ("0", 8)];
    let prefixed = known.iter().find_map(|(prefix, radix)| Some((text.strip_prefix(prefix)?, *radix)));
    let (digits, radix) = prefixed.filter(|(digits, _)| !digits.is_empty()).unwrap_or((text, 10));
    u16::from_str_radix(&digits.replace('_', ""), radix)
        .map_err(|_| "expected a number from 0 to 65535".to_owned())
}

impl PipelineArgs {
    /// Checks the flags and adds settings from the environment. Settings that only the server has get values for a
    /// single mount: nothing is cached, and the provider writes the files.
    ///
    /// # Errors
    /// A message that names the flag.
    pub fn check(&self, environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<Pipeline> {
        let default_tenant = default_tenant(self)?;
        let suffixes = self.allowed_vault_suffix.iter().map(|text| vault_suffix(text));
        Ok(Pipeline {
            defaults: Defaults {
                cloud: cloud(self)?,
                environment_file: environment(ENVIRONMENT_FILE)
                    .filter(|file| !file.is_empty())
                    .map(PathBuf::from),
                tenant: default_tenant.clone(),
                allowed_vault_suffixes: suffixes.collect::<Result<_, _>>()?,
                failover_vaults: failover_vaults(&self.failover_vault)?,
                ..Defaults::default()
            },
            cloud_environment_dir: None,
            policy_file: None,
            audit_log: None,
            cache_max_bytes: 0,
            render_options: render::Options {
                construct_chain: self.construct_pem_chain,
                separate_files: self.write_cert_and_key_in_separate_files,
            },
            file_writer: FileWriter::Provider,
            volume_memory: None,
            max_response_bytes: usize::MAX,
            application_id: self.custom_user_agent.clone().filter(|agent| !agent.is_empty()),
            imds: imds(self)?,
            token_proxy: token_proxy(self)?,
            keys: KeySource::None,
            cluster: cluster(self, environment),
            default_tenant,
        })
    }

    /// Every flag that cannot be used, where [`Self::check`] stops at the first.
    pub fn mistakes(&self) -> Vec<FlagError> {
        let mut mistakes = Vec::new();
        mistakes.extend(cloud(self).err());
        mistakes.extend(default_tenant(self).err());
        mistakes.extend(self.allowed_vault_suffix.iter().filter_map(|text| vault_suffix(text).err()));
        mistakes.extend(failover_vaults(&self.failover_vault).err());
        mistakes.extend(imds(self).err());
        mistakes.extend(token_proxy(self).err());
        mistakes
    }
}

/// Parses all `--failover-vault main=replica`.
fn failover_vaults(texts: &[String]) -> Result<BTreeMap<VaultName, VaultName>, FlagError> {
    let mut vaults = BTreeMap::new();
    for text in texts {
        let wrong = |problem, help| FlagError::new(format!("--failover-vault={text:?} {problem}"), help);
        let (vault, replica) = text.split_once('=').ok_or_else(|| {
            wrong("is not VAULT=REPLICA", "write the names of two vaults, with = between them")
        })?;
        let name = |name| VaultName::parse(name).map_err(|fault| FlagError::of("--failover-vault", fault));
        let (vault, replica) = (name(vault)?, name(replica)?);
        if vault == replica {
            return Err(wrong("names one vault twice", "name the vault that replaces it after the ="));
        }
        if vaults.insert(vault, replica).is_some() {
            return Err(wrong("gives its vault a second replica", "keep one replica for each vault"));
        }
    }
    Ok(vaults)
}

fn cloud(args: &PipelineArgs) -> Result<Cloud, FlagError> {
    let cloud = args.cloud_name.as_deref().map_or(Ok(Cloud::Public), Cloud::parse);
    cloud.map_err(|fault| FlagError::of("--cloud-name", fault))
}

fn default_tenant(args: &PipelineArgs) -> Result<Option<TenantId>, FlagError> {
    let tenant = args.default_tenant_id.as_deref().map(TenantId::parse).transpose();
    tenant.map_err(|fault| FlagError::of("--default-tenant-id", fault))
}

fn vault_suffix(text: &str) -> Result<VaultSuffix, FlagError> {
    VaultSuffix::parse(text).map_err(|fault| FlagError::of("--allowed-vault-suffix", fault))
}

fn imds(args: &PipelineArgs) -> Result<Url, FlagError> {
    let problem = || format!("--imds-endpoint={:?} is not a URL", args.imds_endpoint);
    Url::parse(&args.imds_endpoint)
        .map_err(|_| FlagError::new(problem(), "leave it out for Azure's own metadata service"))
}

fn token_proxy(args: &PipelineArgs) -> Result<TokenProxy, FlagError> {
    let given = Some(args.token_proxy_url.as_str()).filter(|url| !url.is_empty());
    let url = Url::parse(given.unwrap_or(TokenProxy::URL))
        .ok()
        .filter(|url| url.scheme() == "https" && url.host_str().is_some());
    let problem = || format!("--token-proxy-url={:?} is not an https URL", args.token_proxy_url);
    let url = url.ok_or_else(|| FlagError::new(problem(), "leave it out for the token proxy of AKS"))?;
    let server_name = args.sni_name.clone().filter(|name| !name.is_empty());
    Ok(TokenProxy::new(url, server_name, args.service_account_dir.join("ca.crt")))
}

/// A flag that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {help}")]
pub struct FlagError {
    /// The flag, and what is wrong with its value.
    pub problem: String,
    /// How to fix it.
    pub help: String,
}

impl FlagError {
    fn new(problem: String, help: &str) -> Self {
        Self { problem, help: help.to_owned() }
    }

    fn of(flag: &str, fault: Fault) -> Self {
        Self { problem: format!("{flag}: {}", fault.problem), help: fault.help }
    }
}

/// The API server, from the environment of the pod.
fn cluster(args: &PipelineArgs, environment: impl Fn(&str) -> Option<String>) -> Option<ClusterApi> {
    let host = environment("KUBERNETES_SERVICE_HOST")?;
    let port = environment("KUBERNETES_SERVICE_PORT")?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Some(ClusterApi {
        server: format!("https://{host}:{port}"),
        credentials: args.service_account_dir.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_integers_of_go() {
        for (text, port) in [
            ("0", 0),
            ("8989", 8989),
            ("+8989", 8989),
            ("0x231D", 8989),
            ("021435", 8989),
            ("0o21435", 8989),
            ("0b1_0000", 16),
            ("8_989", 8989),
        ] {
            assert_eq!(parse_port(text), Ok(port), "{text}");
        }
        for wrong in ["", "-1", "65536", "08989", "0x", "http"] {
            assert!(parse_port(wrong).is_err(), "{wrong}");
        }
    }
}
