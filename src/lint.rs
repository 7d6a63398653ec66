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

use crate::manifest::{Document, ManifestError, Object};
use crate::plan::{Defaults, Fault, Severity};
use crate::yaml::Position;
use class::Class;

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
    pub place: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub mend: String,
}

impl Diagnostic {
    fn new(severity: Severity, position: Position, place: impl Into<String>, fault: Fault) -> Self {
        Self { severity, position, place: place.into(), problem: fault.problem, mend: fault.mend }
    }

    fn error(position: Position, place: impl Into<String>, fault: Fault) -> Self {
        Self::new(Severity::Error, position, place, fault)
    }

    fn warning(position: Position, place: impl Into<String>, fault: Fault) -> Self {
        Self::new(Severity::Warning, position, place, fault)
    }
}

impl Linter {
    /// The classes of a document. One that mentions none is not read.
    pub fn document(&self, document: &Document<'_>) -> Vec<Linted> {
        if !document.mentions(class::KIND) && !document.mentions(class::GROUP) {
            return Vec::new();
        }
        match document.objects() {
            Ok(objects) => objects.iter().filter_map(|object| self.object(object)).collect(),
            Err(error) => vec![unreadable(error)],
        }
    }

    /// An object, if it is, or seems to be meant as, a class of the provider.
    fn object(&self, object: &Object) -> Option<Linted> {
        let mut diagnostics = Vec::new();
        match Class::read(object, &self.provider, &mut diagnostics) {
            Some(class) => {
                let written = parameters::check(&class, &self.defaults, &mut diagnostics);
                files::check(&class, &written, &mut diagnostics);
                synced::check(&class, &written, &mut diagnostics);
            }
            None if diagnostics.is_empty() => return None,
            None => {}
        }
        diagnostics.sort_by_key(|diagnostic| diagnostic.position);
        let name = object.name.as_deref().unwrap_or("(no name)");
        let class = match &object.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        };
        Some(Linted { class: Some(class), diagnostics })
    }
}

fn unreadable(error: ManifestError) -> Linted {
    let fault = Fault::new(error.problem, error.mend);
    Linted { class: None, diagnostics: vec![Diagnostic::error(error.position, "", fault)] }
}
