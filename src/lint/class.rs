//! The fields of a class outside of its parameters: kind, version and `spec`.

use super::Diagnostic;
use crate::manifest::ManifestObject;
use crate::plan::{Fault, nearest, quoted, unknown};
use crate::yaml::{Entry, Node, Position};

pub(super) const KIND: &str = "SecretProviderClass";
pub(super) const GROUP: &str = "secrets-store.csi.x-k8s.io";

const STATUS_KIND: &str = "SecretProviderClassPodStatus";
const VERSION: &str = "secrets-store.csi.x-k8s.io/v1";
const OLD_VERSION: &str = "secrets-store.csi.x-k8s.io/v1alpha1";
const SPEC_FIELDS: &[&str] = &["provider", "parameters", "secretObjects"];

/// A class of the provider.
pub(super) struct ClassManifest<'a> {
    /// The position of `spec.parameters`.
    pub parameters_position: Position,
    /// `spec.parameters`.
    pub parameters: &'a [Entry],
    /// `spec.secretObjects`: the Secrets that the driver creates.
    pub secret_objects: Option<&'a Entry>,
}

impl<'a> ClassManifest<'a> {
    /// Parses a class. `None` if the object is not a class of the provider, or if `diagnostics` have an error that
    /// prevents this.
    pub(super) fn read(
        object: &'a ManifestObject,
        provider: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let root = &object.root;
        let location = |key: &str| root.entry(key).map_or(root.position, |entry| entry.value.position);
        let misspelt = if object.kind == KIND { None } else { Some(misspelt(object, location("kind"))?) };
        let Some(spec) = root.entry("spec") else {
            diagnostics.extend(misspelt);
            let fault = Fault::new("it is missing", "add spec, with provider and parameters");
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
                let fault = Fault::new("there are no parameters", "name the vault and its objects");
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

    pub(super) fn parameter(&self, key: &str) -> Option<&'a Entry> {
        self.parameters.iter().find(|entry| entry.key == key)
    }
}

/// Warns about fields of `spec` that are unknown.
pub(super) fn check_fields(spec: &Entry, diagnostics: &mut Vec<Diagnostic>) {
    let known = |entry: &&Entry| SPEC_FIELDS.contains(&entry.key.as_str()) || entry.key.starts_with('$');
    for entry in spec.value.entries().iter().filter(|entry| !known(entry)) {
        diagnostics.push(Diagnostic::warning(entry.position, "spec", unknown(&entry.key, SPEC_FIELDS)));
    }
}

/// The finding on a kind of the driver's group that is similar to `SecretProviderClass`.
fn misspelt(object: &ManifestObject, position: Position) -> Option<Diagnostic> {
    let group = object.api_version.split('/').next().unwrap_or_default();
    let meant = group == GROUP && object.kind != STATUS_KIND;
    let kind = nearest(&object.kind, &[KIND]).filter(|_| meant)?;
    let fault =
        Fault::new(format!("{} is not a kind of this API", quoted(&object.kind)), format!("write {kind}"));
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
            "write `provider: {provider}` if the class is for this provider; if it is a patch, lint the output of `kustomize build`"
        );
        diagnostics.push(Diagnostic::error(position, "spec.provider", Fault::new("it is missing", help)));
        return Some(false);
    }
    let meant = nearest(text, &[provider])?;
    let help = format!("did you mean `{meant}`?");
    let problem = format!("the driver looks for a provider named {}", quoted(text));
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
