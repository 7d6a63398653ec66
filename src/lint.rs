//! What is wrong, or unwise, in a `SecretProviderClass` before anybody mounts it.
//!
//! Parameters are read by what reads a mount's request, [`crate::plan`], so that this says what the
//! server would say. What only a pod can tell, such as its token, counts as right.

mod class;
mod files;
mod parameters;
mod pod;
mod synced;
#[cfg(test)]
mod tests;
mod together;

use crate::manifest::{Document, ManifestError, ManifestSource, Object};
use crate::plan::{Defaults, Fault, Request, Severity, WrittenObject};
use crate::yaml::Position;
use class::Class;
use together::Together;

/// Finds what is wrong in the classes of one provider.
#[derive(Clone, Debug)]
pub struct Linter {
    /// The provider's name, as `spec.provider` has it.
    pub provider: String,
    /// What the operator sets for classes that leave it out.
    pub defaults: Defaults,
}

/// A class or a document, and what is wrong in it, in the order of the file.
#[derive(Clone, Debug)]
pub struct Linted {
    /// `name`, or `namespace/name`; `None` for a document that cannot be read.
    pub class: Option<String>,
    /// What there is to say.
    pub diagnostics: Vec<Diagnostic>,
}

/// One thing that is wrong or unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// An error keeps pods from starting, or the class from being accepted.
    pub severity: Severity,
    /// Where in the file.
    pub position: Position,
    /// What it is about, for example `objects[2].filePermission`; empty for a broken document.
    pub location: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
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
    /// The classes of a file, in their order, which are applied one after the other.
    pub fn file<'a>(&'a self, source: &'a ManifestSource) -> impl Iterator<Item = Linted> + 'a {
        let mut together = Together::default();
        source.documents().flat_map(move |document| self.document(&document, &mut together))
    }

    /// What is wrong in a file that a kustomization applies to classes elsewhere, whatever those are.
    pub fn fragment<'a>(&self, source: &'a ManifestSource) -> impl Iterator<Item = Linted> + use<'a> {
        let documents = source.documents().filter(mentions_classes);
        documents.flat_map(|document| {
            document.objects().map_or_else(
                |error| vec![unreadable(error)],
                |objects| objects.iter().filter_map(fragment).collect(),
            )
        })
    }

    /// The classes of a document. One that mentions none is not read.
    fn document(&self, document: &Document<'_>, together: &mut Together) -> Vec<Linted> {
        if !mentions_classes(document) {
            return Vec::new();
        }
        match document.objects() {
            Ok(objects) => objects.iter().filter_map(|object| self.object(object, together)).collect(),
            Err(error) => vec![unreadable(error)],
        }
    }

    /// An object, if it is, or seems to be meant as, a class of the provider.
    fn object(&self, object: &Object, together: &mut Together) -> Option<Linted> {
        let mut diagnostics = Vec::new();
        match Class::read(object, &self.provider, &mut diagnostics) {
            Some(class) => {
                let written = parameters::check(&class, &self.defaults, &mut diagnostics);
                files::check(&class, &written, &mut diagnostics);
                synced::check(&class, &written, &mut diagnostics);
                together.class(object, &mut diagnostics);
                together.secrets(object, &class, &mut diagnostics);
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
    object: &Object,
    provider: &str,
    request: Request<'_>,
    defaults: &Defaults,
) -> Examined {
    let mut examined = Examined::default();
    let diagnostics = &mut examined.diagnostics;
    if let Some(class) = Class::read(object, provider, diagnostics) {
        parameters::check_each(&class, diagnostics);
        let written = parameters::check_request(&class, request, defaults, diagnostics);
        let located = |object: &WrittenObject| {
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

/// A part of a class with which something is wrong.
fn fragment(object: &Object) -> Option<Linted> {
    let mut diagnostics = Vec::new();
    if object.kind == class::KIND {
        class::check_fragment(object, &mut diagnostics);
    }
    (!diagnostics.is_empty()).then(|| linted(object, diagnostics))
}

fn linted(object: &Object, mut diagnostics: Vec<Diagnostic>) -> Linted {
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
