//! `spec.parameters`: the findings of the provider's server, and the rules of the API server.

use super::class::ClassManifest;
use super::{Diagnostic, pod};
use crate::plan::{
    Attributes, Defaults, Draft, Endpoints, Fault, Finding, ParsedObject, Request, Severity, TemplatePlan,
    parameter_fault,
};
use crate::yaml::{Entry, Position, Value};

/// The objects that the parameters select.
pub(super) struct PlannedObjects {
    /// The objects without errors.
    pub objects: Vec<ParsedObject>,
    /// The valid templates.
    pub templates: Vec<TemplatePlan>,
    /// Whether all objects are without errors.
    pub complete: bool,
}

/// Checks the parameters as for a mount.
pub(super) fn check(
    class: &ClassManifest<'_>,
    defaults: &Defaults,
    diagnostics: &mut Vec<Diagnostic>,
) -> PlannedObjects {
    check_each(class, diagnostics);
    let texts = class.parameters.iter().filter_map(|entry| Some((entry, entry.value.text()?)));
    let attributes = pod::attributes(texts.map(|(entry, text)| (entry.key.clone(), text.to_owned())));
    let is_private = attributes.is_private_cloud(defaults.cloud);
    let request = Request {
        attributes: &attributes,
        secrets: &Attributes::default(),
        target_path: pod::TARGET,
        permission: pod::PERMISSION,
        environment: is_private
            .then(|| private_cloud(class.parameter("vaultURL").and_then(|entry| entry.value.text()))),
    };
    if is_private && class.parameter("cloudEnvFileName").is_none() {
        let problem = "AzureStackCloud needs an environment file, and the class does not name one";
        let help = "set cloudEnvFileName, or AZURE_ENVIRONMENT_FILEPATH in the provider's environment";
        let fault = Fault::new(problem, help);
        diagnostics.push(Diagnostic::warning(class.parameters_position, "cloudEnvFileName", fault));
    }
    check_request(class, request, defaults, diagnostics)
}

/// What is wrong with each parameter, and whether two of them mean the same.
pub(super) fn check_each(class: &ClassManifest<'_>, diagnostics: &mut Vec<Diagnostic>) {
    for entry in class.parameters {
        check_one(entry, diagnostics);
    }
    // The provider accepts both spellings.
    if let (Some(old), Some(_)) = (class.parameter("tenantId"), class.parameter("tenantID")) {
        let fault = Fault::new("tenantID is set too, and takes precedence", "remove tenantId");
        diagnostics.push(Diagnostic::warning(old.position, "tenantId", fault));
    }
}

/// What is wrong with a request that has the parameters of the class.
pub(super) fn check_request(
    class: &ClassManifest<'_>,
    request: Request<'_>,
    defaults: &Defaults,
    diagnostics: &mut Vec<Diagnostic>,
) -> PlannedObjects {
    let (draft, findings) = Draft::examine(request, defaults);
    let complete = findings.iter().all(|finding| finding.severity != Severity::Error);
    diagnostics.extend(findings.into_iter().filter_map(|finding| located(class, finding)));
    PlannedObjects { objects: draft.objects, templates: draft.templates, complete }
}

/// Checks one parameter for errors that do not depend on the others.
pub(super) fn check_one(entry: &Entry, diagnostics: &mut Vec<Diagnostic>) {
    let fault = type_fault(entry);
    diagnostics.extend(fault.map(|fault| Diagnostic::error(entry.value.position, &entry.key, fault)));
    if let Some(fault) = parameter_fault(&entry.key) {
        diagnostics.push(Diagnostic::warning(entry.position, "parameters", fault));
    }
}

/// The fault of a parameter that is not a string, which the API server rejects.
pub(super) fn type_fault(entry: &Entry) -> Option<Fault> {
    let (what, help) = match &entry.value.value {
        Value::Scalar(scalar) => match scalar.other_type()? {
            "null" => ("null", "give it a value, or remove it"),
            other => (other, "put it in quotes"),
        },
        _ if entry.key == "objects" => {
            (entry.value.kind(), "write `objects: |`, and the list below it as text")
        }
        _ => (entry.value.kind(), "write a string"),
    };
    Some(Fault::new(format!("it is {what}, but the API server accepts only strings"), help))
}

/// Adds the position in the file to a finding. `None` for a parameter of a wrong type, which has a finding already.
fn located(class: &ClassManifest<'_>, finding: Finding) -> Option<Diagnostic> {
    let key = finding.location.split(['[', '.', ',']).next().unwrap_or_default();
    let spellings: &[&str] = if key == "tenantID" { &["tenantID", "tenantId"] } else { &[key] };
    let mut entries = spellings.iter().filter_map(|key| class.parameter(key));
    let entry = entries.find(|entry| entry.value.text().is_none_or(|text| !text.trim().is_empty()));
    let position = match (entry, finding.position) {
        (Some(entry), _) if entry.value.text().is_none() => return None,
        (Some(entry), Some(inner)) => Some(in_parameter(entry, inner)),
        (Some(entry), None) if key == "objects" => Some(entry.position),
        (Some(entry), None) => Some(entry.value.position),
        (None, _) => spellings.iter().find_map(|key| class.parameter(key)).map(|entry| entry.position),
    };
    let position = position.unwrap_or(class.parameters_position);
    let fault = Fault::new(finding.problem, finding.help);
    Some(Diagnostic::new(finding.severity, position, finding.location, fault))
}

/// The position in the file of a position in the parameter `objects`.
pub(super) fn in_objects(class: &ClassManifest<'_>, inner: Position) -> Position {
    class.parameter("objects").map_or(class.parameters_position, |entry| in_parameter(entry, inner))
}

/// The position in the file of a position in the text of a parameter; the position of the parameter if escapes or
/// folding moved the text.
fn in_parameter(Entry { position, value, .. }: &Entry, inner: Position) -> Position {
    let Value::Scalar(scalar) = &value.value else { return *position };
    scalar.locate(untrimmed(inner, scalar.text())).unwrap_or(*position)
}

/// Converts a position in the trimmed text to a position in the text.
fn untrimmed(inner: Position, text: &str) -> Position {
    let before = text.strip_suffix(text.trim_start()).unwrap_or_default();
    let indent = before.rsplit('\n').next().unwrap_or_default().chars().count();
    let Position { line, column } = inner;
    let column = if line == 1 { column + indent } else { column };
    Position { line: line + before.matches('\n').count(), column }
}

/// A private cloud with the suffix of the vault: only the file on the node has the real suffix.
fn private_cloud(vault_url: Option<&str>) -> Result<Endpoints, Fault> {
    let host = vault_url.unwrap_or_default().trim().trim_start_matches("https://").trim_end_matches('/');
    let suffix = host.split_once('.').map_or("vault.example", |(_, suffix)| suffix);
    let file = |suffix: &str| {
        let login = "https://login.example/";
        serde_json::json!({ "activeDirectoryEndpoint": login, "keyVaultDNSSuffix": suffix }).to_string()
    };
    Endpoints::from_environment_file(file(suffix).as_bytes())
        .or_else(|_| Endpoints::from_environment_file(file("vault.example").as_bytes()))
}
