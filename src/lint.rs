//! Finds errors and risks in a `SecretProviderClass` before it is mounted.
//!
//! [`crate::plan`] reads the parameters as for a mount request, so the findings are those of the server. Values
//! that only a pod can provide, such as its token, are assumed to be correct.

mod class;
mod duplicates;
mod files;
mod fragment;
mod parameters;
mod pod;
mod synced;
#[cfg(test)]
mod tests;

use crate::manifest::{Document, ManifestError, ManifestObject, ManifestSource};
use crate::plan::{Defaults, Fault, ParsedObject, Request, Severity};
use crate::yaml::Position;
use class::ClassManifest;
use duplicates::DuplicateCheck;

/// Checks the classes of one provider.
#[derive(Clone, Debug)]
pub struct Linter {
    /// The provider's name, as `spec.provider` has it.
    pub provider: String,
    /// The defaults that the operator sets for classes.
    pub defaults: Defaults,
}

/// The findings in one class or document.
#[derive(Clone, Debug)]
pub struct Linted {
    /// `name`, or `namespace/name`; `None` for a document that cannot be read.
    pub class: Option<String>,
    /// The findings, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// An error prevents pods from starting, or the API server from accepting the class.
    pub severity: Severity,
    /// The position in the file.
    pub position: Position,
    /// The field, for example `objects[2].filePermission`; empty for a broken document.
    pub location: String,
    /// What is wrong.
    pub problem: String,
    /// How to fix it.
    pub help: String,
}

impl Diagnostic {
    fn new(severity: Severity, position: Position, location: impl Into<String>, fault: Fault) -> Self {
        Self { severity, position, location: location.into(), problem: fault.problem, help: fault.help }
    }

    fn error(position: Position, location: impl Into<String>, fault: Fault) -> Self {
        Self::new(Severity::Error, position, location, fault)
    }

    fn warning(position: Position, location: impl Into<String>, fault: Fault) -> Self {
        Self::new(Severity::Warning, position, location, fault)
    }
}

impl Linter {
    /// Checks the classes of a file, in their order.
    pub fn file<'a>(&'a self, source: &'a ManifestSource) -> impl Iterator<Item = Linted> + 'a {
        let mut duplicates = DuplicateCheck::default();
        source.documents().flat_map(move |document| self.document(&document, &mut duplicates))
    }

    /// Checks a file of patches, which a kustomization applies to classes in other files.
    pub fn fragment<'a>(&self, source: &'a ManifestSource) -> impl Iterator<Item = Linted> + use<'a> {
        let documents = source.documents().filter(mentions_classes);
        documents.flat_map(|document| {
            document.objects().map_or_else(
                |error| vec![unreadable(error)],
                |objects| objects.iter().filter_map(lint_fragment).collect(),
            )
        })
    }

    /// Checks the classes of a document. A document that mentions no class is not parsed.
    fn document(&self, document: &Document<'_>, duplicates: &mut DuplicateCheck) -> Vec<Linted> {
        if !mentions_classes(document) {
            return Vec::new();
        }
        match document.objects() {
            Ok(objects) => objects.iter().filter_map(|object| self.object(object, duplicates)).collect(),
            Err(error) => vec![unreadable(error)],
        }
    }

    /// Checks an object if it is a class of the provider, or a misspelt one.
    fn object(&self, object: &ManifestObject, duplicates: &mut DuplicateCheck) -> Option<Linted> {
        let mut diagnostics = Vec::new();
        match ClassManifest::read(object, &self.provider, &mut diagnostics) {
            Some(class) => {
                let written = parameters::check(&class, &self.defaults, &mut diagnostics);
                files::check(&class, &written, &mut diagnostics);
                synced::check(&class, &written, &mut diagnostics);
                duplicates.class(object, &mut diagnostics);
                duplicates.secrets(object, &class, &mut diagnostics);
            }
            None if diagnostics.is_empty() => return None,
            None => {}
        }
        Some(linted(object, diagnostics))
    }
}

/// What is wrong in a class that one request mounts, and where its objects are.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    /// What is wrong or unwise, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// The objects that can be planned: `objects[2]`, and where it is.
    pub objects: Vec<(String, Position)>,
}

/// Examines a class for one request. `request` has the parameters of the class, and may add to them what a pod or
/// a command line says.
pub(crate) fn examine(
    object: &ManifestObject,
    provider: &str,
    request: Request<'_>,
    defaults: &Defaults,
) -> Examined {
    let mut examined = Examined::default();
    let diagnostics = &mut examined.diagnostics;
    if let Some(class) = ClassManifest::read(object, provider, diagnostics) {
        parameters::check_each(&class, diagnostics);
        let written = parameters::check_request(&class, request, defaults, diagnostics);
        let located = |object: &ParsedObject| {
            let inner = object.position("objectName")?;
            Some((object.plan.location.clone(), parameters::in_objects(&class, inner)))
        };
        examined.objects = written.objects.iter().filter_map(located).collect();
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.position);
    examined
}

fn mentions_classes(document: &Document<'_>) -> bool {
    document.mentions(class::KIND) || document.mentions(class::GROUP)
}

/// The findings in a patch, if there are any.
fn lint_fragment(object: &ManifestObject) -> Option<Linted> {
    let mut diagnostics = Vec::new();
    if object.kind == class::KIND {
        fragment::check(object, &mut diagnostics);
    }
    (!diagnostics.is_empty()).then(|| linted(object, diagnostics))
}

fn linted(object: &ManifestObject, mut diagnostics: Vec<Diagnostic>) -> Linted {
    diagnostics.sort_by_key(|diagnostic| diagnostic.position);
    let name = object.name.as_deref().unwrap_or("(no name)");
    let class = match &object.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    Linted { class: Some(class), diagnostics }
}

fn unreadable(error: ManifestError) -> Linted {
    let fault = Fault::new(error.problem, error.help);
    Linted { class: None, diagnostics: vec![Diagnostic::error(error.position, "", fault)] }
}
