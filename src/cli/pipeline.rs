//! Flags of every command that mounts: how to reach Azure, and how certificates are written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::ArgAction;
use url::Url;

use crate::deliver::FileWriter;
use crate::identity::{ClusterApi, IMDS, KeySource, TokenProxy};
use crate::plan::{Cloud, Defaults, Fault, TenantId, VaultName, VaultSuffix};
use crate::render;
use crate::settings::Pipeline;

/// The variable by which the Go provider finds the environment file of a private cloud.
const ENVIRONMENT_FILE: &str = "AZURE_ENVIRONMENT_FILEPATH";

/// Flags of the pipeline.
#[derive(Args, Clone, Debug)]
pub struct PipelineArgs {
    /// The cloud of classes that name none; the public one if left out
    #[arg(long)]
    pub cloud_name: Option<String>,
    /// The tenant of classes and service accounts that name none
    #[arg(long)]
    pub default_tenant_id: Option<String>,
    /// DNS suffix that a class's vaultURL may use besides its cloud's own; may be repeated
    #[arg(long)]
    pub allowed_vault_suffix: Vec<String>,
    /// A vault, by name, that is asked on first mounts while another is unavailable; may be repeated
    #[arg(long, value_name = "VAULT=REPLICA")]
    pub failover_vault: Vec<String>,
    /// Where the provider's own token and the cluster's CA are, in a cluster
    #[arg(long, default_value = "/var/run/secrets/kubernetes.io/serviceaccount")]
    pub service_account_dir: PathBuf,
    /// The token proxy of AKS, for identity binding; an empty value is the default
    #[arg(long, default_value = TokenProxy::URL)]
    pub token_proxy_url: String,
    /// The server name of the token proxy; computed from the API server's certificate if left out
    #[arg(long)]
    pub sni_name: Option<String>,
    /// The metadata service that gives a node the tokens of its managed identities
    #[arg(long, default_value = IMDS)]
    pub imds_endpoint: String,
    /// Goes before the user agent of requests to Key Vault
    #[arg(long)]
    pub custom_user_agent: Option<String>,
    /// Put the chain of a certificate's secret in order: leaf, intermediates, root
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_value = "true", default_missing_value = "true")]
    pub construct_pem_chain: bool,
    /// Write certificate and key of a certificate's secret also as files that end in .crt and .key
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_value = "false", default_missing_value = "true")]
    pub write_cert_and_key_in_separate_files: bool,
    /// Write log lines as JSON
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_value = "false", default_missing_value = "true")]
    pub log_format_json: bool,
    /// Verbosity: 0 for what an operator needs, 2 for the steps of each mount, 8 and more for everything
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value_t = 0, allow_negative_numbers = true)]
    pub verbosity: i32,
}

/// A boolean as the Go provider's flags take it (`strconv.ParseBool`).
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

/// A port as the Go provider's flags take it: an integer literal of Go.
pub(super) fn parse_port(text: &str) -> Result<u16, String> {
    let known = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8), ("0", 8)];
    let prefixed = known.iter().find_map(|(prefix, radix)| Some((text.strip_prefix(prefix)?, *radix)));
    let (digits, radix) = prefixed.filter(|(digits, _)| !digits.is_empty()).unwrap_or((text, 10));
    u16::from_str_radix(&digits.replace('_', ""), radix)
        .map_err(|_| "write a number from 0 to 65535".to_owned())
}

impl PipelineArgs {
    /// Checks the flags, and adds what the environment says, as the server's flags are. What is for a
    /// server to decide is as one mount needs it: nothing is shared, and the files are written here.
    ///
    /// # Errors
    /// A sentence that names the flag.
    pub fn check(&self, environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<Pipeline> {
        let cloud = self.cloud_name.as_deref().map_or(Ok(Cloud::Public), Cloud::parse);
        let cloud = cloud.map_err(|fault| flag("--cloud-name", &fault))?;
        let suffixes = self.allowed_vault_suffix.iter().map(|text| VaultSuffix::parse(text));
        let allowed_vault_suffixes =
            suffixes.collect::<Result<_, _>>().map_err(|fault| flag("--allowed-vault-suffix", &fault))?;
        let default_tenant = self.default_tenant_id.as_deref().map(TenantId::parse).transpose();
        let default_tenant = default_tenant.map_err(|fault| flag("--default-tenant-id", &fault))?;
        Ok(Pipeline {
            defaults: Defaults {
                cloud,
                environment_file: environment(ENVIRONMENT_FILE)
                    .filter(|file| !file.is_empty())
                    .map(PathBuf::from),
                tenant: default_tenant.clone(),
                allowed_vault_suffixes,
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
            imds: Url::parse(&self.imds_endpoint)
                .with_context(|| format!("--imds-endpoint={:?} is not a URL", self.imds_endpoint))?,
            token_proxy: token_proxy(self)?,
            keys: KeySource::None,
            cluster: cluster(self, environment),
            default_tenant,
        })
    }
}

/// `--failover-vault main=replica`, as often as it is there.
fn failover_vaults(texts: &[String]) -> anyhow::Result<BTreeMap<VaultName, VaultName>> {
    let mut vaults = BTreeMap::new();
    for text in texts {
        let (vault, replica) = text
            .split_once('=')
            .with_context(|| format!("--failover-vault={text:?} is not VAULT=REPLICA"))?;
        let name = |name| VaultName::parse(name).map_err(|fault| flag("--failover-vault", &fault));
        let (vault, replica) = (name(vault)?, name(replica)?);
        if vault == replica {
            bail!("--failover-vault={text:?} names one vault twice");
        }
        if vaults.insert(vault, replica).is_some() {
            bail!("--failover-vault={text:?} gives its vault a second replica; one is asked");
        }
    }
    Ok(vaults)
}

fn token_proxy(args: &PipelineArgs) -> anyhow::Result<TokenProxy> {
    let given = Some(args.token_proxy_url.as_str()).filter(|url| !url.is_empty());
    let url = Url::parse(given.unwrap_or(TokenProxy::URL))
        .ok()
        .filter(|url| url.scheme() == "https" && url.host_str().is_some());
    let url =
        url.with_context(|| format!("--token-proxy-url={:?} is not an https URL", args.token_proxy_url))?;
    let server_name = args.sni_name.clone().filter(|name| !name.is_empty());
    Ok(TokenProxy::new(url, server_name, args.service_account_dir.join("ca.crt")))
}

fn flag(name: &str, fault: &Fault) -> anyhow::Error {
    anyhow::anyhow!("{name}: {}; {}", fault.problem, fault.help)
}

/// Every pod is told where its cluster's API server is.
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
