//! The parts of a manifest that make it a class.

use super::{Diagnostic, parameters};
use crate::manifest::Object;
use crate::plan::{Fault, nearest, quoted, unknown};
use crate::yaml::{Entry, Node, Position};

pub(super) const KIND: &str = "SecretProviderClass";
pub(super) const GROUP: &str = "secrets-store.csi.x-k8s.io";

const STATUS_KIND: &str = "SecretProviderClassPodStatus";
const VERSION: &str = "secrets-store.csi.x-k8s.io/v1";
const OLD_VERSION: &str = "secrets-store.csi.x-k8s.io/v1alpha1";
const SPEC_FIELDS: &[&str] = &["provider", "parameters", "secretObjects"];

/// A class of the provider.
pub(super) struct Class<'a> {
    /// Where `spec.parameters` is.
    pub parameters_position: Position,
    /// `spec.parameters`.
    pub parameters: &'a [Entry],
    /// `spec.secretObjects`: what the driver copies into Secrets.
    pub secret_objects: Option<&'a Entry>,
}

impl<'a> Class<'a> {
    /// Reads a class. `None` if there is none to read: the object is something else or another
    /// provider's, or `diagnostics` then say why.
    pub(super) fn read(
        object: &'a Object,
        provider: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let root = &object.root;
        let location = |key: &str| root.entry(key).map_or(root.position, |entry| entry.value.position);
        let misspelt = if object.kind == KIND { None } else { Some(misspelt(object, location("kind"))?) };
        let Some(spec) = root.entry("spec") else {
            diagnostics.extend(misspelt);
            let fault = Fault::new("it is missing", "write provider and parameters there");
            diagnostics.push(Diagnostic::error(root.position, "spec", fault));
            return None;
        };
        let ours = is_provider(spec, provider, diagnostics)?;
        diagnostics.extend(misspelt);
        if !ours {
            return None;
        }
        check_version(&object.api_version, location("apiVersion"), diagnostics);
        check_fields(spec, diagnostics);
        match spec.value.entry("parameters").filter(|entry| !entry.value.entries().is_empty()) {
            Some(parameters) => Some(Self {
                parameters_position: parameters.position,
                parameters: parameters.value.entries(),
                secret_objects: spec.value.entry("secretObjects"),
            }),
            None => {
                let fault = Fault::new("there are none", "name the vault and its objects there");
                let position = spec.value.entry("parameters").map_or(spec.position, |entry| entry.position);
                diagnostics.push(Diagnostic::error(position, "spec.parameters", fault));
                None
            }
        }
    }

    /// The elements of `spec.secretObjects`.
    pub(super) fn secret_objects(&self) -> &'a [Node] {
        self.secret_objects.map(|entry| entry.value.items()).unwrap_or_default()
    }

    /// A parameter.
    pub(super) fn parameter(&self, key: &str) -> Option<&'a Entry> {
        self.parameters.iter().find(|entry| entry.key == key)
    }
}

/// A part of a class that a kustomization applies to another: its `spec`, and what is wrong with that
/// whatever the rest is.
pub(super) fn check_fragment(object: &Object, diagnostics: &mut Vec<Diagnostic>) {
    let Some(spec) = object.root.entry("spec") else { return };
    check_fields(spec, diagnostics);
    for entry in spec.value.at(&["parameters"]).map(Node::entries).unwrap_or_default() {
        // Null removes a parameter, and what begins with `$` tells kustomize what to do.
        if entry.value.text() != Some("") && !entry.key.starts_with('$') {
            parameters::check_one(entry, diagnostics);
        }
    }
}

fn check_fields(spec: &Entry, diagnostics: &mut Vec<Diagnostic>) {
    let known = |entry: &&Entry| SPEC_FIELDS.contains(&entry.key.as_str()) || entry.key.starts_with('$');
    for entry in spec.value.entries().iter().filter(|entry| !known(entry)) {
        diagnostics.push(Diagnostic::warning(entry.position, "spec", unknown(&entry.key, SPEC_FIELDS)));
    }
}

/// What is wrong with a kind of the driver's group that is nearly the class's.
fn misspelt(object: &Object, position: Position) -> Option<Diagnostic> {
    let group = object.api_version.split('/').next().unwrap_or_default();
    let meant = group == GROUP && object.kind != STATUS_KIND;
    let kind = nearest(&object.kind, &[KIND]).filter(|_| meant)?;
    let fault = Fault::new(format!("{} is no kind", quoted(&object.kind)), format!("write {kind}"));
    Some(Diagnostic::error(position, "kind", fault))
}

/// Whether the class names this provider; `None` if it names another.
fn is_provider(spec: &Entry, provider: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<bool> {
    let named = spec.value.entry("provider");
    let text = named.and_then(|entry| entry.value.text()).unwrap_or_default();
    if text == provider {
        return Some(true);
    }
    let position = named.map_or(spec.position, |entry| entry.value.position);
    if text.is_empty() {
        let help = format!(
            "write `provider: {provider}` if it is meant for this one; if it is a patch, lint what `kustomize build` prints"
        );
        diagnostics.push(Diagnostic::error(position, "spec.provider", Fault::new("it is missing", help)));
        return Some(false);
    }
    let meant = nearest(text, &[provider])?;
    let help = format!("did you mean `{meant}`?");
    let problem = format!("the driver looks for a provider of the name {}", quoted(text));
    diagnostics.push(Diagnostic::warning(position, "spec.provider", Fault::new(problem, help)));
    Some(false)
}

fn check_version(version: &str, position: Position, diagnostics: &mut Vec<Diagnostic>) {
    let help = format!("write {VERSION}");
    match version {
        VERSION => {}
        OLD_VERSION => {
            let fault = Fault::new("v1alpha1 is deprecated", help);
            diagnostics.push(Diagnostic::warning(position, "apiVersion", fault));
        }
        other => {
            let fault = Fault::new(format!("{} has no SecretProviderClass", quoted(other)), help);
            diagnostics.push(Diagnostic::error(position, "apiVersion", fault));
        }
    }
}
