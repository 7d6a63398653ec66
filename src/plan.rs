//! Turns a mount request into a [`MountPlan`]: typed and validated, with all mistakes reported at once.
//!
//! No other module reads the request's string maps. Planning uses no network, no file and no clock. The parameters have
//! the same meaning as in the Go provider.

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
pub(crate) use draft::target_path;
pub use finding::{Fault, Finding, PlanError, Severity};
pub(crate) use finding::{nearest, quoted, unknown};
pub use identity::{
    AnnotatedIdentity, Identity, ManagedIdentity, PlannedIdentity, TokenExchange, WorkloadIdentity,
};
pub use json_fields::{FieldFile, JmesPath, JsonField, KeyPattern};
pub use mode::IdentityMode;
pub use names::{ClientId, FileMode, ObjectName, ObjectVersion, RelativePath, TenantId, VaultName};
pub use object::{History, ObjectEncoding, ObjectFormat, ObjectKind, ObjectPlan};
pub use objects::ParsedObject;
pub use principal::{ClientCredential, ServicePrincipal};
pub(crate) use templates::line_and_column;
pub use templates::{FILTERS, TemplatePlan, TemplateSource};
pub use token::{Claims, IDENTITY_BINDING_AUDIENCE, ServiceAccountToken, TOKEN_EXCHANGE_AUDIENCE};

use finding::Findings;

/// The steps of one mount.
#[derive(Clone, Debug)]
pub struct MountPlan {
    /// The pod that mounts, as reported by kubelet.
    pub pod: Pod,
    /// The volume's directory.
    pub target: PathBuf,
    /// The cloud's endpoints.
    pub endpoints: Endpoints,
    /// The identity that reads the vaults.
    pub identity: PlannedIdentity,
    /// The objects to fetch, in the request's order; never empty.
    pub objects: Vec<ObjectPlan>,
    /// Files that are made of several objects.
    pub templates: Vec<TemplatePlan>,
    /// Maximum age of a cached value used to refresh a mounted volume.
    pub rotation_max_age: Duration,
    /// Maximum age of a cached value used when fetching fails; zero disables this.
    pub stale_if_error: Duration,
    /// Findings that do not fail the mount.
    pub warnings: Vec<Finding>,
}

/// The pod of a mount, for logs, errors and the operator's policy. These values are claims of the request: they never
/// decide what a vault lets a pod read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its unique id; empty if the request has none.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// Its `SecretProviderClass`; empty if the request has none.
    pub class: String,
}

/// The operator's settings for all requests.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// The cloud for requests that name none.
    pub cloud: Cloud,
    /// The environment file for requests that use a private cloud and name no file.
    pub environment_file: Option<PathBuf>,
    /// The tenant for requests that name none.
    pub tenant: Option<TenantId>,
    /// Suffixes that `vaultURL` may use in addition to the cloud's own.
    pub allowed_vault_suffixes: Vec<VaultSuffix>,
    /// Maximum age of a cached value used to refresh a mounted volume, for classes without `rotationMaxAge`.
    pub rotation_max_age: Duration,
    /// The largest `rotationMaxAge` that a class may set.
    pub rotation_max_age_limit: Duration,
    /// Maximum age of a cached value used when fetching fails. A class may set a lower one.
    pub stale_if_error: Duration,
    /// The failover vault of each vault, by name, used for first mounts while the vault is unavailable.
    pub failover_vaults: BTreeMap<VaultName, VaultName>,
}

impl Default for Defaults {
    /// The settings of an operator who sets nothing.
    fn default() -> Self {
        Self {
            cloud: Cloud::Public,
            environment_file: None,
            tenant: None,
            allowed_vault_suffixes: Vec::new(),
            rotation_max_age: Duration::from_mins(1),
            rotation_max_age_limit: Duration::from_hours(24),
            stale_if_error: Duration::from_hours(24),
            failover_vaults: BTreeMap::new(),
        }
    }
}

/// The parts of a mount request that planning reads.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Parameters and volume context.
    pub attributes: &'a Attributes,
    /// The Secret of `nodePublishSecretRef` and, with newer drivers, the service account tokens.
    pub secrets: &'a Attributes,
    /// The volume's directory.
    pub target_path: &'a str,
    /// The default file mode, as a decimal number.
    pub permission: &'a str,
    /// The contents of [`Attributes::cloud_environment_file`], if it names a file.
    pub environment: Option<Result<Endpoints, Fault>>,
}

impl MountPlan {
    /// Parses a request.
    ///
    /// # Errors
    /// [`PlanError`] lists every mistake with its location and its fix.
    pub fn parse(request: Request<'_>, defaults: &Defaults) -> Result<Self, PlanError> {
        let mut findings = Findings::default();
        request.attributes.warn_about_unknown(&mut findings);
        let draft = Draft::read(request, defaults, &mut findings);
        draft.finish(findings.finish()?)
    }
}
