//! What every command that mounts must know: how to reach Azure, and what becomes of what it gives.

use std::path::PathBuf;

use clap::Args;
use clap::builder::ArgAction;

use crate::identity::{IMDS, TokenProxy};

/// Flags of the pipeline, whoever runs it.
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
