//! Everything that a mount needs, and every mistake in it at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::MountArgs;
use super::caller::{CERTIFICATE_FILE, CLIENT, CLIENT_SECRET, Caller};
use super::class::Class;
use super::message::{Console, Message};
use super::request;
use super::target::{CHOOSE, Target};
use crate::environment_file::EnvironmentFiles;
use crate::identity::KeySource;
use crate::lint::Diagnostic;
use crate::plan::{
    Attributes, Cloud, Defaults, Finding, MountPlan, POD_ACCOUNT, POD_NAME, POD_NAMESPACE, PlanError,
    Request, Severity, TOKEN_EXCHANGE_AUDIENCE, TOKENS, TenantId,
};
use crate::proto::MountRequest;
use crate::render;
use crate::settings::Pipeline;

/// The directory of a dry run that names none.
const NO_TARGET: &str = "/target";

/// What is mounted, as whom and where, without a mistake that can be found before anything is asked.
pub(super) struct Preparation {
    pub(super) class: Class,
    pub(super) caller: Caller,
    /// Nothing only in a dry run.
    pub(super) target: Option<Target>,
    pub(super) plan: MountPlan,
    pub(super) render_options: render::Options,
    /// What is unwise in the class.
    pub(super) warnings: Vec<Message>,
    /// Where objects are: `objects[2]`, and its file, line and column.
    pub(super) objects: BTreeMap<String, String>,
}

/// Looks at the class, the identity, the directory and the flags. Says what is unwise in the class.
///
/// # Errors
/// Every mistake.
pub(super) async fn prepare(
    args: &MountArgs,
    environment: &dyn Fn(&str) -> Option<String>,
    console: Console,
) -> Result<(Preparation, Pipeline, MountRequest), Vec<Message>> {
    let mut mistakes = Vec::new();
    let class = args.class().map_err(|found| mistakes.extend(found)).ok();
    let caller = class.as_ref().and_then(|class| {
        tracing::debug!(name = class.name, at = class.location, "class read");
        let caller = Caller::choose(class, &args.caller, args.dry_run, environment);
        caller.map_err(|found| mistakes.extend(found)).ok()
    });
    mistakes.extend(Caller::contradiction(&args.caller));
    if let Some(caller) = &caller {
        tracing::debug!("identity chosen: {caller}");
    }
    let target = find_target(args, &mut mistakes);
    if let Some(target) = &target {
        tracing::debug!("directory found: {target}");
    }
    let pipeline = pipeline(args, class.as_ref(), caller.as_ref(), environment, &mut mistakes);
    let Some(class) = class else { return Err(mistakes) };

    let tokenless = Caller::Tokenless {
        client: environment(CLIENT),
        account: args.caller.service_account.clone(),
        audience: TOKEN_EXCHANGE_AUDIENCE,
    };
    let request = request::build(
        &class,
        caller.as_ref().unwrap_or(&tokenless),
        &args.caller,
        target.as_ref().map_or(Path::new(NO_TARGET), Target::path),
    );
    let client_elsewhere = class.text("clientID").is_none() && environment(CLIENT).is_some();
    let defaults = pipeline.as_ref().map(|pipeline| &pipeline.defaults);
    let examined = examine(&class, client_elsewhere, &request, defaults).await;
    let Examination { plan, warnings, errors, objects } = examined;
    for warning in &warnings {
        console.say(warning);
    }
    mistakes.splice(..0, errors);
    match (caller, pipeline, plan) {
        (Some(caller), Some(pipeline), Some(plan)) if mistakes.is_empty() => {
            let render_options = pipeline.render_options;
            Ok((
                Preparation { class, caller, target, plan, render_options, warnings, objects },
                pipeline,
                request,
            ))
        }
        _ => Err(mistakes),
    }
}

fn find_target(args: &MountArgs, mistakes: &mut Vec<Message>) -> Option<Target> {
    match &args.target {
        Some(directory) => Target::find(directory).map_err(|mistake| mistakes.push(mistake)).ok(),
        None if args.dry_run => None,
        None => {
            let mistake = Message::error("--target", "it is missing");
            mistakes.push(mistake.help(format!("{CHOOSE}, such as --target /dev/shm/secrets")).usage());
            None
        }
    }
}

/// What the flags, and then the environment, say where the class does not.
fn pipeline(
    args: &MountArgs,
    class: Option<&Class>,
    caller: Option<&Caller>,
    environment: &dyn Fn(&str) -> Option<String>,
    mistakes: &mut Vec<Message>,
) -> Option<Pipeline> {
    let before = mistakes.len();
    mistakes.extend(args.pipeline.mistakes().into_iter().map(Message::from));
    let (tenant, cloud) = (environment("AZURE_TENANT_ID"), environment("AZURE_AUTHORITY_HOST"));
    let tenant = tenant.filter(|_| args.pipeline.default_tenant_id.is_none());
    let tenant = tenant.map(|tenant| TenantId::parse(&tenant)).transpose();
    let tenant =
        tenant.map_err(|fault| mistakes.push(Message::fault("AZURE_TENANT_ID", fault))).ok().flatten();
    let says_cloud = class.is_some_and(|class| class.text("cloudName").is_some());
    let cloud = cloud.filter(|_| !says_cloud && args.pipeline.cloud_name.is_none());
    let cloud = cloud.and_then(|authority| {
        let cloud = Cloud::of_authority(&authority);
        if cloud.is_none() {
            mistakes.push(
                Message::error(format!("AZURE_AUTHORITY_HOST={authority:?}"), "it is the Entra of no known cloud")
                    .help("unset it, or name a private cloud in the class: cloudName: AzureStackCloud and cloudEnvFileName"),
            );
        }
        cloud
    });
    let mut pipeline = match args.pipeline.check(environment) {
        Ok(pipeline) if mistakes.len() == before => pipeline,
        Err(error) if mistakes.len() == before => {
            mistakes.push(Message::error("", error.to_string()));
            return None;
        }
        _ => return None,
    };
    if let Some(tenant) = tenant {
        pipeline.defaults.tenant = Some(tenant.clone());
        pipeline.default_tenant = Some(tenant);
    }
    if let Some(cloud) = cloud {
        pipeline.defaults.cloud = cloud;
    }
    // Only the cluster says what its service accounts stand for, and only about a token that it has proven.
    if let (Some(class), Some(Caller::ServiceAccount(token))) = (class, caller)
        && token.client.is_none()
    {
        match &pipeline.cluster {
            Some(cluster) => pipeline.keys = KeySource::Cluster(cluster.clone()),
            None => mistakes.extend(missing_ids(class, &pipeline, &token.claims().subject)),
        }
    }
    Some(pipeline)
}

/// What a class lacks where there is no cluster whose service accounts could say it.
fn missing_ids(class: &Class, pipeline: &Pipeline, subject: &str) -> Vec<Message> {
    let missing = |key: &str, help: String| {
        Message::error(class.location.clone(), format!("{key}: it is missing")).help(help)
    };
    let help = format!(
        "set it there, or {CLIENT}, to the client id of the identity whose federated credential has the subject {subject}"
    );
    let mut mistakes = vec![missing("clientID", help)];
    let has_tenant = class.text("tenantID").or(class.text("tenantId")).is_some();
    if !has_tenant && pipeline.default_tenant.is_none() {
        let help = "set it there, or give --default-tenant-id or AZURE_TENANT_ID: the id of the Entra tenant";
        mistakes.push(missing("tenantID", help.to_owned()));
    }
    mistakes
}

/// What a class is, and is not, for one request.
#[derive(Default)]
struct Examination {
    /// Only if nothing is wrong.
    plan: Option<MountPlan>,
    warnings: Vec<Message>,
    errors: Vec<Message>,
    /// Where objects are: `objects[2]`, and its file, line and column.
    objects: BTreeMap<String, String>,
}

async fn examine(
    class: &Class,
    client_elsewhere: bool,
    request: &MountRequest,
    defaults: Option<&Defaults>,
) -> Examination {
    let refused = |error: &PlanError| {
        let message = |found: &Finding| {
            let location = format!("{}: {}", class.location, found.location);
            Message::error(location, found.problem.clone()).help(found.help.clone())
        };
        Examination { errors: error.findings().iter().map(message).collect(), ..Examination::default() }
    };
    let attributes = Attributes::parse("attributes", &request.attributes);
    let secrets = Attributes::parse("secrets", &request.secrets);
    let (attributes, secrets) = match (attributes, secrets) {
        (Ok(attributes), Ok(secrets)) => (attributes, secrets),
        (Err(error), _) | (_, Err(error)) => return refused(&error),
    };
    // Where a flag is wrong, it is no finding that the class does not say what the flag was meant to.
    let tenant = || TenantId::parse("00000000-0000-0000-0000-000000000000").ok();
    let stand_in = || Defaults { tenant: tenant(), ..Defaults::default() };
    let by_flags = ["vaultURL", "cloudEnvFileName"];
    let (defaults, is_known) = match defaults {
        Some(defaults) => (defaults.clone(), true),
        None => (stand_in(), false),
    };
    let environment = match attributes.cloud_environment_file(&defaults) {
        Some(file) => {
            let is_operators = defaults.environment_file.as_ref() == Some(&file);
            let target = PathBuf::from(&request.target_path);
            Some(EnvironmentFiles::new(None).read(&file, &target, is_operators).await)
        }
        None => None,
    };
    let planned = || Request {
        attributes: &attributes,
        secrets: &secrets,
        target_path: &request.target_path,
        permission: &request.permission,
        environment: environment.clone(),
    };
    let examined = class.examine(planned(), &defaults);
    let findings = examined.findings.iter();
    let findings = findings.filter(|found| is_known || !by_flags.contains(&found.location.as_str()));
    let (errors, warnings): (Vec<_>, Vec<_>) = findings.partition(|found| found.severity == Severity::Error);
    let errors = errors.into_iter().map(|found| message(class, client_elsewhere, found)).collect::<Vec<_>>();
    let warnings = warnings.into_iter().map(|found| message(class, client_elsewhere, found)).collect();
    let examination = Examination { plan: None, warnings, errors, objects: examined.objects };
    if !is_known || !examination.errors.is_empty() {
        return examination;
    }
    match MountPlan::parse(planned(), &defaults) {
        Ok(plan) => Examination { plan: Some(plan), ..examination },
        Err(error) => refused(&error),
    }
}

/// A finding, with the flag or variable that has what the class does not.
fn message(class: &Class, client_elsewhere: bool, found: &Diagnostic) -> Message {
    let Diagnostic { severity, position, location: place, problem, help } = found;
    let elsewhere = match place.as_str() {
        POD_NAMESPACE => Some("--namespace"),
        POD_ACCOUNT => Some("--service-account"),
        POD_NAME => Some("--pod"),
        TOKENS => Some("--token-file"),
        "secrets.clientid" => Some(CLIENT),
        "secrets.clientsecret" => Some(CLIENT_SECRET),
        "secrets.clientcertificate" => Some(CERTIFICATE_FILE),
        "target_path" => Some("--target"),
        "clientID" if client_elsewhere => Some(CLIENT),
        "userAssignedIdentityID" if class.text("userAssignedIdentityID").is_none() => {
            Some("--managed-identity")
        }
        _ => None,
    };
    let help = match place.as_str() {
        POD_NAMESPACE | POD_ACCOUNT | POD_NAME => "leave it out, to have what the token says",
        _ => help,
    };
    let location = match elsewhere {
        Some(flag) => flag.to_owned(),
        None if place.is_empty() => class.at(*position),
        None => format!("{}: {place}", class.at(*position)),
    };
    // A variable that was exchanged with AZURE_CLIENT_SECRET must not show its value.
    let problem = if location == CLIENT { "it is not a client id" } else { problem };
    match severity {
        Severity::Error => Message::error(location, problem).help(help),
        Severity::Warning => Message::warning(location, problem).help(help),
    }
}
