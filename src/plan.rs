//! From a mount request to a [`MountPlan`]: typed, validated, every mistake found at once.
//!
//! After this there is no string map in the program. Planning knows no network, no file and no
//! clock; the parameters and their meaning are those of the Go provider.

mod attributes;
mod cloud;
mod draft;
mod durations;
mod environment_file;
mod finding;
mod identity;
mod json_fields;
mod known_names;
mod mode;
mod names;
mod object;
mod objects;
mod paths;
mod principal;
mod templates;
#[cfg(test)]
mod tests;
mod token;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use attributes::{Attributes, parameter_fault};
pub(crate) use attributes::{POD_ACCOUNT, POD_NAME, POD_NAMESPACE, TOKENS, boolean};
pub use cloud::{Cloud, Endpoints, VaultSuffix, VaultUrl};
pub use draft::Draft;
pub use finding::{Fault, Finding, PlanError, Severity};
pub(crate) use finding::{nearest, quoted, unknown};
pub use identity::{
    AnnotatedIdentity, Identity, ManagedIdentity, PlannedIdentity, Through, WorkloadIdentity,
};
pub use json_fields::{FieldFile, JmesPath, JsonField, KeyPattern};
pub use mode::IdentityMode;
pub use names::{ClientId, FileMode, ObjectName, ObjectVersion, RelativePath, TenantId, VaultName};
pub use object::{Encoding, Format, History, ObjectKind, ObjectPlan};
pub use objects::WrittenObject;
pub use principal::{ClientCredential, ServicePrincipal};
pub(crate) use templates::line_and_column;
pub use templates::{FILTERS, TemplatePlan, TemplateSource};
pub use token::{Claims, IDENTITY_BINDING_AUDIENCE, ServiceAccountToken, TOKEN_EXCHANGE_AUDIENCE};

use finding::Findings;

/// What one mount has to do.
#[derive(Clone, Debug)]
pub struct MountPlan {
    /// The pod that mounts, as kubelet says it.
    pub pod: Pod,
    /// The volume's directory.
    pub target: PathBuf,
    /// The Entra that issues access tokens, and the resource they are for.
    pub endpoints: Endpoints,
    /// Who asks.
    pub identity: PlannedIdentity,
    /// What is fetched, in the request's order; never empty.
    pub objects: Vec<ObjectPlan>,
    /// Files that are made of several objects.
    pub templates: Vec<TemplatePlan>,
    /// How old a value may be with which an already mounted volume is refreshed.
    pub rotation_max_age: Duration,
    /// How old a value may be that stands in for one that cannot be had; zero for none.
    pub stale_if_error: Duration,
    /// What is legal but probably not meant.
    pub warnings: Vec<Finding>,
}

/// The pod of a mount, for logs, errors and the operator's policy. What a vault lets a pod read is never
/// decided by these: they are claims of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its unique id; empty if the request does not say.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// Its `SecretProviderClass`; empty if the request does not say.
    pub class: String,
}

/// What the operator set for all requests.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// The cloud of requests that name none.
    pub cloud: Cloud,
    /// The environment file of requests for a private cloud that name none.
    pub environment_file: Option<PathBuf>,
    /// The tenant of requests that name none.
    pub tenant: Option<TenantId>,
    /// Suffixes that `vaultURL` may use besides the cloud's own.
    pub allowed_vault_suffixes: Vec<VaultSuffix>,
    /// How old a value may be with which a mounted volume is refreshed, where the class does not say.
    pub rotation_max_age: Duration,
    /// The most that a class may ask for.
    pub rotation_max_age_limit: Duration,
    /// How old a value may be that stands in for one that cannot be had. A class may ask for less.
    pub stale_if_error: Duration,
    /// The vaults that are asked on a first mount when others, by name, are unavailable.
    pub failover_vaults: BTreeMap<VaultName, VaultName>,
}

impl Default for Defaults {
    /// What an operator who sets nothing gets.
    fn default() -> Self {
        Self {
            cloud: Cloud::Public,
            environment_file: None,
            tenant: None,
            allowed_vault_suffixes: Vec::new(),
            rotation_max_age: Duration::from_secs(60),
            rotation_max_age_limit: Duration::from_secs(24 * 3600),
            stale_if_error: Duration::from_secs(24 * 3600),
            failover_vaults: BTreeMap::new(),
        }
    }
}

/// The parts of a mount request that are planned.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Parameters and volume context.
    pub attributes: &'a Attributes,
    /// The node publish secret and, with newer drivers, tokens.
    pub secrets: &'a Attributes,
    /// The volume's directory.
    pub target_path: &'a str,
    /// The default file mode, decimal.
    pub permission: &'a str,
    /// What [`Attributes::cloud_environment_file`] was read as, if it names a file.
    pub environment: Option<Result<Endpoints, Fault>>,
}

impl MountPlan {
    /// Reads a request.
    ///
    /// # Errors
    /// [`PlanError`] lists every mistake, each with its place and its mend.
    pub fn parse(request: Request<'_>, defaults: &Defaults) -> Result<Self, PlanError> {
        let mut findings = Findings::default();
        request.attributes.warn_of_unknown(&mut findings);
        let draft = Draft::read(request, defaults, &mut findings);
        draft.finish(findings.finish()?)
    }
}

fn pod(attributes: &Attributes, findings: &mut Findings) -> Pod {
    let text = |key: &str| attributes.text(key).unwrap_or_default().to_owned();
    let mut required = |key: &str| {
        if attributes.text(key).is_none() {
            findings.error(
                key,
                Fault::new("it is missing", "the CSIDriver object must have podInfoOnMount: true"),
            );
        }
        text(key)
    };
    Pod {
        name: required(POD_NAME),
        uid: text("csi.storage.k8s.io/pod.uid"),
        namespace: required(POD_NAMESPACE),
        service_account: text(POD_ACCOUNT),
        class: text("secretProviderClass"),
    }
}

/// Reads the volume's directory: an absolute path that does not climb.
pub(crate) fn target_path(text: &str) -> Result<PathBuf, Fault> {
    let climbs = text.split('/').any(|element| element == "..");
    if text.starts_with('/') && !climbs && !text.contains('\0') && text.len() <= 4096 {
        // With a slash at its end a path would lead through a symbolic link.
        return Ok(PathBuf::from(format!("/{}", text.trim_matches('/'))));
    }
    Err(Fault::new(
        format!("{} is not an absolute path", quoted(text)),
        "the driver must send the volume's directory",
    ))
}

fn endpoints(
    attributes: &Attributes,
    environment: Option<Result<Endpoints, Fault>>,
    defaults: &Defaults,
    findings: &mut Findings,
) -> Option<Endpoints> {
    let cloud = match attributes.text("cloudName") {
        Some(text) => findings.take("cloudName", Cloud::parse(text))?,
        None => defaults.cloud,
    };
    if cloud != Cloud::Stack && attributes.text("cloudEnvFileName").is_some() {
        let problem = "it has no effect without cloudName: AzureStackCloud";
        findings.warning("cloudEnvFileName", Fault::new(problem, "remove it, or set the cloud"));
    }
    match (cloud.endpoints(), environment) {
        (Some(endpoints), _) => Some(endpoints),
        (None, Some(environment)) => findings.take("cloudEnvFileName", environment),
        (None, None) => {
            let help = "name the environment file of the private cloud, as the provider's container sees it, here or for all classes in the provider's AZURE_ENVIRONMENT_FILEPATH";
            findings.error("cloudEnvFileName", Fault::new("AzureStackCloud needs it", help));
            None
        }
    }
}

/// The vault that is asked when the class's own is unavailable.
fn failover(
    attributes: &Attributes,
    endpoints: Option<&Endpoints>,
    findings: &mut Findings,
) -> Option<VaultUrl> {
    let key = "failoverKeyvaultName";
    let name = findings.take(key, VaultName::parse(attributes.text(key)?))?;
    findings.take(key, VaultUrl::of(&name, &endpoints?.vault_suffix))
}

fn vault(
    attributes: &Attributes,
    endpoints: Option<&Endpoints>,
    defaults: &Defaults,
    findings: &mut Findings,
) -> Option<VaultUrl> {
    match (attributes.text("keyvaultName"), attributes.text("vaultURL")) {
        (Some(_), Some(_)) => {
            findings.error("vaultURL", Fault::new("keyvaultName is there too", "keep one of the two"));
            None
        }
        (Some(name), None) => {
            let name = findings.take("keyvaultName", VaultName::parse(name))?;
            findings.take("keyvaultName", VaultUrl::of(&name, &endpoints?.vault_suffix))
        }
        (None, Some(url)) => {
            let suffixes = defaults.allowed_vault_suffixes.iter().chain([&endpoints?.vault_suffix]);
            findings.take("vaultURL", VaultUrl::parse(url, &suffixes.collect::<Vec<_>>()))
        }
        (None, None) => None,
    }
}
